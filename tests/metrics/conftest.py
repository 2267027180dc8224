"""Small arms with a known response, in log space."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

N_CONTROL, N_REAL, N_GENES, N_CHANGED = 120, 100, 150, 20


class Arms(NamedTuple):
    pred: AnnData
    real: AnnData
    control: AnnData


def counts(rng: np.random.Generator, n_cells: int, rate: np.ndarray) -> np.ndarray:
    return rng.poisson(rate * rng.gamma(5, 0.2, size=(n_cells, 1))).astype(np.float32)


@pytest.fixture
def arms() -> Arms:
    """A prediction that shifts every control cell by the true mean response; all sparse, in log space."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(1.0, 1.5, size=N_GENES)
    factor = np.ones(N_GENES)
    factor[:N_CHANGED] = np.where(np.arange(N_CHANGED) % 2, 5.0, 0.1)
    rate[:N_CHANGED] = 2.0
    control, real = np.log1p(counts(rng, N_CONTROL, rate)), np.log1p(counts(rng, N_REAL, rate * factor))
    genes = [f"g{i}" for i in range(N_GENES)]
    made = {}
    for name, x in (("control", control), ("real", real)):
        made[name] = AnnData(sp.csr_matrix(x), uns={"altercell": {"space": "log1p of counts per median"}})
        made[name].var_names = genes
        made[name].obs_names = [f"{name}-{i}" for i in range(len(x))]
    pred = made["control"].copy()
    pred.X = (control + real.mean(axis=0) - control.mean(axis=0)).astype(np.float32)
    pred.uns["altercell"]["verb"] = "predict"  # a model's answer is believed, negative values and all
    return Arms(pred, made["real"], made["control"])
