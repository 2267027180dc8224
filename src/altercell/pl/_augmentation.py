"""What generated cells of a rare class are worth to a classifier."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._style import colours, new_axes
from altercell.pl._tables import check_columns

_MARKERS = "osD^vPX*"


def augmentation_curve(table: pd.DataFrame, *, metric: str = "f1", ax: Axes | None = None) -> Axes:
    """Draw how well a rare class is found against how many of its cells were kept, as in :cite:p:`Marouf2020`.

    A classifier is trained on cells of which a share of the rare class was kept: as they are (cut), with copies of them
    (upsampled), or with generated cells beside them (augmented).

    Parameters
    ----------
    table
        A row a number: ``share`` (of the rare class that was kept, above 0 and at most 1), ``method``, ``seed`` and
        ``value``, and perhaps ``metric``. Several values of a share, method and seed, as of several classes, are
        averaged. A missing value is left out. Not changed.
    metric
        What the values are: the name to show and, where the table has a column ``metric``, the rows to take.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a line a method in the order of the table, the mean over seeds against the share on a logarithmic axis,
    with bars of one standard deviation over seeds, each way (n - 1); none where there is one seed.

    Raises
    ------
    KeyNotFoundError
        If a column is not there, or the metric has no value.
    DataError
        If there is no row, a share is not above 0 and at most 1, or a value is infinite.

    Examples
    --------
    >>> import pandas as pd
    >>> import altercell as ac
    >>> table = pd.DataFrame({"share": [0.5, 0.05] * 2, "method": ["cut", "cut", "augmented", "augmented"]})
    >>> ac.pl.augmentation_curve(table.assign(seed=0, value=[0.9, 0.4, 0.9, 0.7])).get_xscale()
    'log'
    """
    rows = _checked(table, metric)
    means, spreads = _over_seeds(rows, "mean"), _over_seeds(rows, "std")
    ax = new_axes(ax, (5.4, 3.6))
    shades = colours(str(method) for method in means)
    for method, marker in zip(means, cycle(_MARKERS), strict=False):
        mean = means[method].dropna()
        spread = spreads[method].reindex(mean.index).fillna(0.0)
        ax.errorbar(
            mean.index, mean, yerr=spread if spread.any() else None, color=shades[str(method)], marker=marker,
            markersize=5, linewidth=1.8, elinewidth=1, capsize=3, label=str(method),
        )  # fmt: skip
    ax.set_xscale("log")
    shares = means.index.to_numpy()
    ax.set_xticks(shares, [f"{100 * share:.3g} %" for share in shares], rotation=45 if len(shares) > 5 else 0)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="share of the rare class kept", ylabel=f"{metric} (mean ± SD over seeds)")
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    return ax


def _checked(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    check_columns(table, ("share", "method", "seed", "value"), "augmentation")
    rows = table[table["metric"] == metric] if "metric" in table else table
    rows = rows.dropna(subset="value")
    if rows.empty:
        known = listing(table["metric"].unique()) if "metric" in table else "in the column 'value' all missing"
        raise KeyNotFoundError(f"the table has no value of metric '{metric}'; its metrics are {known}")
    rows = rows.assign(share=pd.to_numeric(rows["share"], errors="coerce").astype(float))
    wrong = ~((rows["share"] > 0) & (rows["share"] <= 1))
    if wrong.any():
        given = table.loc[rows.index[wrong], "share"].unique()
        raise DataError(f"share must be above 0 and at most 1, for the axis is logarithmic; there are {listing(given)}")
    infinite = np.isinf(rows["value"].to_numpy(dtype=float))
    if infinite.any():
        raise DataError(f"value holds infinite numbers, of method {listing(rows.loc[infinite, 'method'].unique())}")
    return rows


def _over_seeds(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the mean or the spread over seeds by share, a column a method in the order of the table."""
    by_seed = rows.groupby(["share", "method", "seed"], observed=True)["value"].mean()
    return by_seed.groupby(level=["share", "method"]).agg(what).unstack("method")[list(rows["method"].unique())]
