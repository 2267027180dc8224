"""The tables of the report, as text: what stands in each cell, and how it is marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from altercell._scoring import by_unit, losses, units
from altercell.benchmark._compare import ALPHA, ranks
from altercell.benchmark._judge import Judgement
from altercell.benchmark._summary import SPREADS, models_of, summary

MARKS = {"best": "✔", "ahead": "◐", "some": "◐", "none": "○", "floor": "✘", "unknown": "–"}
ARROWS = {"higher": "↑", "lower": "↓", "zero": "→ 0"}


class Cell(NamedTuple):
    """A field of a table: its text, smaller text below it, and a class of the style sheet."""

    text: str
    below: str = ""
    look: str = ""


class Row(NamedTuple):
    """A row of a table: its name, the kind of its model, its fields."""

    name: str
    kind: str
    cells: list[Cell]


class Table(NamedTuple):
    """A table with its title, a note and the names of its columns, each with smaller text below."""

    title: str
    note: str
    head: list[Cell]
    rows: list[Row]


def number(value: float, digits: int = 3) -> str:
    """Write a number shortly.

    Parameters
    ----------
    value
        NaN is a dash.
    digits
        How many that count.

    Examples
    --------
    >>> number(0.012345), number(1234.5), number(float("nan"))
    ('0.0123', '1234', '–')
    """
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def long_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a (model, metric): mean, the three spreads, how many sets and seeds, and the mean rank.

    Parameters
    ----------
    table
        Scored rows.
    """
    wide = summary(table, None, spreads=tuple(SPREADS))
    rank = ranks(table)
    about = table.assign(unit=units).groupby(["model", "metric"], sort=False)
    facts = about.agg(kind=("kind", "first"), genes=("genes", "first"), better=("better", "first"),
                      n_sets=("unit", "nunique"), n_seeds=("seed", "nunique"))  # fmt: skip
    rows = []
    for model, metric in facts.index:
        spreads = {f"sd_{name}": wide.loc[model, (metric, column)] for name, column in SPREADS.items()}
        place = rank.loc[model, metric] if model in rank.index and metric in rank else np.nan
        rows.append({"mean": wide.loc[model, (metric, "mean")], **spreads, "rank": place})
    return pd.concat([facts, pd.DataFrame(rows, index=facts.index)], axis=1).reset_index()


def scores(long: pd.DataFrame, metrics: Sequence[str], title: str, note: str = "") -> Table:
    """Return the table of models and metrics, the best of each metric marked, reference rows last.

    Parameters
    ----------
    long
        What :func:`long_summary` returned.
    metrics
        From left to right.
    title, note
        What stands above it.
    """
    part = long[long["metric"].isin(metrics)]
    keyed = part.set_index(["model", "metric"])
    loss = losses(part.rename(columns={"mean": "value"})).where(part["kind"] != "reference")
    best = set(part.index[loss == loss.groupby(part["metric"]).transform("min")])
    marked = {(part["model"][i], part["metric"][i]) for i in best}
    rows = []
    for model in models_of(part):
        cells = [_score(keyed, model, metric, (model, metric) in marked) for metric in metrics]
        rows.append(Row(model, part.loc[part["model"] == model, "kind"].iloc[0], cells))
    better = part.groupby("metric")["better"].first()
    return Table(title, note, [Cell(metric, ARROWS.get(better[metric], "")) for metric in metrics], rows)


def _score(keyed: pd.DataFrame, model: str, metric: str, best: bool) -> Cell:
    if (model, metric) not in keyed.index:
        return Cell("–")
    row = keyed.loc[(model, metric)]
    below = [
        f"± {number(row[f'sd_{name}'], 2)} {name}" for name in ("seeds", "cells") if np.isfinite(row[f"sd_{name}"])
    ]
    return Cell(number(row["mean"]), "\n".join(below), "best" if best else "")


