"""The plots of the report: written as SVG, the large ones as PNG too, and embedded in the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from altercell._scoring import by_unit
from altercell.benchmark._judge import ceiling_of, floor_of

PNG_DPI = 150


class Plot(NamedTuple):
    """A plot in the page.

    Attributes
    ----------
    name
        Of its files, without ending.
    alt
        What it shows, for those who do not see it.
    uri
        The picture itself.
    """

    name: str
    alt: str
    uri: str


class Scatter(NamedTuple):
    """The plots of one model against baselines."""

    model: str
    plots: list[Plot]


def draw_map(table: pd.DataFrame, metrics: Sequence[str], folder: Path) -> Plot:
    """Draw the heat map of models and metrics.

    Parameters
    ----------
    table
        Scored rows, models in the order to show.
    metrics
        From left to right.
    folder
        Where to write the files.
    """
    from altercell import pl

    floor, ceiling = floor_of(table) or "", ceiling_of(table) or ""
    size = (2.9 + 0.62 * len(metrics), 1.7 + 0.29 * table["model"].nunique())
    alt = "Heat map: every model by every metric"
    return _draw("map", alt, folder, size, partial(pl.score_map, table, metrics, floor=floor, ceiling=ceiling))


def draw_bars(table: pd.DataFrame, metrics: Sequence[str], folder: Path) -> list[Plot]:
    """Draw the bars of each metric.

    Parameters
    ----------
    table
        Scored rows.
    metrics
        Which.
    folder
        Where to write the files.
    """
    from altercell import pl

    size = (6.0, 0.9 + 0.29 * table["model"].nunique())
    there = [metric for metric in metrics if table.loc[table["metric"] == metric, "value"].notna().any()]
    draw = {metric: partial(pl.score_bars, table, metric) for metric in there}
    return [_draw(f"bars_{name}", f"Bars: {name} of every model", folder, size, draw[name]) for name in there]


def draw_pairs(table: pd.DataFrame, groups: Mapping[str, Sequence[str]], folder: Path) -> list[Scatter]:
    """Draw each model against the best baseline by the first metric of each group.

    Parameters
    ----------
    table
        Scored rows.
    groups
        Metrics by what they are about.
    folder
        Where to write the files.
    """
    from altercell import pl

    means = by_unit(table).groupby(level="metric").mean()
    kinds = table.groupby("model", sort=False)["kind"].first()
    answer = []
    for i, model in enumerate(kinds.index[kinds == "model"]):
        plots = []
        for metric in (names[0] for names in groups.values() if names and names[0] in means.index):
            rivals = means.loc[metric].reindex(kinds.index[kinds == "baseline"]).dropna()
            if rivals.empty or pd.isna(means.loc[metric, model]):
                continue
            best = str(rivals.idxmin())
            alt = f"{metric} of {model} against that of {best}, a point a held-out set"
            draw = partial(pl.score_pairs, table, str(model), best, metric)
            plots.append(_draw(f"pairs_{i + 1:02d}_{model}_{metric}", alt, folder, (3.3, 3.3), draw, png=False))
        answer.append(Scatter(str(model), plots))
    return [scatter for scatter in answer if scatter.plots]


def _draw(
    name: str, alt: str, folder: Path, size: tuple[float, float], draw: Callable[..., Any], *, png: bool = True
) -> Plot:
    """Draw on a figure of its own, which pyplot does not know, and write it."""
    from matplotlib import style
    from matplotlib.figure import Figure

    stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    # The caller's style must not make the page unreadable, and one table always makes the same files.
    with style.context(["default", {"svg.hashsalt": "altercell"}]):
        figure = Figure(figsize=size, layout="constrained")
        draw(ax=figure.add_subplot())
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
        if png:
            figure.savefig(folder / f"{stem}.png", dpi=PNG_DPI)
    (folder / f"{stem}.svg").write_bytes(picture.getvalue())
    return Plot(stem, alt, "data:image/svg+xml;base64," + base64.b64encode(picture.getvalue()).decode())
