"""From rows to a table that a person reads: means over labels, spread over seeds, and a plain comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from altercell.benchmark._holdout import CEILING

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


def summary(table: pd.DataFrame, names: Sequence[str] = HEADLINE) -> pd.DataFrame:
    """Return mean and spread of each metric by model.

    Parameters
    ----------
    table
        What :func:`altercell.benchmark.holdout` returned.
    names
        Metrics, in the order of the columns; those that the table lacks are left out.

    Returns
    -------
    Rows by model, in the order of the table, the ceiling last; columns ``(metric, "mean")`` and ``(metric, "sd")``: the
    mean over labels of the mean over seeds, and the standard deviation over seeds of the mean over labels (NaN with one
    seed). Labels on which some model failed are left out.
    """
    values = table[table["metric"].isin(names)]
    # A model that failed on some labels must not be averaged over the easy ones that are left.
    values = values[values["label"].isin(_labels_of_all(values))]
    by_seed = values.pivot_table(index="model", columns=["metric", "seed"], values="value", aggfunc="mean")
    order = [name for name in dict.fromkeys(table["model"]) if name != CEILING] + [CEILING]
    columns = {}
    for name in names:
        if name not in by_seed.columns.get_level_values("metric"):
            continue
        columns[name, "mean"] = by_seed[name].mean(axis=1)
        columns[name, "sd"] = by_seed[name].std(axis=1, ddof=1)
    return pd.DataFrame(columns).reindex([name for name in order if name in set(table["model"])])


def _labels_of_all(values: pd.DataFrame) -> list[str]:
    """Return the labels on which every model was scored; all labels where there is none such."""
    models = values.groupby("label")["model"].nunique()
    return list(models.index[models == values["model"].nunique()]) or list(models.index)


def verdict(table: pd.DataFrame, model: str, against: str, metric: str = "mse") -> str:
    """Say in one sentence whether a model beats another, over labels and seeds.

    Parameters
    ----------
    table
        What :func:`altercell.benchmark.holdout` returned.
    model, against
        Names of the two.
    metric
        The metric to compare by.
    """
    rows = table[table["metric"] == metric]
    both = rows.pivot_table(index=["label", "seed"], columns="model", values="value")
    if model not in both or against not in both:
        return f"{model} and {against} were not both scored by {metric}"
    pairs = both[[model, against]].dropna()
    if rows["better"].iloc[0] == "zero":
        both = both.abs()
    lower = rows["better"].iloc[0] != "higher"
    better = pairs[model] < pairs[against] if lower else pairs[model] > pairs[against]
    means = pairs.mean()
    word = "beats" if (means[model] < means[against]) == lower else "does not beat"
    return (
        f"{model} {word} {against} on {metric} ({means[model]:.4g} against {means[against]:.4g}; "
        f"better in {int(better.sum())} of {len(pairs)} held-out sets)"
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
