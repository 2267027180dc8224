"""Answers: blocks of predicted cells become an AnnData in memory, or a file that is written as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from altercell.errors import DataError

# A CSR entry takes 8 bytes (value and column) where a dense one takes 4.
SPARSE_BELOW = 0.5


def in_memory(blocks: Iterable[Any], n_cells: int, n_genes: int) -> np.ndarray | sparse.csr_matrix:
    """Put blocks of rows together: sparse where that is the smaller form, else one dense array, filled in place.

    Parameters
    ----------
    blocks
        Blocks of shape ``(n, n_genes)``, dense or CSR, in order.
    n_cells, n_genes
        Shape of the whole.

    Returns
    -------
    float32 values of shape ``(n_cells, n_genes)``.
    """
    stream = iter(blocks)
    first = next(stream, None)
    if first is None:
        return np.zeros((n_cells, n_genes), dtype=np.float32)
    stored = first.nnz if sparse.issparse(first) else np.count_nonzero(first)
    if stored < SPARSE_BELOW * first.shape[0] * first.shape[1]:
        return sparse.vstack(
            [sparse.csr_matrix(block, dtype=np.float32) for block in _again(first, stream)], format="csr"
        )
    values, start = np.empty((n_cells, n_genes), dtype=np.float32), 0
    for block in _again(first, stream):
        values[start : start + block.shape[0]] = block.toarray() if sparse.issparse(block) else block
        start += block.shape[0]
    return values


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def on_disk(path: Path, blocks: Iterable[Any], skeleton: AnnData) -> AnnData:
    """Write blocks of rows to an h5ad file as they come, so that memory holds one block.

    Parameters
    ----------
    path
        The file, which must not exist and must end in ``.h5ad``.
    blocks
        Blocks of shape ``(n, n_genes)``, in order.
    skeleton
        AnnData without X: obs, var and uns of the answer.

    Returns
    -------
    The AnnData, backed by the file.

    Raises
    ------
    DataError
        The file exists, or has another ending.
    """
    if path.suffix != ".h5ad":
        raise DataError(f"path='{path}' must end in .h5ad")
    if path.exists():
        raise DataError(f"path='{path}' exists; remove it or choose another")
    partial = path.with_name(path.name + ".partial")
    try:
        skeleton.write_h5ad(partial)
        with h5py.File(partial, "r+") as file:
            if "X" in file:
                del file["X"]
            chunk = (max(1, min(skeleton.n_obs, 2**18 // max(1, skeleton.n_vars))), skeleton.n_vars)
            values = file.create_dataset("X", shape=skeleton.shape, dtype="float32", chunks=chunk)
            values.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            start = 0
            for block in blocks:
                values[start : start + block.shape[0]] = block.toarray() if sparse.issparse(block) else block
                start += block.shape[0]
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return ad.read_h5ad(path, backed="r")


def answer(
    blocks: Iterable[Any],
    obs: pd.DataFrame,
    var: pd.DataFrame,
    provenance: Mapping[str, Any],
    path: str | Path | None = None,
    **parts: Any,
) -> AnnData:
    """Build the AnnData that a verb returns.

    Parameters
    ----------
    blocks
        The values, by blocks of rows, in the order of `obs`.
    obs, var
        Tables of the cells and of the genes.
    provenance
        How the answer was made; it goes to ``uns["altercell"]``, without what is None.
    path
        An ``.h5ad`` file to write to; None for memory.
    **parts
        Further parts of the AnnData, such as ``layers`` and ``obsm``.
    """
    uns = {"altercell": {key: _plain(value) for key, value in provenance.items() if value is not None}}
    if path is not None:
        return on_disk(Path(path), blocks, AnnData(obs=obs, var=var, uns=uns, **parts))
    return AnnData(in_memory(blocks, len(obs), len(var)), obs=obs, var=var, uns=uns, **parts)


def _plain(value: Any) -> Any:
    # h5ad stores a list of text as an array; an empty one needs its type said.
    return np.asarray([str(item) for item in value], dtype=object) if isinstance(value, list | tuple) else value
