"""Mean and variance of every gene, predicted against real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.metrics import _matrix, pearson_r2, variance_pearson_r2
from altercell.metrics._genes import rank_genes
from altercell.pl._labels import place_labels
from altercell.pl._populations import check_populations, find_genes, with_space
from altercell.pl._style import CYCLE, FAINT, LINE, new_axes


class _Statistic(NamedTuple):
    name: str
    compute: Callable[[_matrix.Matrix], np.ndarray]
    score: Callable[[np.ndarray, np.ndarray], float]
    least_cells: int


_MEAN = _Statistic("mean", _matrix.gene_means, pearson_r2, 1)
_VARIANCE = _Statistic("variance", _matrix.gene_variances, variance_pearson_r2, 2)


def gene_means(
    pred: AnnData,
    real: AnnData,
    *,
    control: AnnData | None = None,
    genes: int | Sequence[str] = 5,
    n_top: int = 100,
    ax: Axes | None = None,
) -> Axes:
    """Draw the predicted against the real mean of every gene, as in Figure 2 of :cite:p:`Lotfollahi2019`.

    The legend has :func:`~altercell.metrics.pearson_r2` over all genes and, with `control`, over the top
    differential genes, each beside the score of the control cells themselves ("no change"): over all genes the number
    is high for any prediction.

    Parameters
    ----------
    pred
        Predicted cells: (n_pred, n_genes). Not changed.
    real
        Measured cells with these genes, in any order, and perhaps others: (n_real, n_genes). Not changed.
    control
        Control cells of the same type, which tell the differential genes. Not changed.
    genes
        Genes to name: their names, or how many. With `control` the top differential genes of the truth are named;
        without it, those with the largest difference between predicted and real.
    n_top
        Number of top differential genes (:func:`~altercell.metrics.de_genes`), drawn in colour.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes, real cells along x and predicted ones along y, with the line of identity.

    Raises
    ------
    KeyNotFoundError
        If a gene to name is not there.
    GeneMismatchError
        If `real` or `control` lacks genes of `pred`.
    SpaceMismatchError
        If the data are in different spaces.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> arms = [adata[adata.obs["condition"] == name] for name in ("stimulated", "control")]
    >>> ac.pl.gene_means(arms[1], arms[0], control=arms[1], genes=3).get_xlabel()
    'real mean (log1p of counts per 10,000)'
    """
    return _predicted_against_real(_MEAN, pred, real, control, genes, n_top, ax)


def gene_variances(
    pred: AnnData,
    real: AnnData,
    *,
    control: AnnData | None = None,
    genes: int | Sequence[str] = 5,
    n_top: int = 100,
    ax: Axes | None = None,
) -> Axes:
    """Draw the predicted against the real variance of every gene.

    As :func:`gene_means`, with variances over cells (n - 1 in the denominator) and
    :func:`~altercell.metrics.variance_pearson_r2`. Points below the line: predicted cells that are too much alike.

    Parameters
    ----------
    pred, real, control, genes, n_top, ax
        As in :func:`gene_means`.

    Returns
    -------
    The axes, real cells along x and predicted ones along y, with the line of identity.

    Raises
    ------
    KeyNotFoundError, GeneMismatchError, SpaceMismatchError
        As in :func:`gene_means`.
    DataError
        If there are fewer than 2 cells of one kind.
    """
    return _predicted_against_real(_VARIANCE, pred, real, control, genes, n_top, ax)


def _predicted_against_real(
    statistic: _Statistic,
    pred: AnnData,
    real: AnnData,
    control: AnnData | None,
    genes: int | Sequence[str],
    n_top: int,
    ax: Axes | None,
) -> Axes:
    arms = {"pred": pred, "real": real} | ({} if control is None else {"control": control})
    check_populations(arms)
    short = [name for name, cells in arms.items() if cells.n_obs < statistic.least_cells]
    if short:
        n_obs = arms[short[0]].n_obs
        raise DataError(f"{short[0]} has {n_obs} cells; a {statistic.name} needs {statistic.least_cells}")
    cells = {name: _matrix.genes_of(adata, pred.var_names, name) for name, adata in arms.items()}
    values = {name: statistic.compute(matrix) for name, matrix in cells.items()}
    top = None if control is None else rank_genes(cells["real"], cells["control"], n_top)
    xy = np.column_stack([values["real"], values["pred"]])
    rows = _rows_to_name(pred, genes, xy, top)

    ax = new_axes(ax, (4.6, 4.6))
    everything = f"all {pred.n_vars:,} genes"
    # Above the points there is room for the legend.
    limits = np.array([min(0, xy.min()), xy.max()]) + np.array([-0.04, 0.2]) * max(np.ptp(xy), 1e-9)
    ax.plot(limits, limits, color=LINE, linewidth=0.8, linestyle="--", zorder=1)
    if top is None:
        _points(ax, xy, CYCLE[0], everything, statistic, values)
    else:
        _points(ax, xy, FAINT, everything, statistic, values)
        chosen = {name: vector[top] for name, vector in values.items()}
        _points(ax, xy[top], CYCLE[0], f"top {n_top} differential genes", statistic, chosen)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.set_xlabel(with_space(f"real {statistic.name}", arms.values()))
    ax.set_ylabel(with_space(f"predicted {statistic.name}", arms.values()))
    legend = ax.legend(
        title=statistic.score.__name__, loc="upper left", alignment="left", fontsize="small", title_fontsize="small",
        handletextpad=0.1, borderpad=0.2, borderaxespad=0.3, edgecolor="none",
    )  # fmt: skip
    diagonal = np.repeat(np.linspace(limits[0], limits[1], 60)[:, None], 2, axis=1)
    place_labels(ax, xy, rows, pred.var_names[rows], line=diagonal, obstacles=[legend])
    return ax


def _rows_to_name(pred: AnnData, genes: int | Sequence[str], xy: np.ndarray, top: np.ndarray | None) -> np.ndarray:
    if not isinstance(genes, int):
        return find_genes(pred, [genes] if isinstance(genes, str) else list(genes), "pred")
    return (np.argsort(-np.abs(xy[:, 1] - xy[:, 0]), kind="stable") if top is None else top)[:genes]


def _points(
    ax: Axes, xy: np.ndarray, colour: str, which: str, statistic: _Statistic, values: dict[str, np.ndarray]
) -> None:
    """Draw points, named in the legend by their score."""
    label = f"{which}: {statistic.score(values['pred'], values['real']):.3f}"
    if "control" in values:
        label += f" (no change: {statistic.score(values['control'], values['real']):.3f})"
    ax.scatter(xy[:, 0], xy[:, 1], s=10, color=colour, linewidths=0, label=label, zorder=2)
