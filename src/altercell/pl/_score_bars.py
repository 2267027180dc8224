"""Bars of a metric, a model each, with both of its spreads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell._scoring import losses, sd_over_cells, sd_over_seeds, units
from altercell.errors import KeyNotFoundError, listing
from altercell.pl._style import CONTROL, CYCLE, LINE, REAL, new_axes
from altercell.pl._tables import check_columns

KIND_COLOURS = {"model": CYCLE[0], "baseline": CONTROL, "reference": REAL}


class Bar(NamedTuple):
    """One model: its mean, its spreads (0 where there is none), and each held-out set."""

    model: str
    kind: str
    loss: float
    mean: float
    seeds: float
    cells: float
    sets: np.ndarray


def score_bars(table: pd.DataFrame, metric: str, *, ax: Axes | None = None) -> Axes:
    """Draw a metric of every model as a bar, the best on top, with the spread over seeds and the spread over cells.

    Parameters
    ----------
    table
        Tidy table of a benchmark, with the columns ``model``, ``label``, ``seed``, ``metric``, ``value``, ``better``,
        and perhaps ``split``, ``sd_cells`` and ``kind`` ("model", "baseline" or "reference"). Not changed.
    metric
        Which metric.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes. A bar is the mean over held-out sets; its black line one standard deviation of that mean over seeds, each
    way; the pale wide line the standard deviation of one set's score over subsamples of its cells. Small points are the
    single sets. Models are orange, baselines grey, reference rows blue and at the bottom.

    Raises
    ------
    KeyNotFoundError
        If a column or the metric is not there.
    DataError
        If the table is empty, or a direction in ``better`` is unknown.
    """
    check_columns(table, ("model", "label", "seed", "metric", "value", "better"), "the benchmark")
    rows = table[table["metric"] == metric].dropna(subset="value")
    if rows.empty:
        raise KeyNotFoundError(
            f"the table has no value of metric '{metric}'; its metrics are {listing(table['metric'].unique())}"
        )
    bars = _bars(rows)
    ax = new_axes(ax, (6.4, 1.1 + 0.32 * len(bars)))
    for place, bar in enumerate(bars):
        _draw(ax, place, bar)
    most = max(len(bar.sets) for bar in bars)
    notes = ["" if len(bar.sets) == most else f" ({len(bar.sets)} of {most})" for bar in bars]
    ax.set_yticks(range(len(bars)), [bar.model + note for bar, note in zip(bars, notes, strict=True)])
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.axvline(0, color=LINE, linewidth=0.8)
    ax.margins(x=0.14)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"{metric} ({_better(rows)})")
    return ax


def _bars(rows: pd.DataFrame) -> list[Bar]:
    """Return the bars from the best to the worst, reference rows last."""
    rows = rows.assign(unit=units(rows), loss=losses(rows))
    seeds = sd_over_seeds(rows).fillna(0)
    cells = sd_over_cells(rows).fillna(0) if "sd_cells" in rows else seeds * 0
    bars = []
    for model, part in rows.groupby("model", sort=False, observed=True):
        sets = part.groupby("unit", sort=False)[["value", "loss"]].mean()
        kind = str(part["kind"].iloc[0]) if "kind" in part else "model"
        spreads = float(seeds.get(model, 0)), float(cells.get(model, 0))
        bars.append(
            Bar(str(model), kind, sets["loss"].mean(), sets["value"].mean(), *spreads, sets["value"].to_numpy())
        )
    return sorted(bars, key=lambda bar: (bar.kind == "reference", bar.loss))


def _draw(ax: Axes, place: int, bar: Bar) -> None:
    colour = KIND_COLOURS.get(bar.kind, CYCLE[1])
    ax.barh(place, bar.mean, height=0.62, color=colour, alpha=0.75, linewidth=0)
    look: dict[str, Any] = {"fmt": "none", "zorder": 3}
    if bar.cells:
        ax.errorbar(bar.mean, place, xerr=bar.cells, ecolor=LINE, elinewidth=5, alpha=0.3, **look)
    if bar.seeds:
        ax.errorbar(bar.mean, place, xerr=bar.seeds, ecolor="black", elinewidth=1.2, capsize=3, **look)
    if len(bar.sets) > 1:
        ax.scatter(
            bar.sets, np.full(len(bar.sets), place), s=9, color="white", edgecolors=LINE, linewidths=0.6, zorder=4
        )
    end = max(bar.mean + max(bar.seeds, bar.cells), bar.sets.max(), 0)
    text = f"{bar.mean:.3g}"
    ax.annotate(text, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize="small")


def _better(rows: pd.DataFrame) -> str:
    words = {"higher": "higher is better", "lower": "lower is better", "zero": "nearer to 0 is better"}
    return words[str(rows["better"].iloc[0])]
