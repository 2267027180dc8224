"""Tests of the members' weights, against a search of the simplex and against a general solver."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from altercell.models.stack import Evidence, Kriging, MeanDelta, Member, SimilarTypes
from altercell.models.stack._weights import _convex_weights, stacked


class Fixed(Member):
    """Says what it was given, for every fold."""

    name = "fixed"

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer

    def means(self, evidence):
        return self.answer


def objective(evidence, members, row: int, weights: np.ndarray) -> float:
    """State what the weights of an asked type make small."""
    asked, n_asked = evidence.asked[row], len(evidence.asked)
    total = 0.0
    for at, u in enumerate(evidence.inner_types):
        s, c = evidence.target.means[u], evidence.source.means[u]
        mixed = sum(w * member.means(evidence)[n_asked + at] for w, member in zip(weights, members, strict=True))
        near = np.exp(-evidence.distances[asked, u] / evidence.scale)
        total += near * ((s - mixed) ** 2).sum() / ((s - c) ** 2).sum()
    return total


def convex(design: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the weights of the columns of `design` for `goal`."""
    return _convex_weights(design.T @ design, design.T @ goal)


def without(evidence, u: int):
    """Return the same evidence where nothing is learnt from an inner type."""
    rest = Evidence(evidence.source, evidence.target, evidence.types, evidence.asked, evidence.control_space)
    rest.__dict__["inner_types"] = evidence.inner_types[evidence.inner_types != u]
    return rest


def random_members(evidence, n_members: int, seed: int = 0) -> list[Member]:
    """Return members that are each off by their own amount."""
    rng = np.random.default_rng(seed)
    right = evidence.target.means[[fold.asked for fold in evidence.folds]]
    return [Fixed(right + rng.normal(0, size, right.shape)) for size in rng.uniform(0.2, 0.6, n_members)]


@pytest.mark.parametrize("seed", range(4))
def test_two_weights_are_those_of_a_search(make_evidence, seed):
    evidence = make_evidence(n_asked=2, seed=seed)
    members = random_members(evidence, 2, seed)
    grid = np.linspace(0, 1, 501)
    for row, found in enumerate(stacked(evidence, members)):
        values = [objective(evidence, members, row, np.array([w, 1 - w])) for w in grid]
        assert found.weights[0] == pytest.approx(grid[np.argmin(values)], abs=3e-3)


@pytest.mark.parametrize("seed", range(3))
def test_three_weights_are_the_best_of_the_simplex(make_evidence, seed):
    evidence = make_evidence(seed=seed)
    members = random_members(evidence, 3, seed)
    weights = stacked(evidence, members)[0].weights
    grid = [np.array([a, b, 50 - a - b]) / 50 for a, b in product(range(51), repeat=2) if a + b <= 50]
    best = min(grid, key=lambda w: objective(evidence, members, 0, w))
    np.testing.assert_allclose(weights, best, atol=0.03)
    assert objective(evidence, members, 0, weights) <= objective(evidence, members, 0, best) * (1 + 1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_convex_weights_are_those_of_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(40, 4)) + rng.normal(size=(40, 1))
    goal = design @ rng.dirichlet(np.full(4, 0.4)) + rng.normal(0, 0.5, 40)
    found = convex(design, goal)
    want = minimize(
        lambda w: ((design @ w - goal) ** 2).sum(),
        np.full(4, 0.25),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    ).x
    np.testing.assert_allclose(found, want, atol=3e-3)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_data_does_not_matter(scale):
    rng = np.random.default_rng(0)
    design, goal = rng.normal(size=(30, 3)), rng.normal(size=30)
    np.testing.assert_allclose(convex(scale * design, scale * goal), convex(design, goal), atol=1e-6)


def test_members_that_are_alike_or_say_nothing():
    column = np.random.default_rng(0).normal(size=(20, 1))
    twice = convex(np.hstack([column, column]), column[:, 0])
    assert (twice >= 0).all()
    assert twice.sum() == pytest.approx(1)
    nothing = convex(np.zeros((20, 2)), np.ones(20))
    assert np.isfinite(nothing).all()
    assert nothing.sum() == pytest.approx(1)


