"""Small cells, a trained ScGen on them, and its mathematics in NumPy float64."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import special

from altercell import ScGen

CONDITIONS, TYPES = ("control", "other", "stimulated"), ("B", "NK", "T")
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"n_hidden": 16, "n_latent": 4}
# Numbers of cells by type and condition: unequal, with (T, stimulated) held out.
SIZES = {
    ("B", "control"): 22,
    ("B", "other"): 9,
    ("B", "stimulated"): 15,
    ("NK", "control"): 8,
    ("NK", "other"): 12,
    ("NK", "stimulated"): 13,
    ("T", "control"): 24,
    ("T", "other"): 17,
}


def simulated(counts: bool = False, sizes: dict = SIZES, n_genes: int = 30, seed: int = 0) -> AnnData:
    """Draw Poisson counts around a profile of the type, with a shared response of a third of the genes."""
    rng = np.random.default_rng(seed)
    profile = dict(zip(TYPES, rng.gamma(1.0, 4.0, size=(len(TYPES), n_genes)), strict=True))
    response = {name: np.exp((number > 0) * rng.normal(size=n_genes)) for number, name in enumerate(CONDITIONS)}
    pairs = [pair for pair, size in sizes.items() for _ in range(size)]
    depth = rng.uniform(0.5, 2, size=(len(pairs), 1))
    x = rng.poisson(np.stack([profile[kind] * response[condition] for kind, condition in pairs]) * depth)
    x[:, 0] += 1  # no cell is empty
    order = rng.permutation(len(pairs))
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([pairs[n][0] for n in order]),
            "condition": pd.Categorical([pairs[n][1] for n in order]),
            "donor": rng.choice(["d1", "d2"], len(pairs)),
            "total": x[order].sum(1) * 1.5,
        },
        index=[f"cell_{number}" for number in range(len(pairs))],
    )
    var = pd.DataFrame({"rank": range(n_genes)}, index=[f"gene_{number}" for number in range(n_genes)])
    x = x[order]
    values = x if counts else np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    return AnnData(values.astype(np.float32), obs=obs, var=var)


@pytest.fixture(scope="session")
def make_cells():
    """Return the function that makes cells: ``make_cells(counts=False, sizes=..., n_genes=30, seed=0)``."""
    return simulated


@pytest.fixture
def cells() -> AnnData:
    """Fresh log data, 120 x 30."""
    return simulated()


@pytest.fixture
def counts() -> AnnData:
    """Fresh counts, 120 x 30."""
    return simulated(counts=True)


def trained_model(adata: AnnData, setup: dict | None = None, epochs: int = 3, **options) -> ScGen:
    """Set up, build and train a small model; options that are the plan's go to training."""
    plan = {name: options.pop(name) for name in ("lr",) if name in options}
    ScGen.setup_anndata(adata, **{"batch_key": "condition", "labels_key": "cell_type", **(setup or {})})
    model = ScGen(adata, **{**SMALL, **options})
    model.train(max_epochs=epochs, plan_kwargs=plan, **QUIET)
    return model


@pytest.fixture(scope="session")
def make_model():
    """Return the function that trains a model: ``make_model(adata, setup, epochs=3, **options)``."""
    return trained_model


@pytest.fixture(scope="session")
def model() -> ScGen:
    """A trained model on the log data, shared by all tests: look at it, do not change it."""
    return trained_model(simulated(), epochs=25, lr=0.01)


@pytest.fixture(scope="session")
def nb_model() -> ScGen:
    """A trained negative binomial model on the counts, shared by all tests."""
    return trained_model(simulated(counts=True), gene_likelihood="nb")


def _blocks(x: np.ndarray, state: dict, start: str, slope: float = 0.01) -> np.ndarray:
    """Linear, BatchNorm (eps 1e-3) with running statistics where there is one, LeakyReLU, for each block."""
    layer = 0
    while True:
        # scvi-tools' own stacks count their layers, ours are stacks of one layer each.
        names = [f"{start}.fc_layers.Layer {layer}.", f"{start}.{layer}.fc_layers.Layer 0."]
        parts = [{name.removeprefix(head): state[name] for name in state if name.startswith(head)} for head in names]
        p = parts[0] or parts[1]
        if not p:
            return x
        x = x @ p["0.weight"].T + p["0.bias"]
        if "1.weight" in p:
            x = (x - p["1.running_mean"]) / np.sqrt(p["1.running_var"] + 1e-3) * p["1.weight"] + p["1.bias"]
        x = np.maximum(x, slope * x)
        layer += 1


class Oracle:
    """A model's network in NumPy float64, read from its weights; it shares no code with the module."""

    def __init__(self, module) -> None:
        self.state = {name: value.double().numpy() for name, value in module.state_dict().items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def encode(self, x: np.ndarray, total: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of q(z | x); with `total`, x are counts."""
        x = np.asarray(x, dtype=np.float64)
        x = x if total is None else np.log(1 + x / total[:, None] * 10_000)
        hidden = _blocks(x, self.state, "encoder.encoder")
        return self.linear("encoder.mean_encoder", hidden), np.exp(self.linear("encoder.var_encoder", hidden)) + 1e-4

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return decoded log data, before the output activation."""
        return self.linear("decoder.output", _blocks(np.asarray(z, dtype=np.float64), self.state, "decoder.hidden"))

    def decode_counts(self, z: np.ndarray, total: np.ndarray) -> SimpleNamespace:
        """Return mean counts, inverse dispersions, and probabilities of a technical zero (0 where there are none)."""
        hidden = _blocks(np.asarray(z, dtype=np.float64), self.state, "decoder.hidden")
        share = special.softmax(self.linear("decoder.share", hidden), axis=1)
        theta = np.exp(self.state["decoder.log_dispersion"])
        inflated = "decoder.zero_logit.weight" in self.state
        zero = special.expit(self.linear("decoder.zero_logit", hidden)) if inflated else np.zeros((len(z), len(theta)))
        return SimpleNamespace(mean=share[:, : len(theta)] * total[:, None], theta=theta, zero=zero)


@pytest.fixture(scope="session")
def oracle():
    """Return the class :class:`Oracle`: ``oracle(model.module)``."""
    return Oracle


@pytest.fixture(scope="session")
def rows():
    """Return a function that gives the row numbers of a condition and a type."""

    def rows(adata: AnnData, condition: str | None = None, label: str | None = None) -> np.ndarray:
        keep = np.ones(adata.n_obs, dtype=bool)
        if condition is not None:
            keep &= (adata.obs["condition"] == condition).to_numpy()
        if label is not None:
            keep &= (adata.obs["cell_type"] == label).to_numpy()
        return np.flatnonzero(keep)

    return rows
