"""Tests of the networks against plain NumPy in float64."""

import numpy as np
import pytest
import torch

from altercell.models.scgan import Critic, Generator
from altercell.models.scgan._networks import ClassNorm, LibrarySize

CLASSES = np.array([0, 2, 1, 1, 2, 0, 0])


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    generator = Generator(4, [5, 6], 9, n_classes=3, library_size=50.0).double()
    for norm in generator.norms:
        torch.nn.init.normal_(norm.scale, 1, 0.3)
        torch.nn.init.normal_(norm.shift, 0, 0.3)
        norm.running_mean.copy_(torch.randn(len(norm.running_mean)))
        norm.running_var.copy_(torch.rand(len(norm.running_var)) + 0.5)
    return generator


def made(generator: Generator, noise: np.ndarray, *, training: bool) -> np.ndarray:
    """Return the generator's cells, by the paper's equations."""
    h = noise
    for linear, norm in zip(generator.linear, generator.norms, strict=True):
        h = h @ array(linear.weight).T
        mean, variance = (h.mean(0), h.var(0)) if training else (array(norm.running_mean), array(norm.running_var))
        scale, shift = array(norm.scale)[CLASSES], array(norm.shift)[CLASSES]
        h = relu(scale * (h - mean) / np.sqrt(variance + 1e-5) + shift)
    x = relu(h @ array(generator.output.weight).T + array(generator.output.bias))
    return 50 * x / x.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_is_that_of_the_paper(generator, training):
    noise = np.random.default_rng(0).normal(size=(7, 4))
    wanted = made(generator, noise, training=training)
    got = generator.train(training)(torch.tensor(noise), torch.tensor(CLASSES))
    np.testing.assert_allclose(array(got), wanted, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(array(got).sum(axis=1), 50, rtol=1e-10)
    assert all(linear.bias is None for linear in generator.linear)


def test_only_kept_batches_enter_the_running_statistics(generator):
    noise, classes = torch.randn(7, 4, dtype=torch.float64), torch.tensor(CLASSES)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    unkept = generator(noise, classes, keep=False)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    np.testing.assert_array_equal(array(generator(noise, classes)), array(unkept))
    h = array(noise) @ array(generator.linear[0].weight).T
    mean, variance = (array(before[f"norms.0.running_{name}"]) for name in ("mean", "var"))
    norm = generator.norms[0]
    np.testing.assert_allclose(array(norm.running_mean), 0.9 * mean + 0.1 * h.mean(0), rtol=1e-10)
    np.testing.assert_allclose(array(norm.running_var), 0.9 * variance + 0.1 * h.var(0, ddof=1), rtol=1e-10)


def test_with_one_class_the_norm_is_torchs():
    norm, torchs = ClassNorm(5, 1).double(), torch.nn.BatchNorm1d(5).double()
    x, zeros = torch.randn(8, 5, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    for _ in range(3):
        np.testing.assert_allclose(array(norm(x, zeros)), array(torchs(x)), rtol=1e-10)
    np.testing.assert_allclose(array(norm.eval()(x, zeros)), array(torchs.eval()(x)), rtol=1e-10)


def test_a_cell_of_zeros_stays_one():
    cells = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_array_equal(array(LibrarySize(8)(cells)), [[2, 6], [0, 0]])


@pytest.mark.parametrize("conditioning", ["projection", "heads", "classifier"])
def test_the_critic_scores_a_cell_for_its_class(conditioning):
    torch.manual_seed(0)
    critic = Critic(9, [6, 5], n_classes=3, conditioning=conditioning).double()
    if conditioning == "projection":
        torch.nn.init.normal_(critic.classes.weight)
    x = np.random.default_rng(0).gamma(1, 1, (7, 9))
    h = x
    for linear in critic.linear:
        h = relu(h @ array(linear.weight).T + array(linear.bias))
    scores = h @ array(critic.score.weight).T
    heads = conditioning == "heads"
    wanted = (scores + array(critic.score.bias))[np.arange(7), CLASSES] if heads else scores[:, 0]
    if conditioning == "projection":
        wanted = wanted + np.array([array(critic.classes.weight)[c] @ u for c, u in zip(CLASSES, h, strict=True)])
    got = critic(torch.tensor(x), torch.tensor(CLASSES))
    np.testing.assert_allclose(array(got), wanted, rtol=1e-10)
    if conditioning == "classifier":
        logits = h @ array(critic.classes.weight).T + array(critic.classes.bias)
        np.testing.assert_allclose(array(critic.classified(torch.tensor(x))), logits, rtol=1e-10)


@pytest.mark.parametrize("conditioning", ["projection", "heads", "classifier"])
def test_without_classes_there_is_one_score(conditioning):
    critic = Critic(9, [6], n_classes=1, conditioning=conditioning)
    assert critic.conditioning is None
    assert critic.classes is None
    x, zeros = torch.rand(4, 9), torch.zeros(4, dtype=torch.int64)
    torch.testing.assert_close(critic(x, zeros), critic.score(critic.hidden(x)).squeeze(1))


def test_the_critic_looks_at_one_cell_at_a_time():
    critic = Critic(9, [6, 5], n_classes=3, conditioning="heads")
    x, classes = torch.rand(7, 9), torch.tensor(CLASSES)
    torch.testing.assert_close(critic(x, classes)[2:4], critic(x[2:4], classes[2:4]))
