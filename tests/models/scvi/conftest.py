"""A trained SCVI on small counts, and its mathematics in NumPy float64."""

from types import SimpleNamespace

import numpy as np
import pytest
from anndata import AnnData
from scipy import special

from altercell import SCVI

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
SMALL = {"n_hidden": 16, "n_latent": 4}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def trained(adata: AnnData, setup: dict | None = None, epochs: int = 3, **options) -> SCVI:
    SCVI.setup_anndata(adata, **{**KEYS, **(setup or {})})
    model = SCVI(adata, **{**SMALL, **options})
    model.train(epochs, **QUIET)
    return model


@pytest.fixture(scope="session")
def make_scvi():
    """Return the function that trains a model: ``make_scvi(adata, setup, epochs=3, **options)``."""
    return trained


@pytest.fixture(scope="session")
def zinb(make_cells) -> SCVI:
    """A trained model with the default likelihood, shared by all tests: look at it, do not change it."""
    return trained(make_cells(counts=True))


@pytest.fixture(scope="session")
def with_totals(make_cells) -> SCVI:
    """A negative binomial model whose cells have counts outside the registered genes; its encoder sees conditions."""
    setup = {"size_factor_key": "total"}
    return trained(make_cells(counts=True), setup, gene_likelihood="nb", encode_covariates=True, n_layers=2)


class ScviOracle:
    """scVI's network in NumPy float64, read from its weights; it shares no code with scvi-tools."""

    def __init__(self, module) -> None:
        self.state = {name: value.double().numpy() for name, value in module.state_dict().items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def blocks(self, start: str, x: np.ndarray, covariate: np.ndarray) -> np.ndarray:
        """Linear, BatchNorm (eps 1e-3), ReLU; every layer is given the covariate beside its input."""
        layer = 0
        while (name := f"{start}.fc_layers.Layer {layer}") + ".0.weight" in self.state:
            x = self.linear(f"{name}.0", np.hstack([x, covariate]))
            mean, variance = self.state[f"{name}.1.running_mean"], self.state[f"{name}.1.running_var"]
            x = (x - mean) / np.sqrt(variance + 1e-3) * self.state[f"{name}.1.weight"] + self.state[f"{name}.1.bias"]
            x, layer = np.maximum(x, 0), layer + 1
        return x

    def encode(self, x: np.ndarray, condition: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of q(z | x), or of q(z | x, c) where a one-hot condition is given."""
        x = np.log(1 + np.asarray(x, dtype=np.float64))
        hidden = self.blocks("z_encoder.encoder", x, np.zeros((len(x), 0)) if condition is None else condition)
        variance = np.exp(self.linear("z_encoder.var_encoder", hidden)) + 1e-4
        return self.linear("z_encoder.mean_encoder", hidden), variance

    def decode(self, z: np.ndarray, total: np.ndarray, condition: np.ndarray) -> SimpleNamespace:
        """Return mean before technical zeros, inverse dispersions and probabilities of a technical zero."""
        hidden = self.blocks("decoder.px_decoder", z, condition)
        share = special.softmax(self.linear("decoder.px_scale_decoder.0", hidden), axis=1)
        zero = special.expit(self.linear("decoder.px_dropout_decoder", hidden))
        return SimpleNamespace(mean=share * total[:, None], theta=np.exp(self.state["px_r"]), zero=zero)


@pytest.fixture(scope="session")
def scvi_oracle():
    """Return the class :class:`ScviOracle`: ``scvi_oracle(model.module)``."""
    return ScviOracle
