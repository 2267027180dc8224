"""Control, real and predicted cells in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.metrics._matrix import genes_of
from altercell.metrics._pcs import project_on_pcs
from altercell.pl._points import choose_rows, draw_points, lay_out, name_kinds
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
    rows = {name: choose_rows(adata.n_obs, n_cells, rng) for name, adata in populations.items()}
    if basis is None:
        points = _on_components(populations, rows, _measured(populations, fit_on), n_pcs, seed)
        xy = lay_out(points, n_neighbors, min_dist, seed)
    else:
        xy = np.concatenate([_coordinates(adata, basis, name)[rows[name]] for name, adata in populations.items()])
    colour, counts = colours(populations), {name: len(chosen) for name, chosen in rows.items()}
    names = np.repeat(list(counts), list(counts.values()))

    ax = new_axes(ax, (5.4, 4.2))
    draw_points(ax, xy, names, colour, rng.permutation(len(xy)))
    name_kinds(ax, counts, colour)
    title = "UMAP" if basis is None else basis.removeprefix("X_")
    ax.set(xlabel=f"{title} 1", ylabel=f"{title} 2")
    return ax


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


def _on_components(
    populations: Mapping[str, AnnData], rows: Mapping[str, np.ndarray], fit_on: Sequence[str], n_pcs: int, seed: int
) -> np.ndarray:
    """Return principal components (n_cells, n_pcs) of all drawn cells, in the order of the populations."""
    genes = next(iter(populations.values())).var_names
    cells = {name: sp.csr_matrix(genes_of(adata, genes, name)[rows[name]]) for name, adata in populations.items()}
    everything, basis = sp.vstack(list(cells.values())), sp.vstack([cells[name] for name in fit_on])
    projected, _ = project_on_pcs(everything, basis, n_pcs=n_pcs, seed=seed)
    if projected.shape[1] == 0:
        raise DataError(f"the cells of {listing(fit_on)} are all the same, so they have no principal components")
    return np.asarray(projected)
