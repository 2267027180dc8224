"""Tests of cell attention against a loop over cells and pairs."""

import math

import numpy as np
import pytest
from scipy import sparse

from altercell.models.stack import CellAttention, Kriging, MeanDelta
from altercell.models.stack._attention import assigned, attention, effective_pairs, weighted_differences


def loop(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """State attention cell by cell, in Python floats."""
    nearest = min(100, max(1, len(keys) // 4))
    total = [0.0] * len(keys)
    for query in queries:
        cosine = [
            sum(a * b for a, b in zip(query, key, strict=True)) / (math.hypot(*query) * math.hypot(*key))
            for key in keys
        ]
        order = sorted(range(len(keys)), key=lambda p: -cosine[p])[:nearest]
        weight = {p: math.exp(cosine[p] / 0.1) for p in order}
        for p in order:
            total[p] += weight[p] / sum(weight.values()) / len(queries)
    return np.array(total)


@pytest.mark.parametrize(("n_queries", "n_keys"), [(5, 40), (1, 9), (3, 1), (4, 3), (2, 460)])
def test_attention_is_that_of_a_loop(n_queries, n_keys):
    rng = np.random.default_rng(n_keys)
    queries, keys = rng.normal(size=(n_queries, 4)), rng.normal(size=(n_keys, 4))
    found = attention(queries, keys)
    np.testing.assert_allclose(found, loop(queries, keys), rtol=1e-9, atol=1e-15)
    assert found.sum() == pytest.approx(1)


def test_only_the_nearest_are_attended_to():
    rng = np.random.default_rng(0)
    assert np.count_nonzero(attention(rng.normal(size=(1, 6)), rng.normal(size=(48, 6)))) == 12
    assert np.count_nonzero(attention(rng.normal(size=(1, 6)), rng.normal(size=(900, 6)))) == 100


def test_the_length_of_a_point_does_not_matter():
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(3, 4)), rng.normal(size=(20, 4))
    scaled = attention(queries * rng.uniform(0.1, 9, (3, 1)), keys * rng.uniform(0.1, 9, (20, 1)))
    np.testing.assert_allclose(scaled, attention(queries, keys), rtol=1e-9)
    assert np.isfinite(attention(np.zeros((1, 4)), keys)).all()


def test_the_effective_number_of_pairs():
    weights = np.array([[0.25, 1.0, 0.0], [0.25, 0.0, 0.0], [0.25, 0.0, 0.0], [0.25, 0.0, 0.0]])
    np.testing.assert_allclose(effective_pairs(weights), [4, 1, 0])
    uneven = np.array([[0.5], [0.3], [0.2]])
    assert effective_pairs(uneven)[0] == pytest.approx(1 / (0.25 + 0.09 + 0.04))
    assert effective_pairs(np.empty((0, 2))).tolist() == [0, 0]


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_weighted_differences_are_summed_by_blocks(block, form):
    rng = np.random.default_rng(0)
    x, weights = rng.poisson(1.0, (30, 6)).astype(float), rng.random((17, 3))
    target, control = rng.integers(0, 30, 17), rng.integers(0, 30, 17)
    values = form(x)
    got = weighted_differences(lambda rows: values[rows], target, control, weights, block)
    want = [sum(weights[p, f] * (x[target[p]] - x[control[p]]) for p in range(17)) for f in range(3)]
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize(("n_control", "n_target"), [(5, 5), (4, 6), (6, 4)])
def test_pairs_are_the_assignment_of_least_squares(n_control, n_target):
    from itertools import permutations

    rng = np.random.default_rng(n_control)
    control, target, shift = rng.normal(size=(n_control, 3)), rng.normal(size=(n_target, 3)), rng.normal(size=3)
    first, second = assigned(control, target, shift)
    cost = ((control[:, None] + shift - target) ** 2).sum(2)
    wide = cost if n_control <= n_target else cost.T
    best = min(wide[range(len(wide)), list(order)].sum() for order in permutations(range(wide.shape[1]), len(wide)))
    assert cost[first, second].sum() == pytest.approx(best)
    assert len(set(first)) == len(set(second)) == min(n_control, n_target)


def plain(evidence, asked: int, types: list[int], fallback: np.ndarray) -> tuple[np.ndarray, float]:
    """State the member for one fold, pair by pair."""
    space = evidence.control_space()
    pairs = [(k, at) for k in types for at in range(len(space.pairs(k).points))]
    weights = loop(space.points(asked), np.array([space.pairs(k).points[at] for k, at in pairs]))
    base = evidence.source.means[asked]
    moved = base.copy()
    for weight, (k, at) in zip(weights, pairs, strict=True):
        moved += weight * (space.x[space.pairs(k).target[at]] - space.x[space.pairs(k).control[at]])
    n = 1 / (weights**2).sum()
    return n / (n + 20) * moved + 20 / (n + 20) * fallback, n


def test_the_member_is_that_of_a_loop(make_evidence):
    evidence = make_evidence(n_asked=2, sizes=(30, 12, 25, 40, 40, 40, 40, 40))
    anchor = MeanDelta()
    found, fallback = CellAttention(anchor).means(evidence), anchor.means(evidence)
    effective = effective_pairs(CellAttention(anchor).weights(evidence)[0])
    for row, fold in enumerate(evidence.folds):
        # Type 1 is too small to lend pairs, though not to lend a mean.
        types = [k for k in (0, 2, 3, 4, 5) if k != fold.asked]
        want, n = plain(evidence, fold.asked, types, fallback[row])
        np.testing.assert_allclose(found[row], want, rtol=1e-9, atol=1e-12)
        assert effective[row] == pytest.approx(n)


def test_weights_sum_to_one_and_a_fold_attends_to_no_pair_of_its_own(evidence):
    weights, target, control = CellAttention(Kriging()).weights(evidence)
    np.testing.assert_allclose(weights.sum(0), 1)
    assert weights.shape == (6 * 24, len(evidence.folds))
    assert target.shape == control.shape == (6 * 24,)
    for column, fold in enumerate(evidence.folds):
        owners = np.unique(control[weights[:, column] > 0] // 30)
        assert set(owners) <= set(fold.types)


def test_without_pairs_it_is_the_anchor(make_evidence):
    evidence = make_evidence(sizes=(19,) * 7)
    weights, target, control = CellAttention(Kriging()).weights(evidence)
    assert weights.shape == (0, 1)
    assert target.shape == control.shape == (0,)
    np.testing.assert_array_equal(CellAttention(Kriging()).means(evidence), Kriging().means(evidence))


def test_a_fold_without_pairs_falls_back_alone(make_evidence):
    # Only type 2 lends pairs, so that it has none to be predicted from itself.
    evidence = make_evidence(sizes=(19, 19, 40, 19, 19, 19, 19))
    anchor = MeanDelta()
    found, fallback = CellAttention(anchor).means(evidence), anchor.means(evidence)
    assert [fold.asked for fold in evidence.folds] == [6, 2]
    np.testing.assert_allclose(found[1], fallback[1], atol=1e-12)
    assert np.abs(found[0] - fallback[0]).max() > 1e-3
