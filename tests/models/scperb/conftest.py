"""The network of scPerb in NumPy float64, read from its weights; it shares no code with the module."""

import numpy as np
import pytest
from anndata import AnnData

from altercell import ScPerb

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"n_hidden": 16, "n_latent": 4, "n_style": 6}


class Oracle:
    """Encoder, decoder, deltas and loss terms, after the paper's equations."""

    def __init__(self, module) -> None:
        self.state = {name: value.double().numpy() for name, value in module.state_dict().items()}
        self.control = module.control

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def blocks(self, x: np.ndarray, start: str) -> np.ndarray:
        """Linear, BatchNorm (eps 1e-3) with running statistics, ELU, for each block."""
        layer = 0
        while f"{start}.fc_layers.Layer {layer}.0.weight" in self.state:
            name = f"{start}.fc_layers.Layer {layer}"
            norm = {part: self.state[f"{name}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")}
            x = self.linear(f"{name}.0", x)
            x = (x - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-3) * norm["weight"] + norm["bias"]
            x = elu(x)
            layer += 1
        return x

    def encode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of q(z | x)."""
        hidden = self.blocks(np.asarray(x, dtype=np.float64), "encoder.encoder")
        return self.linear("encoder.mean_encoder", hidden), np.exp(self.linear("encoder.var_encoder", hidden)) + 1e-4

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return decoded log data, before the output activation."""
        return self.linear("decoder.1", self.blocks(np.asarray(z, dtype=np.float64), "decoder.0"))

    def delta(self, condition: int, z: np.ndarray | None = None) -> np.ndarray:
        """Return a condition's difference from the control, at the points z where it depends on them."""
        zeros = np.zeros(len(self.state["style_encoder.affine.bias"]))
        code = zeros
        if condition != self.control:
            code = self.linear("style_encoder.affine", self.state["style_encoder.style"][condition])
        if z is None or "style_encoder.network.0.weight" not in self.state:
            return code if z is None else np.broadcast_to(code, z.shape)
        if condition == self.control:
            return np.zeros_like(z)
        joined = np.concatenate([np.broadcast_to(code, z.shape), z], axis=1)
        hidden = elu(self.linear("style_encoder.network.0", joined))
        return code + self.linear("style_encoder.network.2", hidden)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


@pytest.fixture(scope="session")
def oracle():
    """Return the class :class:`Oracle`: ``oracle(model.module)``."""
    return Oracle


def trained(adata: AnnData, setup: dict | None = None, epochs: int = 3, train: dict | None = None, **options) -> ScPerb:
    """Set up, build and train a small model; `train` are arguments of ``train``."""
    ScPerb.setup_anndata(adata, **{**KEYS, **(setup or {})})
    model = ScPerb(adata, **{"control": "control", **SMALL, **options})
    model.train(max_epochs=epochs, **{"batch_size": 16, "plan_kwargs": {"lr": 0.01}, **QUIET, **(train or {})})
    return model


@pytest.fixture(scope="session")
def make_perb():
    """Return the function that trains a model: ``make_perb(adata, setup, epochs=3, train=..., **options)``."""
    return trained


@pytest.fixture(scope="session")
def perb(make_cells) -> ScPerb:
    """A trained model with three conditions, shared by all tests: look at it, do not change it."""
    return trained(make_cells(), epochs=25)


@pytest.fixture(scope="session")
def latent_perb(make_cells) -> ScPerb:
    """The same with ``delta="latent"``."""
    return trained(make_cells(), epochs=25, delta="latent")
