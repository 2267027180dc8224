"""Small populations of cells, figures closed after every test, and the caller's settings untouched."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

N_CELLS, N_GENES, N_CHANGED = 60, 30, 6
TYPES = ["B cells", "T cells"]
SPACE = "log1p of counts per 10,000"
GENES = ["ISG15", "IFI6", "MX1", *(f"gene{i}" for i in range(3, N_GENES))]


@pytest.fixture(autouse=True)
def _leaves_no_trace():
    """Fail where a plot changes matplotlib's settings; close what it made."""
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.fixture
def ax():
    """Axes of the caller's own figure."""
    return plt.subplots()[1]


@pytest.fixture
def figures_stay(ax):
    """Fail where a plot on given axes opens another figure."""
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


def _make(seed, *, shift=0.0, n_cells=N_CELLS):
    rng = np.random.default_rng(seed)
    x = np.log1p(rng.poisson(np.linspace(0.3, 4, N_GENES), size=(n_cells, N_GENES))).astype(np.float32)
    x[:, :N_CHANGED] += shift
    obs = pd.DataFrame({"cell_type": np.resize(TYPES, n_cells)}, index=[f"cell{seed}-{i}" for i in range(n_cells)])
    uns = {"altercell": {"space": SPACE}}
    return AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame(index=GENES), uns=uns)


@pytest.fixture
def make():
    """Function of (seed, shift, n_cells): cells in log space, the first genes higher by `shift`; CSR."""
    return _make


@pytest.fixture
def dense():
    """Function of an AnnData: its X as an array."""
    return _dense


@pytest.fixture(params=["sparse", "dense"])
def populations(request):
    """Control, real and predicted cells, all sparse or all dense."""
    cells = {"control": _make(0), "real": _make(1, shift=2, n_cells=50), "ScGen": _make(2, shift=1.5)}
    cells["ScGen"].uns["altercell"]["model"] = "ScGen"
    if request.param == "dense":
        for adata in cells.values():
            adata.X = adata.X.toarray()
    return cells


@pytest.fixture
def unchanged(populations):
    """Fail where a plot changes its input."""
    before = {name: adata.copy() for name, adata in populations.items()}
    yield
    for name, adata in populations.items():
        assert type(adata.X) is type(before[name].X)
        np.testing.assert_array_equal(_dense(adata), _dense(before[name]))
        pd.testing.assert_frame_equal(adata.obs, before[name].obs)
        pd.testing.assert_frame_equal(adata.var, before[name].var)
        assert adata.uns == before[name].uns
        assert list(adata.obsm) == list(before[name].obsm)


def _dense(adata):
    return adata.X.toarray() if sp.issparse(adata.X) else adata.X
