import numpy as np
import pytest
import torch
from torch import nn

from altercell.nn import ACTIVATIONS, CountDecoder, ValueDecoder

N_LATENT, N_HIDDEN, N_GENES = 3, 8, 5


def hidden_in_numpy(z: np.ndarray, state: dict[str, torch.Tensor], n_layers: int) -> np.ndarray:
    """Linear, BatchNorm with running statistics (eps 1e-3), LeakyReLU of slope 0.01, block by block."""
    h = z.astype(np.float64)
    for layer in range(n_layers):
        part = {name: state[f"hidden.{layer}.fc_layers.Layer 0.{name}"].double().numpy() for name in PARTS}
        h = h @ part["0.weight"].T + part["0.bias"]
        h = (h - part["1.running_mean"]) / np.sqrt(part["1.running_var"] + 1e-3) * part["1.weight"] + part["1.bias"]
        h = np.where(h > 0, h, 0.01 * h)
    return h


PARTS = ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")


def shaken(decoder: nn.Module) -> nn.Module:
    """Give every weight and running statistic a value of its own, so that none can be forgotten."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in decoder.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1 if "running_var" in name else torch.randn_like(tensor))
    return decoder.eval()


@pytest.fixture
def z() -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).normal(size=(6, N_LATENT)), dtype=torch.float32)


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize(
    ("name", "function"),
    [("linear", lambda x: x), ("relu", lambda x: np.maximum(x, 0)), ("softplus", lambda x: np.logaddexp(0, x))],
)
def test_value_decoder_against_numpy(z, name, function, n_layers):
    decoder = shaken(ValueDecoder(N_LATENT, [N_HIDDEN] * n_layers, N_GENES, dropout_rate=0.2, output_activation=name))
    state = decoder.state_dict()
    linear = hidden_in_numpy(z.numpy(), state, n_layers) @ state["output.weight"].double().numpy().T
    wanted = function(linear + state["output.bias"].double().numpy())
    np.testing.assert_allclose(decoder(z).detach(), wanted, rtol=1e-4, atol=1e-5)


def test_activations_are_those_of_the_type():
    assert set(ACTIVATIONS) == {"linear", "relu", "softplus"}
    with pytest.raises(KeyError, match="tanh"):
        ValueDecoder(N_LATENT, [N_HIDDEN], N_GENES, dropout_rate=0, output_activation="tanh")


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("zero_inflated", [False, True])
def test_count_decoder_against_numpy(z, rest, zero_inflated):
    decoder = shaken(
        CountDecoder(N_LATENT, [N_HIDDEN] * 2, N_GENES, dropout_rate=0.2, rest=rest, zero_inflated=zero_inflated)
    )
    total = torch.tensor([[100.0], [10.0], [1.0], [50.0], [3.0], [7.0]])
    mean, theta, zero_logit = (None if part is None else part.detach() for part in decoder(z, total))
    state = {name: tensor.double().numpy() for name, tensor in decoder.state_dict().items()}
    hidden = hidden_in_numpy(z.numpy(), decoder.state_dict(), 2)
    score = hidden @ state["share.weight"].T + state["share.bias"]
    share = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mean, share[:, :N_GENES] * total.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(theta, np.exp(state["log_dispersion"]), rtol=1e-5)
    if zero_inflated:
        wanted = hidden @ state["zero_logit.weight"].T + state["zero_logit.bias"]
        np.testing.assert_allclose(zero_logit, wanted, rtol=1e-4, atol=1e-5)
    else:
        assert zero_logit is None


def test_without_a_rest_the_means_add_up_to_the_total(z):
    decoder = shaken(CountDecoder(N_LATENT, [N_HIDDEN], N_GENES, dropout_rate=0))
    np.testing.assert_allclose(decoder(z, torch.full((6, 1), 40.0))[0].sum(1).detach(), 40, rtol=1e-5)


def test_with_a_rest_other_genes_take_their_share(z):
    decoder = shaken(CountDecoder(N_LATENT, [N_HIDDEN], N_GENES, dropout_rate=0, rest=True))
    assert (decoder(z, torch.full((6, 1), 40.0))[0].sum(1) < 40).all()
    with torch.no_grad():
        decoder.share.bias[-1] = 50.0  # all counts to the genes that are not registered
    assert decoder(z, torch.full((6, 1), 40.0))[0].max() < 1e-4


def test_dropout_acts_in_training_only(z):
    decoder = ValueDecoder(N_LATENT, [64], N_GENES, dropout_rate=0.5)
    torch.manual_seed(0)
    assert not torch.equal(decoder(z), decoder(z))
    decoder.eval()
    assert torch.equal(decoder(z), decoder(z))


def test_blocks_have_the_papers_batch_norm():
    decoder = ValueDecoder(N_LATENT, [N_HIDDEN] * 2, N_GENES, dropout_rate=0.2)
    norms = [layer for layer in decoder.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.01)] * 2
    assert [layer.p for layer in decoder.modules() if isinstance(layer, nn.Dropout)] == [0.2] * 2
    assert [layer.negative_slope for layer in decoder.modules() if isinstance(layer, nn.LeakyReLU)] == [0.01] * 2
