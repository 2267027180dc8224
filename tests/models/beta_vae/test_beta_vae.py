"""Tests of BetaTCVAE and BetaVAE: the loss against the paper's, what is counted, and that dimensions come apart."""

import numpy as np
import pytest
import torch
from anndata import AnnData

import altercell as ac
from altercell.errors import DataError
from altercell.models.beta_vae import BetaTCVAEModule

N_GENES, N_LATENT = 12, 3
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def shaken(**options) -> BetaTCVAEModule:
    """A module in evaluation mode in which every weight and running statistic has a value of its own."""
    module = BetaTCVAEModule(N_GENES, 2, 3, **{"n_hidden": (9, 7), "n_latent": N_LATENT, **options})
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and "latent_means" not in name and "group_sizes" not in name:
                tensor.copy_(torch.rand_like(tensor) + 0.2 if "running_var" in name else 0.4 * torch.randn_like(tensor))
    return module.eval()


def blocks(x: np.ndarray, state: dict[str, np.ndarray], start: str) -> np.ndarray:
    for layer in range(2):
        head = f"{start}.{layer}.fc_layers.Layer 0."
        p = {name.removeprefix(head): state[name] for name in state if name.startswith(head)}
        x = x @ p["0.weight"].T + p["0.bias"]
        x = (x - p["1.running_mean"]) / np.sqrt(p["1.running_var"] + 1e-3) * p["1.weight"] + p["1.bias"]
        x = np.maximum(x, 0.01 * x)
    return x


