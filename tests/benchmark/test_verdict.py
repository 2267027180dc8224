import numpy as np
import pandas as pd
import pytest

from altercell.benchmark import verdicts
from altercell.benchmark._judge import judge
from altercell.benchmark._verdict import advice, distances, failure

KINDS = {"no change": "baseline", "shift": "baseline", "real": "reference"}
BASE = np.arange(7.0)


@pytest.fixture
def table(table_of):
    """Function of the number of sets: a net with good means and bad cells, and a poor one with good cells."""

    def make(n=7):
        values = {
            "mse": {
                "net": BASE * 1.01 + 4,
                "poor": BASE + 15,
                "no change": BASE + 20,
                "shift": BASE + 10,
                "real": BASE,
            },
            "edistance": {
                "net": BASE + 9,
                "poor": BASE + 2,
                "no change": BASE + 5,
                "shift": BASE + 3,
                "real": BASE + 1,
            },
        }
        short = {metric: {model: numbers[:n] for model, numbers in models.items()} for metric, models in values.items()}
        return table_of(short, kinds=KINDS)

    return make


def test_a_sentence_a_model(table):
    answer = verdicts(table())
    assert list(answer) == ["net", "poor"]
    assert answer["net"] == (
        "net: beats every baseline on means (better than the best of them, shift, in 7 of 7); worse than every "
        "baseline on distributions. Of the way from no change to real cells it goes 80% on means; on distributions it "
        "is farther from real cells than no change."
    )
    assert "beats 1 of 2 baselines on means, but not shift; beats every baseline on distributions" in answer["poor"]


def test_too_few_sets_are_told(table):
    assert verdicts(table(2))["net"].endswith("Only 2 held-out sets: too few to tell from chance (at least 6).")
    assert "Only 1 donor:" in verdicts(table(1), unit="donor")["net"]


def test_a_model_that_failed_says_so_with_the_error(table, failed):
    rows = pd.concat([table(), failed("broken", ["set 0", "set 1"], "ValueError: no such gene.")], ignore_index=True)
    answer = verdicts(rows)
    assert answer["broken"] == "broken: Failed in 2 of 7 runs: ValueError: no such gene."
    assert answer["net"] == verdicts(table())["net"]
    assert failure(rows, "net") == ""


def test_distances_are_of_the_first_metric(table):
    far = distances(table())
    assert far.loc["net", "means"] == pytest.approx((20 - 4 - 0.01 * BASE.mean()) / 20)
    assert far.loc["net", "distributions"] == pytest.approx((5 - 9) / (5 - 1))
    assert list(far.loc["no change"]) == [0, 0]
    assert list(far.loc["real"]) == [1, 1]


def test_the_short_answer_names_the_best(table):
    told = advice(table(), judge(table()))
    assert told["means"] == "net beats every baseline (better than the best of them, shift, in 7 of 7)."
    assert told["distributions"].startswith("poor beats every baseline")


def test_the_short_answer_says_when_a_baseline_is_the_best(table):
    rows = table()
    rows = rows[rows["model"] != "net"]
    assert advice(rows, judge(rows))["means"] == "No model beats every baseline. The best is a baseline, shift."


def test_the_short_answer_says_when_it_may_be_chance(table_of):
    values = {"net": np.r_[BASE[:5] + 8, 19, 19.0], "no change": BASE + 20, "shift": BASE + 10}
    rows = table_of({"mse": values}, kinds=KINDS)
    assert advice(rows, judge(rows))["means"] == (
        "net is ahead of every baseline on average, but not reliably (better than the best of them, shift, in 5 of 7)."
    )


def test_the_short_answer_without_baselines(table):
    rows = table()
    rows = rows[rows["kind"] != "baseline"]
    assert advice(rows, judge(rows))["means"] == "net ranks first. There is no baseline to measure it by."


def test_other_metrics_are_one_group(table):
    rows = table().assign(metric="ari").drop_duplicates(["model", "split"])
    assert "beats every baseline on all scores" in verdicts(rows)["net"]
