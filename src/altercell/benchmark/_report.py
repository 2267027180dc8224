"""One page that tells which model to trust: verdict, tables, plots, settings; it needs no network."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from altercell._scoring import common_units, units
from altercell.benchmark import _report_tables as tables
from altercell.benchmark._compare import ALPHA, compare, pairs_needed, ranks, scored
from altercell.benchmark._glossary import GLOSSARY
from altercell.benchmark._judge import GROUPS, ceiling_of, floor_of, groups_of, judge, named
from altercell.benchmark._report_plots import draw_bars, draw_map, draw_pairs
from altercell.benchmark._store import complete
from altercell.benchmark._summary import HEADLINE
from altercell.benchmark._verdict import advice, distances, failure
from altercell.errors import DataError

PAGE, PLOTS = "report.html", "plots"
RESULTS, SUMMARY, COMPARISONS = "results.parquet", "summary.csv", "comparisons.csv"
_PACKAGES = ("altercell", "scvi-tools", "torch", "anndata", "scanpy", "numpy", "scipy", "pandas", "scikit-learn")
# So many columns fit a page of paper.
_COLUMNS = 8


def report(
    table: pd.DataFrame,
    folder: str | Path,
    *,
    title: str = "Which model to trust",
    data: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    headline: Sequence[str] = HEADLINE,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    glossary: Mapping[str, str] = GLOSSARY,
    unit: str = "held-out set",
) -> Path:
    """Write the table of a benchmark, its summary, its plots, and a page that tells what they say.

    Parameters
    ----------
    table
        Tidy table of a benchmark: what :func:`altercell.benchmark.holdout` returned, failed models included.
    folder
        Where to write; made where it is not there. Files of an earlier report are replaced.
    title
        Of the page.
    data, settings
        What to tell of the data (at the top) and of the run (at the end), by name.
    headline
        Metrics to show first, in order; those that the table lacks are left out, and others follow in a table of their
        own.
    groups
        Metrics by what they are about; the verdict is given for each group. Scatter plots show the first of each.
    glossary
        Metrics in plain words.
    unit
        What to call one held-out set.

    Returns
    -------
    The path of ``report.html``. Beside it are ``results.parquet`` (the table), ``summary.csv`` (a row a model and
    metric: mean, spreads, rank), ``comparisons.csv`` (:func:`compare` with every baseline) and the folder ``plots``.
    The page holds all that it shows: no network, no scripts.

    Raises
    ------
    DataError
        If the table has no scores at all, or no held-out set has scores of every model.
    """
    table = complete(table).reset_index(drop=True)
    rows = scored(table)
    if rows["value"].notna().sum() == 0:
        raise DataError("the table has no scores to report" + _why(table))
    place = Path(folder)
    (place / PLOTS).mkdir(parents=True, exist_ok=True)
    for old in (place / PLOTS).glob("*.[sp][vn]g"):
        old.unlink()  # models of an earlier report may be gone
    groups = groups_of(rows, groups)
    rows = _in_order(rows, groups)
    shared = common_units(rows)
    if not shared:
        sets = rows.assign(unit=units(rows)).groupby("model", sort=False)["unit"].nunique().sort_values(kind="stable")
        raise DataError(
            f"no {unit} has scores of every model, so nothing can be compared; '{sets.index[0]}' has the fewest "
            f"({sets.iloc[0]}): run it on the others, or leave it out of the table"
        )
    shown = rows[units(rows).isin(shared)]
    long = tables.long_summary(shown)
    table.to_parquet(place / RESULTS, index=False)
    long.to_csv(place / SUMMARY, index=False)
    there = list(dict.fromkeys(long["metric"]))
    first = [name for name in headline if name in there] or there[:_COLUMNS]
    compared = {name: compare(rows, name) for name in _baselines(rows)}
    _comparisons(compared).to_csv(place / COMPARISONS, index=False)
    context = {
        "title": title,
        "data": _texts(data or {}),
        "settings": _texts(settings or {}),
        "unit": unit,
        **_facts(table, rows, shown),
        **_verdict(table, rows, groups, compared),
        **_tables(rows, long, first, groups, compared),
        "map": draw_map(shown, first, place / PLOTS),
        "bars": draw_bars(shown, first, place / PLOTS),
        "scatters": draw_pairs(shown, groups, place / PLOTS) if len(shared) > 1 else [],
        "glossary": {name: glossary[name] for name in [*first, *there] if name in glossary},
        "needed": pairs_needed(),
        "alpha": ALPHA,
        "versions": {**_versions(), **_of_results(table)},
    }
    page = place / PAGE
    page.write_text(_render(context), encoding="utf-8")
    return page


def _why(table: pd.DataFrame) -> str:
    errors = [error for error in table["error"].fillna("").unique() if error]
    return f"; the models failed: {named(errors)}" if errors else ""


def _in_order(rows: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the rows with models first, the best on top, then baselines, then reference rows."""
    rank = ranks(rows, [name for names in groups.values() for name in names]).mean(axis=1)
    places = rows["model"].map(rank).where(rows["kind"] == "model", 0).fillna(np.inf)
    kinds = rows["kind"].map({"model": 0, "baseline": 1, "reference": 2}).fillna(0)
    return rows.iloc[np.lexsort((places, kinds))]


