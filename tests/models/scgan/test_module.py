"""Tests of the losses of both players against plain NumPy in float64."""

import numpy as np
import pytest
import torch

from altercell.models.scgan import ScGANModule

N, GENES = 12, 9


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def make(conditioning="projection", **arguments) -> ScGANModule:
    torch.manual_seed(0)
    groups = torch.arange(3).expand(2, -1)
    module = ScGANModule(
        GENES, 2, 3, n_latent=4, n_hidden=(5, 6), class_of_group=groups, conditioning=conditioning, **arguments
    ).double()
    if conditioning == "projection":
        torch.nn.init.normal_(module.critic.classes.weight, 0, 0.1)
    return module


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    return {
        "X": torch.tensor(rng.poisson(3.0, (N, GENES)).astype(np.float64)),
        "batch": torch.tensor(rng.integers(0, 2, (N, 1))),
        "labels": torch.tensor(rng.integers(0, 3, (N, 1))),
    }


def score(module: ScGANModule, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return array(module.critic(torch.tensor(x), torch.tensor(classes)))


def slopes(module: ScGANModule, x: np.ndarray, classes: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Return the length of the critic's gradient at each cell, by central differences."""
    parts = [
        (score(module, x + step * one, classes) - score(module, x - step * one, classes)) / (2 * step)
        for one in np.eye(GENES)
    ]
    return np.sqrt((np.stack(parts, axis=1) ** 2).sum(axis=1))


@pytest.mark.parametrize("conditioning", ["projection", "heads", "classifier"])
def test_the_critics_loss(batch, conditioning, monkeypatch):
    module = make(conditioning, penalty_weight=7.0, classifier_weight=0.5)
    real = module.inference(**module._get_inference_input(batch))
    counts = array(batch["X"])
    cells = 20_000 * counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(array(real["real"]), cells, rtol=1e-12)
    classes = batch["labels"].numpy().ravel()
    np.testing.assert_array_equal(real["classes"].numpy(), classes)

    shown = module.generative(**module.drawn(real), keep=False)
    epsilon = np.random.default_rng(1).uniform(size=(N, 1))
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.tensor(epsilon))
    output = module.loss(batch, real, shown)
    fake = array(shown["fake"])
    distance = score(module, cells, classes).mean() - score(module, fake, shown["classes"].numpy()).mean()
    lengths = slopes(module, epsilon * cells + (1 - epsilon) * fake, classes)
    wanted = -distance + 7 * ((lengths - 1) ** 2).mean()
    if conditioning == "classifier":
        logits = array(module.critic.classified(torch.tensor(cells)))
        chance = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        wanted += 0.5 * -(chance - logits.max(1, keepdims=True))[np.arange(N), classes].mean()
    assert float(output.extra_metrics["wasserstein"].detach()) == pytest.approx(distance, rel=1e-9)
    assert float(output.extra_metrics["gradient_norm"]) == pytest.approx(lengths.mean(), rel=1e-5)
    assert float(output.loss.detach()) == pytest.approx(wanted, rel=1e-5)
    output.loss.backward()
    assert all(value.grad is None for value in module.generator.parameters())
    # Which heads get a gradient depends on the classes of the batch; some weight of every layer does.
    assert all(value.grad is not None for value in module.critic.parameters())


@pytest.mark.parametrize("conditioning", ["projection", "classifier"])
def test_the_generators_loss(conditioning):
    module = make(conditioning, classifier_weight=0.5)
    classes = torch.tensor([0, 2, 1, 1])
    made = module.generative(classes)
    output = module.generator_loss(made["fake"], classes)
    fake = array(made["fake"])
    wanted = -score(module, fake, classes.numpy()).mean()
    if conditioning == "classifier":
        logits = array(module.critic.classified(torch.tensor(fake)))
        top = logits.max(1, keepdims=True)
        chance = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
        wanted -= 0.5 * chance[np.arange(4), classes.numpy()].mean()
    assert float(output.loss.detach()) == pytest.approx(wanted, rel=1e-8)


def test_fakes_have_the_classes_of_real_cells_in_their_proportions():
    torch.manual_seed(0)
    classes = torch.tensor([5, 5, 5, 1] * 5_000)
    drawn = ScGANModule.drawn({"classes": classes})["classes"]
    assert set(drawn.tolist()) == {1, 5}
    assert float((drawn == 5).float().mean()) == pytest.approx(0.75, abs=0.02)


def test_the_average_follows_the_generator():
    """First it is the generator; then by a decay of 2/11, 3/12, ..., at last the one asked for; statistics as well."""
    module = make(average_decay=0.3)
    wanted = {}
    for move in range(6):
        with torch.no_grad():
            for value in module.generator.parameters():
                value.add_(1)
            module.generator.norms[0].running_mean.fill_(move)
        module.update_average()
        decay = min(0.3, (1 + move) / (10 + move)) if move else 0
        for name, value in module.generator.state_dict().items():
            wanted[name] = decay * wanted.get(name, 0) + (1 - decay) * array(value)
    averaged = module.average.module.state_dict()
    assert averaged.keys() == wanted.keys()
    for name, value in averaged.items():
        np.testing.assert_allclose(array(value), wanted[name], rtol=1e-9, atol=1e-12)
    assert not any(value.requires_grad for value in module.average.parameters())
    assert int(module.average.n_averaged) == 6
    noise, classes = torch.randn(3, 4, dtype=torch.float64), torch.tensor([0, 1, 2])
    module.eval()
    np.testing.assert_array_equal(array(module.make(noise, classes)), array(module.average(noise, classes)))


def test_log_data_are_not_scaled():
    module = make(library_size=None)
    x = torch.rand(4, GENES, dtype=torch.float64)
    zeros = torch.zeros(4, 1, dtype=torch.int64)
    assert torch.equal(module.inference(x, zeros, zeros)["real"], x)
