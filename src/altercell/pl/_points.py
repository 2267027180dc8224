"""Cells as points: which to draw, where UMAP lays them, and how none of them hides another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from altercell.errors import DataError
from altercell.pl._style import SEQUENTIAL

# Longer legends take another column.
_MOST_ENTRIES = 18
# A legend of more kinds is not a legend; such values are numbers, or names of single cells.
_MOST_KINDS = 60


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


def check_kinds(kinds: pd.Categorical) -> None:
    """Check that labels can be told apart by colour.

    Parameters
    ----------
    kinds
        The labels: (n_cells,).

    Raises
    ------
    DataError
        If there are more than 60 different ones, or none.
    """
    if not 1 <= len(kinds.categories) <= _MOST_KINDS or (kinds.codes < 0).all():
        raise DataError(
            f"color has {len(kinds.categories)} different labels; 1 to {_MOST_KINDS} can be told apart in a legend"
        )


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


def lay_out_beside(
    points: np.ndarray, others: np.ndarray, n_neighbors: int, min_dist: float, n_nearest: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay points out in two dimensions on a UMAP that is fitted on others alone (:func:`lay_out`).

    Every point of both is put at the mean place of the nearest of the others, without itself. UMAP's own way to add
    points pushes them to the rims of the groups, where those that it was fitted on are not.

    Parameters
    ----------
    points
        The points that are put onto the map: (n_points, n_dims). They do not move the others.
    others
        The points that make the map: (n_others, n_dims).
    n_neighbors, min_dist, seed
        As in :func:`lay_out`.
    n_nearest
        How many are averaged over.

    Returns
    -------
    The coordinates of `points`, (n_points, 2), and of `others`, (n_others, 2).

    Raises
    ------
    DataError
        If there are no more of the others than neighbours, or than `n_nearest`, or that is below 1.
    """
    from sklearn.neighbors import NearestNeighbors

    if not 1 <= n_nearest < len(others):
        raise DataError(f"n_nearest={n_nearest} must be at least 1 and below the number of real cells, {len(others)}")
    xy = lay_out(others, n_neighbors, min_dist, seed)
    nearest = NearestNeighbors(n_neighbors=n_nearest).fit(others)
    first, second = (nearest.kneighbors(cells, return_distance=False) for cells in (points, None))
    return xy[first].mean(axis=1), xy[second].mean(axis=1)


def lay_out_jointly(
    points: np.ndarray, others: np.ndarray, perplexity: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay two sets of points out together in two dimensions by t-SNE, which has no way to add points to a map.

    Parameters
    ----------
    points, others
        The points: (n_points, n_dims) and (n_others, n_dims).
    perplexity
        As in :class:`sklearn.manifold.TSNE`.
    seed
        Of the layout.

    Returns
    -------
    Their coordinates: (n_points, 2) and (n_others, 2).

    Raises
    ------
    DataError
        If there are no more points than the perplexity.
    """
    from sklearn.manifold import TSNE

    both = np.concatenate([points, others])
    if len(both) <= perplexity:
        raise DataError(f"{len(both)} cells are too few for t-SNE with perplexity={perplexity:g}: give a lower one")
    xy = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(both)
    return xy[: len(points)], xy[len(points) :]


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


def draw_values(ax: Axes, xy: np.ndarray, values: np.ndarray, norm: Normalize, order: np.ndarray) -> PathCollection:
    """Draw points coloured by a number, with a thin rim, in one collection (:func:`draw_points`).

    Parameters
    ----------
    ax
        Axes to draw on.
    xy
        Coordinates: (n_cells, 2).
    values
        The number of each point: (n_cells,).
    norm
        What the ends of the colours are.
    order
        In which they cover each other: a permutation (n_cells,).
    """
    size = float(np.clip(12_000 / len(xy), 6, 22))
    drawn = ax.scatter(
        xy[order, 0], xy[order, 1], s=size, c=values[order], cmap=SEQUENTIAL, norm=norm, edgecolors="white",
        linewidths=0.2,
    )  # fmt: skip
    ax.set(xticks=[], yticks=[])
    return drawn


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
