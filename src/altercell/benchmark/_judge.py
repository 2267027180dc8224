"""Every model against every baseline, by what the metrics are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from altercell.benchmark._compare import ALPHA, compare, pairs_needed, ranks, scored

#: What the metrics are about: a model is judged by each of these on its own.
GROUPS: Mapping[str, Sequence[str]] = {
    "means": ("mse", "pearson_delta"),
    "variances": ("variance_pearson_r2",),
    "distributions": ("edistance", "mmd", "forest_auc"),
}
FLOOR = "no change"


class Judgement(NamedTuple):
    """One model judged by one group of metrics.

    Attributes
    ----------
    standing
        ``"best"``: beats every baseline; ``"ahead"``: does so on average, but perhaps by chance; ``"some"``;
        ``"none"``: beats no baseline; ``"floor"``: worse than the simplest one; ``"unknown"``: nothing to compare.
    sure
        Whether chance is an unlikely explanation of the claim (p below 0.05 in each comparison).
    claim, detail
        The same for a reader.
    n_sets
        Held-out sets compared on.
    """

    standing: str
    sure: bool
    claim: str
    detail: str
    n_sets: int


class _Outcome(NamedTuple):
    """A model against one baseline over the metrics of a group: "better", "worse" or "mixed"."""

    word: str
    sure: bool
    n_pairs: int
    times_better: int  # by the metric of the group where they are fewest


def judge(
    table: pd.DataFrame,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    compared: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, dict[str, Judgement]]:
    """Judge every model by every group of metrics.

    Better than a baseline means: better on average by at least one metric of the group, and by none worse.

    Parameters
    ----------
    table
        Tidy table of a benchmark.
    groups
        Metrics by the name of what they are about; see :func:`groups_of`.
    compared
        :func:`compare` with each baseline, by its name, where that is known already.

    Returns
    -------
    By group, by model; baselines and reference rows are not judged.
    """
    table = scored(table)
    kinds = table.groupby("model", sort=False)["kind"].first()
    models, baselines = kinds.index[kinds == "model"], kinds.index[kinds == "baseline"]
    floor, answer = floor_of(table) or "", {}
    for group, metrics in groups_of(table, groups).items():
        order = best_first(table, metrics, list(baselines))
        frames = {name: compare(table, name, metrics) if compared is None else compared[name] for name in order}
        outcomes = {m: {b: o for b in order if (o := _outcome(frames[b], m, metrics))} for m in models}
        answer[group] = {model: _judgement(against, floor) for model, against in outcomes.items()}
    return answer


def groups_of(table: pd.DataFrame, groups: Mapping[str, Sequence[str]] = GROUPS) -> dict[str, list[str]]:
    """Return the groups with those of their metrics that a table has; where it has none, one group of all metrics.

    Parameters
    ----------
    table
        Tidy table of a benchmark.
    groups
        Metrics by the name of what they are about.
    """
    there = [name for name in dict.fromkeys(table["metric"]) if name != ""]
    found = {group: [name for name in metrics if name in there] for group, metrics in groups.items()}
    return {group: names for group, names in found.items() if names} or {"all scores": there}


def floor_of(table: pd.DataFrame) -> str | None:
    """Return the simplest baseline: ``"no change"``, or else the first one of the table; None without baselines.

    Parameters
    ----------
    table
        With all columns.
    """
    names = list(dict.fromkeys(table.loc[table["kind"] == "baseline", "model"]))
    return FLOOR if FLOOR in names else names[0] if names else None


def ceiling_of(table: pd.DataFrame) -> str | None:
    """Return the first reference row of the table, the score that real cells get; None without one.

    Parameters
    ----------
    table
        With all columns.
    """
    names = table.loc[table["kind"] == "reference", "model"]
    return None if names.empty else str(names.iloc[0])


def best_first(table: pd.DataFrame, metrics: Sequence[str], names: list[str]) -> list[str]:
    """Return the names that were scored, by their mean rank over the metrics.

    Parameters
    ----------
    table
        Scored rows.
    metrics
        What to rank by.
    names
        Of models; the others do not count.
    """
    rank = ranks(table[table["model"].isin(names)], metrics).mean(axis=1).dropna()
    return list(rank.sort_values(kind="stable").index)


def _outcome(frame: pd.DataFrame, model: str, metrics: Sequence[str]) -> _Outcome | None:
    rows = frame[frame.index.isin([(model, metric) for metric in metrics])]
    if rows.empty:
        return None
    word = "mixed"
    if (rows["gain"] >= 0).all() and (rows["gain"] > 0).any():
        word = "better"
    elif (rows["gain"] <= 0).all() and (rows["gain"] < 0).any():
        word = "worse"
    return _Outcome(
        word,
        bool((rows.loc[rows["gain"] != 0, "p"] < ALPHA).all()),
        int(rows["n_pairs"].min()),
        int(rows["times_better"].min()),
    )


def _judgement(against: Mapping[str, _Outcome], floor: str) -> Judgement:
    """Judge by the outcomes against the baselines, the best baseline first."""
    if not against:
        return Judgement("unknown", False, "not scored beside a baseline", "", 0)
    n = min(outcome.n_pairs for outcome in against.values())
    beaten = [name for name, outcome in against.items() if outcome.word == "better"]
    others = [name for name in against if name not in beaten]
    sure = bool(beaten) and all(against[name].sure for name in beaten)
    if not others:
        closest = beaten[0]
        often = f" (better than the best of them, {closest}, in {against[closest].times_better} of {n})"
        mostly = 2 * against[closest].times_better > n
        if sure or (n < pairs_needed() and mostly):
            return Judgement("best", sure, "beats every baseline", often, n)
        return Judgement("ahead", False, "ahead of every baseline on average, but not reliably", often, n)
    if floor in against and against[floor].word == "worse":
        every = all(outcome.word == "worse" for outcome in against.values())
        claim = "worse than every baseline" if every and len(against) > 1 else f"worse than {floor}"
        return Judgement("floor", against[floor].sure, claim, "", n)
    if not beaten:
        return Judgement("none", False, "beats no baseline", "", n)
    return Judgement("some", sure, f"beats {len(beaten)} of {len(against)} baselines", f", but not {named(others)}", n)


def named(names: Sequence[str], most: int = 2) -> str:
    """Write names as a person would, the rest as a number.

    Parameters
    ----------
    names
        The names, the most important first.
    most
        How many to write out.

    Examples
    --------
    >>> named(["a", "b", "c", "d"])
    'a, b and 2 more'
    """
    shown = list(names) if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
