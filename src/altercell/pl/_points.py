"""Cells as points: which to draw, where UMAP lays them, and how none of them hides another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from altercell.errors import DataError

# Longer legends take another column.
_MOST_ENTRIES = 18


def choose_rows(n_obs: int, n_cells: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw cells without replacement.

    Parameters
    ----------
    n_obs
        How many there are.
    n_cells
        How many to draw at most; None takes all.
    rng
        Generator of the draw; left as it is where all cells are taken.

    Returns
    -------
    Their rows, in rising order: (min(n_cells, n_obs),).
    """
    if n_cells is None or n_obs <= n_cells:
        return np.arange(n_obs)
    return np.sort(rng.choice(n_obs, n_cells, replace=False))


def lay_out(points: np.ndarray, n_neighbors: int, min_dist: float, seed: int) -> np.ndarray:
    """Lay points out in two dimensions by UMAP, with scanpy's neighbour graph.

    Parameters
    ----------
    points
        The points: (n_cells, n_dims).
    n_neighbors, min_dist
        As in :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.umap`.
    seed
        Of the graph and the layout; the global generators stay as they are.

    Returns
    -------
    The coordinates: (n_cells, 2).

    Raises
    ------
    DataError
        If there are no more points than neighbours.
    """
    import scanpy as sc

    from altercell._random import isolated_rng

    if len(points) <= n_neighbors:
        raise DataError(f"{len(points)} cells are too few for a graph of n_neighbors={n_neighbors}")
    joint = AnnData(shape=(len(points), 0))
    joint.obsm["X_points"] = points
    with isolated_rng(seed):
        sc.pp.neighbors(joint, n_neighbors=n_neighbors, use_rep="X_points", random_state=seed)
        sc.tl.umap(joint, min_dist=min_dist, random_state=seed)
    return np.asarray(joint.obsm["X_umap"])


def draw_points(ax: Axes, xy: np.ndarray, names: np.ndarray, colour: Mapping[str, str], order: np.ndarray) -> None:
    """Draw points of several kinds in one collection, without ticks, for the units of a layout mean nothing.

    Parameters
    ----------
    ax
        Axes to draw on.
    xy
        Coordinates: (n_cells, 2).
    names
        The kind of each point: (n_cells,).
    colour
        The colour of each kind.
    order
        In which they cover each other: a permutation (n_cells,).
    """
    xy, size = xy[order], float(np.clip(12_000 / len(xy), 2, 14))
    shades = [colour[name] for name in names[order]]
    ax.scatter(xy[:, 0], xy[:, 1], s=size, c=shades, linewidths=0, alpha=0.8)
    ax.set(xticks=[], yticks=[])


def name_kinds(ax: Axes, counts: Mapping[str, int], colour: Mapping[str, str], title: str | None = None) -> None:
    """Write the legend of the kinds of points, with how many cells of each are drawn, to the right of the axes.

    Parameters
    ----------
    ax
        Axes with the points.
    counts
        Number of cells of each kind, in order.
    colour
        The colour of each kind.
    title
        What the kinds are.
    """
    handles = [
        Line2D([], [], color=colour[name], marker="o", linestyle="", label=f"{name} (n = {count:,})")
        for name, count in counts.items()
    ]
    ax.legend(
        handles=handles, title=title, loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small",
        title_fontsize="small", alignment="left", frameon=False, ncols=1 + (len(handles) - 1) // _MOST_ENTRIES,
    )  # fmt: skip