def test_the_member_that_is_right_takes_all(make_evidence):
    evidence = make_evidence()
    right = evidence.target.means[[fold.asked for fold in evidence.folds]]
    wrong = right + np.random.default_rng(0).normal(0, 1, right.shape)
    weights = stacked(evidence, [Fixed(wrong), Fixed(right)])[0].weights
    np.testing.assert_allclose(weights, [0, 1], atol=5e-3)


def test_alike_types_count_more(make_evidence):
    evidence = make_evidence(n_asked=2)
    evidence.target.means[:6] = evidence.source.means[:6] + 1
    right = evidence.target.means[[fold.asked for fold in evidence.folds]]
    first, second = right.copy(), right.copy()
    first[2 + 4] += 2  # wrong on type 4 alone
    second[2 + 1] += 2  # wrong on type 1 alone
    found = stacked(evidence, [Fixed(first), Fixed(second)])
    near = np.exp(-evidence.distances / evidence.scale)
    for row, asked in enumerate((6, 7)):
        # In between, w^2 of the one's error and (1 - w)^2 of the other's are weighed by likeness.
        want = near[asked, 1] / (near[asked, 1] + near[asked, 4])
        assert found[row].weights[0] == pytest.approx(want, abs=2e-3)
    assert found[0].weights[0] != pytest.approx(found[1].weights[0], abs=0.02)


def test_the_size_of_a_response_does_not_matter(make_evidence):
    evidence = make_evidence()
    evidence.source.means[:6] = evidence.source.means[0]
    evidence.source.means[:6, 0] += np.array([0, 10, 20, 30, 40, 50]) * 1e-3
    step = np.array([1, 1, 1, 10.0, 10, 10])[:, None]
    evidence.target.means[:6] = evidence.source.means[:6] + step
    base = evidence.bases
    # Either is right on three types, and answers no change on the others.
    small, large = base.copy(), base.copy()
    small[1:4] += step[:3]
    large[4:7] += step[3:]
    evidence.source.means[6] = evidence.source.means[:6].mean(0)
    weights = stacked(evidence, [Fixed(small), Fixed(large)])[0].weights
    np.testing.assert_allclose(weights, 0.5, atol=0.1)


def test_the_mean_is_mixed_and_cut_off_at_zero_and_the_spread_is_that_of_the_members(evidence):
    members = [Kriging(), SimilarTypes(), MeanDelta()]
    for row, found in enumerate(stacked(evidence, members)):
        for at, fold in enumerate([row, *range(2, 8)]):
            answers = [evidence.means(member)[fold] for member in members]
            weights = found.weights
            if at > 0:
                # An inner type has the weights that the other ones have taught.
                u, n_asked = evidence.inner_types[at - 1], len(evidence.asked)
                kept = [*range(n_asked), *(n_asked + i for i in range(6) if i != at - 1)]
                others = [Fixed(evidence.means(member)[kept]) for member in members]
                weights = stacked(without(evidence, u), others)[row].weights
            mean = sum(w * a for w, a in zip(weights, answers, strict=True))
            spread = sum(w * (a - mean) ** 2 for w, a in zip(weights, answers, strict=True))
            np.testing.assert_allclose(found.means[at], np.maximum(mean, 0), atol=1e-12)
            np.testing.assert_allclose(found.spread[at], spread, atol=1e-12)


def test_negative_means_are_cut_off(make_evidence):
    evidence = make_evidence()
    found = stacked(evidence, [Fixed(-np.ones_like(evidence.bases))])[0]
    assert (found.means == 0).all()


def test_a_single_member_has_all_the_weight(evidence):
    for found in stacked(evidence, [MeanDelta()]):
        assert found.weights.tolist() == [1]
        assert (found.spread == 0).all()


@pytest.mark.parametrize("members", [[Kriging(), MeanDelta()], [MeanDelta(), Kriging()]])
def test_without_an_inner_type_the_first_stands_alone(make_evidence, members):
    evidence = make_evidence(sizes=(19,) * 7)
    found = stacked(evidence, members)[0]
    assert found.weights.tolist() == [1, 0]
    np.testing.assert_allclose(found.means, np.maximum(members[0].means(evidence), 0))


def test_an_inner_type_without_any_response(make_evidence):
    evidence = make_evidence()
    evidence.target.means[2] = evidence.source.means[2]
    assert np.isfinite(stacked(evidence, [Kriging(), MeanDelta()])[0].means).all()
