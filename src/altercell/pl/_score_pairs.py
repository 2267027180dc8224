"""A model against a baseline, a point a held-out set."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell._scoring import units
from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._labels import place_labels
from altercell.pl._style import CYCLE, LINE, REAL, new_axes
from altercell.pl._tables import check_columns


def score_pairs(
    table: pd.DataFrame, model: str, baseline: str, metric: str, *, names: bool | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the scores of a model against those of a baseline, a point a held-out set (the mean over seeds).

    Parameters
    ----------
    table
        Tidy table of a benchmark, with the columns ``model``, ``label``, ``seed``, ``metric``, ``value``, ``better``,
        and perhaps ``split``. Not changed.
    model, baseline
        Names of the two: up and across.
    metric
        Which metric.
    names
        Whether to write the names of the held-out sets beside the points; None does for up to 12.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes, both of one scale, with the diagonal; the side where the model is better is shaded. A line through a point
    reaches from its lowest to its highest seed.

    Raises
    ------
    KeyNotFoundError
        If a column, a model or the metric is not there.
    DataError
        If no held-out set was scored for both.
    """
    check_columns(table, ("model", "label", "seed", "metric", "value", "better"), "the benchmark")
    rows = table[table["metric"] == metric].dropna(subset="value")
    for what, name in (("metric", metric), ("model", model), ("model", baseline)):
        if name not in set(rows[what]):
            raise KeyNotFoundError(
                f"the table has no value of {what} '{name}'; there are {listing(table[what].unique())}"
            )
    seeds = rows.assign(unit=units(rows)).groupby(["unit", "model"], sort=False, observed=True)["value"]
    means = seeds.mean().unstack("model")[[baseline, model]].dropna()
    if means.empty:
        raise DataError(f"no held-out set was scored by {metric} for both {model} and {baseline}")
    ax = new_axes(ax, (3.6, 3.6))
    limits = _limits(means.to_numpy())
    _shade(ax, limits, str(rows["better"].iloc[0]))
    xy = means.to_numpy()
    low, high = (bound.unstack("model").loc[means.index, model].to_numpy() for bound in (seeds.min(), seeds.max()))
    ax.vlines(xy[:, 0], low, high, color=CYCLE[0], linewidth=1)
    ax.scatter(xy[:, 0], xy[:, 1], s=28, color=CYCLE[0], edgecolors="white", linewidths=0.5, zorder=3)
    ax.set(xlim=limits, ylim=limits, xlabel=f"{baseline}", ylabel=f"{model}", aspect="equal")
    ax.set_title(metric, fontsize="medium")
    ax.locator_params(nbins=5)
    if names or (names is None and len(xy) <= 12):
        line = np.linspace(limits[0], limits[1], 40)
        place_labels(ax, xy, np.arange(len(xy)), means.index, line=np.column_stack([line, line]))
    return ax


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _shade(ax: Axes, limits: tuple[float, float], better: str) -> None:
    """Draw the diagonal, and shade where the model is better; of "zero" that is where its size is less."""
    line = np.linspace(*limits, 200)
    ends = {"higher": (line, np.full_like(line, limits[1])), "lower": (np.full_like(line, limits[0]), line)}
    low, high = ends.get(better, (-np.abs(line), np.abs(line)))
    ax.fill_between(line, low, high, color=REAL, alpha=0.08, linewidth=0)
    ax.plot(limits, limits, color=LINE, linewidth=0.8, linestyle="--")
    x, y, ha = (0.03, 0.97, "left") if better == "higher" else (0.97, 0.03, "right")
    if better in ends:
        va = "top" if better == "higher" else "bottom"
        ax.text(x, y, "model better", transform=ax.transAxes, ha=ha, va=va, fontsize="x-small", color=REAL)
