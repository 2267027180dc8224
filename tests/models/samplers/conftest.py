"""Simulated counts of three types, their logarithms, and the function that fits a sampler."""

import pytest
from anndata import AnnData
from scipy import sparse

import altercell as ac


@pytest.fixture(scope="session")
def counts() -> AnnData:
    """Counts of 600 cells of three types and two conditions, and 40 genes."""
    return ac.datasets.simulate_response(600, 40, 3, seed=0)


@pytest.fixture(scope="session")
def logs(counts) -> AnnData:
    """Their logarithms."""
    return ac.data.normalize(counts)


@pytest.fixture(scope="session")
def fit():
    """Return the function that registers cells and fits a sampler of a class."""

    def fit(Sampler, data, *, labels_key="cell_type", batch_key=None, **arguments):
        Sampler.setup_anndata(data, labels_key=labels_key, batch_key=batch_key)
        model = Sampler(data, **arguments)
        model.train()
        return model

    return fit


@pytest.fixture(scope="session")
def dense():
    """Return the function that gives the values of cells as an array."""
    return lambda cells: cells.X.toarray() if sparse.issparse(cells.X) else cells.X
