"""Counts with their log values, a model of them with a type held out, and what that model was trained on."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from altercell import MeanShift, NoChange
from altercell.data import hold_out, normalize
from altercell.datasets import simulate_response
from altercell.models.base._profiles import Profiles
from altercell.models.base._templates import counted, find_templates


@pytest.fixture(scope="session")
def as_dense():
    """Return a function that makes values, or those of a prediction, dense float64."""

    def dense(values) -> np.ndarray:
        values = values.X if isinstance(values, AnnData) else values
        return np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float64)

    return dense


@pytest.fixture(scope="session")
def fitted():
    """Return the function that registers data and fits a closed form: ``fitted(adata, MeanShift, labels_key=...)``."""

    def fitted(adata: AnnData, cls=MeanShift, labels_key: str | None = "cell_type", **setup):
        cls.setup_anndata(adata, batch_key="condition", labels_key=labels_key, **setup)
        model = cls(adata)
        model.train()
        return model

    return fitted


@pytest.fixture(scope="session")
def with_counts(make_cells):
    """Return a function that makes 120 x 30 cells of three conditions with counts, totals and log values."""

    def make(target_sum: float | None = 1e4, **options) -> AnnData:
        return normalize(make_cells(counts=True, **options), target_sum)

    return make


@pytest.fixture
def plain(cells, fitted):
    """All cells of the log data, as a model without a network reads them."""
    return fitted(cells, NoChange).cells()


@pytest.fixture(scope="session")
def response():
    """480 x 120 simulated cells of three types, without the stimulated ones of type_2, and those."""
    return hold_out(
        normalize(simulate_response(n_cells=480, n_genes=120, n_types=3, library_size=3_000, seed=0)),
        batch="stimulated",
        labels="type_2",
    )


@pytest.fixture(scope="session")
def shift(response, fitted) -> MeanShift:
    """A model of `response`, shared by all tests."""
    return fitted(response[0])


@pytest.fixture(scope="session")
def templates(shift):
    return find_templates(shift, 0, 1)


@pytest.fixture(scope="session")
def controls(shift):
    """Return a function that gives the control cells of a type with their counts: ``controls("type_2", model=...)``."""

    def controls(label: str = "type_2", model: MeanShift = shift, every: int = 1):
        obs = model.adata.obs
        member = (obs["condition"] == "control") & (obs["cell_type"] == label)
        return counted(model, model.cells(rows=np.flatnonzero(member)[::every]), "the cells")

    return controls


@pytest.fixture(scope="session")
def profile_of():
    """Return a function that makes the profile, of one type, of cells with counts."""

    def profile_of(cells) -> Profiles:
        x = np.concatenate(list(cells.log_blocks()))
        return Profiles.of_sums(x.sum(0, keepdims=True), (x**2).sum(0, keepdims=True), np.array([len(x)]))

    return profile_of
