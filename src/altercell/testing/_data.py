"""The data of the checks: 200 simulated cells x 50 genes with a held-out combination, and other forms of them."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from altercell.data import hold_out, normalize
from altercell.datasets import simulate_response

Data = Literal["log", "counts"]

BATCH_KEY, LABELS_KEY = "condition", "cell_type"
SOURCE, TARGET, THIRD = "control", "stimulated", "other"
HELD_OUT = "type_3"
N_CELLS, N_GENES, N_TYPES = 228, 50, 4


@functools.cache
def simulated(data: Data, conditions: tuple[str, ...] = (SOURCE, TARGET)) -> AnnData:
    """Simulate the cells of the checks, once for each set of arguments; take a copy before changing them.

    Parameters
    ----------
    data
        ``"log"``: log1p of counts per 10,000 in X; ``"counts"``: counts in X.
    conditions
        Names of the conditions, the control first.

    Returns
    -------
    Dense float32 values, with a layer, an obsm and more, so that there is something to leave untouched.
    """
    made = _in_space(simulate_response(N_CELLS, N_GENES, N_TYPES, conditions, seed=1), data)
    made.layers["counts"] = made.layers["counts"].tocsr()
    made.obsm["X_note"] = np.arange(2 * N_CELLS, dtype=np.float32).reshape(N_CELLS, 2)
    made.obs["donor"] = pd.Categorical(np.where(np.arange(N_CELLS) % 2, "b", "a"))
    made.uns["note"] = {"list": [1, 2], "array": np.arange(3)}
    return made


@functools.cache
def learnable(data: Data) -> AnnData:
    """Simulate 1,000 cells x 100 genes whose response is strong and mostly common to all types; do not change them.

    Parameters
    ----------
    data
        What X holds; see :func:`simulated`.
    """
    strong: dict[str, Any] = {
        "response_share": 0.25,
        "response_size": 1.5,
        "specific_share": 0.1,
        "library_size": 3_000.0,
    }
    types: dict[str, Any] = {"marker_share": 0.1, "marker_size": 2.0, "lineage_similarity": 0.6}
    return _in_space(simulate_response(1_000, 100, N_TYPES, (SOURCE, TARGET), **strong, **types, seed=1), data)


def _in_space(counts: AnnData, data: Data) -> AnnData:
    made = normalize(counts)
    if data == "counts":
        made.X, made.uns["altercell"] = made.layers["counts"].copy(), {"space": "counts"}
    made.X = made.X.toarray()
    made.uns.pop("truth")
    return made


@functools.cache
def _training_cells(data: Data) -> AnnData:
    return hold_out(simulated(data), batch=TARGET, labels=HELD_OUT)[0]


def tiny(data: Data) -> AnnData:
    """Return a fresh copy of the training cells: 200 x 50, without the held-out combination.

    Parameters
    ----------
    data
        What X holds; see :func:`simulated`.
    """
    return _training_cells(data).copy()


def with_values(adata: AnnData, values: Any) -> AnnData:
    """Return a copy with other values in X.

    Parameters
    ----------
    adata
        Cells; not changed.
    values
        The new X.
    """
    changed = adata.copy()
    changed.X = values
    return changed


def set_totals(adata: AnnData, data: Data) -> None:
    """Bring each cell's total up to date after a change of counts; log data keep theirs.

    Parameters
    ----------
    adata
        Cells, changed in place.
    data
        What X holds.
    """
    if data == "counts":
        adata.obs["size_factor"] = adata.X.sum(axis=1).astype(np.float64)


def as_mudata(adata: AnnData) -> MuData:
    """Return the cells as the modality "rna" of a MuData, beside a modality that no model reads.

    Parameters
    ----------
    adata
        Cells; not changed.
    """
    other = AnnData(np.ones((adata.n_obs, 2), dtype=np.float32), obs=pd.DataFrame(index=adata.obs_names.copy()))
    other.var_names = ["protein_0", "protein_1"]
    return MuData({"rna": adata.copy(), "protein": other})


def dense(values: Any) -> np.ndarray:
    """Return values as a dense array.

    Parameters
    ----------
    values
        Dense, sparse, or on disk.
    """
    held = values[:] if not isinstance(values, np.ndarray) and not sparse.issparse(values) else values
    return held.toarray() if sparse.issparse(held) else np.asarray(held)
