"""From profiles to cells: group sizes, moments of the counts, sparsity."""

import numpy as np
import pytest
from scipy import sparse, stats

from altercell.datasets import _counts
from altercell.datasets._counts import assign_groups, negative_binomial


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n_cells", [7, 100, 1_001])
def test_groups_have_the_sizes_asked_to_within_one_cell(n_cells):
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    sizes = np.bincount(assign_groups(rng(), shares, n_cells), minlength=4)
    assert sizes.sum() == n_cells
    assert np.all(np.abs(sizes - shares * n_cells) < 1)


def test_groups_come_in_random_order():
    groups = assign_groups(rng(), np.array([0.5, 0.5]), 1_000)
    assert 400 < np.count_nonzero(np.diff(groups)) < 600


def test_shares_that_sum_to_less_than_one_by_rounding_do_not_make_another_group():
    shares = np.full(3, 1 / 3 - 1e-9)
    assert assign_groups(rng(), shares, 10_000).max() == 2


def test_moments_are_those_of_the_negative_binomial():
    n_cells, dispersion = 40_000, np.array([0.05, 0.5, 2.0])
    profiles = np.array([[0.7, 0.2, 0.1]])
    counts = negative_binomial(rng(), profiles, np.zeros(n_cells, dtype=int), np.full(n_cells, 50.0), dispersion)
    x = counts.toarray().astype(float)
    mean = 50 * profiles[0]
    variance = mean + dispersion * mean**2
    assert np.all(np.abs(x.mean(axis=0) - mean) < 4 * np.sqrt(variance / n_cells))
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.06)


def test_the_distribution_is_that_of_scipy():
    n_cells, alpha, mean = 20_000, 0.8, 3.0
    counts = negative_binomial(
        rng(1), np.array([[1.0]]), np.zeros(n_cells, dtype=int), np.full(n_cells, mean), np.array([alpha])
    )
    x = counts.toarray().ravel().astype(int)
    expected = stats.nbinom(1 / alpha, 1 / (1 + alpha * mean))
    seen = np.bincount(x, minlength=8)[:8] / n_cells
    np.testing.assert_allclose(seen, expected.pmf(np.arange(8)), atol=0.012)


def test_each_cell_follows_its_own_group_and_library():
    profiles = np.array([[1.0, 0.0], [0.0, 1.0]])
    groups, library = np.array([0, 1, 1]), np.array([1e3, 1e3, 1e5])
    x = negative_binomial(rng(), profiles, groups, library, np.full(2, 1e-4)).toarray()
    np.testing.assert_array_equal(x > 0, [[True, False], [False, True], [False, True]])
    assert x[2, 1] / x[1, 1] == pytest.approx(100, rel=0.2)


def test_a_dispersion_may_depend_on_the_mean(monkeypatch):
    monkeypatch.setattr(_counts, "BLOCK", 10_000)
    groups, library = np.repeat([0, 1], 20_000), np.tile([10.0, 40.0], 20_000)
    counts = negative_binomial(rng(), np.array([[0.3], [0.9]]), groups, library, lambda mean: 1 / mean)
    x = counts.toarray().ravel().astype(float)
    for group, share in enumerate((0.3, 0.9)):
        for size in (10.0, 40.0):
            cells = (groups == group) & (library == size)
            assert x[cells].mean() == pytest.approx(share * size, rel=0.03)
            # mu + mu ** 2 / mu
            assert x[cells].var() == pytest.approx(2 * share * size, rel=0.06)


def test_a_function_that_is_constant_gives_the_same_counts_as_its_value():
    arguments = np.full((1, 10), 0.1), np.zeros(7, dtype=int), np.linspace(10, 70, 7)
    alpha = np.linspace(0.1, 1.0, 10)
    fixed = negative_binomial(rng(), *arguments, alpha)
    called = negative_binomial(rng(), *arguments, lambda mean: np.broadcast_to(alpha, mean.shape))
    assert (fixed != called).nnz == 0


def test_counts_are_whole_sparse_and_canonical():
    counts = negative_binomial(
        rng(), np.full((1, 20), 0.05), np.zeros(30, dtype=int), np.full(30, 20.0), np.full(20, 0.5)
    )
    assert sparse.isspmatrix_csr(counts)
    assert counts.dtype == np.float32
    assert counts.has_canonical_format
    assert counts.data.min() >= 1
    assert not np.mod(counts.data, 1).any()


def test_blocks_leave_no_seam(monkeypatch):
    monkeypatch.setattr(_counts, "BLOCK", 25)
    arguments = np.full((1, 10), 0.1), np.zeros(7, dtype=int), np.linspace(1e4, 7e4, 7), np.full(10, 1e-4)
    counts = negative_binomial(rng(), *arguments)
    assert counts.shape == (7, 10)
    np.testing.assert_allclose(np.asarray(counts.sum(axis=1)).ravel(), arguments[2], rtol=0.05)
    rows = {tuple(row) for row in counts.toarray()}
    assert len(rows) == 7, "a block was drawn twice"


def test_a_block_holds_at_least_one_cell(monkeypatch):
    monkeypatch.setattr(_counts, "BLOCK", 1)
    counts = negative_binomial(rng(), np.full((1, 4), 0.25), np.zeros(3, dtype=int), np.full(3, 100.0), np.full(4, 0.1))
    assert counts.shape == (3, 4)
