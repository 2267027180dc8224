"""How far the predicted mean of a gene may be off, calibrated on types whose response is known."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

#: The share of genes that are to lie within the band that the standard error is scaled by.
BAND = 0.9
FACTORS = (1e-2, 1e2)


def shares_inside(error: np.ndarray, variance: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the share of errors that lie within bands of a normal distribution.

    Parameters
    ----------
    error, variance
        Errors and the variances that were said of them, shape ``(n, n_genes)``.
    levels
        The share that each band should hold, shape ``(n_levels,)``.

    Returns
    -------
    Shape ``(n, n_levels)``.
    """
    limits = norm.ppf((1 + levels) / 2)
    return np.stack([(np.abs(error) <= limit * np.sqrt(variance)).mean(axis=1) for limit in limits], axis=1)


def calibrated(variance: np.ndarray, error: np.ndarray, known_variance: np.ndarray, noise: np.ndarray) -> np.ndarray:
    r"""Scale variances so that the errors that are known lie within their bands as often as they should.

    The factor f is such that 90 % of the known errors are within :math:`\pm 1.645 \sqrt{f v + \nu}`.

    Parameters
    ----------
    variance
        Variances v to scale, any shape.
    error
        Known errors, of any other shape.
    known_variance, noise
        Their variances v, and the variances :math:`\nu` of the measured means that they are errors from, of its shape.

    Returns
    -------
    Standard errors :math:`\sqrt{f v}`. Without a known error f is 1.
    """
    if error.size == 0:
        return np.sqrt(variance)
    limit = float(norm.ppf((1 + BAND) / 2))

    def lacking(log_factor: float) -> float:
        """Return how much more than 90 % of the known errors lie within their bands."""
        return float((np.abs(error) <= limit * np.sqrt(np.exp(log_factor) * known_variance + noise)).mean()) - BAND

    low, high = np.log(FACTORS)
    if lacking(low) >= 0:
        factor = FACTORS[0]
    elif lacking(high) <= 0:
        factor = FACTORS[1]
    else:
        factor = float(np.exp(brentq(lacking, low, high, xtol=1e-3)))
    return np.sqrt(factor * variance)
