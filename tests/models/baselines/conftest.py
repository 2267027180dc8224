"""Small data with three conditions and four types, and the means of its groups by plain NumPy."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

TYPES = ("B", "Mono", "NK", "T")
CONDITIONS = ("control", "ifn", "lps")
N_GENES = 30


class Truth:
    """Group means in float64, computed cell by cell from the dense values."""

    def __init__(self, adata: AnnData, x: np.ndarray) -> None:
        self.x, self.obs = x.astype(np.float64), adata.obs

    def rows(self, condition: str, kind: str | None = None) -> np.ndarray:
        keep = (self.obs["condition"] == condition).to_numpy()
        return keep if kind is None else keep & (self.obs["cell_type"] == kind).to_numpy()

    def cells(self, condition: str, kind: str | None = None) -> np.ndarray:
        return self.x[self.rows(condition, kind)]

    def mean(self, condition: str, kind: str | None = None) -> np.ndarray:
        return self.cells(condition, kind).mean(0)

    def delta(self, target: str, kinds: tuple[str, ...]) -> np.ndarray:
        """Return the mean of the types' differences from control."""
        return np.mean([self.mean(target, kind) - self.mean("control", kind) for kind in kinds], axis=0)


def make(seed: int = 0, lacking: tuple[tuple[str, str], ...] = (("ifn", "T"),)) -> AnnData:
    """Return sparse log data, with groups of different sizes and without the groups in `lacking`."""
    rng = np.random.default_rng(seed)
    profile, response = rng.gamma(2, 0.5, (4, N_GENES)), rng.normal(0, 0.4, (3, 4, N_GENES))
    blocks, rows = [], []
    for c, condition in enumerate(CONDITIONS):
        for k, kind in enumerate(TYPES):
            n = 0 if (condition, kind) in lacking else 8 + 6 * k + 3 * c
            mean = np.clip(profile[k] + (response[c, k] if c else 0), 0.05, None)
            blocks.append(np.log1p(rng.poisson(mean, (n, N_GENES))))
            rows += [(condition, kind, f"donor{i % 2}") for i in range(n)]
    obs = pd.DataFrame(rows, columns=["condition", "cell_type", "donor"], dtype="category")
    obs.index = [f"cell{i}" for i in range(len(obs))]
    var = pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)])
    # Shuffled, so that no test passes only because groups stand together.
    return AnnData(sparse.csr_matrix(np.vstack(blocks).astype(np.float32)), obs, var)[rng.permutation(len(obs))].copy()


@pytest.fixture
def adata() -> AnnData:
    """Data without T cells under ifn: the held-out combination."""
    return make()


@pytest.fixture
def full() -> AnnData:
    """Data with every combination."""
    return make(lacking=())


@pytest.fixture
def truth(adata: AnnData) -> Truth:
    return Truth(adata, adata.X.toarray())


@pytest.fixture
def full_truth(full: AnnData) -> Truth:
    return Truth(full, full.X.toarray())


@pytest.fixture
def fit():
    """Return a function that registers data and trains a model on them."""

    def fitted(cls, data: AnnData, labels_key: str | None = "cell_type", batch_size: int = 17, **arguments):
        cls.setup_anndata(data, batch_key="condition", labels_key=labels_key)
        model = cls(data, **arguments)
        model.train(batch_size=batch_size)
        return model

    return fitted


@pytest.fixture
def values():
    """Return a function that makes a prediction's values dense float64."""

    def dense(pred: AnnData) -> np.ndarray:
        return np.asarray(pred.X.toarray() if sparse.issparse(pred.X) else pred.X, dtype=np.float64)

    return dense
