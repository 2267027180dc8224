import numpy as np
import pytest
import torch

from altercell.losses import gradient_penalty, wasserstein_estimate


@pytest.fixture
def cells() -> tuple[np.ndarray, ...]:
    """Real cells, fakes, and where between them: 6 of 4 genes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.uniform(size=(6, 1))


def test_the_estimate_is_the_difference_of_the_means():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=5), rng.normal(size=9)
    wanted = sum(real) / 5 - sum(fake) / 9
    assert float(wasserstein_estimate(torch.tensor(real), torch.tensor(fake))) == pytest.approx(wanted, rel=1e-12)


def test_a_linear_critic_has_the_slope_of_its_weights(cells):
    weights = np.array([0.5, -2.0, 1.0, 0.1])
    penalty, norm = gradient_penalty(lambda x: x @ torch.tensor(weights), *map(torch.tensor, cells))
    length = np.sqrt((weights**2).sum())
    assert float(penalty.detach()) == pytest.approx((length - 1) ** 2, rel=1e-9)
    assert float(norm) == pytest.approx(length, rel=1e-9)


def test_the_slope_of_each_cell_is_taken_at_its_own_point_between(cells):
    """D(x) = x'Ax / 2 has the gradient Ax, another one in every cell."""
    real, fake, epsilon = cells
    form = np.random.default_rng(1).normal(size=(4, 4))
    form = form + form.T
    at = epsilon * real + (1 - epsilon) * fake
    lengths = np.array([np.sqrt(((form @ x) ** 2).sum()) for x in at])
    penalty, norm = gradient_penalty(
        lambda x: ((x @ torch.tensor(form)) * x).sum(dim=1) / 2, *map(torch.tensor, (real, fake, epsilon))
    )
    assert float(penalty.detach()) == pytest.approx(((lengths - 1) ** 2).mean(), rel=1e-9)
    assert float(norm) == pytest.approx(lengths.mean(), rel=1e-9)


def test_a_critic_without_a_slope_is_as_far_from_one_as_can_be(cells):
    weights = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    penalty, _ = gradient_penalty(lambda x: x @ weights, *map(torch.tensor, cells))
    assert float(penalty.detach()) == pytest.approx(1, abs=1e-5)
    (slope,) = torch.autograd.grad(penalty, weights)
    assert torch.isfinite(slope).all()


def test_neither_real_cells_nor_fakes_get_a_gradient(cells):
    real, fake, epsilon = (torch.tensor(values, requires_grad=True) for values in cells)
    weights = torch.ones(4, dtype=torch.float64, requires_grad=True)
    gradient_penalty(lambda x: (x @ weights).square(), real, fake, epsilon)[0].backward()
    assert real.grad is None
    assert fake.grad is None
    assert weights.grad is not None


def test_gradients(cells):
    real, fake, epsilon = map(torch.tensor, cells)
    rng = np.random.default_rng(2)
    first = torch.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    second = torch.tensor(rng.normal(size=3), requires_grad=True)

    def penalty(a, b):
        return gradient_penalty(lambda x: torch.tanh(x @ a) @ b, real, fake, epsilon)[0]

    assert torch.autograd.gradcheck(penalty, (first, second))
    scores = [torch.tensor(rng.normal(size=n), requires_grad=True) for n in (4, 6)]
    assert torch.autograd.gradcheck(wasserstein_estimate, scores)
