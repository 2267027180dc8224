"""One score of many models, with its spreads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._style import CONTROL, CYCLE, new_axes
from altercell.pl._tables import check_columns


def scores(table: pd.DataFrame, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw a metric of every model: its mean over labels, the spread over seeds, and each label.

    Parameters
    ----------
    table
        Tidy table of a benchmark: a row a number, with the columns ``model``, ``label`` (the held-out cell type),
        ``seed``, ``metric`` and ``value``. Not changed.
    metric
        Which metric; None where the table has only one.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes, a row a model in the order of the table. A small point is one label (mean over seeds); the large one is
    the mean over labels, its bar one standard deviation of that mean over seeds, each way. A model that misses labels
    of others says so, for its mean is not of the same things.

    Raises
    ------
    KeyNotFoundError
        If a column or the metric is not there.
    DataError
        If `metric` is None and the table has several, or all its values are missing.
    """
    check_columns(table, ("model", "label", "seed", "metric", "value"), "the benchmark")
    metric = _the_metric(table) if metric is None else metric
    values = table[table["metric"] == metric].dropna(subset="value")
    if values.empty:
        known = table["metric"].unique()
        raise KeyNotFoundError(f"the table has no value of metric '{metric}'; its metrics are {listing(known)}")
    models = list(dict.fromkeys(values["model"]))
    by_label = values.groupby(["model", "label"], observed=True)["value"].mean()
    by_seed = values.groupby(["model", "seed"], observed=True)["value"].mean()
    ax = new_axes(ax, (5.4, 1.2 + 0.38 * len(models)))
    for place, model in enumerate(models):
        labels, seeds = by_label[model], by_seed[model]
        spread = seeds.std(ddof=1) if len(seeds) > 1 else 0.0
        ax.scatter(labels, np.full(len(labels), place + 0.22), s=12, color=CONTROL, linewidths=0)
        look: dict[str, Any] = {"color": CYCLE[0], "marker": "D", "markersize": 5, "capsize": 3, "linewidth": 1.6}
        ax.errorbar(labels.mean(), place - 0.1, xerr=spread, **look)
    most = max(len(by_label[model]) for model in models)
    ax.set_yticks(range(len(models)), [_with_count(model, len(by_label[model]), most) for model in models])
    ax.set_ylim(len(models) - 0.5, -0.5)
    ax.set_xlabel(f"{metric}\n(mean ± SD over seeds;\ndots: single labels)")
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)
    return ax


def _the_metric(table: pd.DataFrame) -> str:
    known = list(table["metric"].unique())
    if len(known) > 1:
        raise DataError(f"the table has {len(known)} metrics; name one of {listing(known)}")
    return str(known[0])


def _with_count(model: str, n_labels: int, most: int) -> str:
    return model if n_labels == most else f"{model} ({n_labels} of {most} labels)"