def normal(z: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.exp(-((z - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


@pytest.mark.parametrize(("kl_weight", "tc_weight"), [(1.0, 10.0), (4.0, 0.0), (0.3, 2.5)])
def test_the_loss_is_the_papers(monkeypatch, kl_weight, tc_weight):
    module = shaken(kl_weight=kl_weight, tc_weight=tc_weight)
    module.n_cells.fill_(8)
    state = {name: value.double().numpy() for name, value in module.state_dict().items()}
    x = np.random.default_rng(0).gamma(1.0, 2.0, size=(8, N_GENES)).astype(np.float32)
    noise = np.random.default_rng(5).normal(size=(8, N_LATENT))
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.tensor(noise, dtype=like.dtype))

    hidden = blocks(x.astype(np.float64), state, "encoder.hidden")
    mean = hidden @ state["encoder.mean.weight"].T + state["encoder.mean.bias"]
    log_variance = hidden @ state["encoder.log_variance.weight"].T + state["encoder.log_variance.bias"]
    variance = np.exp(log_variance) + 1e-4
    z = mean + np.sqrt(variance) * noise
    decoded = blocks(z, state, "decoder.hidden") @ state["decoder.output.weight"].T + state["decoder.output.bias"]
    error = 0.5 * ((x - decoded) ** 2).sum(axis=1)
    divergence = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1)
    q = normal(z[:, None], mean[None], variance[None])  # all training cells are in the batch
    correlation = (np.log(q.prod(axis=2).mean(axis=1)) - np.log(q.mean(axis=1)).sum(axis=1)).mean()

    output = module({"X": torch.tensor(x)})[2]
    wanted = error.mean() + kl_weight * divergence.mean() + tc_weight * correlation
    assert float(output.loss.detach()) == pytest.approx(wanted, rel=1e-4)
    if tc_weight:
        assert float(output.extra_metrics["total_correlation"]) == pytest.approx(correlation, rel=1e-3)
    halved = module({"X": torch.tensor(x)}, loss_kwargs={"kl_weight": 0.5})[2]
    half = error.mean() + 0.5 * (kl_weight * divergence.mean() + tc_weight * correlation)
    assert float(halved.loss.detach()) == pytest.approx(half, rel=1e-4)


def test_networks_have_the_papers_widths():
    module = BetaTCVAEModule(50, 1, 1)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert shapes["encoder.hidden.0.fc_layers.Layer 0.0.weight"] == (512, 50)
    assert shapes["encoder.hidden.1.fc_layers.Layer 0.0.weight"] == (256, 512)
    assert shapes["encoder.mean.weight"] == (10, 256)
    assert shapes["decoder.hidden.0.fc_layers.Layer 0.0.weight"] == (256, 10)
    assert shapes["decoder.output.weight"] == (50, 512)
    assert {layer.p for layer in module.modules() if isinstance(layer, torch.nn.Dropout)} == {0.2}


@pytest.fixture(scope="module")
def factors() -> AnnData:
    """600 cells of two independent factors, each of which moves half of 40 genes."""
    rng = np.random.default_rng(0)
    factors = rng.uniform(-1, 1, size=(600, 2))
    x = np.concatenate([factors[:, [0]] * np.linspace(1, 2, 20), factors[:, [1]] * np.linspace(2, 1, 20)], axis=1)
    adata = AnnData(np.clip(3 + x + 0.1 * rng.normal(size=x.shape), 0, None).astype(np.float32))
    adata.obs["first"], adata.obs["second"] = factors.T
    adata.uns["altercell"] = {"space": "log1p of counts per 10,000"}
    return adata


def trained(adata: AnnData, cls: type = ac.BetaTCVAE, epochs: int = 60, **options):
    adata = adata.copy()
    cls.setup_anndata(adata)
    model = cls(adata, **{"n_hidden": (32, 16), "n_latent": 4, "dropout_rate": 0.0, **options})
    model.train(max_epochs=epochs, early_stopping=False, plan_kwargs={"lr": 5e-3}, **QUIET)
    return model


def gap(model, adata: AnnData) -> tuple[float, float]:
    """Return how much |correlation| each factor has with its best dimension, and with the best of the others in use.

    Means over both factors; a dimension that the network does not use has hardly any variance.
    """
    codes = model.get_latent_representation()
    used = codes[:, codes.std(axis=0) > 0.3]
    known = adata.obs[["first", "second"]].to_numpy()
    ordered = np.sort(np.abs(np.corrcoef(known.T, used.T)[:2, 2:]), axis=1)
    return float(ordered[:, -1].mean()), float(ordered[:, -2].mean())


def test_each_dimension_follows_one_factor(factors):
    best, second = gap(trained(factors, tc_weight=10.0, epochs=150), factors)
    assert best > 0.95
    assert second < 0.3
    mixed_best, mixed_second = gap(trained(factors, tc_weight=0.0, epochs=150), factors)
    assert mixed_best - mixed_second < best - second - 0.2


def test_the_total_correlation_falls_with_its_weight(factors):
    of = {weight: trained(factors, tc_weight=weight, seed=1) for weight in (0.01, 20.0)}
    records = {weight: model.history_["total_correlation_train"].iloc[-10:] for weight, model in of.items()}
    last = {weight: float(record.mean().iloc[0]) for weight, record in records.items()}
    assert last[20.0] < last[0.01]


def test_the_aggregated_posterior_is_of_the_training_cells(factors):
    model = trained(factors, epochs=1)
    assert int(model.module.n_cells) == len(model.train_indices_) == 540
    adata = factors.copy()
    ac.BetaTCVAE.setup_anndata(adata)
    whole = ac.BetaTCVAE(adata, n_hidden=(8,), n_latent=2)
    whole.train(max_epochs=1, train_size=1.0, early_stopping=False, **QUIET)
    assert int(whole.module.n_cells) == 600


def test_the_beta_vae_has_no_total_correlation(factors):
    model = trained(factors, ac.BetaVAE, epochs=2, kl_weight=3.0)
    assert model.module.tc_weight == 0
    assert model.module.kl_weight == 3
    assert not [name for name in model.history_ if "total_correlation" in name]
    again = trained(factors, ac.BetaTCVAE, epochs=2, kl_weight=3.0, tc_weight=0.0)
    np.testing.assert_array_equal(model.get_latent_representation(), again.get_latent_representation())


def test_generated_cells_are_like_the_training_cells(factors):
    model = trained(factors, tc_weight=1.0, epochs=150)
    made = model.generate(400, seed=0).X
    made = np.asarray(made.todense()) if hasattr(made, "todense") else np.asarray(made)
    np.testing.assert_allclose(made.mean(axis=0), factors.X.mean(axis=0), atol=0.2)
    assert np.corrcoef(made.std(axis=0), factors.X.std(axis=0))[0, 1] > 0.5
    prior = model.generate(5, origin="prior", seed=0)
    assert prior.shape == (5, 40)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_hidden": ()}, "n_hidden="),
        ({"n_hidden": (8, 0)}, "n_hidden="),
        ({"n_latent": 0}, "n_latent too"),
        ({"tc_weight": -1.0}, "tc_weight=-1.0 must be at least 0"),
        ({"kl_weight": -1.0}, "kl_weight=-1.0"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0 below 1"),
        ({"gene_likelihood": "poisson"}, "gene_likelihood"),
    ],
)
def test_arguments_that_cannot_be(factors, given, words):
    adata = factors.copy()
    ac.BetaTCVAE.setup_anndata(adata)
    with pytest.raises(DataError, match=words):
        ac.BetaTCVAE(adata, **given)
