"""Tests of the way from evidence to predictions."""

import numpy as np
import pytest

from altercell.models.stack import CellAttention, Kriging, MeanDelta, SimilarTypes
from altercell.models.stack._attention import effective_pairs
from altercell.models.stack._error import calibrated
from altercell.models.stack._solve import CLOSED_FORMS, make_members, solve
from altercell.models.stack._weights import stacked


def test_members_by_name():
    found = make_members(CLOSED_FORMS)
    assert [member.name for member in found] == list(CLOSED_FORMS)
    assert [type(member) for member in found] == [Kriging, CellAttention, SimilarTypes, MeanDelta]
    # Attention falls back on the kriging that is a member itself, which is then solved once.
    assert found[1].anchor is found[0]
    assert [member.name for member in make_members(("mean", "kriging"))] == ["mean", "kriging"]


def test_a_prediction_is_put_together(evidence):
    members = make_members(("kriging", "attention", "mean"))
    found, wanted = solve(evidence, members), stacked(evidence, members)
    pairs = effective_pairs(members[1].weights(evidence)[0])
    assert len(found) == 2
    for row, (one, mixed) in enumerate(zip(found, wanted, strict=True)):
        np.testing.assert_array_equal(one.source, evidence.source.means[6 + row])
        np.testing.assert_array_equal(one.mean, mixed.means[0])
        assert list(one.weights) == ["kriging", "attention", "mean"]
        assert sum(one.weights.values()) == pytest.approx(1)
        np.testing.assert_array_equal(list(one.weights.values()), mixed.weights)
        assert one.n_types == 6
        assert one.effective_pairs == pytest.approx(pairs[row])


def relative(evidence, predicted: np.ndarray) -> float:
    """Return the mean over inner types of squared error over squared response, type by type."""
    values = []
    for row, u in enumerate(evidence.inner_types):
        real, base = evidence.target.means[u], evidence.source.means[u]
        values.append(((real - predicted[row]) ** 2).sum() / ((real - base) ** 2).sum())
    return sum(values) / len(values)


def test_the_errors_are_those_of_the_inner_types(evidence):
    members = make_members(("similar", "kriging"))
    wanted = stacked(evidence, members)
    for one, mixed in zip(solve(evidence, members), wanted, strict=True):
        assert one.inner_error == pytest.approx(relative(evidence, mixed.means[1:]))
        assert one.mean_delta_error == pytest.approx(relative(evidence, MeanDelta().means(evidence)[2:]))


def test_the_mean_alone_has_the_error_of_the_mean(evidence):
    evidence.target.means[:6] += 2  # nothing is cut off at zero
    one = solve(evidence, make_members(("mean",)))[0]
    assert one.inner_error == pytest.approx(one.mean_delta_error)


def test_the_standard_error_is_of_spread_and_kriging_and_calibrated(evidence):
    members = make_members(("kriging", "mean"))
    variances, wanted = members[0].solve(evidence)[1], stacked(evidence, members)
    inner = evidence.inner_types
    for row, (one, mixed) in enumerate(zip(solve(evidence, members), wanted, strict=True)):
        error = evidence.target.means[inner] - mixed.means[1:]
        own, known = mixed.spread[0] + variances[row], mixed.spread[1:] + variances[2:]
        want = calibrated(own, error, known, evidence.target.noise[inner])
        np.testing.assert_allclose(one.standard_error, want, rtol=1e-9)


def test_without_attention_no_pairs_are_counted_nor_cells_read(make_evidence):
    evidence = make_evidence()
    object.__setattr__(evidence, "control_space", None)
    one = solve(evidence, make_members(("mean", "similar")))[0]
    assert np.isnan(one.effective_pairs)
    assert (one.standard_error > 0).all()  # kriging is asked for it, member or not


def test_without_an_inner_type_nothing_is_tested(make_evidence):
    evidence = make_evidence(sizes=(10,) * 7)
    one = solve(evidence, make_members(("kriging", "mean")))[0]
    assert np.isnan(one.inner_error)
    assert np.isnan(one.mean_delta_error)
    assert one.weights == {"kriging": 1.0, "mean": 0.0}
    np.testing.assert_allclose(one.standard_error, np.sqrt(Kriging().solve(evidence)[1][0]))


def test_several_asked_are_answered_as_one_at_a_time(make_evidence):
    both = solve(make_evidence(n_asked=2), make_members(("kriging", "attention")))
    for row, asked in enumerate((6, 7)):
        single = solve(make_evidence(n_asked=2, asked=(asked,)), make_members(("kriging", "attention")))[0]
        np.testing.assert_allclose(single.mean, both[row].mean, atol=1e-6)
        np.testing.assert_allclose(single.standard_error, both[row].standard_error, rtol=1e-4)
        assert single.weights == pytest.approx(both[row].weights, abs=1e-4)
        assert single.inner_error == pytest.approx(both[row].inner_error, rel=1e-4)
