import numpy as np
import pytest

from altercell.benchmark._judge import ceiling_of, floor_of, groups_of, judge, named

KINDS = {"no change": "baseline", "shift": "baseline", "real": "reference"}
GROUPS = {"means": ("mse", "pearson_delta"), "cells": ("edistance",)}
BASE = np.arange(7.0)


@pytest.fixture
def judged(table_of):
    """Function of a network's errors: how it is judged by them."""

    def judge_it(model, n=7, **others):
        values = {"no change": BASE[:n] + 20, "shift": BASE[:n] + 10, "net": np.asarray(model)[:n], **others}
        return judge(table_of({"mse": values}, kinds=KINDS), GROUPS)["means"]["net"]

    return judge_it


def test_better_than_every_baseline_for_sure(judged):
    it = judged(BASE * 1.1)
    assert (it.standing, it.sure, it.n_sets) == ("best", True, 7)
    assert it.claim + it.detail == "beats every baseline (better than the best of them, shift, in 7 of 7)"


def test_better_by_chance_is_told(judged):
    it = judged(np.r_[BASE[:5] + 8, 19, 19.0])
    assert (it.standing, it.sure) == ("ahead", False)
    assert it.claim == "ahead of every baseline on average, but not reliably"
    assert it.detail.endswith("shift, in 5 of 7)")


def test_few_sets_are_never_sure(judged):
    it = judged(BASE, n=3)
    assert (it.standing, it.sure, it.n_sets) == ("best", False, 3)
    assert "reliably" not in it.detail


def test_some_baselines_are_beaten(judged):
    it = judged(BASE + 15)
    assert (it.standing, it.claim, it.detail) == ("some", "beats 1 of 2 baselines", ", but not shift")


def test_worse_than_no_change(judged):
    assert judged(BASE + 25).claim == "worse than every baseline"
    it = judged(BASE + 25, shift=BASE + 30)
    assert (it.standing, it.claim, it.sure) == ("floor", "worse than no change", True)


def test_as_good_is_not_better(judged):
    it = judged(BASE + 20, shift=BASE + 20)
    assert (it.standing, it.claim) == ("none", "beats no baseline")


def test_one_metric_better_and_one_worse_beats_nobody(table_of):
    values = {
        "mse": {"no change": [3.0] * 7, "net": [1.0] * 7},
        "pearson_delta": {"no change": [0.5] * 7, "net": [0.4] * 7},
    }
    assert judge(table_of(values, kinds=KINDS), GROUPS)["means"]["net"].standing == "none"
    values["pearson_delta"]["net"] = [0.5] * 7
    assert judge(table_of(values, kinds=KINDS), GROUPS)["means"]["net"].standing == "best"


def test_nothing_to_compare_with(table_of):
    assert judge(table_of({"mse": {"net": [1.0, 2]}}), GROUPS)["means"]["net"].standing == "unknown"


def test_groups_without_their_metrics_are_left_out(table_of):
    table = table_of({"mse": {"net": [1.0]}})
    assert groups_of(table, GROUPS) == {"means": ["mse"]}
    assert groups_of(table, {"x": ("ari",)}) == {"all scores": ["mse"]}


def test_floor_and_ceiling(table_of):
    table = table_of({"mse": {"net": [1.0], "shift": [1.0], "no change": [1.0], "real": [0.0]}}, kinds=KINDS)
    assert (floor_of(table), ceiling_of(table)) == ("no change", "real")
    other = table[table["model"] != "no change"]
    assert floor_of(other) == "shift"
    assert floor_of(table[:1]) is None
    assert ceiling_of(table[:1]) is None


@pytest.mark.parametrize(("names", "text"), [
    (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (list("abcd"), "a, b and 2 more"),
])  # fmt: skip
def test_names_are_written_out(names, text):
    assert named(names) == text
