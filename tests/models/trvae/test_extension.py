"""The network for conditions that came later: where they enter, what they add, and what is left to train."""

import numpy as np
import pytest
import torch
from torch import nn

from altercell.errors import DataError
from altercell.models.trvae._extension import (
    ENTRANCES,
    ExtendedLinear,
    check_stages,
    extend,
    extended_layers,
    freeze_all_but_last,
    keep_batch_norms,
)
from altercell.models.trvae._networks import Encoder, FirstLayer
from altercell.models.trvae._parts import N_HIDDEN, N_LATENT, network_parts

SIDES = {"mlp": None, "conv": 16, "unet": 32}


def parts(network: str, n_conditions: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    side = SIDES[network]
    return network_parts(
        network,
        20 if side is None else side**2,
        n_conditions,
        N_HIDDEN[network],
        N_LATENT[network],
        dropout_rate=0.2,
        variational=True,
        batch_norm="all",
        gene_likelihood="gaussian",
        output_activation="relu",
        image_shape=None if side is None else (1, side, side),
        rest=False,
    )


def encoder(n_conditions: int = 3) -> Encoder:
    torch.manual_seed(0)
    return Encoder(20, n_conditions, (8, 6), 4, dropout_rate=0.2)


@pytest.mark.parametrize("network", list(SIDES))
def test_the_condition_enters_where_it_is_said_to_and_nowhere_else(network):
    with torch.device("meta"):
        two, three = parts(network, 2), parts(network, 3)
    for before, after in zip(two, three, strict=True):
        sizes = dict(after.named_parameters())
        grown = [name for name, value in before.named_parameters() if value.shape != sizes[name].shape]
        assert grown == ([f"{ENTRANCES[type(before)]}.weight"] if type(before) in ENTRANCES else [])
        for name in grown:
            assert sizes[name].shape[1] == before.get_parameter(name).shape[1] + 1
    assert [type(part) in ENTRANCES for part in two] == [True, True, False]


def test_added_inputs_add_their_own_weights_and_nothing_for_the_known():
    torch.manual_seed(0)
    linear = nn.Linear(7, 5)
    layer = ExtendedLinear(linear, [1, 2])
    with torch.no_grad():
        for added in layer.added:
            added.normal_()
    x = torch.randn(6, 7)
    known = layer(torch.cat([x, torch.zeros(6, 3)], dim=1))
    assert torch.equal(known, linear(x))
    for code in range(3):
        inputs = torch.cat([x, nn.functional.one_hot(torch.full((6,), code), 3).float()], dim=1)
        weights = np.concatenate([linear.weight.detach().numpy(), *(a.detach().numpy() for a in layer.added)], axis=1)
        expected = inputs.double().numpy() @ weights.astype(np.float64).T + linear.bias.detach().double().numpy()
        np.testing.assert_allclose(layer(inputs).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_new_weights_start_at_the_mean_of_all_that_came_before():
    torch.manual_seed(0)
    layer = ExtendedLinear(nn.Linear(7, 5), [1, 2])
    with torch.no_grad():
        layer.added[0].normal_()
    layer.start_at_mean(3)
    before = np.concatenate([layer.weight.detach().numpy()[:, -3:], layer.added[0].detach().numpy()], axis=1)
    for column in range(2):
        np.testing.assert_allclose(layer.added[1].detach().numpy()[:, column], before.mean(axis=1), rtol=1e-5)


def test_what_the_network_gives_for_known_conditions_is_the_same_to_the_bit():
    one, other = encoder().eval(), encoder().eval()
    extend(other, [2])
    torch.manual_seed(1)
    with torch.no_grad():
        extended_layers(other)[0].added[0].normal_()
    x, s = torch.randn(9, 20), nn.functional.one_hot(torch.arange(9) % 3, 5).float()
    for before, after in zip(one(x, s[:, :3]), other(x, s), strict=True):
        assert torch.equal(before, after)
    new = nn.functional.one_hot(torch.full((9,), 4), 5).float()
    assert (other(x, new)[0] != other(x, s)[0]).any()


def test_only_the_weights_that_were_added_last_are_trained():
    part = encoder()
    extend(part, [1, 2])
    freeze_all_but_last(part)
    trained = {name: tuple(value.shape) for name, value in part.named_parameters() if value.requires_grad}
    assert trained == {"hidden.0.fc_layers.Layer 0.0.added.1": (8, 2)}


def test_batch_norms_alone_are_kept_from_training():
    part = FirstLayer(4, 3, 6, dropout_rate=0.2).train()
    keep_batch_norms(part)
    modes = {type(layer).__name__: layer.training for layer in part.modules()}
    assert not modes["BatchNorm1d"]
    assert modes["Dropout"]
    assert modes["Linear"]


def test_a_part_that_is_not_known_cannot_be_extended():
    with pytest.raises(DataError, match="not known where the condition enters a Linear, so no condition can be added"):
        extend(nn.Linear(3, 2), [1])
    part = encoder()
    extend(part, [1])
    with pytest.raises(DataError, match="of Encoder is no linear layer that could be extended"):
        extend(part, [1])


@pytest.mark.parametrize(("given", "stages"), [(None, ()), ([1], (1,)), ((2, 3), (2, 3))])
def test_stages(given, stages):
    assert check_stages(given, 4) == stages


@pytest.mark.parametrize("given", [[], [0], [4], [2, 2], [3, 2], [2, 4], 2, "2"])
def test_stages_that_cannot_be(given):
    with pytest.raises(DataError, match="must be numbers that rise from at least 1 to below 4, the number of cond"):
        check_stages(given, 4)
