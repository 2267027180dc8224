"""From rows to a table that a person reads: means over held-out sets, spreads, and a plain comparison of two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from altercell._scoring import common_units, losses, sd_over_cells, sd_over_seeds, units
from altercell.benchmark._store import complete
from altercell.errors import KeyNotFoundError, listing

HEADLINE = (
    "mse",
    "pearson_delta",
    "pearson_r2",
    "pearson_r2_top100",
    "variance_pearson_r2",
    "edistance",
    "mmd",
    "forest_auc",
)

#: Columns of the spreads of :func:`summary`.
SPREADS = {"seeds": "sd", "splits": "sd_splits", "cells": "sd_cells"}


def summary(
    table: pd.DataFrame, names: Sequence[str] | None = HEADLINE, *, spreads: Sequence[str] = ("seeds",)
) -> pd.DataFrame:
    """Return mean and spread of each metric by model.

    Parameters
    ----------
    table
        What :func:`altercell.benchmark.holdout` returned.
    names
        Metrics, in the order of the columns; those that the table lacks are left out. None takes all of the table.
    spreads
        Which to give, each a column beside the mean:

        * ``"seeds"``, column ``"sd"``: how much the mean changes when everything is run again with another seed.
        * ``"splits"``, column ``"sd_splits"``: how much the held-out sets differ from each other.
        * ``"cells"``, column ``"sd_cells"``: how much the score of one held-out set changes when other cells of it are
          drawn (the root of the mean square of the rows' ``sd_cells``).

    Returns
    -------
    Rows by model, in the order of the table, reference rows such as the ceiling last; columns ``(metric, "mean")`` and
    those of the spreads: the mean over held-out sets of the mean over seeds, and standard deviations (NaN where there
    are fewer than two seeds, or sets). Sets on which some model failed are left out.

    Raises
    ------
    KeyNotFoundError
        If a name in `spreads` is not one of a spread.
    """
    unknown = [name for name in spreads if name not in SPREADS]
    if unknown:
        raise KeyNotFoundError(f"no such spread: {listing(unknown)}; there are {listing(SPREADS)}")
    table = complete(table)
    scored = table[table["metric"] != ""]
    there = list(dict.fromkeys(scored["metric"]))
    names = [name for name in (there if names is None else names) if name in there]
    values = scored[scored["metric"].isin(names)].assign(unit=units)
    # A model that failed on some sets must not be averaged over the easy ones that are left.
    values = values[values["unit"].isin(common_units(values))]
    columns = {}
    for name in names:
        rows = values[values["metric"] == name]
        columns[name, "mean"] = _by_set(rows).mean(axis=1)
        for spread in spreads:
            columns[name, SPREADS[spread]] = _spread(rows, spread)
    return pd.DataFrame(columns).reindex(models_of(table))


def models_of(table: pd.DataFrame) -> list[str]:
    """Return the models of a table in its order, reference rows last.

    Parameters
    ----------
    table
        With all columns.
    """
    kinds = table.groupby("model", sort=False)["kind"].first()
    return [*kinds.index[kinds != "reference"], *kinds.index[kinds == "reference"]]


def _by_set(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one metric by model and held-out set, the mean over seeds."""
    return rows.groupby(["model", "unit"], sort=False)["value"].mean().unstack("unit")


def _spread(rows: pd.DataFrame, spread: str) -> pd.Series:
    if spread == "splits":
        return _by_set(rows).std(axis=1, ddof=1)
    return sd_over_cells(rows) if spread == "cells" else sd_over_seeds(rows)


def verdict(table: pd.DataFrame, model: str, against: str, metric: str = "mse") -> str:
    """Say in one sentence whether a model beats another, over held-out sets and seeds.

    Parameters
    ----------
    table
        What :func:`altercell.benchmark.holdout` returned.
    model, against
        Names of the two.
    metric
        The metric to compare by.
    """
    rows = complete(table)
    rows = rows[rows["metric"] == metric].assign(loss=losses, unit=units)
    # Other seeds, and other labels of one training, are no further held-out sets.
    loss, value = (rows.pivot_table(index="unit", columns="model", values=v) for v in ("loss", "value"))
    if model not in loss or against not in loss:
        return f"{model} and {against} were not both scored by {metric}"
    pairs = loss[[model, against]].dropna()
    means, shown = pairs.mean(), value.loc[pairs.index].mean()
    word = "beats" if means[model] < means[against] else "does not beat"
    return (
        f"{model} {word} {against} on {metric} ({shown[model]:.4g} against {shown[against]:.4g}; "
        f"better in {int((pairs[model] < pairs[against]).sum())} of {len(pairs)} held-out sets)"
    )


def in_words(value: float, spread: float) -> str:
    """Write a mean and its spread shortly.

    Parameters
    ----------
    value, spread
        The mean and its standard deviation; the latter may be NaN.
    """
    digits = 4 if abs(value) < 0.1 else 3
    if not np.isfinite(value):
        return "-"
    text = f"{value:.{digits}f}"
    return text if not np.isfinite(spread) else f"{text} ± {spread:.{digits}f}"
