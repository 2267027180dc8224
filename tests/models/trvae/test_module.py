"""trVAE's network and loss against an independent statement in NumPy float64."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

from altercell.losses import TRVAE_WIDTHS
from altercell.models.trvae._module import TrVAEModule

N_GENES, N_CONDITIONS, N_CELLS, HIDDEN, N_LATENT = 12, 3, 10, (9, 7, 5), 4
WEIGHTS = {"reconstruction_weight": 3.0, "kl_weight": 0.7, "mmd_weight": 5.0}
CONDITIONS = np.array([0, 1, 2, 0, 1, 0, 0, 1, 0, 2])


def shaken(**options) -> TrVAEModule:
    """A module in evaluation mode in which every weight and running statistic has a value of its own."""
    arguments = {"n_hidden": HIDDEN, "n_latent": N_LATENT, **WEIGHTS, **options}
    module = TrVAEModule(N_GENES, N_CONDITIONS, 2, **arguments)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and "latent_means" not in name and "group_sizes" not in name:
                # Not randn_like: a fixture fixes that.
                drawn = torch.empty_like(tensor).normal_()
                tensor.copy_(torch.rand_like(tensor) + 0.2 if "running_var" in name else 0.4 * drawn)
    return module.eval()


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, size=(N_CELLS, N_GENES)).astype(np.float32)


@pytest.fixture
def noise(monkeypatch) -> np.ndarray:
    """The noise of the sample of z, fixed."""
    noise = np.random.default_rng(5).normal(size=(N_CELLS, N_LATENT))
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.tensor(noise, dtype=like.dtype))
    return noise


class Paper:
    """Equations 2, 3, 5, 6 and 7 in NumPy float64, from the module's weights."""

    def __init__(self, module: TrVAEModule) -> None:
        self.state = {name: value.double().numpy() for name, value in module.state_dict().items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        start = f"{name}.fc_layers.Layer 0"
        x = self.linear(f"{start}.0", x)
        if f"{start}.1.weight" in self.state:
            mean, variance = self.state[f"{start}.1.running_mean"], self.state[f"{start}.1.running_var"]
            x = (x - mean) / np.sqrt(variance + 1e-3) * self.state[f"{start}.1.weight"] + self.state[f"{start}.1.bias"]
        return np.where(x > 0, x, 0.2 * x)

    def encode(self, x: np.ndarray, s: np.ndarray, total: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        x = np.asarray(x, dtype=np.float64)
        x = x if total is None else np.log(1 + x / total[:, None] * 10_000)
        h = np.concatenate([x, np.eye(N_CONDITIONS)[s]], axis=1)
        for number in range(len(HIDDEN)):
            h = self.block(f"encoder.hidden.{number}", h)
        return self.linear("encoder.head.mean", h), np.exp(self.linear("encoder.head.log_variance", h)) + 1e-4

    def first(self, z: np.ndarray, s: np.ndarray) -> np.ndarray:
        return self.block("first.block.0", np.concatenate([z, np.eye(N_CONDITIONS)[s]], axis=1))

    def hidden(self, y: np.ndarray) -> np.ndarray:
        for number in range(len(HIDDEN) - 1):
            y = self.block(f"decoder.hidden.{number}", y)
        return y

    def values(self, y: np.ndarray) -> np.ndarray:
        return np.maximum(self.linear("decoder.output", self.hidden(y)), 0)


def mmd(y: np.ndarray, s: np.ndarray, mean: bool, unbiased: bool) -> float:
    """Equations 2 and 3, cell by cell and pair by pair."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        values = [np.exp(-((a - b) ** 2).sum() / (2 * width)) for width in TRVAE_WIDTHS]
        return float(np.mean(values) if mean else np.sum(values))

    def within(cells: np.ndarray) -> float:
        pairs = [kernel(a, b) for i, a in enumerate(cells) for j, b in enumerate(cells) if i != j or not unbiased]
        return float(np.mean(pairs))

    total = 0.0
    for first, second in combinations(np.unique(s), 2):
        a, b = y[s == first], y[s == second]
        total += within(a) + within(b) - 2 * np.mean([kernel(i, j) for i in a for j in b])
    return total


def batch_of(x: np.ndarray, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {"X": torch.tensor(x, dtype=dtype), "batch": torch.tensor(CONDITIONS)[:, None]}


@pytest.mark.parametrize("mmd_on", ["decoder", "latent"])
@pytest.mark.parametrize(("kernel_mean", "estimator"), [(True, "v"), (False, "v"), (True, "u"), (False, "u")])
def test_forward_pass_and_loss_are_the_papers(x, noise, mmd_on, kernel_mean, estimator):
    module = shaken(mmd_on=mmd_on, kernel_mean=kernel_mean, mmd_estimator=estimator)
    paper = Paper(module)
    mean, variance = paper.encode(x, CONDITIONS)
    z = mean + np.sqrt(variance) * noise
    y = paper.first(z, CONDITIONS)
    decoded = paper.values(y)
    error = 0.5 * ((x - decoded) ** 2).sum(axis=1)
    kl = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1)
    discrepancy = mmd(y if mmd_on == "decoder" else z, CONDITIONS, kernel_mean, estimator == "u")
    wanted = (3.0 * error + 0.7 * kl).mean() + 5.0 * discrepancy

    inferred, generated, output = module(batch_of(x))
    np.testing.assert_allclose(inferred["qzm"].detach(), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(inferred["qzv"].detach(), variance, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(generated["y"].detach(), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(generated["mean"].detach(), decoded, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output.kl_local["kl_local"].detach(), kl, rtol=1e-5)
    assert float(output.extra_metrics["mmd"].detach()) == pytest.approx(discrepancy, rel=1e-4)
    assert float(output.loss.detach()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("given_total", [False, True])
@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_forward_pass_and_loss_on_counts(x, noise, likelihood, given_total):
    module = shaken(gene_likelihood=likelihood, totals_over_all_genes=given_total)
    paper = Paper(module)
    total = x.sum(axis=1).astype(np.float64) * (1.5 if given_total else 1)
    mean, variance = paper.encode(x, CONDITIONS, total)
    hidden = paper.hidden(paper.first(mean + np.sqrt(variance) * noise, CONDITIONS))
    share = special.softmax(paper.linear("decoder.share", hidden), axis=1)[:, :N_GENES]
    theta = np.exp(paper.state["decoder.log_dispersion"])
    zero = special.expit(paper.linear("decoder.zero_logit", hidden)) if likelihood == "zinb" else 0 * share
    expected = share * total[:, None]
    mass = stats.nbinom(theta, theta / (theta + expected)).pmf(x)
    error = -np.log(zero * (x == 0) + (1 - zero) * mass).sum(axis=1)

    batch = batch_of(x)
    if given_total:
        batch["size_factor"] = torch.tensor(total, dtype=torch.float32)[:, None]
    _, generated, output = module(batch)
    np.testing.assert_allclose(generated["mean"].detach(), expected, rtol=1e-4)
    np.testing.assert_allclose(output.reconstruction_loss["reconstruction_loss"].detach(), error, rtol=1e-4)
    np.testing.assert_allclose(module.expected(generated).detach(), expected * (1 - zero), rtol=1e-4)


@pytest.mark.parametrize("likelihood", ["gaussian", "nb", "zinb"])
def test_gradients_of_the_whole_loss(x, noise, likelihood):
    options = {"gene_likelihood": likelihood, "output_activation": "softplus"}
    module = shaken(**options).double()
    names = ["encoder.head.mean.weight", "first.block.0.fc_layers.Layer 0.0.bias"]
    parameters = dict(module.named_parameters())

    def loss(*given):
        replaced = dict(zip(names, given, strict=True))
        return torch.func.functional_call(module, replaced, (batch_of(x, torch.float64),))[2].loss

    start = [parameters[name].detach().clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(loss, start, eps=1e-6, atol=1e-4)


def test_without_a_weight_there_is_no_mmd(x, noise):
    assert "mmd" not in shaken(mmd_weight=0.0)(batch_of(x))[2].extra_metrics


def test_a_batch_of_one_condition_has_no_mmd(x):
    output = shaken()({"X": torch.tensor(x), "batch": torch.ones(N_CELLS, 1, dtype=torch.int64)})[2]
    assert float(output.extra_metrics["mmd"].detach()) == 0


def test_an_autoencoder_has_no_noise_and_no_divergence(x):
    module = shaken(variational=False, batch_norm="first")
    inferred, _, output = module(batch_of(x))
    assert torch.equal(inferred["z"], inferred["qzm"])
    assert float(output.kl_local["kl_local"].sum()) == 0
    paper = Paper(module)
    h = np.concatenate([x.astype(np.float64), np.eye(N_CONDITIONS)[CONDITIONS]], axis=1)
    for number in range(len(HIDDEN)):
        h = paper.block(f"encoder.hidden.{number}", h)
    point = paper.linear("encoder.head.mean", h)
    np.testing.assert_allclose(inferred["z"].detach(), np.where(point > 0, point, 0.2 * point), rtol=1e-4, atol=1e-5)
    norms = [name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm1d)]
    assert norms == ["encoder.hidden.0.fc_layers.Layer 0.1"]


def test_the_default_network_is_table_3():
    module = TrVAEModule(2000, 2, 3)
    sizes = [(part.in_features, part.out_features) for part in module.modules() if isinstance(part, nn.Linear)]
    encoder = [(2002, 800), (800, 800), (800, 128), (128, 50), (128, 50)]
    assert sizes == [*encoder, (52, 128), (128, 800), (800, 800), (800, 2000)]
    assert (module.reconstruction_weight, module.kl_weight, module.mmd_weight) == (100, 1e-5, 100)
    assert (module.mmd_on, module.kernel_mean, module.unbiased) == ("decoder", True, False)
    assert {part.negative_slope for part in module.modules() if isinstance(part, nn.LeakyReLU)} == {0.2}
    assert {part.p for part in module.modules() if isinstance(part, nn.Dropout)} == {0.2}
    assert sum(isinstance(part, nn.BatchNorm1d) for part in module.modules()) == 6
