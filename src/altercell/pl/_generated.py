"""Generated cells on a map of the real ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError, KeyNotFoundError, check_choice, listing
from altercell.metrics._matrix import Matrix
from altercell.metrics._pcs import project_on_pcs
from altercell.pl._points import check_kinds, choose_rows, draw_points, lay_out_beside, lay_out_jointly, name_kinds
from altercell.pl._populations import same_genes
from altercell.pl._style import FAINT, KINDS, colours, new_axes

METHODS = ("umap", "tsne")
_REAL, _MADE = "real cells", "generated cells"


def generated_map(
    generated: AnnData,
    real: AnnData,
    *,
    basis: AnnData | None = None,
    color: str | None = None,
    method: str = "umap",
    n_cells: int | None = 2_000,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    n_nearest: int = 5,
    perplexity: float = 30.0,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw generated cells over the real ones in two dimensions, as in Figure 1 of :cite:p:`Marouf2020`.

    Both are projected on the principal components of `basis`. UMAP is then fitted on the real cells alone, and every
    cell, real or generated, is drawn at the mean place of the real cells that are nearest to it, itself left out. So
    the map is the same whatever was generated, the maps of two models can be compared, and real cells that were left
    out of it lie nearly as those within it do, only a little nearer to the middle of their group; UMAP's own way to add
    cells pushes them, also real ones, to the rims. But a cell that is like no real one is put among real ones all the
    same, for there is nowhere else: :func:`~altercell.metrics.precision_coverage` and :func:`~altercell.pl.roc_curve`
    tell whether they are alike. t-SNE, which the paper draws, cannot place new cells: with it both are laid out
    **jointly**, and real cells move with what was generated.

    Parameters
    ----------
    generated
        Generated cells: (n_generated, n_genes). Not changed.
    real
        Real cells, best those that training has not seen: (n_real, n_genes). The same genes by name, in any order, and
        values in the same space.
    basis
        Cells on which the components are fitted, such as the training cells: (n_basis, n_genes). None takes `real`.
    color
        Column of ``generated.obs`` to colour generated cells by, such as the class that they were generated as;
        categories give colours in their order, and a cell without a label is left out. None: one colour.
    method
        - ``"umap"``: fitted on the real cells alone
        - ``"tsne"``: fitted on both jointly
    n_cells
        Cells of each that are drawn and laid out, at most, without replacement; None takes all.
    n_pcs
        Number of components; fewer where the basis does not have as many.
    n_neighbors, min_dist
        Of UMAP, as in :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.umap`.
    n_nearest
        Nearest real cells whose places on the UMAP are averaged.
    perplexity
        Of t-SNE, as in :class:`sklearn.manifold.TSNE`.
    seed
        Of the draw, the components, the layout, and the order in which generated cells cover each other.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: real cells in grey as the first collection, and generated ones over them, in random order, as the second.

    Raises
    ------
    KeyNotFoundError
        If `color` is not a column of ``generated.obs``.
    GeneMismatchError
        If genes are not the same.
    SpaceMismatchError
        If values are in different spaces.
    DataError
        If `method` is unknown, there are no more real cells than neighbours (UMAP) or no more cells than the perplexity
        (t-SNE), the basis has fewer than two components, or `color` has no label or more than 60.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=120, n_genes=30, seed=0))
    >>> ax = ac.pl.generated_map(adata[::2], adata[1::2], color="cell_type", method="tsne", n_pcs=10)
    >>> ax.get_xlabel()
    't-SNE 1'
    """
    check_choice("method", method, METHODS)
    kinds = _kinds(generated, color)
    cells = same_genes({"generated": generated, "real": real, "basis": basis})
    # Which real cells are drawn does not depend on the generated ones.
    first, second, order = (np.random.default_rng([seed, stream]) for stream in range(3))
    labelled = np.flatnonzero(kinds.codes >= 0)
    rows = labelled[choose_rows(len(labelled), n_cells, first)]
    cells["generated"], drawn = cells["generated"][rows], choose_rows(real.n_obs, n_cells, second)
    made, known = on_components(cells, drawn, n_pcs, seed)
    if method == "umap":
        made_xy, real_xy = lay_out_beside(made, known, n_neighbors, min_dist, n_nearest, seed)
    else:
        made_xy, real_xy = lay_out_jointly(made, known, perplexity, seed)

    names = np.array(kinds[rows], dtype=str)
    shades = colours([str(kind) for kind in kinds.categories], KINDS, fixed={})
    ax = new_axes(ax, (5.6, 4.2))
    draw_points(ax, real_xy, np.full(len(real_xy), _REAL), {_REAL: FAINT}, np.arange(len(real_xy)))
    draw_points(ax, made_xy, names, shades, order.permutation(len(names)))
    counts = {name: int((names == name).sum()) for name in shades if name in names} | {_REAL: len(real_xy)}
    name_kinds(ax, counts, shades | {_REAL: FAINT}, None if color is None else f"generated, {color}")
    title = "UMAP" if method == "umap" else "t-SNE"
    ax.set(xlabel=f"{title} 1", ylabel=f"{title} 2")
    return ax


def on_components(
    cells: Mapping[str, Matrix], rows: np.ndarray, n_pcs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return components of generated cells, and of these real ones: (n_cells, n_components) each.

    Parameters
    ----------
    cells
        Values by name: ``generated``, ``real`` and perhaps ``basis``.
    rows
        Which real cells.
    n_pcs
        Number of components, which are fitted on the basis, or else on all real cells.
    seed
        Of the components.

    Raises
    ------
    DataError
        If there are fewer than two components.
    """
    name = "basis" if "basis" in cells else "real"
    made, known = project_on_pcs(cells["generated"], cells["real"][rows], cells[name], n_pcs=n_pcs, seed=seed)
    if known.shape[1] < 2:
        raise DataError(f"{name} has {known.shape[1]} principal components; a map needs two: give cells that differ")
    return made, known


def _kinds(generated: AnnData, color: str | None) -> pd.Categorical:
    if not isinstance(generated, AnnData):
        raise DataError("generated must be AnnData, so that genes are found by name")
    if color is None:
        return pd.Categorical([_MADE] * generated.n_obs, categories=[_MADE])
    if color not in generated.obs:
        raise KeyNotFoundError(
            f"generated has no obs['{color}'] to colour by; its columns are {listing(generated.obs.columns)}"
        )
    kinds = pd.Categorical(generated.obs[color])
    check_kinds(kinds)
    if _REAL in kinds.categories:
        raise DataError(
            f"generated.obs['{color}'] has the label '{_REAL}', which the legend needs: rename the category"
        )
    return kinds
