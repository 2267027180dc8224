"""Control, real and predicted cells in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.metrics._matrix import genes_of
from altercell.metrics._pcs import project_on_pcs
from altercell.pl._populations import check_populations
from altercell.pl._style import colours, new_axes


def umap(
    populations: Mapping[str, AnnData],
    *,
    basis: str | None = None,
    fit_on: Sequence[str] | None = None,
    n_cells: int | None = 2_000,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw control, real and predicted cells over each other in two dimensions.

    Without `basis`: principal components are fitted on measured cells alone, the predicted cells are projected on
    them, and one neighbour graph and UMAP are made of all cells together (scanpy). So a prediction neither shapes the
    components nor is pulled onto the real cells; but UMAP keeps neighbourhoods, not distances: read scores from
    :func:`~altercell.metrics.evaluate`.

    Parameters
    ----------
    populations
        Cells by the name to show, for example ``{"control": ..., "real": ..., "ScGen": pred}``. Not changed.
    basis
        Key of obsm with coordinates that every population has, whose first two columns are drawn. None computes UMAP.
    fit_on
        Populations to fit the components on; None takes those that no altercell model made.
    n_cells
        Cells of a population, at most, drawn without replacement; None takes all.
    n_pcs
        Number of components.
    n_neighbors, min_dist
        As in :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.umap`.
    seed
        Of the draw, the components, the layout, and the order in which points cover each other.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: one collection of all points in random order, so that no population hides another.

    Raises
    ------
    KeyNotFoundError
        If `basis` is not in the obsm of a population, or `fit_on` names no population.
    GeneMismatchError
        If a population lacks genes of the first one.
    SpaceMismatchError
        If the populations are in different spaces.
    DataError
        If there are no more cells than neighbours, or `basis` has one column.
    """
    check_populations(populations)
    rng = np.random.default_rng(seed)
    rows = {name: _draw_rows(adata, n_cells, rng) for name, adata in populations.items()}
    if basis is None:
        xy = _joint_umap(populations, rows, _measured(populations, fit_on), n_pcs, n_neighbors, min_dist, seed)
    else:
        xy = np.concatenate([_coordinates(adata, basis, name)[rows[name]] for name, adata in populations.items()])
    colour = colours(populations)
    shades = np.repeat([colour[name] for name in populations], [len(rows[name]) for name in populations])
    order = rng.permutation(len(xy))

    ax = new_axes(ax, (5.4, 4.2))
    xy, size = xy[order], float(np.clip(12_000 / len(xy), 2, 14))
    ax.scatter(xy[:, 0], xy[:, 1], s=size, c=shades[order].tolist(), linewidths=0, alpha=0.8)
    handles = [
        Line2D([], [], color=colour[name], marker="o", linestyle="", label=f"{name} (n = {len(rows[name]):,})")
        for name in populations
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    title = "UMAP" if basis is None else basis.removeprefix("X_")
    ax.set(xticks=[], yticks=[], xlabel=f"{title} 1", ylabel=f"{title} 2")
    return ax


def _draw_rows(adata: AnnData, n_cells: int | None, rng: np.random.Generator) -> np.ndarray:
    if n_cells is None or adata.n_obs <= n_cells:
        return np.arange(adata.n_obs)
    return np.sort(rng.choice(adata.n_obs, n_cells, replace=False))


def _measured(populations: Mapping[str, AnnData], fit_on: Sequence[str] | None) -> list[str]:
    """Return the names of the populations on which components are fitted."""
    if fit_on is None:
        records = {name: adata.uns.get("altercell", {}) for name, adata in populations.items()}
        return [name for name, record in records.items() if "model" not in record] or list(populations)
    unknown = [name for name in fit_on if name not in populations]
    if unknown or not fit_on:
        raise KeyNotFoundError(f"fit_on={list(fit_on)} must name populations; there are {listing(populations)}")
    return list(fit_on)


def _coordinates(adata: AnnData, basis: str, name: str) -> np.ndarray:
    if basis not in adata.obsm:
        raise KeyNotFoundError(f"{name} has no obsm['{basis}']; there are {listing(adata.obsm.keys())}")
    values: np.ndarray = np.asarray(adata.obsm[basis])
    if values.shape[1] < 2:
        raise DataError(f"obsm['{basis}'] of {name} has one column; two are drawn")
    return values[:, :2]


def _joint_umap(
    populations: Mapping[str, AnnData],
    rows: Mapping[str, np.ndarray],
    fit_on: Sequence[str],
    n_pcs: int,
    n_neighbors: int,
    min_dist: float,
    seed: int,
) -> np.ndarray:
    """Return coordinates (n_cells, 2) of all drawn cells, in the order of the populations."""
    import scanpy as sc

    from altercell._random import isolated_rng

    genes = next(iter(populations.values())).var_names
    cells = {name: sp.csr_matrix(genes_of(adata, genes, name)[rows[name]]) for name, adata in populations.items()}
    everything, basis = sp.vstack(list(cells.values())), sp.vstack([cells[name] for name in fit_on])
    if everything.shape[0] <= n_neighbors:
        raise DataError(f"{everything.shape[0]} cells are too few for a graph of n_neighbors={n_neighbors}")
    projected, _ = project_on_pcs(everything, basis, n_pcs=n_pcs, seed=seed)
    if projected.shape[1] == 0:
        raise DataError(f"the cells of {listing(fit_on)} are all the same, so they have no principal components")
    joint = AnnData(shape=(len(projected), 0))
    joint.obsm["X_pca"] = projected
    with isolated_rng(seed):
        sc.pp.neighbors(joint, n_neighbors=n_neighbors, use_rep="X_pca", random_state=seed)
        sc.tl.umap(joint, min_dist=min_dist, random_state=seed)
    return np.asarray(joint.obsm["X_umap"])
