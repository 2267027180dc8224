"""Principal components of training cells, without a dense copy of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from altercell.models.base import as_dense


def n_components(n_pcs: int, n_cells: int, n_genes: int) -> int:
    """Return how many components can be had of so many cells and genes.

    Parameters
    ----------
    n_pcs
        How many are wanted.
    n_cells, n_genes
        Of the cells.
    """
    return max(1, min(n_pcs, n_cells - 1, n_genes - 1))


def fit_pcs(values: Any, n_pcs: int) -> PCA:
    """Fit principal components, centred and not scaled.

    Parameters
    ----------
    values
        Shape ``(n_cells, n_genes)``, CSR or dense.
    n_pcs
        How many are wanted; see :func:`n_components`.
    """
    values, n = values.astype(np.float64), n_components(n_pcs, *values.shape)
    if n == min(values.shape):  # a single gene or cell
        return PCA(n, svd_solver="full").fit(as_dense(values))
    return PCA(n, svd_solver="arpack", random_state=0).fit(values)
