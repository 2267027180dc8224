"""Small cells for the data room's tests, and a way to see whether cells were changed."""

from collections.abc import Callable

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from altercell.datasets import simulate_response


@pytest.fixture
def cells() -> AnnData:
    """Counts of 3 types, 3 conditions and 2 donors, with something in every slot."""
    adata = simulate_response(180, 40, 3, ("control", "low", "high"), n_batches=2, seed=1)
    rng = np.random.default_rng(0)
    adata.layers["spliced"] = sparse.csr_matrix(adata.X.copy())
    adata.obsm["X_pca"] = rng.normal(size=(180, 3))
    adata.varm["loading"] = rng.normal(size=(40, 3))
    adata.obsp["distances"] = sparse.csr_matrix(np.eye(180))
    adata.uns["nested"] = {"list": np.arange(3)}
    return adata


def picture(adata: AnnData) -> dict[str, object]:
    """Copy what there is to be changed, in a form that compares by ==."""
    values = adata.X.toarray() if sparse.issparse(adata.X) else np.array(adata.X)
    return {
        "X": (type(adata.X), values.dtype.str, values.tobytes()),
        "layers": {str(k): np.asarray(v.sum(axis=0)).tobytes() for k, v in adata.layers.items()},
        "obs": adata.obs.to_csv(),
        "categories": {k: list(v.cat.categories) for k, v in adata.obs.items() if v.dtype == "category"},
        "var": adata.var.to_csv(),
        "obsm": {k: v.tobytes() for k, v in adata.obsm.items()},
        "uns": repr(adata.uns),
    }


@pytest.fixture
def unchanged(cells: AnnData) -> Callable[[], None]:
    """Assert, when called, that `cells` are as they were at the start of the test."""
    before = picture(cells)

    def check() -> None:
        after = picture(cells)
        for part, value in before.items():
            assert after[part] == value, f"{part} has changed"

    return check
