"""Sums of cells by group, in one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

from altercell.models.base._cells import Cells, as_dense


def indicator(groups: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the groups that there are, and the matrix that sums the rows of each.

    Parameters
    ----------
    groups
        Group of each row, shape ``(n,)``.

    Returns
    -------
    The groups, shape ``(n_present,)``, and CSR of shape ``(n_present, n)``.
    """
    present, member = np.unique(groups, return_inverse=True)
    ones = np.ones(len(member))
    return present, sparse.csr_matrix((ones, (member, np.arange(len(member)))), shape=(len(present), len(member)))


def group_sums(cells: Cells, groups: np.ndarray, n_groups: int, batch_size: int) -> np.ndarray:
    """Sum cells by group, in float64 and without a dense copy of sparse data.

    Parameters
    ----------
    cells
        The cells.
    groups
        Group of each cell, from 0 to ``n_groups - 1``, shape ``(n_cells,)``.
    n_groups
        Number of groups.
    batch_size
        Cells a batch.

    Returns
    -------
    The sums, shape ``(n_groups, n_genes)``; 0 for a group without cells.
    """
    blocks = (cells.read(slice(start, start + batch_size), dense=False) for start in range(0, len(cells), batch_size))
    return sums_and_squares(blocks, groups, n_groups, cells.n_genes, squares=False)[0]


def sums_and_squares(
    blocks: Iterable[np.ndarray | sparse.csr_matrix],
    groups: np.ndarray,
    n_groups: int,
    n_genes: int,
    *,
    squares: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum rows and their squares by group, in float64.

    Parameters
    ----------
    blocks
        Blocks of rows in order, dense or CSR, shape ``(n, n_genes)`` each.
    groups
        Group of each row, from 0 to ``n_groups - 1``; a row below 0 is left out.
    n_groups, n_genes
        Shape of the answer.
    squares
        Whether the squares are asked for; else they stay 0.

    Returns
    -------
    Sums and sums of squares, shape ``(n_groups, n_genes)`` each.
    """
    sums = np.zeros((n_groups, n_genes))
    second = np.zeros((n_groups, n_genes) if squares else (0, 0))
    start = 0
    for values in blocks:
        # Only the groups of this block, so that thousands of groups cost nothing here.
        present, gather = indicator(groups[start : start + values.shape[0]])
        start += values.shape[0]
        known = present >= 0
        sums[present[known]] += as_dense(gather @ values)[known]
        if squares:
            second[present[known]] += as_dense(gather @ _squared(values))[known]
    return sums, second


def _squared(values: Any) -> Any:
    # float64 first: the square of a float32 loses what the variance is made of.
    return values.astype(np.float64).power(2) if sparse.issparse(values) else np.square(values, dtype=np.float64)


def leading_eigenvectors(matrix: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a symmetric matrix, falling, and their vectors, the same at every call.

    Parameters
    ----------
    matrix
        Positive semi-definite, shape ``(size, size)``; not kept.
    n
        How many, at most `size`.

    Returns
    -------
    Values, shape ``(n,)``, and vectors, shape ``(size, n)``; those beyond the rank of the matrix are 0.
    """
    size = len(matrix)
    if not matrix.any():
        return np.zeros(n), np.zeros((size, n))
    if n * 20 < size:
        # Lanczos, from a start that no order of rows changes; a full reduction takes minutes at 10,000 rows.
        values, vectors = eigsh(matrix, k=n, v0=matrix.diagonal() + np.finfo(float).tiny)
    else:
        values, vectors = eigh(matrix, subset_by_index=(size - n, size - 1), overwrite_a=True)
    order = np.argsort(values)[::-1]
    within = values[order] > 1e-10 * values.max()
    return values[order] * within, vectors[:, order] * within
