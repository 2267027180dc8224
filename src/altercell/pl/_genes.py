"""Mean and variance of every gene, predicted against real."""

from __future__ import annotations

from collections.abc import Sequence

from anndata import AnnData
from matplotlib.axes import Axes

from altercell.metrics._genes import rank_genes
from altercell.metrics._matrix import genes_of
from altercell.pl._comparison import (
    MEAN,
    VARIANCE,
    Comparison,
    Statistic,
    check_enough,
    draw_genes,
    limits_of,
    name_genes,
    rows_to_name,
)
from altercell.pl._populations import check_populations, with_space
from altercell.pl._style import new_axes


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
    return _draw(MEAN, pred, real, control, genes, n_top, ax)


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
    return _draw(VARIANCE, pred, real, control, genes, n_top, ax)


def _draw(
    statistic: Statistic,
    pred: AnnData,
    real: AnnData,
    control: AnnData | None,
    genes: int | Sequence[str],
    n_top: int,
    ax: Axes | None,
) -> Axes:
    arms = {"pred": pred, "real": real} | ({} if control is None else {"control": control})
    check_populations(arms)
    check_enough(statistic, arms)
    cells = {name: genes_of(adata, pred.var_names, name) for name, adata in arms.items()}
    top = None if control is None else rank_genes(cells["real"], cells["control"], n_top)
    values = {name: statistic.compute(matrix) for name, matrix in cells.items()}
    comparison = Comparison(statistic, values["pred"], values["real"], values.get("control"), top)
    rows = rows_to_name(comparison, pred, genes)

    ax = new_axes(ax, (4.6, 4.6))
    draw_genes(ax, comparison, limits_of([comparison]))
    ax.set_xlabel(with_space(f"real {statistic.name}", arms.values()))
    ax.set_ylabel(with_space(f"predicted {statistic.name}", arms.values()))
    legend = ax.legend(
        title=statistic.score.__name__, loc="upper left", alignment="left", fontsize="small", title_fontsize="small",
        handletextpad=0.1, borderpad=0.2, borderaxespad=0.3, edgecolor="none",
    )  # fmt: skip
    name_genes(ax, comparison, rows, pred.var_names, [legend])
    return ax
