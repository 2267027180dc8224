"""Mean and variance of every gene in the predictions of several models, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from altercell.errors import DataError
from altercell.metrics._genes import rank_genes
from altercell.metrics._matrix import genes_of
from altercell.pl._comparison import (
    MEAN,
    VARIANCE,
    Comparison,
    check_enough,
    draw_genes,
    limits_of,
    name_genes,
    rows_to_name,
)
from altercell.pl._populations import check_populations, with_space
from altercell.pl._style import CYCLE, FAINT, new_grid

_MEASURED = ("real", "control")


def means_and_variances(
    predictions: Mapping[str, AnnData],
    real: AnnData,
    *,
    control: AnnData | None = None,
    genes: int | Sequence[str] = 5,
    n_top: int = 100,
    ax: Sequence[Sequence[Axes]] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw predicted against real means and variances, a column a model: Figures 5, 6 of :cite:p:`Lotfollahi2020`.

    The panels are those of :func:`gene_means` and :func:`gene_variances`, in a row with the same limits. Each title has
    the model and its :func:`~altercell.metrics.pearson_r2` (:func:`~altercell.metrics.variance_pearson_r2`) over all
    genes and, with `control`, over the top differential genes, each beside the score of the control cells themselves.

    Parameters
    ----------
    predictions
        Predicted cells by the model's name: (n_pred, n_genes) each. The genes of the first one are drawn. Not changed.
    real
        Measured cells with these genes, in any order, and perhaps others: (n_real, n_genes). Not changed.
    control
        Control cells of the same type, which tell the differential genes. Not changed.
    genes
        Genes to name: their names, or how many. With `control` the top differential genes of the truth are named;
        without it, those with the largest difference between predicted and real, which differ from panel to panel.
    n_top
        Number of top differential genes (:func:`~altercell.metrics.de_genes`), drawn in colour.
    ax
        Axes to draw on, a row of means and a row of variances: (2, n_models); None makes a figure.

    Returns
    -------
    The axes (2, n_models): means above variances, the models in the order of `predictions`.

    Raises
    ------
    KeyNotFoundError
        If a gene to name is not there.
    GeneMismatchError
        If cells lack genes of the first prediction.
    SpaceMismatchError
        If the data are in different spaces.
    DataError
        If there is no prediction, one is called "real" or "control", there are fewer than 2 cells of one kind,
        or the axes are not of shape (2, n_models).

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> real, control = (adata[adata.obs["condition"] == name] for name in ("stimulated", "control"))
    >>> ac.pl.means_and_variances({"no change": control}, real, control=control).shape
    (2, 1)
    """
    arms = _arms(predictions, real, control)
    names = next(iter(predictions.values())).var_names
    cells = {name: genes_of(adata, names, name) for name, adata in arms.items()}
    top = None if control is None else rank_genes(cells["real"], cells["control"], n_top)
    grid = []
    for statistic in (MEAN, VARIANCE):
        values = {name: statistic.compute(matrix) for name, matrix in cells.items()}
        measured = values["real"], values.get("control"), top
        grid.append([Comparison(statistic, values[name], *measured) for name in predictions])
    first, label = next(iter(predictions.items()))[::-1]
    to_name = [[rows_to_name(comparison, first, genes, label) for comparison in row] for row in grid]

    axes = _axes(ax, len(predictions))
    space = with_space("", arms.values())  # found once, for it takes a look at all the data
    for panels, comparisons in zip(axes, grid, strict=True):
        _draw_row(panels, comparisons, list(predictions), space)
    obstacles = [] if top is None else [_legend(axes[0, 0], len(names), len(top))]
    # Names come last, for their places depend on the layout of the whole figure, which they do not change.
    axes[0, 0].figure.canvas.figure.draw_without_rendering()
    for panels, comparisons, rows in zip(axes, grid, to_name, strict=True):
        for panel, comparison, chosen in zip(panels, comparisons, rows, strict=True):
            name_genes(panel, comparison, chosen, names, obstacles if panel is axes[0, 0] else [], laid_out=True)
    return axes


def _arms(predictions: Mapping[str, AnnData], real: AnnData, control: AnnData | None) -> dict[str, AnnData]:
    """Return all cells by name, after checks."""
    if not isinstance(predictions, Mapping) or not predictions or set(predictions) & set(_MEASURED):
        raise DataError(
            'predictions are wanted by the name of their model, for example {"ScGen": pred, "NoChange": other}; '
            '"real" and "control" are the names of measured cells'
        )
    arms = dict(predictions) | {"real": real} | ({} if control is None else {"control": control})
    check_populations(arms)
    check_enough(VARIANCE, arms)
    return arms


def _axes(ax: Any, n: int) -> np.ndarray:
    axes = np.asarray(new_grid(2, n, (0.4 + 3.3 * n, 7.6)) if ax is None else ax, dtype=object)
    # plt.subplots(2, 1) answers with an array (2,).
    if axes.shape != (2, n) and not (n == 1 and axes.shape == (2,)):
        raise DataError(f"{n} models need axes of shape (2, {n}), as plt.subplots(2, {n}) makes; it is {axes.shape}")
    return axes.reshape(2, n)


def _draw_row(panels: np.ndarray, comparisons: Sequence[Comparison], models: Sequence[str], space: str) -> None:
    limits = limits_of(comparisons)
    for panel, comparison, model in zip(panels, comparisons, models, strict=True):
        draw_genes(panel, comparison, limits)
        statistic = comparison.statistic
        lines = [model, f"{statistic.score.__name__}: {comparison.score()}"]
        if comparison.top is not None:
            lines.append(f"top {len(comparison.top)}: {comparison.score(comparison.top)}")
        panel.set_title("\n".join(lines), fontsize="small")
        panel.set_xlabel(f"real {statistic.name}{space}", fontsize="small")
    panels[0].set_ylabel(f"predicted {statistic.name}{space}", fontsize="small")


def _legend(ax: Axes, n_genes: int, n_top: int) -> Any:
    texts = {f"all {n_genes:,} genes": FAINT, f"top {n_top} differential genes": CYCLE[0]}
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4, linestyle="", label=text)
        for text, colour in texts.items()
    ]
    return ax.legend(
        handles=handles, loc="upper left", fontsize="small", handletextpad=0.1, borderpad=0.2, edgecolor="none"
    )
