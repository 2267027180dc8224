import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch.autograd import gradcheck

from altercell.losses import total_correlation

N, J = 6, 3


@pytest.fixture
def posterior() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sample, the mean and the variance of each of six cells in three dimensions."""
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=(N, J)), rng.gamma(2.0, 0.3, size=(N, J)) + 0.05
    return mean + np.sqrt(variance) * rng.normal(size=(N, J)), mean, variance


def densities(z: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return q(z_nj | x_m), shape (sample, cell, dimension), by loops."""
    found = np.empty((len(z), len(mean), z.shape[1]))
    for n, m, j in itertools.product(range(len(z)), range(len(mean)), range(z.shape[1])):
        found[n, m, j] = stats.norm(mean[m, j], np.sqrt(variance[m, j])).pdf(z[n, j])
    return found


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array, dtype=torch.float64) for array in arrays]


def test_a_batch_of_all_cells_gives_the_aggregated_posterior_exactly(posterior):
    q = densities(*posterior)
    joint, marginal = np.log(q.prod(axis=2).mean(axis=1)), np.log(q.mean(axis=1)).sum(axis=1)
    np.testing.assert_allclose(total_correlation(*tensors(*posterior), N), joint - marginal, rtol=1e-10)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_over_all_batches_both_densities_are_without_bias(posterior, size):
    # The weights of a batch are seen through one sample far from all cells but its own and one other.
    z, mean, variance = posterior
    q = densities(*posterior)
    for n in range(N):
        others = [m for m in range(N) if m != n]
        wanted, found = q[n].prod(axis=1).mean(), []
        for chosen in itertools.combinations(others, size - 1):
            rows = [n, *chosen]
            one = total_correlation(*tensors(z[rows], mean[rows], variance[rows]), N)[0].item()
            weights = np.array([1 / N, *[(N - 1) / (N * (size - 1))] * (size - 1)])
            joint, marginal = weights @ q[n, rows].prod(axis=1), weights @ q[n, rows]
            assert one == pytest.approx(np.log(joint) - np.log(marginal).sum(), rel=1e-10)
            found.append(joint)
        assert np.mean(found) == pytest.approx(wanted, rel=1e-10)


def test_it_is_the_papers_estimate_averaged_over_the_order_of_the_batch(posterior):
    # Chen et al., appendix C.2: of M other cells M - 1 weigh 1 / M, and the last (N - M) / (N M).
    q = densities(*posterior)[0].prod(axis=1)
    others, M = [1, 2, 3], 3
    paper = []
    for order in itertools.permutations(others):
        last = (N - M) / (N * M) * q[order[-1]]
        paper.append(q[0] / N + sum(q[m] for m in order[:-1]) / M + last)
    ours = q[0] / N + (N - 1) / (N * M) * sum(q[m] for m in others)
    assert np.mean(paper) == pytest.approx(ours, rel=1e-12)
    assert np.std(paper) > 0


def test_independent_dimensions_have_none_and_copies_have_much():
    rng = np.random.default_rng(1)
    grid = np.array(list(itertools.product(np.linspace(-2, 2, 20), repeat=2)))  # a product of two marginals
    variance = np.full_like(grid, 0.1)
    z = grid + np.sqrt(variance) * rng.normal(size=grid.shape)
    assert abs(total_correlation(*tensors(z, grid, variance), len(grid)).mean().item()) < 0.02
    line = np.repeat(np.linspace(-2, 2, 400)[:, None], 2, axis=1)
    noise = np.sqrt(0.01) * rng.normal(size=line.shape)
    copied = total_correlation(*tensors(line + noise, line, np.full_like(line, 0.01)), len(line)).mean().item()
    # The mutual information of both dimensions: of the joint density, a ridge along the diagonal.
    assert 1.0 < copied < 2.5


def test_gaussian_codes_have_the_known_total_correlation():
    rng = np.random.default_rng(2)
    rho, n = 0.8, 2_000
    codes = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=n)
    variance = np.full((n, 2), 0.05)
    z = codes + np.sqrt(variance) * rng.normal(size=codes.shape)
    widened = rho / 1.05  # the posteriors' own variance is added to both marginals
    found = total_correlation(*tensors(z, codes, variance), n).mean().item()
    assert found == pytest.approx(-0.5 * np.log(1 - widened**2), abs=0.06)


def test_gradients(posterior):
    z, mean, variance = (part.requires_grad_() for part in tensors(*posterior))
    assert gradcheck(lambda *given: total_correlation(*given, 20), (z, mean, variance))


def test_far_points_stay_finite(posterior):
    z, mean, variance = (torch.tensor(part, dtype=torch.float32) for part in posterior)
    assert torch.isfinite(total_correlation(z + 50, mean, variance * 1e-3, 1_000)).all()


@pytest.mark.parametrize(("size", "n_cells"), [(1, 5), (3, 1)])
def test_one_cell_is_refused(posterior, size, n_cells):
    with pytest.raises(ValueError, match="a batch of 2 cells or more"):
        total_correlation(*(part[:size] for part in tensors(*posterior)), n_cells)
