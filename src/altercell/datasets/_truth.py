"""Read the truth that the simulator leaves in `uns`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import DataError, GeneMismatchError, GroupError, listing


def true_mean(adata: AnnData, labels: str, condition: str, *, target_sum: float = 1e4) -> np.ndarray:
    """Return the expected counts of a cell type under a condition, per `target_sum` counts of a cell.

    This is what the cells' summed counts, divided by their summed totals over all simulated genes, tend to. Batches
    enter with equal weight.

    Parameters
    ----------
    adata
        Cells of :func:`simulate_response`, or any part of them: a subset or another order of the genes is followed.
    labels
        The cell type.
    condition
        The condition.
    target_sum
        Total that the expected counts are scaled to, over all simulated genes.

    Returns
    -------
    Expected counts, shape `(n_genes,)`, in the order of `adata.var_names`.

    Raises
    ------
    DataError
        `adata` does not come from the simulator.
    GroupError
        No such type or condition was simulated.
    GeneMismatchError
        A gene of `adata` was not simulated.

    Examples
    --------
    >>> from altercell.datasets import simulate_response
    >>> adata = simulate_response(n_cells=200, n_genes=50)
    >>> true_mean(adata, "type_0", "stimulated").shape
    (50,)
    """
    truth = adata.uns.get("truth")
    if not isinstance(truth, Mapping) or not {"profile", "cell_types", "conditions"} <= truth.keys():
        raise DataError(
            "adata.uns['truth'] holds no simulated truth of cell types under conditions; make the cells with "
            "datasets.simulate_response."
        )
    row = _position(truth, "cell_types", labels)
    column = _position(truth, "conditions", condition)
    genes = pd.Index(np.asarray(truth["genes"], dtype=object)).get_indexer(adata.var_names)
    if np.any(genes < 0):
        raise GeneMismatchError(f"these genes were not simulated: {listing(adata.var_names[genes < 0])}.")
    return target_sum * np.asarray(truth["profile"])[row, column, genes]


def _position(truth: Mapping[str, Any], kind: str, name: str) -> int:
    names = [str(known) for known in truth[kind]]
    if name not in names:
        raise GroupError(f"'{name}' is not among the simulated {kind.replace('_', ' ')}: {listing(names)}.")
    return names.index(name)
