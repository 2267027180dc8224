"""PROSSTT's parts: trees, walks, programmes, base expression and the variance of counts."""

import numpy as np
import pytest
from scipy import stats

from altercell.datasets._counts import negative_binomial
from altercell.datasets._programs import (
    CountVariance,
    Diffusion,
    base_expression,
    branch_parents,
    branch_programs,
)
from altercell.errors import DataError

USUAL = {"start_speed": 0.2, "momentum": 0.95, "jitter": 2.0}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("n_branches", "parents"),
    [
        (1, [-1]),
        (2, [-1, 0]),
        (3, [-1, 0, 0]),
        (4, [-1, 0, 0, 0]),
        (5, [-1, 0, 0, 1, 1]),
        (6, [-1, 0, 0, 1, 1, 1]),
        (7, [-1, 0, 0, 1, 1, 2, 2]),
    ],
)
def test_trees_split_breadth_first_and_leave_no_branch_alone(n_branches, parents):
    assert branch_parents(n_branches, None).tolist() == parents


def test_a_topology_is_followed_in_any_order():
    assert branch_parents(3, [(2, 3), (0, 2), (0, 1), (2, 4)]).tolist() == [-1, 0, 0, 2, 2]
    assert branch_parents(3, []).tolist() == [-1]


@pytest.mark.parametrize(
    "topology",
    [
        [(0, 1), (0, 1)],
        [(0, 2)],
        [(1, 2), (2, 1)],
        [(1, 1)],
        [(0, 1), (3, 2)],
        [(-1, 1)],
        [(0, 1, 2)],
        [(0, 1), (0, 3)],
    ],
)
def test_what_is_no_tree_is_refused(topology):
    with pytest.raises(DataError, match="topology must name the parent of each branch"):
        branch_parents(3, topology)


def test_walks_follow_the_equations():
    """An independent statement, one walk and one step at a time, of the same draws."""
    n_steps, n_walks = 6, 3
    walks = Diffusion(n_steps, **USUAL).draw(rng(5), n_walks)
    draws = rng(5)
    eta = draws.random(n_walks)
    first = draws.normal(0.0, 0.2, n_walks)
    noise = draws.normal(0.0, 2.0 / n_steps, (n_steps - 1, n_walks))
    for k in range(n_walks):
        place, speed = 0.0, first[k]
        for t in range(n_steps):
            assert walks[t, k] == pytest.approx(place)
            place += speed
            if t < n_steps - 1:
                speed = 0.95 * speed + noise[t, k] - eta[k] * speed


def test_walks_have_momentum():
    walks = Diffusion(50, **USUAL).draw(rng(), 4_000)
    np.testing.assert_array_equal(walks[0], 0.0)
    assert (walks[1] - walks[0]).std() == pytest.approx(0.2, rel=0.05)
    moves = np.diff(walks, axis=0)
    # Moves keep 0.95 - eta of the one before, 0.45 on average; walks that keep more weigh more.
    assert 0.5 < np.corrcoef(moves[:-1].ravel(), moves[1:].ravel())[0, 1] < 0.95


def test_branches_go_on_where_their_parent_ended():
    parents = np.array([-1, 0, 0, 2])
    coefficients = rng(1).gamma(0.5, size=(4, 30))
    programs, change = branch_programs(rng(), parents, coefficients, Diffusion(20, **USUAL), max_log_change=50.0)
    np.testing.assert_array_equal(change[0, 0], 0.0)
    for child, parent in [(1, 0), (2, 0), (3, 2)]:
        np.testing.assert_allclose(change[child, 0], change[parent, -1])
        np.testing.assert_allclose(change[child] - change[parent, -1], programs[child] @ coefficients, atol=1e-12)
    assert np.abs(change[1] - change[2])[-1].mean() > 0.05


def test_a_branch_that_runs_away_is_drawn_anew():
    coefficients = rng(1).gamma(0.5, size=(4, 30))
    free = branch_programs(rng(), np.array([-1]), coefficients, Diffusion(20, **USUAL), max_log_change=50.0)[1].max()
    bound = 0.9 * free
    bounded = branch_programs(rng(), np.array([-1]), coefficients, Diffusion(20, **USUAL), max_log_change=bound)[
        1
    ].max()
    assert 0 < bounded <= bound


def test_a_branch_that_always_runs_away_is_named():
    # A gene for each walk and one against it: some gene rises at once.
    coefficients = np.concatenate([np.eye(2), -np.eye(2)], axis=1)
    with pytest.raises(DataError, match=r"branch_0 rose above max_log_change=1e-06 in each of 100 draws"):
        branch_programs(rng(), np.array([-1]), coefficients, Diffusion(20, **USUAL), max_log_change=1e-6)


def test_another_branch_leaves_the_first_ones_alone():
    coefficients = rng(1).gamma(0.5, size=(4, 30))
    two, three = (
        branch_programs(rng(), np.array(parents), coefficients, Diffusion(20, **USUAL), max_log_change=50.0)[0]
        for parents in ([-1, 0], [-1, 0, 0])
    )
    np.testing.assert_array_equal(two, three[:2])


def test_base_expression_is_log_normal_where_nothing_is_cut():
    base = base_expression(rng(), np.zeros((1, 1, 20_000)), location=0.8, scale=1.0, highest=1e9)
    assert stats.kstest(np.log(base), stats.norm(0.8, 1.0).cdf).pvalue > 0.01


def test_base_expression_is_cut_where_a_gene_would_rise_too_high():
    change = np.zeros((2, 3, 20_000))
    change[1, 2] = np.log(100.0)
    base = base_expression(rng(), change, location=0.8, scale=1.0, highest=200.0)
    assert (100 * base).max() <= 200.0
    cut = stats.truncnorm(-np.inf, np.log(2.0) - 0.8, loc=0.8, scale=1.0)
    assert stats.kstest(np.log(base), cut.cdf).pvalue > 0.01


def test_counts_have_the_variance_of_prosstt():
    alpha, beta = np.array([0.1, 0.3, 1e-6]), np.array([1.0, 3.0, 2.0])
    means, n_cells = np.array([[20.0, 5.0, 2.0]]), 60_000
    counts = negative_binomial(rng(), means, np.zeros(n_cells, dtype=int), np.ones(n_cells), CountVariance(alpha, beta))
    x = counts.toarray().astype(float)
    np.testing.assert_allclose(x.mean(axis=0), means[0], rtol=0.02)
    np.testing.assert_allclose(x.var(axis=0), alpha * means[0] ** 2 + beta * means[0], rtol=0.04)
