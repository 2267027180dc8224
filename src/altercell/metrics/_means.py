"""Metrics of mean profiles: vectors (n_genes,), the prediction always first."""

from __future__ import annotations

import numpy as np
from anndata import AnnData

from altercell.errors import DataError

# A change below this share of the means it is the difference of is the rounding of float32 values, not a response.
_RESOLUTION = 1e-6


def pearson_r2(pred_mean: np.ndarray, real_mean: np.ndarray) -> float:
    r"""Squared Pearson correlation of two profiles, which the papers call "R2".

    .. math:: \rho^2 = \frac{\left(\sum_g (p_g - \bar p)(r_g - \bar r)\right)^2}
                            {\sum_g (p_g - \bar p)^2 \, \sum_g (r_g - \bar r)^2}

    It forgives any scale and offset, and over all genes it is nearly saturated by "no change": never show it alone.
    It is the number of :cite:p:`Lotfollahi2019` and :cite:p:`Tang2024`. From 0 to 1; higher is better.

    Parameters
    ----------
    pred_mean, real_mean
        Mean expression of predicted and of real cells, or any other two profiles: (n_genes,).

    Returns
    -------
    The score; nan where a profile is constant.

    Examples
    --------
    >>> round(pearson_r2(np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0, 9.0])), 6)
    1.0
    """
    return _pearson(pred_mean, real_mean) ** 2


def r2(pred_mean: np.ndarray, real_mean: np.ndarray) -> float:
    r"""Coefficient of determination of the real profile by the predicted one.

    .. math:: R^2 = 1 - \frac{\sum_g (r_g - p_g)^2}{\sum_g (r_g - \bar r)^2}

    At most 1, negative where the prediction is worse than a constant; higher is better. Not symmetric.

    Parameters
    ----------
    pred_mean
        Mean expression of predicted cells: (n_genes,).
    real_mean
        Mean expression of real cells, the truth: (n_genes,).

    Returns
    -------
    The score; nan where the real profile is constant.
    """
    pred_mean, real_mean = _profile(pred_mean), _profile(real_mean)
    if _is_constant(real_mean):
        return float("nan")
    return float(1 - np.sum((real_mean - pred_mean) ** 2) / np.sum((real_mean - real_mean.mean()) ** 2))


def mse(pred_mean: np.ndarray, real_mean: np.ndarray) -> float:
    r"""Mean squared error over genes, :math:`\frac1G \sum_g (p_g - r_g)^2`; lower is better.

    Parameters
    ----------
    pred_mean, real_mean
        Mean expression of predicted and of real cells: (n_genes,).

    Returns
    -------
    The error, in the squared units of the data (log space: squared logarithms).
    """
    return float(np.mean((_profile(pred_mean) - _profile(real_mean)) ** 2))


def pearson_delta(
    pred_mean: np.ndarray,
    real_mean: np.ndarray,
    control_mean: np.ndarray,
    truth_control_mean: np.ndarray | None = None,
) -> float:
    r"""Pearson correlation of the predicted with the real response.

    .. math:: \rho\left(p - c, \; r - c'\right)

    Where both deltas are taken from the same control cells (:math:`c' = c`), the noise of their mean enters both and
    raises the score; give means of two disjoint sets of control cells instead, as :func:`evaluate` does.
    From -1 to 1; higher is better.

    Parameters
    ----------
    pred_mean, real_mean
        Mean expression of predicted and of real cells: (n_genes,).
    control_mean
        Mean of the control cells of the prediction's delta, c: (n_genes,).
    truth_control_mean
        Mean of the control cells of the truth's delta, c': (n_genes,). None takes `control_mean`.

    Returns
    -------
    The score. 0 where the predicted response is the same for every gene, as when nothing changes: it explains nothing
    of the truth. nan where the real response is.
    """
    pred_delta, real_delta = _deltas(pred_mean, real_mean, control_mean, truth_control_mean)
    if _is_constant(pred_delta) and not _is_constant(real_delta):
        return 0.0
    return _pearson(pred_delta, real_delta)


