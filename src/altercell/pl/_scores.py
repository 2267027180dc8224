"""Scores of many models, with their spreads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell._scoring import units
from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._style import CONTROL, CYCLE, new_row
from altercell.pl._tables import check_columns


def scores(
    table: pd.DataFrame, metric: str | Sequence[str] | None = None, *, ax: Axes | Sequence[Axes] | None = None
) -> Any:
    """Draw a metric of every model, or several side by side: its mean over labels, the spread over seeds, each label.

    Parameters
    ----------
    table
        Tidy table of a benchmark: a row a number, with the columns ``model``, ``label`` (the held-out cell type),
        ``seed``, ``metric`` and ``value``, and perhaps ``split`` (what was held out, where that is another thing); or
        its :func:`~altercell.benchmark.summary`, which has no single labels. Not changed.
    metric
        Which metric; several make a panel each. None where the table has only one.
    ax
        Axes to draw on, as many as metrics; None makes a figure.

    Returns
    -------
    The axes; an array of them (n_metrics,) where `metric` is a sequence, with the models' names beside the first. A row
    a model in the order of the table. A small point is one label (mean over seeds); the large one is the mean over
    labels, its bar one standard deviation of that mean over seeds, each way. A model that misses labels of others says
    so, for its mean is not of the same things.

    Raises
    ------
    KeyNotFoundError
        If a column or a metric is not there.
    DataError
        If `metric` is None and the table has several, all its values are missing, or the number of axes is not the
        number of metrics.
    """
    is_summary = isinstance(table.columns, pd.MultiIndex)
    if not is_summary:
        check_columns(table, ("model", "label", "seed", "metric", "value"), "the benchmark")
    known = list(dict.fromkeys(table.columns.get_level_values(0))) if is_summary else list(table["metric"].unique())
    metrics = [_the_metric(known)] if metric is None else [metric] if isinstance(metric, str) else list(metric)
    if not metrics:
        raise DataError(f"no metric to draw: name at least one of {listing(known)}")
    read = _of_summary if is_summary else _of_labels
    panels = {name: read(table, name, known) for name in metrics}
    models = [model for model in _models(table) if any(model in rows for rows in panels.values())]

    given: Any = ax
    axes = np.ravel(
        new_row(len(metrics), (2.2 + 3.2 * len(metrics), 1.2 + 0.38 * len(models))) if given is None else given
    )
    if len(axes) != len(metrics):
        raise DataError(f"{len(metrics)} metrics need as many axes; {len(axes)} were given")
    for i, (panel, (name, rows)) in enumerate(zip(axes, panels.items(), strict=True)):
        _draw(panel, name, models, rows, with_names=i == 0)
    return axes[0] if metric is None or isinstance(metric, str) else axes


class _Row(NamedTuple):
    labels: np.ndarray  # the value of each label: (n_labels,)
    mean: float
    spread: float


def _the_metric(known: list[Any]) -> str:
    if len(known) > 1:
        raise DataError(f"the table has {len(known)} metrics; name one of {listing(known)}")
    return str(known[0])


def _models(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table.index if isinstance(table.columns, pd.MultiIndex) else table["model"]))


def _of_labels(table: pd.DataFrame, metric: str, known: list[Any]) -> dict[str, _Row]:
    """Return a metric by model from a tidy table."""
    values = table[table["metric"] == metric].dropna(subset="value")
    if values.empty:
        raise KeyNotFoundError(f"the table has no value of metric '{metric}'; its metrics are {listing(known)}")
    by_label = values.assign(unit=units).groupby(["model", "unit"], observed=True)["value"].mean()
    by_seed = values.groupby(["model", "seed"], observed=True)["value"].mean()
    rows = {}
    for model in dict.fromkeys(values["model"]):
        labels, seeds = by_label[model].to_numpy(), by_seed[model]
        rows[model] = _Row(labels, float(labels.mean()), float(seeds.std(ddof=1)) if len(seeds) > 1 else 0.0)
    return rows


def _of_summary(table: pd.DataFrame, metric: str, known: list[Any]) -> dict[str, _Row]:
    """Return a metric by model from a summary, whose columns are (metric, "mean") and (metric, "sd")."""
    if (metric, "mean") not in table or table[metric, "mean"].isna().all():
        raise KeyNotFoundError(f"the table has no value of metric '{metric}'; its metrics are {listing(known)}")
    means = table[metric, "mean"].dropna()
    spreads = table[metric, "sd"].fillna(0.0) if (metric, "sd") in table else means * 0
    nothing = np.array([])
    return {model: _Row(nothing, float(mean), float(spreads[model])) for model, mean in means.items()}


def _draw(ax: Axes, metric: str, models: list[str], rows: dict[str, _Row], *, with_names: bool) -> None:
    for place, model in enumerate(models):
        if model not in rows:
            continue
        row = rows[model]
        ax.scatter(row.labels, np.full(len(row.labels), place + 0.22), s=12, color=CONTROL, linewidths=0)
        look: dict[str, Any] = {"color": CYCLE[0], "marker": "D", "markersize": 5, "capsize": 3, "linewidth": 1.6}
        ax.errorbar(row.mean, place - 0.1, xerr=row.spread, **look)
    counts = [len(rows[model].labels) if model in rows else 0 for model in models]
    names = [_name(model if with_names else "", n, max(counts)) for model, n in zip(models, counts, strict=True)]
    ax.set_yticks(range(len(models)), names)
    ax.set_ylim(len(models) - 0.5, -0.5)
    dots = ";\ndots: single labels" if max(counts) else ""
    ax.set_xlabel(f"{metric}\n(mean ± SD over seeds{dots})")
    ax.grid(axis="x", color="0.92")
    ax.set_axisbelow(True)


def _name(model: str, n_labels: int, most: int) -> str:
    note = "" if n_labels == most else f"({n_labels} of {most} labels)"
    return f"{model} {note}".strip()
