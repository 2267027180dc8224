"""Matrices of cells, dense or CSR: the few operations of the metrics, none of which makes a sparse one dense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from altercell.errors import DataError, GeneMismatchError, listing

type Matrix = np.ndarray | sp.csr_matrix | sp.csr_array


def as_matrix(x: Any) -> Matrix:
    """Return cells (n_cells, n_genes) as a dense or CSR matrix of floats: themselves where they are one already."""
    if isinstance(x, AnnData):
        raise DataError("cells are wanted as a matrix (n_cells, n_genes), not as an AnnData: give its X")
    if sp.issparse(x):
        x = x.tocsr()
        if not x.has_canonical_format:
            x = x.copy()
            x.sum_duplicates()
    else:
        x = np.asarray(x)
    if x.ndim != 2 or x.shape[0] == 0:
        raise DataError(
            f"cells are wanted as a matrix (n_cells, n_genes) with at least one cell; the shape is {x.shape}"
        )
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


def as_matrices(x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """Return two populations as matrices after a check that they have the same number of genes."""
    x, y = as_matrix(x), as_matrix(y)
    if x.shape[1] != y.shape[1]:
        raise GeneMismatchError(
            f"the first cells have {x.shape[1]} genes and the second {y.shape[1]}: give the same genes"
        )
    return x, y


def dense_blocks(x: Matrix, block_size: int, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Walk over the rows in dense float64 blocks: yield the first row's number and (<= block_size, n_genes)."""
    for first in range(start, x.shape[0], block_size):
        block = x[first : first + block_size]
        yield first, np.asarray(block if isinstance(block, np.ndarray) else block.toarray(), dtype=np.float64)


def stored_values(x: Matrix) -> np.ndarray:
    """Return all values of a dense matrix, or those that a sparse one stores."""
    return x if isinstance(x, np.ndarray) else x.data


def gene_means(x: Matrix) -> np.ndarray:
    """Mean of each gene over the cells, summed in float64: (n_genes,)."""
    x = as_matrix(x)
    if isinstance(x, np.ndarray):
        return x.mean(axis=0, dtype=np.float64)
    # scipy's own sum of float32 values accumulates in float32.
    return np.bincount(x.indices, weights=x.data, minlength=x.shape[1]) / x.shape[0]


def gene_variances(x: Matrix) -> np.ndarray:
    """Variance of each gene over the cells, with n - 1, in two passes in float64: (n_genes,).

    nan where there is one cell.
    """
    x = as_matrix(x)
    n_cells, n_genes = x.shape
    if n_cells < 2:
        return np.full(n_genes, np.nan)
    means = gene_means(x)
    if isinstance(x, np.ndarray):
        squares = sum((((block - means) ** 2).sum(axis=0) for _, block in dense_blocks(x, 1_024)), np.zeros(n_genes))
    else:
        stored = np.bincount(x.indices, minlength=n_genes)
        squares = np.bincount(x.indices, weights=(x.data - means[x.indices]) ** 2, minlength=n_genes)
        squares += (n_cells - stored) * means**2
    return squares / (n_cells - 1)


def genes_of(adata: AnnData, genes: np.ndarray, name: str) -> Matrix:
    """Return the named genes of `adata` in the order given, in memory: (n_cells, n_genes).

    `name` is what errors call `adata`. Missing or doubled genes raise a GeneMismatchError, values that are not
    finite a DataError.
    """
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()].unique()
        raise GeneMismatchError(
            f"{name} has genes of the same name: {listing(twice)}; call adata.var_names_make_unique()"
        )
    places = adata.var_names.get_indexer(genes)
    if (places < 0).any():
        missing = np.asarray(genes)[places < 0]
        raise GeneMismatchError(
            f"{name} lacks {len(missing)} of the {len(genes)} genes of the prediction: {listing(missing)}"
        )
    x: Any = adata.X
    if not isinstance(x, np.ndarray) and not sp.issparse(x) and adata.isbacked:
        x = x[:]  # on disk: read it
    x = as_matrix(x)
    if len(genes) != adata.n_vars or (places != np.arange(len(genes))).any():
        x = x[:, places]
    if not np.isfinite(stored_values(x).sum(dtype=np.float64)):
        bad = int(x.shape[0] - np.isfinite(np.asarray(x.sum(axis=1)).ravel()).sum())
        raise DataError(f"{name} holds NaN or infinite values, in {bad} of {x.shape[0]} cells: remove those cells")
    return x
