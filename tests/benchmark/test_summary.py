import numpy as np
import pandas as pd
import pytest

from altercell.benchmark import CEILING, in_words, summary, verdict


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
    assert verdict(table, "a", "b") == "a does not beat b on mse (2.5 against 2; better in 1 of 4 held-out sets)"
    assert verdict(table, "b", "a").startswith("b beats a on mse")
    assert "not both scored" in verdict(table, "a", "c")


def test_verdict_knows_where_higher_is_better(table: pd.DataFrame) -> None:
    assert verdict(table.assign(better="higher"), "a", "b").startswith("a beats b")


@pytest.mark.parametrize(
    ("value", "spread", "text"), [(0.01234, np.nan, "0.0123"), (np.nan, np.nan, "-"), (1.23456, 0.1, "1.235 ± 0.100")]
)
def test_numbers_are_short(value: float, spread: float, text: str) -> None:
    assert in_words(value, spread) == text
