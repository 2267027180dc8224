import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from altercell.errors import GeneMismatchError, GroupError
from altercell.metrics import perturbation_rank

NAMES = list("abcde")
MEANS = dict(zip(NAMES, np.random.default_rng(0).normal(size=(5, 30)), strict=True))


def test_right_and_farthest_conditions():
    line = {"a": np.array([0.0]), "b": np.array([1.0]), "c": np.array([2.0]), "d": np.array([9.0])}
    assert perturbation_rank(np.array([0.1]), line, "a") == 0
    assert perturbation_rank(np.array([0.1]), line, "b") == pytest.approx(1 / 3)
    assert perturbation_rank(np.array([0.1]), line, "d") == 1


def test_frame_and_mapping_agree():
    frame = pd.DataFrame.from_dict(MEANS, orient="index")
    pred = MEANS["b"] * 0.6 + MEANS["d"] * 0.4
    for target in NAMES:
        assert perturbation_rank(pred, frame, target) == perturbation_rank(pred, MEANS, target)
    assert perturbation_rank(pred, MEANS, "b") == 0
    assert perturbation_rank(pred, MEANS, "d") == 0.25


def test_mode_collapse_scores_one_half_on_average():
    collapsed = np.mean(list(MEANS.values()), axis=0)
    assert np.mean([perturbation_rank(collapsed, MEANS, target) for target in NAMES]) == pytest.approx(0.5)


def test_ties_count_half():
    same = {name: np.ones(3) for name in NAMES}
    assert perturbation_rank(np.zeros(3), same, "a") == 0.5


def test_unknown_too_few_and_misshapen():
    with pytest.raises(GroupError, match="no condition 'z' among the real ones: 'a', 'b', 'c', 'd', 'e'"):
        perturbation_rank(MEANS["a"], MEANS, "z")
    with pytest.raises(GroupError, match="a rank needs 3 conditions or more; there are 'a', 'b'"):
        perturbation_rank(MEANS["a"], {"a": MEANS["a"], "b": MEANS["b"]}, "a")
    with pytest.raises(GeneMismatchError, match=r"mean of 'a' has shape \(30,\), the predicted one \(29,\)"):
        perturbation_rank(MEANS["a"][1:], MEANS, "a")


@given(st.permutations(NAMES), st.sampled_from(NAMES), st.floats(0.1, 100))
def test_order_of_conditions_and_units_do_not_matter(order, target, scale):
    pred = 0.5 * MEANS["a"] + 0.3 * MEANS["c"]
    expected = perturbation_rank(pred, MEANS, target)
    assert perturbation_rank(pred, {name: MEANS[name] for name in order}, target) == expected
    assert perturbation_rank(scale * pred, {name: scale * mean for name, mean in MEANS.items()}, target) == expected


def test_ranks_of_all_conditions_are_a_permutation():
    ranks = sorted(perturbation_rank(MEANS["a"] + 0.1, MEANS, target) for target in NAMES)
    assert ranks == [0, 0.25, 0.5, 0.75, 1]
