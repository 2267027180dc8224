"""What real cells score against real cells, and how far a score moves with the cells drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import DataError
from altercell.metrics._evaluate import chosen_metrics, compare, score

# Those that need means and variances alone, and are computed a hundred times in a moment.
_OF_MOMENTS = ("pearson_r2", "r2", "mse", "pearson_delta", "variance_log_ratio", "variance_pearson_r2")


def ceiling(
    real: AnnData,
    control: AnnData,
    *,
    metrics: Iterable[str] | None = None,
    n_top: int = 100,
    seed: int = 0,
    **kwargs: Any,
) -> pd.DataFrame:
    """Score one random half of the real cells against the other: the best that a prediction can be expected to reach.

    An arm has half as many cells as there are, so its noise is somewhat larger than that of a prediction scored against
    all of them. Principal components are fitted on both halves.

    Parameters
    ----------
    real
        Measured perturbed cells, at least 4: (n_real, n_genes).
    control
        Control cells of the same type: (n_control, n_genes).
    metrics, n_top
        As in :func:`evaluate`.
    seed
        Of the halves, and of everything random in :func:`evaluate`.
    **kwargs
        `truth_control`, `n_cells`, `n_trees` and `n_jobs` of :func:`evaluate`.

    Returns
    -------
    The table of :func:`evaluate`.

    Raises
    ------
    DataError
        If there are fewer than 4 real cells.
    """
    rows = halves(real.n_obs, seed)
    names = chosen_metrics(metrics, n_top)
    first, second = (real[half] for half in rows)
    # The halves are no predictions from control cells, whatever their names look like.
    return score(compare(first, second, control, basis=real, paired=False, n_top=n_top, seed=seed, **kwargs), names)


def halves(n_real: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two random halves of the real cells, sorted; the first has one more of an odd number."""
    if n_real < 4:
        raise DataError(f"two halves of the real cells need 4 cells or more; there are {n_real}")
    first, second = np.array_split(np.random.default_rng([seed, 3]).permutation(n_real), 2)
    return np.sort(first), np.sort(second)


def subsample_spread(
    pred: AnnData,
    real: AnnData,
    control: AnnData,
    *,
    truth_control: AnnData | None = None,
    n: int = 100,
    size: int | None = None,
    seed: int = 0,
    metrics: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Mean and standard deviation of scores over random subsamples of cells, the papers' error bars.

    trVAE's figures 5e, 5f and 6e have them for `pearson_r2` and `variance_pearson_r2` with n = 100
    :cite:p:`Lotfollahi2020`, scGen's for `pearson_r2`; neither paper says how large a subsample is.
    Each time `size` predicted and `size` real cells are drawn without replacement, and the control cells are split anew
    into halves as in :func:`evaluate`. This is the spread over cells, given one trained model; the spread over seeds of
    training is another, and usually larger.

    Parameters
    ----------
    pred, real, control, truth_control
        As in :func:`evaluate`.
    n
        Number of subsamples.
    size
        Cells an arm in each, at most all of them; None takes half of each arm.
    seed
        Of the subsamples and of the halves.
    metrics
        Names of metrics; those that do not compare means or variances on all genes are left out. None: all that do.

    Returns
    -------
    A frame indexed by ``metric`` (`pearson_r2`, `r2`, `mse`, `pearson_delta`, `variance_log_ratio`,
    `variance_pearson_r2`, all genes), with the columns ``mean`` and ``std`` (with n - 1).
    """
    names = [name for name in _OF_MOMENTS if metrics is None or name in set(metrics)]
    if not names:
        return pd.DataFrame(columns=["mean", "std"], dtype=float)
    whole = compare(pred, real, control, truth_control=truth_control)
    rng = np.random.default_rng([seed, 4])
    values = []
    for _ in range(n):
        drawn = [
            np.sort(rng.permutation(n_cells)[: n_cells // 2 if size is None else size])
            for n_cells in (pred.n_obs, real.n_obs)
        ]
        sample = replace(
            whole,
            pred=whole.pred[drawn[0]],
            real=whole.real[drawn[1]],
            pred_names=None if whole.pred_names is None else whole.pred_names[drawn[0]],
            seed=int(rng.integers(2**31)),
        )
        values.append(score(sample, names)["value"])
    return pd.concat(values, axis=1).agg(["mean", "std"], axis=1)
