"""A representation of cells, coloured by what is known of them: to see whether it mixes conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.pl._points import check_kinds, choose_rows, draw_points, lay_out, name_kinds
from altercell.pl._style import KINDS, colours, new_row


def latent_umap(
    points: np.ndarray | Mapping[str, np.ndarray],
    color: Sequence[Any] | np.ndarray | pd.Series | pd.Categorical,
    *,
    n_cells: int | None = 4_000,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    seed: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
) -> Any:
    """Draw UMAP of a representation, coloured by condition or cell type, as in Figure 2 of :cite:p:`Lotfollahi2020`.

    Several representations of the same cells, such as the MMD layer of TrVAE and of a CVAE, are drawn side by side: the
    same cells in the same colours. UMAP keeps neighbourhoods, not distances, and lays out each panel by itself: read
    off it whether conditions mix, not how far apart they are.

    Parameters
    ----------
    points
        A representation, such as ``model.get_latent_representation()``: (n_cells, n_dims); or several of the same
        cells by the name to show. They need not have the same n_dims. Not changed.
    color
        A label for each cell, such as ``model.adata.obs["condition"]``: (n_cells,). Categories give colours in their
        order, also those that no cell has; other labels are sorted. A cell without a label is left out.
    n_cells
        Cells at most, drawn without replacement; None takes all.
    n_neighbors, min_dist
        As in :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.umap`.
    seed
        Of the draw, the layouts, and the order in which points cover each other.
    ax
        Axes to draw on, as many as representations; None makes a figure.

    Returns
    -------
    The axes, with one collection of all points in random order; an array of them (n_representations,) where `points` is
    a mapping, the legend beside the last.

    Raises
    ------
    DataError
        If `points` are not finite or not (n_cells, n_dims), there are not as many labels as cells, more than 60
        different labels or none, no more cells than neighbours, or not as many axes as representations.

    Examples
    --------
    >>> import numpy as np
    >>> import altercell as ac
    >>> points = np.random.default_rng(0).normal(size=(60, 5))
    >>> ac.pl.latent_umap(points, ["control", "stimulated"] * 30).get_xlabel()
    'UMAP 1'
    """
    several = isinstance(points, Mapping)
    given: Any = points if several else {"points": points}
    panels = {name: _checked(values, name) for name, values in given.items()}
    kinds = pd.Categorical(color)
    _check_labels(kinds, panels)
    rng = np.random.default_rng(seed)
    labelled = np.flatnonzero(kinds.codes >= 0)
    rows = labelled[choose_rows(len(labelled), n_cells, rng)]
    layouts = [lay_out(values[rows], n_neighbors, min_dist, seed) for values in panels.values()]
    names, known = np.array(kinds[rows], dtype=str), [str(kind) for kind in kinds.categories]
    colour, order = colours(known, KINDS), rng.permutation(len(rows))

    axes = _axes(ax, len(panels))
    for panel, name, xy in zip(axes, panels, layouts, strict=True):
        draw_points(panel, xy, names, colour, order)
        panel.set(xlabel="UMAP 1", ylabel="UMAP 2")
        if several:
            panel.set_title(name, fontsize="medium")
    counts = {name: int((names == name).sum()) for name in known}
    title = getattr(color, "name", None)
    name_kinds(axes[-1], {name: n for name, n in counts.items() if n}, colour, None if title is None else str(title))
    return axes if several else axes[0]


def _checked(points: Any, name: str) -> np.ndarray:
    values = np.asarray(points)
    if values.ndim != 2 or values.shape[1] == 0:
        raise DataError(f"{name} are wanted as an array (n_cells, n_dims); the shape is {values.shape}")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise DataError(f"{name} hold NaN or infinite values, in {bad} of {len(values)} cells")
    return values


def _check_labels(kinds: pd.Categorical, panels: Mapping[str, np.ndarray]) -> None:
    if not panels:
        raise DataError('no representation to draw: give an array (n_cells, n_dims), or {"TrVAE": array, ...}')
    for name, values in panels.items():
        if len(values) != len(kinds):
            raise DataError(f"{name} have {len(values)} cells but there are {len(kinds)} labels: give one a cell")
    check_kinds(kinds)


def _axes(ax: Any, n: int) -> np.ndarray:
    axes = np.ravel(new_row(n, (1.4 + 4.0 * n, 4.2)) if ax is None else ax)
    if len(axes) != n:
        raise DataError(f"{n} representations need as many axes; {len(axes)} were given")
    return axes
