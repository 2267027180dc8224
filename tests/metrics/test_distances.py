import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import energy_distance, norm, wasserstein_distance

from altercell.errors import DataError, GeneMismatchError
from altercell.metrics import edistance, mmd, wasserstein_pcs
from altercell.metrics._distances import median_distance, wasserstein_columns


def sample(n_cells: int, seed: int, shift: float = 0.0, n_genes: int = 7) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n_cells, n_genes)) + shift
    return np.maximum(x, 0)  # with zeros, as expression has


X, Y = sample(41, 0), sample(30, 1, shift=0.5)


def plain_edistance(x: np.ndarray, y: np.ndarray, unbiased: bool) -> float:
    within = [pdist(a).sum() * 2 / (len(a) * (len(a) - 1) if unbiased else len(a) ** 2) for a in (x, y)]
    return 2 * cdist(x, y).mean() - sum(within)


def plain_mmd(x: np.ndarray, y: np.ndarray, sigma: float, unbiased: bool) -> float:
    total = 0.0
    for a, b, factor in ((x, x, 1), (y, y, 1), (x, y, -2)):
        values = [
            np.exp(-np.sum((p - q) ** 2) / (2 * sigma**2))
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (unbiased and a is b and i == j)
        ]
        total += factor * np.mean(values)
    return total


@pytest.mark.parametrize("unbiased", [True, False])
def test_edistance_is_the_definition(unbiased):
    assert edistance(X, Y, unbiased=unbiased) == pytest.approx(plain_edistance(X, Y, unbiased), rel=1e-9)


def test_edistance_of_one_gene_is_scipys_squared_energy_distance():
    x, y = X[:, :1], Y[:, :1]
    assert edistance(x, y, unbiased=False) == pytest.approx(energy_distance(x.ravel(), y.ravel()) ** 2, rel=1e-9)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_mmd_is_the_definition(unbiased, sigma):
    assert mmd(X, Y, bandwidth=sigma, unbiased=unbiased) == pytest.approx(plain_mmd(X, Y, sigma, unbiased), rel=1e-9)


def test_default_bandwidth_is_the_median_distance_of_the_real_cells_by_root_two():
    assert median_distance(Y) == pytest.approx(np.median(pdist(Y)))
    assert mmd(X, Y) == pytest.approx(plain_mmd(X, Y, np.median(pdist(Y)) / np.sqrt(2), unbiased=True), rel=1e-9)


def test_median_distance_of_many_cells_takes_evenly_spaced_ones():
    y = sample(4_000, 2, n_genes=3)
    chosen = y[np.linspace(0, 3_999, 2_000).astype(int)]
    assert median_distance(y) == pytest.approx(np.median(pdist(chosen)))


@pytest.mark.parametrize("metric", [edistance, mmd])
@pytest.mark.parametrize("wrap", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize("block_size", [1, 7, 30, 1_000])
def test_blocks_and_sparsity_do_not_change_the_answer(metric, wrap, block_size):
    expected = metric(X, Y)
    assert metric(X, Y, block_size=block_size) == pytest.approx(expected, rel=1e-9)
    assert metric(wrap(X), Y, block_size=block_size) == pytest.approx(expected, rel=1e-9)
    assert metric(wrap(X), wrap(Y), block_size=block_size) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 12), st.floats(0.5, 4.0))
def test_properties_of_the_distances(seed, n_x, n_y, scale):
    x, y = sample(n_x, seed), sample(n_y, seed + 1)
    assert edistance(x, y) == pytest.approx(edistance(y, x), abs=1e-9)
    assert edistance(x, y, unbiased=False) >= -1e-7
    assert edistance(x, x, unbiased=False) == pytest.approx(0, abs=1e-6)
    assert edistance(scale * x, scale * y) == pytest.approx(scale * edistance(x, y), abs=1e-6)
    assert edistance(x + 3, y + 3) == pytest.approx(edistance(x, y), abs=1e-6)
    assert mmd(x, y, bandwidth=1.0) == pytest.approx(mmd(y, x, bandwidth=1.0), abs=1e-9)
    assert mmd(x, x, bandwidth=1.0, unbiased=False) == pytest.approx(0, abs=1e-9)
    assert mmd(scale * x, scale * y, unbiased=False) == pytest.approx(mmd(x, y, unbiased=False), abs=1e-7, nan_ok=True)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(7, 7)))
    assert edistance(x @ rotation, y @ rotation) == pytest.approx(edistance(x, y), abs=1e-6)


