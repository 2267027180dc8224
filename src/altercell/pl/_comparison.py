"""One statistic of every gene, predicted against real: its scores, the points, and names beside some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.metrics import _matrix, pearson_r2, variance_pearson_r2
from altercell.pl._labels import place_labels
from altercell.pl._populations import find_genes
from altercell.pl._style import CYCLE, FAINT, LINE


class Statistic(NamedTuple):
    """What is computed of each gene, and the score of the prediction of it."""

    name: str
    compute: Callable[[_matrix.Matrix], np.ndarray]
    score: Callable[[np.ndarray, np.ndarray], float]
    least_cells: int


MEAN = Statistic("mean", _matrix.gene_means, pearson_r2, 1)
VARIANCE = Statistic("variance", _matrix.gene_variances, variance_pearson_r2, 2)


class Comparison(NamedTuple):
    """A statistic of predicted, real and perhaps control cells, (n_genes,) each, and the top differential genes."""

    statistic: Statistic
    pred: np.ndarray
    real: np.ndarray
    control: np.ndarray | None = None
    top: np.ndarray | None = None

    @property
    def xy(self) -> np.ndarray:
        """Real along x and predicted along y: (n_genes, 2)."""
        return np.column_stack([self.real, self.pred])

    def score(self, genes: np.ndarray | None = None) -> str:
        """Write the score over all genes, or over some, beside that of the control cells."""
        chosen = slice(None) if genes is None else genes
        text = f"{self.statistic.score(self.pred[chosen], self.real[chosen]):.3f}"
        if self.control is None:
            return text
        return f"{text} (no change: {self.statistic.score(self.control[chosen], self.real[chosen]):.3f})"


def check_enough(statistic: Statistic, arms: Mapping[str, AnnData]) -> None:
    """Check that there are cells enough for the statistic.

    Parameters
    ----------
    statistic
        What will be computed.
    arms
        Cells by name.

    Raises
    ------
    DataError
        If one has too few.
    """
    for name, cells in arms.items():
        if cells.n_obs < statistic.least_cells:
            raise DataError(f"{name} has {cells.n_obs} cells; a {statistic.name} needs {statistic.least_cells}")


def rows_to_name(comparison: Comparison, pred: AnnData, genes: int | Sequence[str], name: str = "pred") -> np.ndarray:
    """Choose the genes to name: those asked for, or as many of the top ones, or else those predicted worst.

    Parameters
    ----------
    comparison
        The numbers.
    pred
        Cells with these genes.
    genes
        Names of genes, or how many.
    name
        What to call `pred` in an error.

    Returns
    -------
    Their rows: (n_names,).

    Raises
    ------
    KeyNotFoundError
        If a gene is not there.
    """
    if not isinstance(genes, int):
        return find_genes(pred, [genes] if isinstance(genes, str) else list(genes), name)
    worst = np.argsort(-np.abs(comparison.pred - comparison.real), kind="stable")
    return (worst if comparison.top is None else comparison.top)[:genes]


def limits_of(comparisons: Iterable[Comparison]) -> np.ndarray:
    """Return the smallest and largest value of the axes, with room above the points for a legend.

    Parameters
    ----------
    comparisons
        What is drawn in axes of these limits.
    """
    xy = np.concatenate([comparison.xy for comparison in comparisons])
    return np.array([min(0, xy.min()), xy.max()]) + np.array([-0.04, 0.2]) * max(np.ptp(xy), 1e-9)


def draw_genes(ax: Axes, comparison: Comparison, limits: np.ndarray) -> None:
    """Draw the line of identity and a point a gene, the top ones again in colour; labelled for a legend of scores.

    Parameters
    ----------
    ax
        Axes to draw on.
    comparison
        The numbers.
    limits
        Of both axes: (2,).
    """
    xy, top = comparison.xy, comparison.top
    ax.plot(limits, limits, color=LINE, linewidth=0.8, linestyle="--", zorder=1)
    shades = CYCLE[0] if top is None else FAINT
    label = f"all {len(xy):,} genes: {comparison.score()}"
    ax.scatter(xy[:, 0], xy[:, 1], s=10, color=shades, linewidths=0, label=label, zorder=2)
    if top is not None:
        label = f"top {len(top)} differential genes: {comparison.score(top)}"
        ax.scatter(xy[top, 0], xy[top, 1], s=10, color=CYCLE[0], linewidths=0, label=label, zorder=2)
    ax.set(xlim=limits, ylim=limits, aspect="equal")


def name_genes(
    ax: Axes,
    comparison: Comparison,
    rows: np.ndarray,
    names: pd.Index,
    obstacles: Sequence[Artist] = (),
    *,
    laid_out: bool = False,
) -> None:
    """Write names beside points, clear of the line of identity; last, when the axes have their place.

    Parameters
    ----------
    ax
        Axes with the points.
    comparison
        The numbers.
    rows
        The genes to name: (n_names,).
    names
        Names of all genes: (n_genes,).
    obstacles
        What must not be covered.
    laid_out
        As in :func:`place_labels`.
    """
    diagonal = np.repeat(np.linspace(*ax.get_xlim(), 60)[:, None], 2, axis=1)
    place_labels(ax, comparison.xy, rows, names[rows], line=diagonal, obstacles=obstacles, laid_out=laid_out)
