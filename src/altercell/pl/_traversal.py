"""Cells along each latent on a map of the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._generated import on_components
from altercell.pl._points import choose_rows, draw_points, draw_values, lay_out_beside
from altercell.pl._populations import same_genes
from altercell.pl._style import FAINT, new_grid


def traversal_map(
    traversed: AnnData,
    real: AnnData,
    *,
    latents: Sequence[Any] | None = None,
    latent_key: str = "latent",
    step_key: str = "step",
    basis: AnnData | None = None,
    n_cells: int | None = 2_000,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    n_nearest: int = 5,
    n_columns: int = 5,
    seed: int = 0,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
) -> Any:
    """Draw the cells that a model makes along each latent over the real ones, as in Figure 5 of :cite:p:`Yu2021`.

    A panel a latent, all on one map: UMAP of the real cells alone, on which every cell is put at the mean place of the
    real cells that are nearest to it in principal components (:func:`generated_map`). A latent that means something
    moves the cells from one part of the map to another; one that the model does not use leaves them where they are. A
    cell that is like no real one is put among real ones all the same.

    Parameters
    ----------
    traversed
        Cells made with one latent moved and the others held: (n_made, n_genes). Not changed.
    real
        Real cells: (n_real, n_genes). The same genes by name, in any order, and values in the same space.
    latents
        Which latents, in the order of the panels; None takes all, in their order.
    latent_key, step_key
        Columns of ``traversed.obs``: the latent that was moved, and its value or the number of the step.
    basis
        Cells on which the components are fitted, such as the training cells: (n_basis, n_genes). None takes `real`.
    n_cells
        Real cells that are drawn and laid out, at most, without replacement; None takes all.
    n_pcs, n_neighbors, min_dist, n_nearest
        As in :func:`generated_map`.
    n_columns
        Panels in a row of a new figure.
    seed
        Of the draw, the components, the layout, and the order in which made cells cover each other.
    ax
        Axes to draw on, as many as latents; None makes a figure.

    Returns
    -------
    The axes, an array (n_latents,): real cells in grey as the first collection of each, and made ones, coloured by the
    step, as the second. All panels have the same colours.

    Raises
    ------
    KeyNotFoundError
        If a column is not in ``traversed.obs``, or a latent not among those that were moved.
    GeneMismatchError
        If genes are not the same.
    SpaceMismatchError
        If values are in different spaces.
    DataError
        If steps are no finite numbers, no cell has a latent, there are no more real cells than neighbours, or not as
        many axes as latents.

    Examples
    --------
    >>> import numpy as np
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=120, n_genes=30, seed=0))
    >>> made = adata[:20].copy()  # as if a model had made them
    >>> made.obs["latent"], made.obs["step"] = np.repeat(["z1", "z2"], 10), np.tile(np.linspace(-2, 2, 10), 2)
    >>> [ax.get_title() for ax in ac.pl.traversal_map(made, adata[20:], n_pcs=5)]
    ['z1', 'z2']
    """
    kinds, steps = _columns(traversed, latent_key, step_key)
    shown = list(kinds.categories) if latents is None else list(latents)
    _check_latents(kinds, shown)
    cells = same_genes({"generated": traversed, "real": real, "basis": basis})
    draw, order = (np.random.default_rng([seed, stream]) for stream in range(2))
    made, known = on_components(cells, choose_rows(real.n_obs, n_cells, draw), n_pcs, seed)
    made_xy, real_xy = lay_out_beside(made, known, n_neighbors, min_dist, n_nearest, seed)

    axes, norm = _axes(ax, len(shown), n_columns), Normalize(steps.min(), steps.max())
    names = np.full(len(real_xy), "real")
    for panel, latent in zip(axes, shown, strict=True):
        rows = order.permutation(np.flatnonzero(kinds == latent))
        draw_points(panel, real_xy, names, {"real": FAINT}, np.arange(len(real_xy)))
        drawn = draw_values(panel, made_xy[rows], steps[rows], norm, np.arange(len(rows)))
        panel.set_title(str(latent), fontsize="medium")
        panel.set(xlabel="UMAP 1", ylabel="UMAP 2")
        if ax is None:
            panel.label_outer()
    axes[-1].figure.colorbar(drawn, ax=list(axes), shrink=0.8, pad=0.02, label=f"{step_key} (grey: real cells)")
    return axes


def _columns(traversed: AnnData, latent_key: str, step_key: str) -> tuple[pd.Categorical, np.ndarray]:
    """Return the latent that was moved, and the step, of each made cell."""
    if not isinstance(traversed, AnnData):
        raise DataError("traversed must be AnnData, so that genes are found by name")
    missing = [key for key in (latent_key, step_key) if key not in traversed.obs]
    if missing:
        raise KeyNotFoundError(
            f"traversed has no obs column {listing(missing)}; its columns are {listing(traversed.obs.columns)}"
        )
    steps = pd.to_numeric(traversed.obs[step_key].astype(object), errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(steps).all():
        bad = int((~np.isfinite(steps)).sum())
        raise DataError(f"traversed.obs['{step_key}'] holds no finite number in {bad} of {len(steps)} cells")
    return pd.Categorical(traversed.obs[latent_key]).remove_unused_categories(), steps


def _check_latents(kinds: pd.Categorical, shown: list[Any]) -> None:
    if not len(kinds.categories):
        raise DataError("no traversed cell says which latent was moved")
    unknown = [latent for latent in shown if latent not in kinds.categories]
    if unknown or not shown:
        raise KeyNotFoundError(f"latents={listing(unknown)} were not moved; there are {listing(kinds.categories)}")


def _axes(ax: Any, n: int, n_columns: int) -> np.ndarray:
    if ax is None:
        width = min(n, max(1, n_columns))
        height = -(-n // width)
        grid = np.ravel(new_grid(height, width, (1.0 + 2.2 * width, 2.3 * height)))
        for spare in grid[n:]:
            spare.remove()
        return grid[:n]
    axes = np.ravel(ax)
    if len(axes) != n:
        raise DataError(f"{n} latents need as many axes; {len(axes)} were given")
    return axes
