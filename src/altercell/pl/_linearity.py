"""Whether the response is a straight direction in latent space: the classifier's scores and the cosines."""

from __future__ import annotations

from itertools import cycle
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from altercell.pl._style import CONTROL, CYCLE, LINE, REAL, new_axes
from altercell.pl._tables import check_columns

# More values than this are drawn as a violin, fewer as points.
_MOST_POINTS = 60
_NAMED, _MOST_NAMES = "delta of a type", 16


def classifier(table: pd.DataFrame, *, bins: int = 50, ax: Axes | None = None) -> Axes:
    """Draw the dot products of cells with delta, by condition: Supplemental Figure 1a, b of :cite:p:`Lotfollahi2019`.

    Parameters
    ----------
    table
        Answer of `ScGen.classify`: columns ``condition``, ``score`` and ``predicted``. Not changed.
    bins
        Number of bins, the same for both conditions.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a histogram a condition, the threshold at 0, and in the title the share of cells on the right side.

    Raises
    ------
    KeyNotFoundError
        If a column is not there.
    DataError
        If the table is empty.
    """
    check_columns(table, ("condition", "score", "predicted"), "ScGen.classify")
    ax = new_axes(ax, (4.8, 3.4))
    # The source is the side on which scores are low.
    conditions = table.groupby("condition", observed=True)["score"].mean().sort_values().index
    edges = np.histogram_bin_edges(table["score"], bins)
    for condition, colour in zip(conditions, (CONTROL, REAL, *CYCLE), strict=False):
        scores = table.loc[table["condition"] == condition, "score"]
        ax.hist(scores, bins=edges.tolist(), color=colour, alpha=0.7, label=f"{condition} (n = {len(scores):,})")
    ax.axvline(0, color=LINE, linewidth=1, linestyle="--")
    accuracy = table.attrs.get("accuracy", (table["condition"].astype(str) == table["predicted"].astype(str)).mean())
    ax.set_title(f"accuracy = {accuracy:.3f}", fontsize="medium")
    ax.set_xlabel("dot product with delta (latent units, threshold at 0)")
    ax.set_ylabel("cells")
    ax.legend(fontsize="small", frameon=False)
    return ax


def cosines(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the cosines of latent directions with delta, by kind: Supplemental Figure 1c of :cite:p:`Lotfollahi2019`.

    A kind of more than 60 values is drawn as a violin, others as points. The deltas of up to 16 types have a row each.

    Parameters
    ----------
    table
        Answer of `ScGen.delta_cosines`: columns ``kind``, ``name`` and ``cosine``. Not changed.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes, the cosine along x and a row each type's delta and each other kind.

    Raises
    ------
    KeyNotFoundError
        If a column is not there.
    DataError
        If the table is empty.
    """
    check_columns(table, ("kind", "name", "cosine"), "ScGen.delta_cosines")
    rows = _rows(table)
    tops = np.cumsum([0.0] + [row.height for row in rows])
    ax = new_axes(ax, (5.6, 1.0 + tops[-1]))
    ax.set(xlim=(-1.05, 1.05), ylim=(tops[-1], 0))
    ax.axvline(0, color=LINE, linewidth=0.8, linestyle="--", zorder=0)
    for top, row in zip(tops, rows, strict=False):
        _draw_row(ax, top + row.height / 2, row)
    ax.set_yticks(tops[:-1] + np.diff(tops) / 2, [row.text for row in rows])
    ax.set_xlabel("cosine with delta" if "random" not in set(table["kind"]) else "cosine")
    return ax


class _Row(NamedTuple):
    text: str
    values: np.ndarray
    height: float  # inches of a new figure
    colour: str


def _rows(table: pd.DataFrame) -> list[_Row]:
    """Return what to draw from top to bottom: a row a type's delta, the highest first, and a row each other kind."""
    rows = []
    for kind, colour in zip(dict.fromkeys(table["kind"]), cycle((CYCLE[0], REAL, CONTROL)), strict=False):
        group = table[table["kind"] == kind]
        if kind == _NAMED and len(group) <= _MOST_NAMES:
            group = group.sort_values("cosine", ascending=False, kind="stable")
            pairs = zip(group["name"], group["cosine"], strict=True)
            rows += [_Row(f"delta of {name}", np.array([value]), 0.26, colour) for name, value in pairs]
        else:
            values = group["cosine"].to_numpy(dtype=float)
            rows.append(_Row(f"{kind}\n(n = {len(values):,})", values, 0.8, colour))
    return rows


def _draw_row(ax: Axes, place: float, row: _Row) -> None:
    if len(row.values) > _MOST_POINTS:
        # A kernel density of half a million values takes seconds and looks as that of their 2,001 quantiles.
        shown = np.quantile(row.values, np.linspace(0, 1, 2_001))
        violin = ax.violinplot([shown], [place], orientation="horizontal", widths=0.9 * row.height, showextrema=False)
        cast("list[PolyCollection]", violin["bodies"])[0].set(
            facecolor=row.colour, edgecolor=LINE, linewidth=0.6, alpha=0.75
        )
        return
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(row.values)) * row.height * (len(row.values) > 1)
    ax.scatter(row.values, place + jitter, s=24, color=row.colour, edgecolors="white", linewidths=0.4)
