"""Simulated counts of unequal classes, and a small trained model of each kind."""

import numpy as np
import pytest
from anndata import AnnData

import altercell as ac

SMALL = {"n_hidden": (8, 16), "n_latent": 4}


@pytest.fixture(scope="session")
def counts() -> AnnData:
    """Counts of 200 cells and 30 genes: 120, 60 and 20 of three types, half of each under each condition."""
    data = ac.datasets.simulate_response(600, 30, 3, seed=0)
    keep = [
        np.flatnonzero((data.obs["cell_type"] == f"type_{kind}") & (data.obs["condition"] == condition))[:n]
        for kind, n in enumerate((60, 30, 10))
        for condition in ("control", "stimulated")
    ]
    return data[np.sort(np.concatenate(keep))].copy()


@pytest.fixture(scope="session")
def fit():
    """Return the function that registers cells and trains a model of a class for some steps."""

    def fit(Model, data, n_steps=2, labels_key="cell_type", train=None, **arguments):
        Model.setup_anndata(data, batch_key="condition", labels_key=labels_key)
        model = Model(data, **{**SMALL, **arguments})
        options = {"n_steps": n_steps, "batch_size": 50, "accelerator": "cpu", "enable_progress_bar": False}
        model.train(**{**options, **(train or {})})
        return model

    return fit


@pytest.fixture(scope="session")
def scgan(counts, fit):
    """A trained ScGAN: look at it, do not change it."""
    return fit(ac.ScGAN, counts.copy())


@pytest.fixture(scope="session")
def cscgan(counts, fit):
    """A trained CscGAN of cell types: look at it, do not change it."""
    return fit(ac.CscGAN, counts.copy())
