import numpy as np
import pytest
import torch
from scipy import stats

from altercell.models.base import CountDraws

N = 20_000
MEAN, THETA = torch.tensor([0.3, 4.0, 90.0]), torch.tensor([0.5, 2.0, 30.0])


def drawn(theta=None, zi_logits=None, seed=0, n=N) -> np.ndarray:
    return CountDraws(seed)(MEAN.expand(n, 3), theta, zi_logits).numpy()


def expected(theta: np.ndarray | None, zero: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of zero-inflated negative binomial counts; of Poisson counts without a dispersion."""
    mean = MEAN.numpy().astype(np.float64)
    variance = mean + (0 if theta is None else mean**2 / theta)
    return (1 - zero) * mean, (1 - zero) * (variance + zero * mean**2)


@pytest.mark.parametrize("theta", [None, THETA, THETA.expand(N, 3)], ids=["poisson", "by gene", "by cell"])
@pytest.mark.parametrize("logit", [None, -0.8])
def test_mean_and_variance_are_the_likelihoods(theta, logit):
    zero = 0.0 if logit is None else 1 / (1 + np.exp(-logit))
    counts = drawn(theta, None if logit is None else torch.full((N, 3), logit))
    mean, variance = expected(None if theta is None else THETA.numpy().astype(np.float64), zero)
    assert counts.dtype == np.float32
    assert (counts == np.rint(counts)).all()
    np.testing.assert_array_less(np.abs(counts.mean(0) - mean), 5 * np.sqrt(variance / N))
    np.testing.assert_allclose(counts.var(0), variance, rtol=0.1)


def test_the_whole_distribution_is_the_negative_binomial():
    counts = drawn(THETA)
    for gene, (mean, theta) in enumerate(zip(MEAN.tolist(), THETA.tolist(), strict=True)):
        values, seen = np.unique(counts[:, gene], return_counts=True)
        wanted = stats.nbinom.pmf(values, theta, theta / (theta + mean))
        assert np.abs(seen / N - wanted).max() < 5 * np.sqrt(0.25 / N)


@pytest.mark.parametrize("zi_logits", [None, torch.zeros(60, 3)])
def test_where_a_batch_ends_changes_nothing(zi_logits):
    draws, parts = CountDraws(1), []
    for rows in (slice(0, 1), slice(1, 40), slice(40, 60)):
        parts.append(draws(MEAN.expand(60, 3)[rows], THETA, None if zi_logits is None else zi_logits[rows]))
    np.testing.assert_array_equal(torch.cat(parts), drawn(THETA, zi_logits, seed=1, n=60))


def test_draws_are_a_function_of_the_seed_and_leave_torchs_generator():
    before = torch.get_rng_state()
    first, again, other = (drawn(THETA, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1
    assert torch.equal(torch.get_rng_state(), before)


def test_the_extremes_stay_finite():
    mean = torch.tensor([[0.0, 0.0, 5.0, 5.0, 1e6]])
    theta = torch.tensor([0.0, 1.0, 0.0, 1e30, 1.0])
    counts = CountDraws(0)(mean, theta, torch.tensor([[0.0, 0.0, -1e4, -1e4, -1e4]]))
    assert torch.isfinite(counts).all()
    assert (counts >= 0).all()
    assert counts[0, :2].tolist() == [0, 0]
    assert (CountDraws(0)(mean, None, torch.full((1, 5), 1e4)) == 0).all()
