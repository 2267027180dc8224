"""What the table says, in plain sentences: which models to trust, and for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from altercell._scoring import by_unit, common_units, units, way
from altercell.benchmark._compare import pairs_needed, scored
from altercell.benchmark._judge import GROUPS, Judgement, best_first, ceiling_of, floor_of, groups_of, judge, named
from altercell.benchmark._store import complete


def verdicts(
    table: pd.DataFrame, *, groups: Mapping[str, Sequence[str]] = GROUPS, unit: str = "held-out set"
) -> dict[str, str]:
    """Say of every model, in plain words, what it can be trusted with.

    Parameters
    ----------
    table
        Tidy table of a benchmark: what :func:`altercell.benchmark.holdout` returned.
    groups
        Metrics by the name of what they are about.
    unit
        What to call one held-out set.

    Returns
    -------
    By model: whether it beats the baselines by each group of metrics, how far it comes on the way from the simplest
    baseline to what real cells score, on how many held-out sets it failed and why, and whether there are too few of
    them to tell.
    """
    table = complete(table)
    judged, far = judge(table, groups), distances(table, groups)
    answer = {}
    for model in dict.fromkeys(table.loc[table["kind"] == "model", "model"]):
        told = {group: by_model[model] for group, by_model in judged.items() if model in by_model}
        sentence = "; ".join(f"{it.claim} on {group}{it.detail}" for group, it in told.items())
        words = [sentence, _far_in_words(table, far, model), _few(told, unit), failure(table, model)]
        answer[model] = f"{model}: " + ". ".join(word for word in words if word) + "."
    return answer


def advice(
    table: pd.DataFrame,
    judged: Mapping[str, Mapping[str, Judgement]],
    groups: Mapping[str, Sequence[str]] = GROUPS,
) -> dict[str, str]:
    """Say for each group of metrics which model is the best, and whether it is better than every baseline.

    Parameters
    ----------
    table
        Tidy table of a benchmark.
    judged
        What :func:`judge` returned.
    groups
        Metrics by the name of what they are about.
    """
    table = scored(table)
    kinds = table.groupby("model", sort=False)["kind"].first()
    runners, answer = list(kinds.index[kinds != "reference"]), {}
    for group, by_model in judged.items():
        order = best_first(table, groups_of(table, groups)[group], runners)
        best = [name for name in order if name in by_model and by_model[name].standing == "best"]
        if not order:
            continue
        if (kinds[runners] != "baseline").all():
            answer[group] = f"{order[0]} ranks first. There is no baseline to measure it by."
        elif best:
            also = f", and so {'does' if len(best) == 2 else 'do'} {named(best[1:])}" if len(best) > 1 else ""
            answer[group] = f"{best[0]} beats every baseline{by_model[best[0]].detail}{also}."
        elif ahead := [name for name in order if name in by_model and by_model[name].standing == "ahead"]:
            answer[group] = f"{ahead[0]} is {by_model[ahead[0]].claim}{by_model[ahead[0]].detail}."
        elif kinds[order[0]] == "baseline":
            answer[group] = f"No model beats every baseline. The best is a baseline, {order[0]}."
        else:
            it = by_model[order[0]]
            answer[group] = f"No model beats every baseline. {order[0]} ranks first: it {it.claim}{it.detail}."
    return answer


def distances(table: pd.DataFrame, groups: Mapping[str, Sequence[str]] = GROUPS) -> pd.DataFrame:
    """Return how much of the way from the simplest baseline to real cells each model goes, by group.

    Parameters
    ----------
    table
        Tidy table of a benchmark.
    groups
        Metrics by the name of what they are about.

    Returns
    -------
    Rows by model, a column a group, of its first metric: 0 is the baseline, 1 real cells scored against real cells,
    below 0 farther away than the baseline; NaN where that can't be told.
    """
    table = scored(table)
    losses = by_unit(table[units(table).isin(common_units(table))])
    floor, ceiling = floor_of(table) or "", ceiling_of(table) or ""
    columns = {}
    for group, metrics in groups_of(table, groups).items():
        if metrics and metrics[0] in losses.index.get_level_values("metric"):
            columns[group] = way(losses.loc[metrics[0]].mean(), floor, ceiling)
    return pd.DataFrame(columns, index=list(dict.fromkeys(table["model"])))


def _far_in_words(table: pd.DataFrame, far: pd.DataFrame, model: str) -> str:
    if model not in far.index or far.loc[model].isna().all():
        return ""
    shares, floor = far.loc[model].dropna(), floor_of(table)
    gone = [f"{min(share, 1):.0%} on {group}" for group, share in shares[shares >= 0].items()]
    away = named(list(shares.index[shares < 0]), 3) if (shares < 0).any() else ""
    words = [f"of the way from {floor} to real cells it goes {', '.join(gone)}"] if gone else []
    words += [f"on {away} it is farther from real cells than {floor}"] if away else []
    return "; ".join(words).capitalize()[:1] + "; ".join(words)[1:]


def _few(told: Mapping[str, Judgement], unit: str) -> str:
    n = min((judgement.n_sets for judgement in told.values() if judgement.n_sets), default=0)
    if n == 0 or n >= pairs_needed():
        return ""
    return f"Only {n} {unit}{'s' * (n > 1)}: too few to tell from chance (at least {pairs_needed()})"


def failure(table: pd.DataFrame, model: str) -> str:
    """Say in how many runs a model failed, and why; "" where it did not.

    Parameters
    ----------
    table
        With all columns.
    model
        Its name.
    """
    rows = table[table["model"] == model]
    failed = rows[rows["error"].fillna("") != ""]
    if failed.empty:
        return ""
    n, of = len(failed[["split", "seed"]].drop_duplicates()), len(table[["split", "seed"]].drop_duplicates())
    why = list(dict.fromkeys(failed["error"].astype(str)))
    return f"Failed in {n} of {of} runs: {named([line.rstrip('.') for line in why], 1)}"