def direction(
    pred_mean: np.ndarray,
    real_mean: np.ndarray,
    control_mean: np.ndarray,
    truth_control_mean: np.ndarray | None = None,
) -> float:
    r"""Share of the given genes that are predicted to change in the right direction.

    .. math:: \frac{\left|\{g : \mathrm{sign}(p_g - c_g) = \mathrm{sign}(r_g - c'_g) \ne 0\}\right|}
                   {\left|\{g : r_g \ne c'_g\}\right|}

    A gene predicted not to change counts as wrong, one that does not change in truth does not count. Chance is about
    one half. From 0 to 1; higher is better. Give the profiles of the truth's differential genes alone.

    Parameters
    ----------
    pred_mean, real_mean, control_mean, truth_control_mean
        As in :func:`pearson_delta`: (n_genes,).

    Returns
    -------
    The share; nan where no gene changes in truth.
    """
    pred_delta, real_delta = _deltas(pred_mean, real_mean, control_mean, truth_control_mean)
    changed = real_delta != 0
    return (
        float(np.mean(np.sign(pred_delta[changed]) == np.sign(real_delta[changed]))) if changed.any() else float("nan")
    )


def top_overlap(
    pred_mean: np.ndarray,
    real_mean: np.ndarray,
    control_mean: np.ndarray,
    truth_control_mean: np.ndarray | None = None,
    *,
    k: int = 100,
) -> float:
    r"""Share of the k genes that change most in truth that are among the k predicted to change most.

    .. math:: \frac{|T_k(|p - c|) \cap T_k(|r - c'|)|}{|T_k(|r - c'|)|}

    with :math:`T_k` the k largest entries that are not zero (ties: the first genes). Chance is about k / n_genes.
    From 0 to 1; higher is better.

    Parameters
    ----------
    pred_mean, real_mean, control_mean, truth_control_mean
        As in :func:`pearson_delta`: (n_genes,).
    k
        How many genes.

    Returns
    -------
    The share; nan where no gene changes in truth, or where there are no more than `k` genes to choose from.
    """
    pred_delta, real_delta = _deltas(pred_mean, real_mean, control_mean, truth_control_mean)
    truth = _largest(real_delta, k)
    if not truth or k >= len(real_delta):
        return float("nan")
    return len(truth & _largest(pred_delta, k)) / len(truth)


def _profile(values: np.ndarray) -> np.ndarray:
    if isinstance(values, AnnData):
        raise DataError(
            "a mean profile (n_genes,) is wanted, not an AnnData: give adata.X.mean(axis=0), or call "
            "altercell.metrics.evaluate, which takes cells"
        )
    return np.asarray(values, dtype=np.float64).ravel()


def _is_constant(profile: np.ndarray) -> bool:
    # The threshold of scipy.stats.pearsonr for "nearly constant": below it the correlation is rounding.
    return len(profile) < 2 or bool(np.ptp(profile) <= 1e-13 * np.abs(profile).max())


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = _profile(x), _profile(y)
    if _is_constant(x) or _is_constant(y):
        return float("nan")
    x, y = (profile / np.abs(profile).max() for profile in (x, y))  # squares of tiny profiles would underflow
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x / np.linalg.norm(x)) @ (y / np.linalg.norm(y)), -1, 1))


def _deltas(
    pred_mean: np.ndarray, real_mean: np.ndarray, control_mean: np.ndarray, truth_control_mean: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    truth_control = control_mean if truth_control_mean is None else truth_control_mean
    return _delta(pred_mean, control_mean), _delta(real_mean, truth_control)


def _delta(mean: np.ndarray, control_mean: np.ndarray) -> np.ndarray:
    mean, control_mean = _profile(mean), _profile(control_mean)
    delta = mean - control_mean
    delta[np.abs(delta) <= _RESOLUTION * np.maximum(np.abs(mean), np.abs(control_mean))] = 0
    return delta


def _largest(delta: np.ndarray, k: int) -> set[int]:
    order = np.argsort(-np.abs(delta), kind="stable")[:k]
    return {int(gene) for gene in order if delta[gene] != 0}
