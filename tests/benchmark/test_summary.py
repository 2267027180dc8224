import numpy as np
import pandas as pd
import pytest

from altercell.benchmark import CEILING, in_words, summary, verdict
from altercell.errors import KeyNotFoundError


@pytest.fixture
def table() -> pd.DataFrame:
    values = {
        ("a", 0): [1.0, 3.0],
        ("a", 1): [2.0, 4.0],
        ("b", 0): [2.0, 2.0],
        ("b", 1): [2.0, 2.0],
        (CEILING, 0): [0.5, 0.5],
    }
    rows = [
        {"model": model, "label": label, "seed": seed, "metric": "mse", "value": value, "better": "lower"}
        for (model, seed), both in values.items()
        for label, value in zip(("x", "y"), both, strict=True)
    ]
    return pd.DataFrame([rows[-1], *rows[:-1]])


def test_mean_over_labels_and_spread_over_seeds(table: pd.DataFrame) -> None:
    result = summary(table)
    assert result.loc["a", ("mse", "mean")] == pytest.approx(2.5)
    assert result.loc["a", ("mse", "sd")] == pytest.approx(np.std([2.0, 3.0], ddof=1))
    assert result.loc["b", ("mse", "sd")] == 0
    assert np.isnan(result.loc[CEILING, ("mse", "sd")])


def test_the_ceiling_stands_last(table: pd.DataFrame) -> None:
    assert list(summary(table).index) == ["a", "b", CEILING]


def test_verdict_counts_the_held_out_sets(table: pd.DataFrame) -> None:
    assert verdict(table, "a", "b") == "a does not beat b on mse (2.5 against 2; better in 1 of 2 held-out sets)"
    assert verdict(table, "b", "a").startswith("b beats a on mse")
    assert "not both scored" in verdict(table, "a", "c")


def test_verdict_knows_where_higher_is_better(table: pd.DataFrame) -> None:
    assert verdict(table.assign(better="higher"), "a", "b").startswith("a beats b")


@pytest.mark.parametrize(
    ("value", "spread", "text"), [(0.01234, np.nan, "0.0123"), (np.nan, np.nan, "-"), (1.23456, 0.1, "1.235 ± 0.100")]
)
def test_numbers_are_short(value: float, spread: float, text: str) -> None:
    assert in_words(value, spread) == text


def test_the_spreads_are_named_and_independent(table: pd.DataFrame) -> None:
    table = table.assign(sd_cells=[0.3, 0.4] * 5)
    result = summary(table, spreads=("seeds", "splits", "cells"))
    assert list(result.columns) == [("mse", name) for name in ("mean", "sd", "sd_splits", "sd_cells")]
    assert result.loc["a", ("mse", "sd")] == pytest.approx(np.std([2.0, 3.0], ddof=1))
    assert result.loc["a", ("mse", "sd_splits")] == pytest.approx(np.std([1.5, 3.5], ddof=1))
    rows = table.loc[table["model"] == "a", "sd_cells"]
    assert result.loc["a", ("mse", "sd_cells")] == pytest.approx(np.sqrt(np.mean(rows**2)))
    with pytest.raises(KeyNotFoundError, match="no such spread: 'days'; there are 'seeds', 'splits', 'cells'"):
        summary(table, spreads=["days"])


def test_a_split_is_one_held_out_set_whatever_labels_it_has(table: pd.DataFrame) -> None:
    two = pd.concat([table.assign(split="drug 1"), table.assign(split="drug 2", value=table["value"] + 1)])
    assert summary(two).loc["a", ("mse", "mean")] == pytest.approx(3.0)
    # The labels of one split are scores of one training.
    assert verdict(two, "a", "b").endswith("better in 0 of 2 held-out sets)")


def test_sets_on_which_a_model_failed_are_left_out_for_all(table: pd.DataFrame) -> None:
    less = table[(table["model"] != "b") | (table["label"] != "y")]
    assert summary(less).loc["a", ("mse", "mean")] == pytest.approx(1.5)
    apart = less[(less["model"] != "a") | (less["label"] != "x")]
    assert summary(apart).isna().all(axis=None)


def test_the_nearer_to_zero_is_the_better(table: pd.DataFrame) -> None:
    zero = table.assign(better="zero", value=table["value"].where(table["model"] != "a", -table["value"]))
    assert verdict(zero, "b", "a") == "b beats a on mse (2 against -2.5; better in 1 of 2 held-out sets)"