def test_unbiased_estimates_scatter_around_zero_for_equal_distributions():
    scores = [edistance(sample(20, 2 * i), sample(20, 2 * i + 1)) for i in range(60)]
    biased = [edistance(sample(20, 2 * i), sample(20, 2 * i + 1), unbiased=False) for i in range(60)]
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(60)
    assert np.mean(biased) > 0.1


@pytest.mark.parametrize("metric", [edistance, mmd])
def test_farther_populations_score_higher(metric):
    scores = [metric(sample(60, 0) + shift, sample(60, 1)) for shift in (0.0, 0.5, 1.0)]
    assert scores[0] < scores[1] < scores[2]


def test_single_cells():
    assert np.isnan(edistance(X[:1], Y))
    assert np.isnan(mmd(X, Y[:1]))
    assert edistance(X[:1], Y[:1], unbiased=False) == pytest.approx(2 * np.linalg.norm(X[0] - Y[0]))
    assert np.isnan(mmd(X, np.repeat(Y[:1], 5, axis=0)))  # the median of the real cells is 0


def test_shapes_are_checked():
    with pytest.raises(GeneMismatchError, match="7 genes and the second 6"):
        edistance(X, Y[:, :6])
    with pytest.raises(DataError, match="at least one cell"):
        mmd(X[:0], Y)


def test_wasserstein_is_scipys_over_components_of_the_real_cells():
    centred = Y - Y.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    expected = np.mean([wasserstein_distance((X - Y.mean(axis=0)) @ axis, centred @ axis) for axis in axes])
    assert wasserstein_pcs(X, Y, n_pcs=3) == pytest.approx(expected, rel=1e-6)
    assert wasserstein_pcs(sp.csr_matrix(X), sp.csr_matrix(Y), n_pcs=3) == pytest.approx(expected, rel=1e-6)


def test_wasserstein_with_another_basis_and_without_variance():
    assert wasserstein_pcs(Y, Y) == 0
    assert wasserstein_pcs(X, Y, basis=X, n_pcs=2) != pytest.approx(wasserstein_pcs(X, Y, n_pcs=2), rel=1e-3)
    assert np.isnan(wasserstein_pcs(X, np.ones((5, 7))))
    assert np.isnan(wasserstein_columns(np.zeros((4, 0)), np.zeros((3, 0))))


def test_memory_does_not_grow_with_the_number_of_pairs():
    x = sp.random(6_000, 500, density=0.05, format="csr", dtype=np.float32, random_state=0)
    tracemalloc.start()
    try:
        value = edistance(x[:3_000], x[3_000:], block_size=512)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All pairs at once would be 72 MB a matrix of distances, the dense cells 24 MB.
    assert peak < 20e6
    assert abs(value) < 0.1


def test_distances_see_a_spread_that_the_means_do_not():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 6)) * 0.3, rng.normal(size=(200, 6))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    same = rng.normal(size=(200, 6))
    for metric in (edistance, mmd, wasserstein_pcs):
        assert metric(x, y) > 3 * abs(metric(same, y)), metric.__name__


def test_wasserstein_of_a_shift_is_its_length_along_the_components():
    shift = np.array([0.5, -1.0, 0, 0, 0, 0, 0.25])
    y = np.random.default_rng(0).normal(size=(500, 7))
    axes = np.linalg.svd(y - y.mean(axis=0), full_matrices=False)[2]
    assert wasserstein_pcs(y + shift, y) == pytest.approx(np.abs(axes @ shift).mean())


def test_edistance_of_two_points_and_of_the_closed_form_of_a_normal_shift():
    assert edistance(np.zeros((4, 3)), np.tile([3.0, 4.0, 0.0], (4, 1))) == pytest.approx(10)
    # Energy distance of N(0, 1) and N(m, 1): 2 E|N(m, 2)| - 2 E|N(0, 2)|.
    m = 1.5
    rng = np.random.default_rng(1)
    expected = 2 * (2 / np.sqrt(np.pi) * np.exp(-(m**2) / 4) + m * (1 - 2 * norm.cdf(-m / np.sqrt(2)))) - 4 / np.sqrt(
        np.pi
    )
    value = edistance(rng.normal(size=(3_000, 1)), rng.normal(m, size=(3_000, 1)))
    assert value == pytest.approx(expected, rel=0.1)


def test_float32_cells_are_not_rounded_apart():
    x = np.log1p(np.random.default_rng(0).poisson(5.0, size=(50, 300))).astype(np.float32)
    assert edistance(x, x, unbiased=False) == pytest.approx(0, abs=1e-6)
    assert edistance(x, x[::-1], unbiased=False) == pytest.approx(0, abs=1e-6)
    assert median_distance(np.repeat(x[:1], 6, axis=0)) == 0
