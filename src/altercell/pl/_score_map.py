"""Heat map of models and metrics: where each score lies between doing nothing and real cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell._scoring import by_unit, units, way
from altercell.errors import KeyNotFoundError, listing
from altercell.pl._style import DIVERGING, new_axes
from altercell.pl._tables import check_columns, write_fields


def score_map(
    table: pd.DataFrame,
    metrics: Sequence[str] | None = None,
    *,
    floor: str = "no change",
    ceiling: str = "real against real",
    ax: Axes | None = None,
) -> Axes:
    """Draw every model by every metric, coloured by how much of the way from doing nothing to real cells it goes.

    Parameters
    ----------
    table
        Tidy table of a benchmark, with the columns ``model``, ``label``, ``metric``, ``value`` and ``better``, and
        perhaps ``split``. Not changed.
    metrics
        Which, from left to right; None takes all.
    floor, ceiling
        The models at 0 (white) and at 1 (blue). A score worse than that of `floor` is orange, whichever way the metric
        points. Where one of the two is missing, the colour is by rank, from the worst (orange) to the best (blue).
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a row a model, a column a metric, the mean over held-out sets written in each field. A metric by which the
    ceiling is no better than the floor tells nothing of the way between them, and is grey, as are missing values.

    Raises
    ------
    KeyNotFoundError
        If a column or a metric is not there.
    DataError
        If the table is empty, or a direction in ``better`` is unknown.
    """
    check_columns(table, ("model", "label", "metric", "value", "better"), "the benchmark")
    rows = table.dropna(subset="value")
    known = list(dict.fromkeys(rows["metric"]))
    names = known if metrics is None else list(metrics)
    if set(names) - set(known) or not names:
        missing = listing([name for name in names if name not in known])
        raise KeyNotFoundError(f"the table has no value of metric {missing}; its metrics are {listing(known)}")
    rows = rows[rows["metric"].isin(names)]
    models = list(dict.fromkeys(rows["model"].astype(str)))
    scaled = {floor, ceiling} <= set(models)
    means = _means(rows).reindex(index=models, columns=names)
    shade = shades(rows, floor, ceiling).reindex(index=models, columns=names)
    ax = new_axes(ax, (3.0 + 0.72 * len(names), 2.0 + 0.3 * len(models)))
    image = ax.imshow(np.ma.masked_invalid(shade.to_numpy()), cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
    write_fields(ax, means, strong=shade.abs().to_numpy() > 0.6)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.9, pad=0.02, ticks=[-1, 0, 1])
    ends = ["≤ −1: far worse", f"0: {floor}", f"1: {ceiling}"] if scaled else ["worst", "middle", "best"]
    bar.ax.set_yticklabels(ends, fontsize="small", rotation=90)
    for text, side in zip(bar.ax.get_yticklabels(), ("bottom", "center", "top"), strict=True):
        text.set(verticalalignment=side)
    return ax


def shades(table: pd.DataFrame, floor: str, ceiling: str) -> pd.DataFrame:
    """Return where each model stands by each metric, from -1 to 1, by model and metric.

    Parameters
    ----------
    table
        Rows with values.
    floor, ceiling
        The models at 0 and at 1; where one is missing the ranks are taken.
    """
    means = by_unit(table).groupby(level="metric", sort=False).mean()
    if {floor, ceiling} <= set(means.columns):
        return means.apply(way, axis=1, floor=floor, ceiling=ceiling).clip(-1, 1).T
    rank = means.rank(axis=1)
    return (1 - 2 * (rank - 1).div((rank.max(axis=1) - 1).replace(0, np.nan), axis=0)).T


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    by_set = (
        rows.assign(unit=units(rows)).groupby(["metric", "model", "unit"], sort=False, observed=True)["value"].mean()
    )
    return by_set.groupby(level=["model", "metric"], sort=False).mean().unstack("metric")