def _baselines(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[(rows["kind"] == "baseline") & rows["value"].notna(), "model"]))


def _comparisons(compared: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    frames = [frame.reset_index().assign(baseline=name) for name, frame in compared.items()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["model", "metric", "baseline"])


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return plain data as text, what is nested by dotted names."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts |= {f"{name}.{inner}": text for inner, text in _texts(value).items()}
        elif isinstance(value, list | tuple):
            texts[str(name)] = ", ".join(map(str, value))
        else:
            texts[str(name)] = "–" if value is None else f"{value:,}" if type(value) is int else str(value)
    return texts


def _facts(table: pd.DataFrame, rows: pd.DataFrame, shown: pd.DataFrame) -> dict[str, Any]:
    everything, used = list(dict.fromkeys(units(rows))), set(units(shown))
    kinds = table.groupby("model", sort=False)["kind"].first()
    return {
        "sets": [name for name in everything if name in used],
        "left_out": [name for name in everything if name not in used],
        "seeds": sorted(rows["seed"].unique()),
        "n_models": int((kinds == "model").sum()),
        "baselines": list(kinds.index[kinds == "baseline"]),
        "floor": floor_of(table),
        "ceiling": ceiling_of(rows),
        "has_cells": bool(rows["sd_cells"].notna().any()),
    }


def _verdict(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    groups: Mapping[str, Sequence[str]],
    compared: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    judged = judge(rows, groups, compared)
    few = [it.n_sets for by_model in judged.values() for it in by_model.values() if it.n_sets]
    failures = {model: text for model in dict.fromkeys(table["model"]) if (text := failure(table, model))}
    return {
        "advice": advice(rows, judged, groups),
        "standing": tables.standing(judged, distances(rows, groups), failures),
        "groups": groups,
        "too_few": min(few) if few and min(few) < pairs_needed() else 0,
        "failures": failures,
    }


def _tables(
    rows: pd.DataFrame,
    long: pd.DataFrame,
    first: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    compared: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    there = dict.fromkeys(long["metric"])
    others = [name for name in there if name not in first]
    chunks = [others[i : i + _COLUMNS] for i in range(0, len(others), _COLUMNS)]
    judged_by = dict.fromkeys(name for names in groups.values() for name in names if name in there)
    return {
        "scores": tables.scores(long, first, ""),
        "others": [tables.scores(long, names, "") for names in chunks],
        "paired": [it for name in judged_by if (it := tables.paired(rows, name, compared))],
        "by_set": [tables.by_set(rows, names[0]) for names in groups.values() if names and names[0] in there],
        "costs": tables.costs(rows),
    }


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _of_results(table: pd.DataFrame) -> dict[str, str]:
    names = [name for name in table["version"].fillna("").unique() if name]
    return {"altercell that made the results": ", ".join(names)} if names else {}


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("altercell.benchmark", ".")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, lstrip_blocks=True)
    return page.get_template("report.html.j2").render(context).lstrip()