def by_set(table: pd.DataFrame, metric: str) -> Table:
    """Return the table of one metric by model and held-out set, the best of each set marked.

    Parameters
    ----------
    table
        Scored rows.
    metric
        Which.
    """
    part = table[table["metric"] == metric].assign(unit=units)
    values = part.groupby(["model", "unit"], sort=False)["value"].mean().unstack("unit", sort=False)
    kinds = part.groupby("model")["kind"].first()
    loss = by_unit(part).loc[metric].T.reindex(kinds.index[kinds != "reference"])
    rows = []
    for model in models_of(part):
        best = [model in loss.index and loss.loc[model, name] == loss[name].min() for name in values.columns]
        cells = [Cell(number(v), "", "best" if b else "") for v, b in zip(values.loc[model], best, strict=True)]
        rows.append(Row(model, kinds[model], cells))
    arrow = ARROWS.get(part["better"].iloc[0], "")
    return Table(f"{metric} {arrow}", "", [Cell(str(name)) for name in values.columns], rows)


def paired(table: pd.DataFrame, metric: str, compared: Mapping[str, pd.DataFrame]) -> Table | None:
    """Return the table of how often each model is better than each baseline by one metric; None where nothing is.

    Parameters
    ----------
    table
        Scored rows.
    metric
        Which.
    compared
        :func:`altercell.benchmark.compare` with each baseline, by its name.
    """
    rows_of = table[(table["metric"] == metric) & table["value"].notna()]
    kinds = rows_of.groupby("model", sort=False)["kind"].first()
    models, baselines = kinds.index[kinds == "model"], list(kinds.index[kinds == "baseline"])
    if models.empty or not baselines:
        return None
    rows = [Row(model, "model", [_pair(compared[name], model, metric) for name in baselines]) for model in models]
    return Table(f"{metric} {ARROWS.get(rows_of['better'].iloc[0], '')}", "", [Cell(name) for name in baselines], rows)


def _pair(frame: pd.DataFrame, model: str, metric: str) -> Cell:
    if (model, metric) not in frame.index:
        return Cell("–")
    row = frame.loc[(model, metric)]
    sign = "+" if row["gain"] > 0 else ""
    # A p-value that could not be small whatever the scores says nothing.
    p = f"\np {row['p']:.2g}" if row["p_least"] < ALPHA else ""
    look = "good" if row["gain"] > 0 else "bad" if row["gain"] < 0 else ""
    return Cell(f"{row['times_better']:.0f} of {row['n_pairs']:.0f}", f"{sign}{number(row['gain'])}{p}", look)


def standing(judged: Mapping[str, Mapping[str, Judgement]], far: pd.DataFrame, failures: Mapping[str, str]) -> Table:
    """Return the table of the verdicts: a row a model, a column a group of metrics.

    Parameters
    ----------
    judged
        What :func:`altercell.benchmark._judge.judge` returned.
    far
        What :func:`altercell.benchmark._verdict.distances` returned.
    failures
        Of models that failed, what is to be said of it.
    """
    models = list(dict.fromkeys(model for by_model in judged.values() for model in by_model))
    rows = []
    for model in models:
        cells = []
        for group, by_model in judged.items():
            it = by_model.get(model, Judgement("unknown", False, "not scored", "", 0))
            share = far.loc[model, group] if group in far and model in far.index else np.nan
            gone = f"{min(share, 1):.0%} of the way to real cells" if share >= 0 else ""
            detail = it.detail.strip(" ,()")
            cells.append(Cell(f"{MARKS[it.standing]} {it.claim}", "\n".join(filter(None, [detail, gone])), it.standing))
        rows.append(Row(model, "model", cells))
    failed = [Cell("– failed", "", "unknown") for _ in judged]
    rows += [Row(model, "model", failed) for model in failures if model not in models]
    return Table("", "", [Cell(group) for group in judged], rows)


def costs(table: pd.DataFrame) -> Table | None:
    """Return the table of time and memory; None where neither was measured.

    Parameters
    ----------
    table
        Rows with all columns.
    """
    part = table[table["kind"] != "reference"]
    seconds, memory = (part.groupby("model", sort=False)[name] for name in ("seconds", "peak_memory_mb"))
    if part[["seconds", "peak_memory_mb"]].isna().all(axis=None):
        return None
    kinds = part.groupby("model")["kind"].first()
    columns = seconds.mean(), seconds.max(), memory.max()
    rows = [Row(model, kinds[model], [Cell(number(column[model])) for column in columns]) for model in columns[0].index]
    head = [Cell("seconds", "mean of the runs"), Cell("seconds", "longest run"), Cell("memory", "MB, highest")]
    return Table("", "", head, rows)
