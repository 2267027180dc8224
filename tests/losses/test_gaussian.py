import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.autograd import gradcheck

from altercell.losses import half_squared_error, kl_standard_normal, kl_variance_only


@pytest.fixture
def posterior() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)), rng.gamma(2.0, 0.5, size=(7, 4)) + 1e-3


def double(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def test_half_squared_error_against_a_loop_over_cells_and_genes():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 9)), rng.normal(size=(5, 9))
    wanted = [sum(0.5 * (x[n, g] - y[n, g]) ** 2 for g in range(9)) for n in range(5)]
    got = half_squared_error(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_half_squared_error_is_the_unit_gaussians_log_likelihood_up_to_a_constant():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(5, 9)), rng.normal(size=(5, 9))
    likelihood = stats.norm(loc=y).logpdf(x).sum(axis=1)
    rest = half_squared_error(torch.tensor(x), torch.tensor(y)).numpy() + likelihood
    np.testing.assert_allclose(rest, -0.5 * 9 * np.log(2 * np.pi), rtol=1e-10)


def test_kl_against_the_integral_of_its_definition(posterior):
    mean, variance = posterior

    def one(mu: float, var: float) -> float:
        q, p = stats.norm(mu, np.sqrt(var)), stats.norm()
        reach = 12 * np.sqrt(var)
        return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mu - reach, mu + reach, points=[mu])[0]

    wanted = [sum(one(m, v) for m, v in zip(*row, strict=True)) for row in zip(mean, variance, strict=True)]
    got = kl_standard_normal(torch.tensor(mean), torch.tensor(variance))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_kl_against_torch_distributions(posterior):
    mean, variance = (torch.tensor(part, dtype=torch.float32) for part in posterior)
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(0, 1)).sum(-1)
    torch.testing.assert_close(kl_standard_normal(mean, variance), wanted, rtol=1e-5, atol=1e-5)


def test_kl_is_zero_at_the_prior_and_positive_elsewhere(posterior):
    assert kl_standard_normal(torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [0.0, 0.0]
    assert (kl_standard_normal(*map(torch.tensor, posterior)) > 0).all()


def test_variance_only_against_numpy(posterior):
    _, variance = posterior
    wanted = 0.5 * (variance + variance**2 - 1 - np.log(variance)).sum(axis=1)
    np.testing.assert_allclose(kl_variance_only(torch.tensor(variance, dtype=torch.float32)), wanted, rtol=1e-5)


def test_variance_only_is_the_divergence_with_the_variance_in_the_means_place(posterior):
    _, variance = map(torch.tensor, posterior)
    torch.testing.assert_close(kl_variance_only(variance), kl_standard_normal(variance, variance))


def test_variance_only_is_least_at_one_half():
    grid = torch.linspace(0.05, 2, 40, dtype=torch.float64)[:, None]
    assert float(grid[kl_variance_only(grid).argmin()]) == pytest.approx(0.5)


@pytest.mark.parametrize("loss", [half_squared_error, kl_standard_normal])
def test_gradients_of_two_arguments(loss, posterior):
    assert gradcheck(loss, tuple(map(double, posterior)))


def test_gradient_of_variance_only(posterior):
    assert gradcheck(kl_variance_only, (double(posterior[1]),))


def test_each_cell_has_its_own_value(posterior):
    mean, variance = map(torch.tensor, posterior)
    for loss, arguments in (
        (half_squared_error, (mean, variance)),
        (kl_standard_normal, (mean, variance)),
        (kl_variance_only, (variance,)),
    ):
        whole = loss(*arguments)
        assert whole.shape == (7,)
        torch.testing.assert_close(loss(*(part[3:4] for part in arguments)), whole[3:4])
