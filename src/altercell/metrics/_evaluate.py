"""The table of scores of a prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell._space import check_same_space
from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.metrics._comparison import Comparison
from altercell.metrics._distances import edistance, mmd, wasserstein_columns
from altercell.metrics._forest import classifier_auc
from altercell.metrics._genes import negative_share, rank_sum_tests, zero_share
from altercell.metrics._matrix import genes_of
from altercell.metrics._means import direction, mse, pearson_delta, pearson_r2, r2, top_overlap
from altercell.metrics._variances import variance_log_ratio, variance_pearson_r2


class _Metric(NamedTuple):
    compute: Callable[[Comparison], float]
    better: str
    genes: str = "all"


def evaluate(
    pred: AnnData,
    real: AnnData,
    control: AnnData,
    *,
    truth_control: AnnData | None = None,
    basis: AnnData | None = None,
    n_top: int = 100,
    n_cells: int | None = 1_000,
    n_trees: int = 1_000,
    metrics: Iterable[str] | None = None,
    seed: int = 0,
    n_jobs: int | None = 1,
) -> pd.DataFrame:
    """Score predicted cells against real ones.

    Means and variances take all cells. The metrics of distributions (`edistance`, `mmd`, `wasserstein`, `forest_auc`,
    `genes_differ`) take equal numbers of cells, at most `n_cells` an arm: E-distance in gene space, unbiased; MMD with
    one Gaussian kernel (its width from the real cells), unbiased, Wasserstein and the forest on 50 principal
    components of all real cells. Every number's formula stands in the function of its name.

    **The control cells of the truth's delta are not those of the prediction's** (`pearson_delta`, `direction`,
    `top_overlap`): their shared noise would raise the score. The control cells are split at random into halves A and B.
    Where the cells of `pred` bear names of control cells (`model.predict` keeps them), the predicted delta is the mean
    of the cells predicted from A less the mean of their sources in A, the real delta is the mean of `real` less the
    mean of B; the score is averaged over this and the reverse. Where they do not (other cells, or real ones), the
    predicted delta is the mean of `pred` less that of A. With `truth_control` nothing is split: `control` is the
    prediction's and `truth_control` the truth's.

    Parameters
    ----------
    pred
        Predicted cells: (n_pred, n_genes).
    real
        Held-out measured cells: (n_real, n_genes). Genes are matched by name: `real` and `control` may have them in
        another order and have more of them.
    control
        Control cells of the same type: (n_control, n_genes).
    truth_control
        Control cells for the truth's delta alone. Giving `control` again makes the number that is usual in the
        literature, and too high.
    basis
        Real cells on which the principal components are fitted; None takes `real`.
    n_top
        Number of top differential genes of the truth (:func:`de_genes`). The names of the metrics carry it.
    n_cells
        Cells an arm in the metrics of distributions, drawn without replacement; None: as many as the smaller arm has.
    n_trees
        Trees of the random forest.
    metrics
        Names of the metrics to compute; None computes all (:func:`metric_names`).
    seed
        Of the draws, the halves, the components and the forests.
    n_jobs
        Threads of the forest; the answer does not depend on it.

    Returns
    -------
    A frame indexed by ``metric``, with the columns ``value``, ``genes`` ("all" or "top 100") and ``better``
    ("higher", "lower" or "zero").

    Raises
    ------
    SpaceMismatchError
        If two of the data sets are in different spaces (counts against logarithms, or other totals).
    GeneMismatchError
        If `real` or `control` lacks genes of `pred`, or has a gene twice.
    DataError
        If a data set has fewer than 2 cells, or NaN or infinite values.
    KeyNotFoundError
        If a name in `metrics` is not one of a metric.
    """
    names = chosen_metrics(metrics, n_top)
    comparison = compare(
        pred, real, control, truth_control=truth_control, basis=basis,
        n_top=n_top, n_cells=n_cells, n_trees=n_trees, n_jobs=n_jobs, seed=seed,
    )  # fmt: skip
    return score(comparison, names)


def metric_names(n_top: int = 100) -> list[str]:
    """Name the metrics of :func:`evaluate`, in the order of its rows; some names carry `n_top`.

    Examples
    --------
    >>> metric_names(50)[:2]
    ['pearson_r2', 'pearson_r2_top50']
    """
    return list(_table(n_top))


def compare(
    pred: AnnData,
    real: AnnData,
    control: AnnData,
    *,
    truth_control: AnnData | None = None,
    basis: AnnData | None = None,
    paired: bool | None = None,
    **settings: Any,
) -> Comparison:
    """Check the data sets of `evaluate`, align their genes and take their matrices.

    `paired` says whether the names of `pred` are those of its source cells in `control`; None: when all are found
    there. `settings` are those of :class:`Comparison`.
    """
    arms = {"pred": pred, "real": real, "control": control, "truth_control": truth_control, "basis": basis}
    given = {name: adata for name, adata in arms.items() if adata is not None}
    for name, adata in given.items():
        if adata.n_obs < 2 or adata.n_vars == 0:
            raise DataError(
                f"{name} has {adata.n_obs} cells and {adata.n_vars} genes; 2 cells and 1 gene are the least to score"
            )
    matrices: dict[str, Any] = {name: genes_of(adata, pred.var_names.to_numpy(), name) for name, adata in given.items()}
    check_same_space(*given.values(), names=list(given))
    if paired is None:
        paired = bool(pred.obs_names.isin(control.obs_names).all())
    return Comparison(
        **matrices,
        pred_names=pred.obs_names.to_numpy(dtype=str) if paired else None,
        control_names=control.obs_names.to_numpy(dtype=str) if paired or control.obs_names.is_unique else None,
        **settings,
    )


def score(comparison: Comparison, names: Iterable[str]) -> pd.DataFrame:
    """Compute the named metrics of a comparison: the frame that `evaluate` returns."""
    table = _table(comparison.n_top)
    rows = {name: (table[name].compute(comparison), table[name].genes, table[name].better) for name in names}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "genes", "better"])
    return frame.astype({"value": np.float64}).rename_axis("metric")


def chosen_metrics(metrics: Iterable[str] | None, n_top: int) -> list[str]:
    """Check names of metrics, or one name, and return them as a list; all of them for None."""
    known = metric_names(n_top)
    chosen = known if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise KeyNotFoundError(f"no such metric: {listing(unknown)}; there are {listing(known, limit=len(known))}")
    return chosen


def _table(n_top: int) -> dict[str, _Metric]:
    """Return the metrics by name, in the order of the rows."""
    n, top = n_top, f"top {n_top}"
    return {
        "pearson_r2": _Metric(lambda c: pearson_r2(*c.means), "higher"),
        f"pearson_r2_top{n}": _Metric(lambda c: pearson_r2(*c.on_top(c.means)), "higher", top),
        "r2": _Metric(lambda c: r2(*c.means), "higher"),
        f"r2_top{n}": _Metric(lambda c: r2(*c.on_top(c.means)), "higher", top),
        "mse": _Metric(lambda c: mse(*c.means), "lower"),
        f"mse_top{n}": _Metric(lambda c: mse(*c.on_top(c.means)), "lower", top),
        "pearson_delta": _Metric(lambda c: c.over_responses(pearson_delta), "higher"),
        f"pearson_delta_top{n}": _Metric(lambda c: c.over_responses(pearson_delta, c.top), "higher", top),
        f"direction_top{n}": _Metric(lambda c: c.over_responses(direction, c.top), "higher", top),
        "top_overlap": _Metric(lambda c: c.over_responses(partial(top_overlap, k=c.n_top)), "higher", top),
        "variance_log_ratio": _Metric(lambda c: variance_log_ratio(*c.variances), "zero"),
        "variance_pearson_r2": _Metric(lambda c: variance_pearson_r2(*c.variances), "higher"),
        f"variance_pearson_r2_top{n}": _Metric(lambda c: variance_pearson_r2(*c.on_top(c.variances)), "higher", top),
        "edistance": _Metric(lambda c: edistance(*c.cells), "lower"),
        "mmd": _Metric(lambda c: mmd(*c.pcs), "lower"),
        "wasserstein": _Metric(lambda c: wasserstein_columns(*c.pcs), "lower"),
        "forest_auc": _Metric(
            lambda c: classifier_auc(*c.pcs, n_trees=c.n_trees, n_jobs=c.n_jobs, seed=c.seed), "lower"
        ),
        "genes_differ": _Metric(lambda c: float((rank_sum_tests(*c.cells)["p_adjusted"] < 0.05).mean()), "lower"),
        "zeros_difference": _Metric(lambda c: zero_share(c.pred) - zero_share(c.real), "zero"),
        "negative_share": _Metric(lambda c: negative_share(c.pred), "lower"),
    }
