import numpy as np
import pytest
import torch
from scipy import stats
from scvi.module import VAE

from altercell._random import isolated_rng
from altercell.models.scvi import ScviModule

N_CELLS, N_GENES, N_LATENT = 8, 12, 3
CODES = np.arange(N_CELLS) % 2
ONE_HOT = np.eye(2)[CODES]
NETWORK = {"n_hidden": 9, "n_latent": N_LATENT}


def shaken(**options) -> ScviModule:
    """A module in evaluation mode in which every weight and running statistic has a value of its own."""
    module = ScviModule(N_GENES, 2, 3, **{**NETWORK, **options})
    with isolated_rng(1), torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and "latent_means" not in name and "group_sizes" not in name:
                tensor.copy_(torch.rand_like(tensor) + 0.2 if "running_var" in name else 0.4 * torch.randn_like(tensor))
    return module.eval()


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, size=(N_CELLS, N_GENES)).astype(np.float32)


@pytest.fixture
def noise(monkeypatch) -> np.ndarray:
    """The noise of the sample of z, fixed."""
    noise = np.random.default_rng(5).normal(size=(N_CELLS, N_LATENT))
    monkeypatch.setattr(
        torch.distributions.Normal,
        "rsample",
        lambda self, sample_shape=(): self.loc + self.scale * torch.tensor(noise, dtype=self.loc.dtype),
    )
    return noise


def batch(x: np.ndarray) -> dict[str, torch.Tensor]:
    codes = torch.tensor(CODES)[:, None]
    return {"X": torch.tensor(x), "batch": codes, "labels": torch.zeros_like(codes)}


def log_likelihood(x: np.ndarray, parts, likelihood: str) -> np.ndarray:
    if likelihood == "poisson":
        return stats.poisson.logpmf(x, parts.mean)
    plain = stats.nbinom.logpmf(x, parts.theta, parts.theta / (parts.theta + parts.mean))
    if likelihood == "nb":
        return plain
    return np.log(parts.zero * (x == 0) + (1 - parts.zero) * np.exp(plain))


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
@pytest.mark.parametrize(("encode_covariates", "n_layers"), [(False, 1), (True, 2)])
def test_the_loss_is_the_papers(scvi_oracle, counts, noise, likelihood, encode_covariates, n_layers):
    module = shaken(gene_likelihood=likelihood, encode_covariates=encode_covariates, n_layers=n_layers)
    paper = scvi_oracle(module)
    mean, variance = paper.encode(counts, ONE_HOT if encode_covariates else None)
    parts = paper.decode(mean + np.sqrt(variance) * noise, counts.sum(1), ONE_HOT)
    error = -log_likelihood(counts, parts, likelihood).sum(1)
    divergence = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(1)
    for weight in (0.0, 0.3, 1.0):
        with torch.no_grad():
            output = module(batch(counts), loss_kwargs={"kl_weight": weight})[2]
        assert float(output.loss) == pytest.approx((error + weight * divergence).mean(), rel=1e-5)
    np.testing.assert_allclose(output.reconstruction_loss["reconstruction_loss"], error, rtol=1e-4)
    np.testing.assert_allclose(output.kl_local["kl_divergence_z"], divergence, rtol=1e-4)


def test_the_posterior_is_the_encoders(scvi_oracle, counts):
    module = shaken()
    with torch.no_grad():
        found = module.posterior(torch.tensor(counts), torch.tensor(CODES)[:, None])
    for part, wanted in zip(found, scvi_oracle(module).encode(counts), strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
def test_the_expected_counts_are_thinned_by_technical_zeros_alone(scvi_oracle, likelihood):
    module = shaken(gene_likelihood=likelihood)
    z, total = np.random.default_rng(2).normal(size=(N_CELLS, N_LATENT)), np.arange(1.0, N_CELLS + 1) * 100
    with torch.no_grad():
        px = module.decoded(*(torch.tensor(v, dtype=torch.float32) for v in (z, total[:, None])), batch(z)["batch"])
    parts = scvi_oracle(module).decode(z, total, ONE_HOT)
    wanted = parts.mean * (1 - parts.zero) if likelihood == "zinb" else parts.mean
    np.testing.assert_allclose(px.mean, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({"gene_likelihood": "zinb"}, {"l_encoder", "decoder.px_r_decoder"}),
        ({"gene_likelihood": "nb"}, {"l_encoder", "decoder.px_r_decoder", "decoder.px_dropout_decoder"}),
        ({"gene_likelihood": "zinb", "dispersion": "gene-cell"}, {"l_encoder"}),
    ],
)
def test_what_the_likelihood_does_not_read_is_not_trained(counts, options, unused):
    module = shaken(**options).train()
    module(batch(counts))[2].loss.backward()
    parts = {name for name, value in module.named_parameters() if value.grad is None}
    assert parts == {name for name, _ in module.named_parameters() if name.startswith(tuple(unused))}


def test_the_weights_are_those_of_scvi_tools(counts):
    """The same seed gives the same network as theirs, and theirs takes our weights."""
    with isolated_rng(3):
        ours = ScviModule(N_GENES, 2, 3, **NETWORK)
    with isolated_rng(3):
        theirs = VAE(n_input=N_GENES, n_batch=2, n_labels=3, **NETWORK)
    weights = ours.state_dict()
    for name in ("latent_means", "group_sizes"):
        weights.pop(name)
    assert list(weights) == list(theirs.state_dict())
    assert all(torch.equal(weights[name], value) for name, value in theirs.state_dict().items())
    with isolated_rng(4):
        first = ours(batch(counts))[2].loss
    with isolated_rng(4):
        assert torch.equal(theirs(batch(counts))[2].loss, first)
