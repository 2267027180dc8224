"""What the benchmark and the plots share about tables of scores: which way is better, and what a score is about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from altercell.errors import DataError, listing

_LOSSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"higher": np.negative, "lower": np.positive, "zero": np.abs}


def losses(table: pd.DataFrame) -> pd.Series:
    """Return the values of a table turned so that lower is better.

    Parameters
    ----------
    table
        With the columns ``value`` and ``better`` ("higher", "lower", or "zero": the nearer to zero the better).

    Raises
    ------
    DataError
        If ``better`` holds another word.
    """
    unknown = set(table["better"]) - set(_LOSSES)
    if unknown:
        raise DataError(f"better={listing(sorted(map(str, unknown)))} is none of {listing(_LOSSES)}")
    answer = pd.Series(np.nan, index=table.index, dtype=float)
    for better, turn in _LOSSES.items():
        rows = (table["better"] == better).to_numpy()
        answer[rows] = turn(table.loc[rows, "value"].to_numpy(dtype=float))
    return answer


def units(table: pd.DataFrame) -> pd.Series:
    """Return the held-out set that each row is about: its split, or its label in a table without splits.

    The labels of one split are scores of one trained model, so that they are one unit and not several.

    Parameters
    ----------
    table
        With the column ``label``, and perhaps ``split``.
    """
    column = table["split"] if "split" in table else table["label"]
    return column.astype(object).fillna("").astype(str).rename("unit")


def by_unit(table: pd.DataFrame) -> pd.DataFrame:
    """Return losses by metric and unit, a column a model: the mean over seeds, for seeds of one unit are no new data.

    Parameters
    ----------
    table
        Tidy table of a benchmark.

    Returns
    -------
    Rows by (metric, unit), in the order of the table; NaN where a model has no such number.
    """
    rows = pd.DataFrame({name: table[name].astype(object) for name in ("metric", "model")})
    rows = rows.assign(unit=units(table), loss=losses(table)).dropna(subset="loss")
    means = rows.groupby(["metric", "unit", "model"], sort=False)["loss"].mean()
    return means.unstack("model", sort=False) if len(means) else pd.DataFrame(index=means.index.droplevel("model"))


def common_units(table: pd.DataFrame) -> list[str]:
    """Return the units on which every model of the table has a number by every metric that it has anywhere.

    Parameters
    ----------
    table
        Rows of scores.
    """
    keyed = table.assign(unit=units(table)).dropna(subset="value")
    there = keyed.groupby(["model", "metric", "unit"], sort=False, observed=True).size().unstack("unit", sort=False)
    return [str(name) for name in there.columns[there.notna().all(axis=0)]]


def way(losses: pd.Series, floor: str, ceiling: str) -> pd.Series:
    """Return how much of the way from one model's loss to another's is gone: 0 at `floor`, 1 at `ceiling`.

    Parameters
    ----------
    losses
        By model, lower is better.
    floor, ceiling
        Names of the two.

    Returns
    -------
    By model; NaN where one of the two is not there, or the ceiling is no better than the floor.
    """
    if floor not in losses or ceiling not in losses or not losses[floor] > losses[ceiling]:
        return losses * np.nan
    return (losses[floor] - losses) / (losses[floor] - losses[ceiling])


def sd_over_seeds(rows: pd.DataFrame) -> pd.Series:
    """Return by model the standard deviation over seeds of the mean over units; NaN with fewer than two seeds.

    Parameters
    ----------
    rows
        Those of one metric.
    """
    keyed = rows.assign(unit=units(rows)).dropna(subset="value")
    by_seed = keyed.groupby(["model", "seed", "unit"], sort=False, observed=True)["value"].mean().unstack("unit")
    # The mean of a seed that has not run on all units would differ for that alone.
    of_model = by_seed.groupby("model", sort=False).transform("count").gt(0).sum(axis=1)
    whole = by_seed[by_seed.notna().sum(axis=1) == of_model]
    return whole.mean(axis=1).groupby("model", sort=False).std(ddof=1)


def sd_over_cells(rows: pd.DataFrame) -> pd.Series:
    """Return by model the root of the mean square of ``sd_cells``: the typical spread of one unit's score.

    Parameters
    ----------
    rows
        Those of one metric.
    """
    return (rows["sd_cells"] ** 2).groupby(rows["model"], sort=False, observed=True).mean() ** 0.5
