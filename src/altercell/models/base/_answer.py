"""Answers: blocks of predicted cells become an AnnData in memory, or a file that is written as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from altercell.errors import DataError
from altercell.models.base._cells import as_dense

# A CSR entry takes 8 bytes (value and column) where a dense one takes 4.
SPARSE_BELOW = 0.5


def in_memory(
    blocks: Iterable[Sequence[Any]], n_cells: int, n_genes: int, n_matrices: int = 1
) -> list[np.ndarray | sparse.csr_matrix]:
    """Put blocks of rows together: sparse where that is the smaller form, else one dense array, filled in place.

    Parameters
    ----------
    blocks
        For each block of rows, in order, its part of every matrix, of shape ``(n, n_genes)``, dense or CSR.
    n_cells, n_genes
        Shape of the whole.
    n_matrices
        How many matrices there are.

    Returns
    -------
    float32 matrices of shape ``(n_cells, n_genes)``.
    """
    stream = iter(blocks)
    first = next(stream, None)
    if first is None:
        return [np.zeros((n_cells, n_genes), dtype=np.float32) for _ in range(n_matrices)]
    thin = [_stored(part) < SPARSE_BELOW * part.shape[0] * part.shape[1] for part in first]
    wholes = [None if sparser else np.empty((n_cells, n_genes), dtype=np.float32) for sparser in thin]
    pieces: list[list[sparse.csr_matrix]] = [[] for _ in first]
    start = 0
    for block in chain([first], stream):
        for part, whole, list_ in zip(block, wholes, pieces, strict=True):
            if whole is None:
                list_.append(sparse.csr_matrix(part, dtype=np.float32))
            else:
                whole[start : start + part.shape[0]] = as_dense(part)
        start += block[0].shape[0]
    return [
        sparse.vstack(list_, format="csr") if whole is None else whole
        for whole, list_ in zip(wholes, pieces, strict=True)
    ]


def _stored(part: Any) -> int:
    return int(part.nnz if sparse.issparse(part) else np.count_nonzero(part))


def on_disk(path: Path, blocks: Iterable[Sequence[Any]], skeleton: AnnData, names: Sequence[str]) -> AnnData:
    """Write blocks of rows to an h5ad file as they come, so that memory holds one block.

    Parameters
    ----------
    path
        The file, which must not exist and must end in ``.h5ad``.
    blocks
        For each block of rows, in order, its part of every matrix, of shape ``(n, n_genes)``.
    skeleton
        AnnData without X: obs, var and uns of the answer.
    names
        Names of the matrices: ``"X"``, and those of layers.

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
            matrices = [_new_matrix(file, name, skeleton.shape) for name in names]
            start = 0
            for block in blocks:
                for part, matrix in zip(block, matrices, strict=True):
                    matrix[start : start + part.shape[0]] = as_dense(part)
                start += block[0].shape[0]
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return ad.read_h5ad(path, backed="r")


def _new_matrix(file: h5py.File, name: str, shape: tuple[int, int]) -> h5py.Dataset:
    key = name if name == "X" else f"layers/{name}"
    if key in file:
        del file[key]
    chunk = (max(1, min(shape[0], 2**18 // max(1, shape[1]))), shape[1])
    matrix = file.create_dataset(key, shape=shape, dtype="float32", chunks=chunk)
    matrix.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return matrix


def answer(
    blocks: Iterable[Any],
    obs: pd.DataFrame,
    var: pd.DataFrame,
    provenance: Mapping[str, Any],
    path: str | Path | None = None,
    layer: str | None = None,
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
    layer
        Name of a layer that comes with the values; each block is then a pair, of X and of the layer.
    **parts
        Further parts of the AnnData, such as ``layers`` and ``obsm``.
    """
    uns = {"altercell": {key: _plain(value) for key, value in provenance.items() if value is not None}}
    names = ["X"] if layer is None else ["X", layer]
    pairs = ((block,) for block in blocks) if layer is None else blocks
    if path is not None:
        return on_disk(Path(path), pairs, AnnData(obs=obs, var=var, uns=uns, **parts), names)
    values = in_memory(pairs, len(obs), len(var), len(names))
    if layer is not None:
        parts["layers"] = {**parts.get("layers", {}), layer: values[1]}
    return AnnData(values[0], obs=obs, var=var, uns=uns, **parts)


def replace_column(made: AnnData, key: str, values: np.ndarray) -> AnnData:
    """Return an answer with other numbers in a column of obs, in memory or in its file.

    Parameters
    ----------
    made
        The answer; its obs has the column, of float64.
    key, values
        Name of the column, and its new numbers.
    """
    if not made.isbacked:
        made.obs[key] = values
        return made
    path = made.filename
    made.file.close()
    with h5py.File(path, "r+") as file:
        file[f"obs/{key}"][...] = values
    return ad.read_h5ad(path, backed="r")


def _plain(value: Any) -> Any:
    # h5ad stores a list of text as an array; an empty one needs its type said.
    return np.asarray([str(item) for item in value], dtype=object) if isinstance(value, list | tuple) else value
