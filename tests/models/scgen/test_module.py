import numpy as np
import pytest
import torch
from scipy import stats
from scvi.nn import FCLayers
from torch import nn

from altercell.models.scgen import ScGenModule

N_GENES, N_LATENT, KL_WEIGHT = 12, 3, 0.7


def shaken(**options) -> ScGenModule:
    """A module in evaluation mode in which every weight and running statistic has a value of its own."""
    module = ScGenModule(N_GENES, 2, 3, **{"n_hidden": 9, "n_latent": N_LATENT, "kl_weight": KL_WEIGHT, **options})
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and "latent_means" not in name and "group_sizes" not in name:
                tensor.copy_(torch.rand_like(tensor) + 0.2 if "running_var" in name else 0.4 * torch.randn_like(tensor))
    return module.eval()


@pytest.fixture
def log_batch() -> np.ndarray:
    return np.random.default_rng(0).gamma(1.0, 2.0, size=(8, N_GENES)).astype(np.float32)


@pytest.fixture
def count_batch() -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, size=(8, N_GENES)).astype(np.float32)


@pytest.fixture
def noise(monkeypatch) -> np.ndarray:
    """The noise of the sample of z, fixed."""
    noise = np.random.default_rng(5).normal(size=(8, N_LATENT))

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * torch.tensor(noise, dtype=self.loc.dtype)

    monkeypatch.setattr(torch.distributions.Normal, "rsample", rsample)
    return noise


def divergence(mean: np.ndarray, variance: np.ndarray, kl: str) -> np.ndarray:
    square = mean**2 if kl == "standard" else variance**2
    return 0.5 * (variance + square - 1 - np.log(variance)).sum(axis=1)


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kl", ["standard", "variance_only"])
def test_forward_pass_and_loss_are_the_papers(oracle, log_batch, noise, kl, n_layers):
    module = shaken(kl=kl, n_layers=n_layers)
    paper = oracle(module)
    mean, variance = paper.encode(log_batch)
    reconstruction = paper.decode(mean + np.sqrt(variance) * noise)
    error = 0.5 * ((log_batch - reconstruction) ** 2).sum(axis=1)
    wanted = (error + 0.5 * KL_WEIGHT * divergence(mean, variance, kl)).mean()

    inferred, generated, output = module({"X": torch.tensor(log_batch)})
    np.testing.assert_allclose(inferred["qzm"].detach(), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(inferred["qzv"].detach(), variance, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(generated["mean"].detach(), reconstruction, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(output.reconstruction_loss["reconstruction_loss"].detach(), error, rtol=1e-5)
    np.testing.assert_allclose(output.kl_local["kl_local"].detach(), divergence(mean, variance, kl), rtol=1e-5)
    assert float(output.loss.detach()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "function"), [("relu", lambda x: np.maximum(x, 0)), ("softplus", lambda x: np.logaddexp(0, x))]
)
def test_output_activations(oracle, name, function):
    module = shaken(output_activation=name)
    z = np.random.default_rng(3).normal(size=(8, N_LATENT)).astype(np.float32)
    decoded = module.generative(torch.tensor(z))["mean"].detach().numpy()
    np.testing.assert_allclose(decoded, function(oracle(module).decode(z)), rtol=1e-5, atol=1e-5)
    assert decoded.min() >= 0


def log_likelihood(x: np.ndarray, decoded) -> np.ndarray:
    """Zero-inflated negative binomial by scipy: n is the inverse dispersion, p = theta / (theta + mean)."""
    counts = stats.nbinom(decoded.theta, decoded.theta / (decoded.theta + decoded.mean)).pmf(x)
    return np.log(decoded.zero * (x == 0) + (1 - decoded.zero) * counts).sum(axis=1)


@pytest.mark.parametrize("given_total", [False, True])
@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_forward_pass_and_loss_on_counts(oracle, count_batch, noise, likelihood, given_total):
    module = shaken(gene_likelihood=likelihood, totals_over_all_genes=given_total)
    paper = oracle(module)
    total = count_batch.sum(axis=1).astype(np.float64) * (1.5 if given_total else 1)
    mean, variance = paper.encode(count_batch, total)
    decoded = paper.decode_counts(mean + np.sqrt(variance) * noise, total)
    error = -log_likelihood(count_batch, decoded)
    wanted = (error + 0.5 * KL_WEIGHT * divergence(mean, variance, "standard")).mean()

    batch = {"X": torch.tensor(count_batch)}
    if given_total:
        batch["size_factor"] = torch.tensor(total, dtype=torch.float32)[:, None]
    inferred, generated, output = module(batch)
    np.testing.assert_allclose(inferred["qzm"].detach(), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(generated["mean"].detach(), decoded.mean, rtol=1e-4)
    np.testing.assert_allclose(output.reconstruction_loss["reconstruction_loss"].detach(), error, rtol=1e-5)
    assert float(output.loss.detach()) == pytest.approx(wanted, rel=1e-5)
    expected = module.expected(generated).detach()
    np.testing.assert_allclose(expected, decoded.mean * (1 - decoded.zero), rtol=1e-4)


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_expected_counts_are_the_mean_of_samples(likelihood):
    module = shaken(gene_likelihood=likelihood)
    z, total = torch.randn(1, N_LATENT), torch.full((1, 1), 200.0)
    generated = module.generative(z, total)
    mean, theta = generated["mean"].detach().numpy(), generated["theta"].detach().numpy()
    rng = np.random.default_rng(0)
    drawn = rng.negative_binomial(theta, theta / (theta + mean[0]), size=(60_000, N_GENES)).astype(float)
    if likelihood == "zinb":
        drawn *= rng.random(drawn.shape) >= torch.sigmoid(generated["zi_logits"]).detach().numpy()
    wanted = module.expected(generated).detach().numpy()[0]
    spread = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - wanted) < 5 * spread + 1e-6).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "nb", "zinb"])
