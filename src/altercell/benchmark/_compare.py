"""Comparisons on the same held-out sets: how often a model is better, by how much, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from altercell._scoring import by_unit, common_units, units
from altercell.benchmark._store import complete
from altercell.errors import KeyNotFoundError, listing

#: Below this a difference is called sure.
ALPHA = 0.05
#: Relative differences below this are those of arithmetic in single precision.
ROUNDING = 1e-6
COLUMNS = ["n_pairs", "times_better", "times_equal", "gain", "p", "p_least"]


def compare(table: pd.DataFrame, baseline: str, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Compare every model with one of them, on the held-out sets that both were scored on.

    A pair is one held-out set, with the mean over seeds: runs of other seeds on the same cells are no new evidence, and
    would make chance look like skill. The test is Wilcoxon's signed-rank test, two-sided, exact for few pairs. With
    fewer than six pairs it cannot reach 0.05 whatever the numbers are: ``p_least`` says how far down it could go. The
    p-values are not corrected for the number of comparisons.

    Parameters
    ----------
    table
        Tidy table of a benchmark.
    baseline
        What the others are compared with; any model of the table, or a reference row.
    metrics
        Which to compare by; None takes all.

    Returns
    -------
    A frame by (model, metric): ``n_pairs``; ``times_better`` and ``times_equal``, counts of pairs; ``gain``, the mean
    by which the model is better, in the units of the metric (positive is better whichever way the metric points);
    ``p``; and ``p_least``, the smallest p that so many pairs can give.

    Raises
    ------
    KeyNotFoundError
        If the baseline is not in the table, or was not scored at all.
    """
    table = scored(table, metrics)
    losses = by_unit(table)
    if baseline not in losses:
        raise KeyNotFoundError(f"'{baseline}' has no scores in the table; there are {listing(losses.columns)}")
    rows = {}
    for model in losses.columns.drop(baseline):
        gains = (losses[baseline] - losses[model]).dropna()
        size = losses[[baseline, model]].abs().max(axis=1)[gains.index]
        gains = gains.where(gains.abs() > ROUNDING * size, 0.0)
        for metric in dict.fromkeys(gains.index.get_level_values("metric")):
            rows[model, metric] = _pairs(gains[metric].to_numpy())
    index = pd.MultiIndex.from_tuples(list(rows), names=["model", "metric"]) if rows else None
    frame = pd.DataFrame(list(rows.values()), index=index, columns=COLUMNS)
    return frame.astype(dict.fromkeys(COLUMNS[:3], int))


def _pairs(gains: np.ndarray) -> list[float]:
    n = len(gains)
    signed = np.sign(gains) * stats.rankdata(np.abs(gains))
    return [n, (gains > 0).sum(), (gains == 0).sum(), gains.mean(), _p_value(tuple(signed)), min(1.0, 2.0 ** (1 - n))]


@lru_cache(maxsize=100_000)
def _p_value(signed_ranks: tuple[float, ...]) -> float:
    """Return Wilcoxon's p, which depends on the signed ranks alone: of few pairs the same ones come again and again."""
    return float(stats.wilcoxon(signed_ranks).pvalue) if any(signed_ranks) else 1.0


def ranks(table: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Rank the models by each metric: the mean over held-out sets of the rank in each.

    Parameters
    ----------
    table
        Tidy table of a benchmark.
    metrics
        Which; None takes all.

    Returns
    -------
    Rows by model, a column a metric; 1 is the best. Equal models share the mean of their ranks. Reference rows are not
    ranked, sets that some model lacks are left out, and a model without a value has no rank (NaN).
    """
    table = scored(table, metrics)
    table = table[table["kind"] != "reference"]
    table = table[units(table).isin(common_units(table))]
    by_set = by_unit(table).rank(axis=1, method="average")
    means = by_set.groupby(level="metric", sort=False).mean().T
    return means.reindex(dict.fromkeys(table["model"]))


def scored(table: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows with a score, with all columns.

    Parameters
    ----------
    table
        Tidy table of a benchmark, of the old format or the new.
    metrics
        Which metrics; None takes all.
    """
    table = complete(table)
    wanted = table["metric"] != "" if metrics is None else table["metric"].isin(list(metrics))
    return table[wanted]


def pairs_needed(alpha: float = ALPHA) -> int:
    """Return how many pairs Wilcoxon's test needs at least to fall to a level.

    Parameters
    ----------
    alpha
        The level.

    Examples
    --------
    >>> pairs_needed()
    6
    """
    return int(np.ceil(1 - np.log2(alpha)))
