"""Tiny evidence with random mean cells, a control space that is given, and small simulated data."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import altercell as ac
from altercell.models.base import Profiles
from altercell.models.stack._attention import ControlSpace, Pairs, weighted_differences
from altercell.models.stack._evidence import Evidence

N_TYPES, N_GENES = 6, 9
CONDITIONS = ("control", "stimulated", "other")
TYPES = ("type_0", "type_1", "type_2", "type_3")


class GivenSpace(ControlSpace):
    """Random points and pairs for each type, drawn once; `x` are the cells that the pairs' rows are of."""

    def __init__(self, n_types: int, n_genes: int, seed: int = 0, n_cells: int = 30, n_pairs: int = 24) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.gamma(1, 1, (n_types * n_cells, n_genes))
        self._points = [rng.normal(size=(n_cells, 5)) + rng.normal(size=5) for _ in range(n_types)]
        rows = np.arange(n_types * n_cells).reshape(n_types, n_cells)
        self._pairs = [
            Pairs(points[:n_pairs], own[:n_pairs], rng.permutation(own)[:n_pairs])
            for points, own in zip(self._points, rows, strict=True)
        ]

    def points(self, kind):
        return self._points[kind]

    def pairs(self, kind):
        return self._pairs[kind]

    def differences(self, target, control, weights):
        return weighted_differences(lambda rows: self.x[rows], target, control, weights, 7)


def evidence_of(
    n_types: int = N_TYPES,
    n_genes: int = N_GENES,
    n_asked: int = 1,
    seed: int = 0,
    *,
    asked: tuple[int, ...] | None = None,
    sizes: tuple[int, ...] | None = None,
    noise: float = 1e-3,
) -> Evidence:
    """Return evidence on random means: `n_types` known types and, after them, `n_asked` without target cells."""
    rng = np.random.default_rng(seed)
    n_all = n_types + n_asked
    before = rng.gamma(1.5, 0.5, (n_all, n_genes))
    after = np.maximum(before + rng.normal(0.3, 0.5, n_genes) + rng.normal(0, 0.2, before.shape), 0)
    after[n_types:] = 0
    n_cells = np.full(n_all, 40) if sizes is None else np.array(sizes)
    arms = [Profiles(x, n_cells.copy(), noise * rng.uniform(0.5, 2, x.shape)) for x in (before, after)]
    arms[1].sizes[n_types:] = 0
    arms[1].noise[n_types:] = 0
    space = GivenSpace(n_all, n_genes, seed)
    known = np.arange(n_types)
    return Evidence(*arms, known, np.arange(n_types, n_all) if asked is None else np.array(asked), lambda: space)


@pytest.fixture
def make_evidence():
    """Return the function that makes evidence; see :func:`evidence_of`."""
    return evidence_of


@pytest.fixture
def evidence() -> Evidence:
    """Six types of nine genes, and two that are asked."""
    return evidence_of(n_asked=2)


@pytest.fixture(scope="session")
def simulated() -> AnnData:
    """Log data with counts, 480 x 75: 40 cells of each of four types under three conditions. Copy before a change."""
    data = ac.datasets.simulate_response(480, 75, len(TYPES), CONDITIONS, n_batches=2, library_size=600, seed=3)
    return ac.data.normalize(data)


@pytest.fixture(scope="session")
def train(simulated) -> AnnData:
    """The simulated cells without the last type's stimulated ones."""
    return ac.data.hold_out(simulated, batch="stimulated", labels=TYPES[-1])[0]


def fitted(data: AnnData, labels_key: str | None = "cell_type", batch_size: int = 100, layer=None, **arguments):
    """Register cells and train a stack on them."""
    ac.ResponseStack.setup_anndata(data, batch_key="condition", labels_key=labels_key, layer=layer)
    model = ac.ResponseStack(data, **arguments)
    model.train(batch_size=batch_size)
    return model


@pytest.fixture(scope="session")
def fit():
    """Return the function that trains a model: ``fit(adata, labels_key=..., members=...)``."""
    return fitted


@pytest.fixture(scope="session")
def stack(train):
    """A trained model on the training cells, shared by all tests: look at it, do not change it."""
    return fitted(train.copy())


@pytest.fixture(scope="session")
def dense():
    """Return the function that makes values dense float64."""

    def dense(values) -> np.ndarray:
        return np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float64)

    return dense