def test_gradients_of_the_whole_loss(count_batch, noise, likelihood):
    module = shaken(gene_likelihood=likelihood, n_layers=1).double()
    weight, bias = module.encoder.mean_encoder.weight, module.decoder.hidden[0].fc_layers[0][0].bias
    names = {id(parameter): name for name, parameter in module.named_parameters()}

    def loss(weight_, bias_):
        given = {names[id(weight)]: weight_, names[id(bias)]: bias_}
        return torch.func.functional_call(module, given, ({"X": torch.tensor(count_batch, dtype=torch.float64)},))[
            2
        ].loss

    start = [parameter.detach().clone().requires_grad_() for parameter in (weight, bias)]
    assert torch.autograd.gradcheck(loss, start, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["gaussian", "nb"])
def test_a_relative_size_of_another_data_module_is_not_taken_for_a_total(count_batch, noise, likelihood):
    module = shaken(gene_likelihood=likelihood)
    x = torch.tensor(count_batch)
    relative = x.sum(1, keepdim=True) / x.sum(1).mean()
    assert torch.equal(module({"X": x, "size_factor": relative})[2].loss, module({"X": x})[2].loss)


def test_the_default_network_is_the_papers():
    module = ScGenModule(50, 2, 3)
    linear = [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert linear == [(50, 800), (800, 800), (800, 100), (800, 100), (100, 800), (800, 800), (800, 50)]
    assert (module.kl_weight, module.kl, module.gene_likelihood) == (5e-5, "standard", "gaussian")
    for part in ([module.encoder.encoder], module.decoder.hidden):
        assert all(isinstance(stack, FCLayers) for stack in part)
        kinds = [type(layer) for stack in part for block in stack.fc_layers for layer in block if layer]
        assert kinds == [nn.Linear, nn.BatchNorm1d, nn.LeakyReLU, nn.Dropout] * 2
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    assert {layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)} == {0.2}
    assert module.encoder.var_eps == 1e-4


def test_the_buffers_of_the_groups_are_in_the_state():
    state = ScGenModule(N_GENES, 2, 3, n_hidden=4, n_latent=N_LATENT).state_dict()
    assert state["latent_means"].shape == (2, 3, N_LATENT)
    assert state["group_sizes"].shape == (2, 3)


def test_a_deep_cell_and_a_shallow_one_of_the_same_kind_have_one_latent_point(count_batch):
    module = shaken(gene_likelihood="nb")
    x = torch.tensor(count_batch)
    torch.testing.assert_close(module.inference(x)["qzm"], module.inference(3 * x)["qzm"], rtol=1e-4, atol=1e-5)


def test_the_sample_of_z_has_the_mean_and_variance_that_are_told(log_batch):
    module = shaken()
    torch.manual_seed(0)
    inferred = module.inference(torch.tensor(log_batch[:1]).repeat(20_000, 1))
    mean, variance = inferred["qzm"][0].detach(), inferred["qzv"][0].detach()
    z = inferred["z"].detach()
    assert ((z.mean(0) - mean).abs() < 5 * (variance / 20_000).sqrt()).all()
    torch.testing.assert_close(z.var(0), variance, rtol=0.05, atol=0)
