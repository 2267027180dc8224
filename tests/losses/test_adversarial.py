import numpy as np
import pytest
import torch

from altercell.losses import cycle_consistency, least_squares_discriminator, least_squares_generator


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, size=(7, 1)), rng.normal(0.2, 1, size=(4, 1))


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(5, 3)), rng.normal(size=(5, 3))


def test_the_generator_is_measured_by_how_far_its_fakes_are_from_one(scores):
    _, fake = scores
    wanted = np.mean([(score - 1) ** 2 for score in fake.ravel()])
    assert float(least_squares_generator(torch.tensor(fake))) == pytest.approx(wanted, rel=1e-12)


def test_the_discriminator_is_measured_on_each_population_by_itself(scores):
    real, fake = scores
    wanted = np.mean((real - 1) ** 2) + np.mean(fake**2)
    assert float(least_squares_discriminator(torch.tensor(real), torch.tensor(fake))) == pytest.approx(wanted)
    twice = torch.tensor(np.concatenate([fake, fake]))
    assert float(least_squares_discriminator(torch.tensor(real), twice)) == pytest.approx(wanted)


@pytest.mark.parametrize(("norm", "power"), [("l2", 2), ("l1", 1)])
def test_the_cycle_is_the_mean_over_cells_and_genes(cells, norm, power):
    x, back = cells
    wanted = sum(abs(x[n, g] - back[n, g]) ** power for n in range(5) for g in range(3)) / 15
    assert float(cycle_consistency(torch.tensor(x), torch.tensor(back), norm)) == pytest.approx(wanted, rel=1e-12)


def test_the_best_that_can_be():
    ones, zeros, x = torch.ones(3, 1), torch.zeros(3, 1), torch.rand(4, 2)
    assert float(least_squares_generator(ones)) == 0
    assert float(least_squares_discriminator(ones, zeros)) == 0
    assert float(cycle_consistency(x, x)) == float(cycle_consistency(x, x, "l1")) == 0


def test_a_population_that_is_not_there_has_no_part():
    nothing, some = torch.zeros(0, 1), torch.full((3, 1), 0.5)
    assert float(least_squares_generator(nothing)) == 0
    assert float(least_squares_discriminator(nothing, some)) == 0.25
    assert float(least_squares_discriminator(some, nothing)) == 0.25
    assert float(cycle_consistency(torch.zeros(0, 4), torch.zeros(0, 4))) == 0


def test_gradients(scores, cells):
    real, fake = (torch.tensor(score, requires_grad=True) for score in scores)
    x, back = (torch.tensor(values, requires_grad=True) for values in cells)
    assert torch.autograd.gradcheck(least_squares_generator, fake)
    assert torch.autograd.gradcheck(least_squares_discriminator, (real, fake))
    for norm in ("l1", "l2"):
        assert torch.autograd.gradcheck(lambda a, b, norm=norm: cycle_consistency(a, b, norm), (x, back))
