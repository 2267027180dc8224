"""Cells of two conditions, a small trained StyleTransferGAN, and its networks in NumPy float64."""

import numpy as np
import pytest

from altercell import StyleTransferGAN

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
SMALL = {"n_hidden": [12, 8], "n_latent": 4}
# Numbers of cells by type and condition: unequal, with (T, stimulated) held out.
SIZES = {
    ("B", "control"): 30,
    ("B", "stimulated"): 21,
    ("NK", "control"): 12,
    ("NK", "stimulated"): 19,
    ("T", "control"): 24,
}


@pytest.fixture
def cells(make_cells):
    """Fresh log data, 106 x 30, of two conditions: 66 control cells and 40 stimulated ones."""
    return make_cells(sizes=SIZES)


@pytest.fixture(scope="session")
def build():
    """Return the function that makes an untrained model: ``build(adata, setup, **options)``."""

    def build(adata, setup=None, **options) -> StyleTransferGAN:
        StyleTransferGAN.setup_anndata(adata, **{**KEYS, **(setup or {})})
        return StyleTransferGAN(adata, **{**SMALL, **options})

    return build


@pytest.fixture(scope="session")
def model(make_cells, build) -> StyleTransferGAN:
    """A trained model, shared by all tests: look at it, do not change it."""
    model = build(make_cells(sizes=SIZES))
    model.train(max_epochs=8, batch_size=32, plan_kwargs={"lr": 0.01}, **QUIET)
    return model


class Oracle:
    """The networks in NumPy float64, read from the weights; it shares no code with the module.

    ``training=True`` normalises by the batch's own mean and variance, else by the running ones.
    """

    def __init__(self, module, training: bool = False) -> None:
        self.state = {name: value.double().numpy() for name, value in module.state_dict().items()}
        self.training = training

    def block(self, name: str, x: np.ndarray, domain: int = 0, slope: float = 0.2) -> np.ndarray:
        h = np.asarray(x, dtype=np.float64) @ self.state[f"{name}.linear.weight"].T
        mean, variance = (self.state[f"{name}.norm.running_{part}"][domain] for part in ("mean", "var"))
        if self.training:
            mean, variance = h.mean(axis=0), h.var(axis=0)
        h = (h - mean) / np.sqrt(variance + 1e-5)
        h = h * self.state[f"{name}.norm.weight"] + self.state[f"{name}.norm.bias"]
        return np.where(h > 0, h, slope * h)

    def blocks(self, name: str, x: np.ndarray, domain: int = 0) -> np.ndarray:
        number = 0
        while f"{name}.{number}.linear.weight" in self.state:
            x = self.block(f"{name}.{number}", x, domain)
            number += 1
        assert number > 0, name
        return x

    def translate(self, x: np.ndarray, which: int) -> np.ndarray:
        """Generator `which`, with ReLU at its end."""
        h = self.blocks(f"generators.entry.{which}", x)
        h = self.blocks("generators.middle", h, which)
        h = self.blocks(f"generators.exit.{which}", h)
        return self.block(f"generators.output.{which}", h, slope=0.0)

    def score(self, x: np.ndarray, condition: int, domain: int, sigmoid: bool = True) -> np.ndarray:
        """Discriminator `condition`; the domain is 0 for real cells and 1 for fakes."""
        name = f"discriminators.{condition}"
        h = self.blocks(f"{name}.hidden", x, domain)
        h = h @ self.state[f"{name}.score.weight"].T + self.state[f"{name}.score.bias"]
        return 1 / (1 + np.exp(-h)) if sigmoid else h


@pytest.fixture(scope="session")
def oracle():
    """Return the class :class:`Oracle`: ``oracle(module, training=False)``."""
    return Oracle
