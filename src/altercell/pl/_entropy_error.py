"""Whether the entropy of predicted codes foretells how bad the prediction is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from altercell.errors import DataError
from altercell.pl._labels import place_labels
from altercell.pl._style import CONTROL, CYCLE, LINE, new_axes


def entropy_error(
    entropy_gap: ArrayLike,
    error: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    ylabel: str = "random forest error",
    ax: Axes | None = None,
) -> Axes:
    """Draw the error of predictions against delta-H, as in Figure 7a of :cite:p:`Yu2021`.

    Parameters
    ----------
    entropy_gap
        :func:`~altercell.metrics.latent_entropy_gap` of each combination, in nats: (n,).
    error
        Their :func:`~altercell.metrics.random_forest_error`, (n,), or by how much that of one model is above that of
        another, which is what the paper draws.
    names
        Names to write beside the points: (n,).
    ylabel
        What the error is.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a point a combination, the line of least squares where delta-H varies, a faint line where predicted codes
    fit as real ones do, and in the title Spearman's r with its p-value, which is rough for few points.

    Raises
    ------
    DataError
        If there are not as many errors, or names, as values of delta-H, they are not finite, two series do not have one
        index, or there are fewer than two.

    Examples
    --------
    >>> import altercell as ac
    >>> ac.pl.entropy_error([0.1, 0.4, 2.0, 3.0], [0.4, 0.5, 0.2, 0.1]).get_title()
    'Spearman r = -0.80 (p = 0.2, n = 4)'
    """
    x, y = _checked(entropy_gap, error)
    if names is not None and len(names) != len(x):
        raise DataError(f"{len(x)} points have {len(names)} names")
    ax = new_axes(ax, (4.6, 3.6))
    ax.axvline(0, color=CONTROL, linewidth=0.8, linestyle="--", zorder=0)
    line = None
    if np.ptp(x) > 0:
        slope, start = np.polyfit(x, y, 1)
        ends = np.linspace(x.min(), x.max(), 40)
        line = np.column_stack([ends, start + slope * ends])
        ax.plot(line[:, 0], line[:, 1], color=LINE, linewidth=1.2)
    ax.scatter(x, y, s=28, color=CYCLE[0], edgecolors="white", linewidths=0.5, zorder=3)
    ax.set_title(_correlation(x, y), fontsize="medium")
    ax.set(xlabel="ΔH of the predicted codes (nats)", ylabel=ylabel)
    if names is not None:
        place_labels(ax, np.column_stack([x, y]), np.arange(len(x)), [str(name) for name in names], line=line)
    return ax


def _checked(entropy_gap: ArrayLike, error: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    if (
        isinstance(entropy_gap, pd.Series)
        and isinstance(error, pd.Series)
        and not entropy_gap.index.equals(error.index)
    ):
        raise DataError("entropy_gap and error have different indices: error[entropy_gap.index] may help")
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (entropy_gap, error))
    if len(x) != len(y) or len(x) < 2:
        raise DataError(f"two points or more are wanted; there are {len(x)} values of delta-H and {len(y)} errors")
    for name, values in (("entropy_gap", x), ("error", y)):
        if not np.isfinite(values).all():
            raise DataError(f"{name} holds NaN or infinite values, in {int((~np.isfinite(values)).sum())} points")
    return x, y


def _correlation(x: np.ndarray, y: np.ndarray) -> str:
    from scipy.stats import spearmanr

    if min(np.ptp(x), np.ptp(y)) == 0:
        return f"Spearman r: not defined, all values are one (n = {len(x)})"
    r, p = spearmanr(x, y)
    return f"Spearman r = {r:.2f} (p = {p:.2g}, n = {len(x)})"
