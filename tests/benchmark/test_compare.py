import itertools

import numpy as np
import pandas as pd
import pytest

from altercell.benchmark import compare, ranks
from altercell.benchmark._compare import pairs_needed
from altercell.errors import KeyNotFoundError


def exact_p(gains):
    """Two-sided p of Wilcoxon's test: the share of all ways to draw signs that are as far from the middle."""
    gains = np.asarray(gains)[np.asarray(gains) != 0]
    size = np.abs(gains)
    ranks = np.array([(size < s).sum() + ((size == s).sum() + 1) / 2 for s in size])
    middle = ranks.sum() / 2
    far = abs(ranks[gains > 0].sum() - middle)
    draws = [abs(np.dot(signs, ranks) - middle) for signs in itertools.product((0, 1), repeat=len(ranks))]
    return np.mean(np.array(draws) >= far - 1e-9)


@pytest.mark.parametrize(
    "gains",
    [[1, 2, 3], [1, 2, 3, 4, 5, 6, 7], [1, -2, 3, 4, 5, -0.5, 7, 8], [1, 1, 2, -2, 3, 3, 4], [0, 1, 2, -3, 4, 5, 6]],
)
def test_p_is_that_of_all_signs(gains, table_of):
    # Of values as these the differences are exact.
    base = np.full(len(gains), 16.0)
    table = table_of({"mse": {"model": base - gains, "base": base}}, kinds={"base": "baseline"})
    row = compare(table, "base").loc[("model", "mse")]
    assert row["p"] == pytest.approx(exact_p(gains))
    assert row["n_pairs"] == len(gains)
    assert row["times_better"] == np.sum(np.array(gains) > 0)
    assert row["times_equal"] == np.sum(np.array(gains) == 0)
    assert row["gain"] == pytest.approx(np.mean(gains))
    assert row["p_least"] == pytest.approx(2.0 ** (1 - len(gains)))


def test_six_pairs_are_needed_and_five_can_never_do(table_of):
    assert pairs_needed() == 6
    for n, enough in ((5, False), (6, True)):
        table = table_of({"mse": {"model": np.arange(n), "base": np.arange(n) * 2.0 + 9}})
        assert (compare(table, "base").loc[("model", "mse"), "p"] < 0.05) == enough
    assert pairs_needed(0.01) == 8


@pytest.mark.parametrize(("metric", "model", "base", "gain"), [
    ("mse", [1.0, 2], [3.0, 2], 1.0),
    ("pearson_delta", [0.5, 0.75], [0.25, 1], 0.0),
    ("bias", [-1.0, 2], [-3.0, -4], 2.0),
])  # fmt: skip
def test_gains_are_positive_where_the_model_is_better(metric, model, base, gain, table_of):
    table = table_of({metric: {"model": model, "base": base}})
    assert compare(table, "base").loc[("model", metric), "gain"] == pytest.approx(gain)
    assert compare(table, "model").loc[("base", metric), "gain"] == pytest.approx(-gain)


def test_seeds_are_no_more_pairs(table_of):
    values = {"mse": {"model": [1.0, 2, 3], "base": [2.0, 3, 4]}}
    one, many = compare(table_of(values), "base"), compare(table_of(values, seeds=5), "base")
    pd.testing.assert_frame_equal(one, many)
    assert one.loc[("model", "mse"), "n_pairs"] == 3


def test_only_sets_of_both_are_paired(table_of):
    table = table_of({"mse": {"model": [1.0, 2], "base": [2.0, 3, 100], "other": [5.0]}})
    frame = compare(table, "base", ["mse"])
    assert list(frame["n_pairs"]) == [2, 1]
    assert list(frame["gain"]) == [1, -3]


def test_equal_models_differ_by_chance(table_of):
    table = table_of({"mse": {"model": [1.0] * 7, "base": [1.0] * 7}})
    row = compare(table, "base").loc[("model", "mse")]
    assert (row["p"], row["times_equal"], row["times_better"]) == (1, 7, 0)


def test_missing_values_and_metrics_are_no_pairs(table_of):
    table = table_of({"mse": {"model": [1.0, np.nan], "base": [2.0, 3]}, "pearson_delta": {"base": [0.5, 0.5]}})
    frame = compare(table, "base")
    assert list(frame.index) == [("model", "mse")]
    assert frame["n_pairs"].iloc[0] == 1
    assert compare(table, "base", ["pearson_delta"]).empty


def test_a_baseline_that_is_not_there_is_named(table_of):
    with pytest.raises(KeyNotFoundError, match="'nobody' has no scores in the table; there are 'model', 'base'"):
        compare(table_of({"mse": {"model": [1.0], "base": [2.0]}}), "nobody")


def test_an_old_table_is_compared_alike(table_of):
    table = table_of({"mse": {"ScGen": [1.0, 2], "no change": [2.0, 3]}}, kinds={"no change": "baseline"})
    old = table[["model", "label", "seed", "metric", "value", "genes", "better", "seconds", "error"]]
    pd.testing.assert_frame_equal(compare(old, "no change"), compare(table, "no change"))
    pd.testing.assert_frame_equal(ranks(old), ranks(table))


def test_ranks_are_means_of_the_ranks_in_each_set_and_ties_share(table_of):
    values = {
        "mse": {"a": [1.0, 1, 9], "b": [2.0, 1, 1], "c": [3.0, 5, 2], "real": [0.0, 0, 0]},
        "pearson_delta": {"a": [0.9, 0.9, 0.9], "b": [0.5, 0.9, 0.1], "c": [0.1, 0.2, 0.3], "real": [1.0, 1, 1]},
        "bias": {"a": [-3.0, -3, -3], "b": [2.0, -2, 2], "c": [0.0, 1, -1]},
    }
    answer = ranks(table_of(values, kinds={"real": "reference"}))
    assert list(answer.index) == ["a", "b", "c"]
    np.testing.assert_allclose(answer["mse"], [(1 + 1.5 + 3) / 3, (2 + 1.5 + 1) / 3, (3 + 3 + 2) / 3])
    np.testing.assert_allclose(answer["pearson_delta"], [(1 + 1.5 + 1) / 3, (2 + 1.5 + 3) / 3, (3 + 3 + 2) / 3])
    np.testing.assert_allclose(answer["bias"], [3, 2, 1])


def test_sets_that_a_model_lacks_do_not_count_and_undefined_values_have_no_rank(table_of):
    values = {"mse": {"a": [1.0, 9.0], "b": [2.0]}, "pearson_delta": {"a": [0.5, 0.5], "b": [np.nan]}}
    answer = ranks(table_of(values))
    assert list(answer["mse"]) == [1, 2]
    assert answer.loc["a", "pearson_delta"] == 1
    assert np.isnan(answer.loc["b", "pearson_delta"])
