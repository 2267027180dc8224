import numpy as np
import pytest
import torch

from altercell.models.scperb import LatentStyleEncoder, StyleEncoder

CONTROL, N_LATENT = 1, 4


def made(kind: str, n_conditions: int = 3, n_style: int = 5):
    torch.manual_seed(0)
    if kind == "constant":
        return StyleEncoder(n_conditions, CONTROL, n_style, N_LATENT)
    encoder = LatentStyleEncoder(n_conditions, CONTROL, n_style, N_LATENT, n_hidden=7)
    with torch.no_grad():
        for parameter in encoder.network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return encoder


@pytest.mark.parametrize("kind", ["constant", "latent"])
def test_the_control_has_no_difference(kind):
    encoder = made(kind)
    codes = torch.full((6, 1), CONTROL)
    assert torch.equal(encoder(torch.randn(6, N_LATENT), codes), torch.zeros(6, N_LATENT))


def test_the_difference_is_affine_in_the_style_vector():
    encoder = made("constant")
    weight, bias = (part.detach().double().numpy() for part in (encoder.affine.weight, encoder.affine.bias))
    condition = torch.tensor([[2], [0], [1], [2]])
    wanted = np.stack([weight @ encoder.style[c].double().numpy() + bias for c in (2, 0, 1, 2)])
    wanted[2] = 0
    np.testing.assert_allclose(encoder(torch.zeros(4, N_LATENT), condition).detach(), wanted, rtol=1e-5, atol=1e-6)


def test_a_constant_difference_does_not_read_the_cell():
    encoder, condition = made("constant"), torch.tensor([0, 2, 2, 0])
    first, second = (encoder(torch.randn(4, N_LATENT), condition) for _ in range(2))
    assert torch.equal(first, second)


def test_a_latent_difference_reads_each_cell_on_its_own():
    encoder, condition, z = made("latent"), torch.tensor([0, 2, 2, 0]), torch.randn(4, N_LATENT)
    whole = encoder(z, condition)
    torch.testing.assert_close(encoder(z[1:2], condition[1:2]), whole[1:2])
    assert not torch.allclose(encoder(z + 1, condition), whole)
    assert not torch.allclose(whole[1], whole[2])


def test_a_latent_difference_starts_as_the_constant():
    torch.manual_seed(3)
    encoder = LatentStyleEncoder(3, CONTROL, 5, N_LATENT, n_hidden=7)
    condition = torch.tensor([0, 1, 2])
    torch.testing.assert_close(encoder(torch.randn(3, N_LATENT), condition), encoder.codes()[condition])
    assert encoder.network[0].weight.detach().abs().min() > 0


def test_style_vectors_are_uniform_fixed_and_saved():
    encoder = made("constant", n_style=4_000)
    style = encoder.style
    assert "style" in encoder.state_dict()
    assert not style.requires_grad
    assert (style[CONTROL] == 0).all()
    for row in style[[0, 2]]:
        assert (row >= 0).all()
        assert (row < 1).all()
        assert float(row.mean()) == pytest.approx(0.5, abs=0.02)
        assert float(row.var()) == pytest.approx(1 / 12, abs=0.005)
    assert abs(float(torch.corrcoef(style[[0, 2]])[0, 1])) < 0.06


def test_with_enough_dimensions_the_differences_are_free_of_each_other():
    encoder = made("constant", n_conditions=6, n_style=40)
    wanted = torch.randn(6, N_LATENT)
    wanted[CONTROL] = 0
    others = [row for row in range(6) if row != CONTROL]
    with torch.no_grad():
        solved = torch.linalg.lstsq(encoder.style[others], wanted[others] - encoder.affine.bias).solution
        encoder.affine.weight.copy_(solved.T)
    torch.testing.assert_close(encoder.codes(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["constant", "latent"])
def test_gradients(kind):
    encoder = made(kind).double()
    z = torch.randn(3, N_LATENT, dtype=torch.float64, requires_grad=True)
    weight = encoder.affine.weight.detach().clone().requires_grad_()

    def moved(z, weight):
        return z + torch.func.functional_call(encoder, {"affine.weight": weight}, (z, torch.tensor([0, 1, 2])))

    assert torch.autograd.gradcheck(moved, (z, weight))
