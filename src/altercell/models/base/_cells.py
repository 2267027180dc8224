"""Cells of an AnnData, read in batches: dense float32, genes in the model's order, the rest left where it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from torch.utils.data import Dataset

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, listing
from altercell.models.base._schema import Schema


def matrix_of(adata: AnnData, layer: str | None) -> Any:
    """Return X or a layer, as it is: dense, sparse or on disk.

    Parameters
    ----------
    adata
        The data.
    layer
        Name of the layer; None for X.

    Raises
    ------
    KeyNotFoundError
        There is no such layer.
    DataError
        There is no X.
    """
    if layer is not None:
        if layer not in adata.layers:
            raise KeyNotFoundError(
                f"layer='{layer}' is not in adata.layers; there are {listing(filter(None, adata.layers))}"
            )
        return adata.layers[layer]
    if adata.X is None:
        raise DataError("adata.X is empty; name a layer with layer=")
    return adata.X


def as_dense(values: Any) -> np.ndarray:
    """Return values as a NumPy array, also where they are sparse.

    Parameters
    ----------
    values
        Dense or sparse, any shape.
    """
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def align_genes(var_names: pd.Index, genes: np.ndarray) -> np.ndarray | None:
    """Find the model's genes among those of the data.

    Parameters
    ----------
    var_names
        Genes of the data.
    genes
        Genes of the model.

    Returns
    -------
    The column of each of the model's genes, or None where the data have just these genes in this order.

    Raises
    ------
    GeneMismatchError
        Some genes are missing, or stand twice.
    """
    if len(var_names) == len(genes) and (np.asarray(var_names) == genes).all():
        return None
    if not var_names.is_unique:
        raise GeneMismatchError(
            f"gene names stand more than once: {listing(var_names[var_names.duplicated()])}; call "
            "adata.var_names_make_unique()"
        )
    columns = var_names.get_indexer(pd.Index(genes))
    if (columns < 0).any():
        missing = genes[columns < 0]
        raise GeneMismatchError(f"{len(missing)} of the model's {len(genes)} genes are missing: {listing(missing)}")
    return columns


def row_numbers(rows: Sequence[int] | np.ndarray | None, n_cells: int) -> np.ndarray:
    """Return the numbers of the rows that are meant.

    Parameters
    ----------
    rows
        Row numbers, or a mask with one truth value a cell; None for all.
    n_cells
        How many rows there are.

    Raises
    ------
    DataError
        A mask of another length, numbers that are not whole, or a number out of range.
    """
    if rows is None:
        return np.arange(n_cells)
    given = np.asarray(rows)
    if given.dtype == bool and given.shape != (n_cells,):
        raise DataError(f"the mask of cells has shape {given.shape}, but there are {n_cells} cells")
    if given.dtype == bool:
        return np.flatnonzero(given)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise DataError(f"indices must be row numbers or a mask, not {given.dtype} of shape {given.shape}")
    if given.size and not 0 <= given.min() <= given.max() < n_cells:
        raise DataError(f"indices must lie between 0 and {n_cells - 1}; they reach from {given.min()} to {given.max()}")
    return given.astype(np.int64)


def check_batch_size(batch_size: int) -> int:
    """Return a batch size, after checking it: a loop over batches of none would leave its answer unfilled.

    Parameters
    ----------
    batch_size
        Cells a batch.

    Raises
    ------
    DataError
        It is below 1.
    """
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size} must be at least 1")
    return batch_size


class Cells(Dataset):
    """Rows of an AnnData or MuData, read in batches of dense float32 without a dense copy of the whole.

    Parameters
    ----------
    data
        The data: in memory, backed, or with dask or zarr arrays.
    schema
        Which genes, in which order, and which columns.
    rows
        Row numbers of the cells, or a mask with one truth value a cell; None for all.
    groups
        Whether each batch carries the codes of condition and label, which then must be known.
    size_factors
        Whether each batch carries the cell's total count.
    checked
        Whether to refuse values that are not finite as they are read; registered cells have been checked before.
    """

    def __init__(
        self,
        data: AnnData | MuData,
        schema: Schema,
        rows: Sequence[int] | np.ndarray | None = None,
        *,
        groups: bool = False,
        size_factors: bool = False,
        checked: bool = False,
    ) -> None:
        self.data, self.schema, self.checked = data, schema, checked
        self.adata = schema.anndata(data)
        self.rows = row_numbers(rows, self.adata.n_obs)
        self.columns = align_genes(self.adata.var_names, schema.genes)
        self.matrix = self._readable(matrix_of(self.adata, schema.layer))
        self.condition_codes = schema.condition_codes(data) if groups else None
        self.label_codes = schema.cell_label_codes(data) if groups else None
        self.size_factors = self._size_factor_column() if size_factors else None
        self._with_sizes = size_factors

    def _readable(self, matrix: Any) -> Any:
        if getattr(matrix, "format", None) == "csc":
            if not sparse.issparse(matrix):
                raise DataError(
                    "the values are on disk by columns (CSC), where reading a cell reads everything; "
                    "write them as CSR first"
                )
            return matrix.tocsr()
        return matrix

    def _size_factor_column(self) -> np.ndarray | None:
        key = self.schema.size_factor_key
        if key is None:
            return None
        column = self.schema.column(self.data, key, "size_factor_key")
        if not pd.api.types.is_numeric_dtype(column):
            raise DataError(f"obs['{key}'] (size_factor_key) holds {column.dtype}, and totals are numbers")
        values = np.asarray(column, dtype=np.float32)
        if not (np.isfinite(values) & (values > 0)).all():
            raise DataError(f"obs['{key}'] (size_factor_key) must be positive in every cell")
        return values

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, positions: np.ndarray) -> Cells:
        """Return some of the cells.

        Parameters
        ----------
        positions
            Which of them, as numbers or as a mask.
        """
        part = copy.copy(self)
        part.rows = self.rows[positions]
        return part

    @property
    def n_genes(self) -> int:
        """Number of genes of the model."""
        return len(self.schema.genes)

    def obs(self) -> pd.DataFrame:
        """Return the cells' table, without the columns that scvi-tools adds."""
        table: Any = self.adata.obs.iloc[self.rows].copy()
        return table.drop(columns=[name for name in table.columns if str(name).startswith("_scvi_")])

    def var(self) -> pd.DataFrame:
        """Return the genes' table in the model's order."""
        table = self.adata.var
        return table.copy() if self.columns is None else table.iloc[self.columns].copy()

    def read(self, positions: np.ndarray | slice, dense: bool = True) -> Any:
        """Read some of the cells.

        Parameters
        ----------
        positions
            Positions among the asked cells, in any order.
        dense
            Whether to return a NumPy array; else sparse data stay sparse.

        Returns
        -------
        float32 values of shape ``(n_positions, n_genes)``.
        """
        rows = self.rows[positions]
        block = self._rows(rows)
        if self.columns is not None:
            block = block[:, self.columns]
        if sparse.issparse(block):
            block = block.toarray() if dense else block.tocsr()
        if self.checked:
            self._check_finite(block, rows)
        return block.astype(np.float32, copy=False)

    def _check_finite(self, block: Any, rows: np.ndarray) -> None:
        bad = ~np.isfinite(block.data if sparse.issparse(block) else block)
        if bad.any():
            cells, genes = (axis[bad] for axis in block.tocoo().coords) if sparse.issparse(block) else np.nonzero(bad)
            raise DataError(
                f"the values hold NaN or infinite ones, for example in gene {listing(self.schema.genes[genes[:1]])} of "
                f"cell {listing(self.adata.obs_names[rows[cells[:1]]])}; remove or fill them first"
            )

    def _check_totals(self, values: torch.Tensor, rows: np.ndarray) -> None:
        low = values.sum(1).numpy() > self.size_factors[rows] * (1 + 1e-4)  # type: ignore[index]
        if low.any():
            raise DataError(
                f"obs['{self.schema.size_factor_key}'] (size_factor_key) is below the sum of the cell's counts, for "
                f"example in cell {listing(self.adata.obs_names[rows[low]], 1)}; it must be the cell's total count "
                "over all genes, as altercell.data.normalize writes it to obs['size_factor'], not a ratio"
            )

    def _rows(self, rows: np.ndarray) -> Any:
        if len(rows) and (np.diff(rows) == 1).all():
            block = self.matrix[int(rows[0]) : int(rows[-1]) + 1]
        elif isinstance(self.matrix, np.ndarray) or sparse.issparse(self.matrix):
            return self.matrix[rows]
        else:
            # Files are read in increasing order, each row once.
            ordered, back = np.unique(rows, return_inverse=True)
            block = self.matrix.oindex[ordered] if hasattr(self.matrix, "oindex") else self.matrix[ordered]
            block = block.compute() if hasattr(block, "compute") else block
            return block[back]
        return block.compute() if hasattr(block, "compute") else block

    def __getitem__(self, positions: Sequence[int] | np.ndarray | slice) -> dict[str, torch.Tensor]:
        """Return a batch under the keys that the modules of scvi-tools read: X, batch, labels, size_factor."""
        where = positions if isinstance(positions, slice) else np.asarray(positions)
        values = torch.from_numpy(np.ascontiguousarray(self.read(where)))
        batch = {"X": values}
        rows = self.rows[where]
        if self.condition_codes is not None and self.label_codes is not None:
            batch["batch"] = torch.from_numpy(self.condition_codes[rows].astype(np.int64))[:, None]
            batch["labels"] = torch.from_numpy(self.label_codes[rows].astype(np.int64))[:, None]
        if self._with_sizes and self.size_factors is not None:
            self._check_totals(values, rows)
        if self._with_sizes:
            sizes = values.sum(1) if self.size_factors is None else torch.from_numpy(self.size_factors[rows])
            if self.checked and bool((sizes <= 0).any()):
                empty = self.adata.obs_names[rows[(sizes <= 0).numpy()]]
                raise DataError(
                    f"no count in cell {listing(empty, 3)} among the model's genes; remove such cells first"
                )
            batch["size_factor"] = sizes[:, None]
        return batch

    def batches(self, batch_size: int) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
        """Yield the cells in order.

        Parameters
        ----------
        batch_size
            Cells a batch.

        Yields
        ------
        The positions and the batch.
        """
        for start in range(0, len(self), check_batch_size(batch_size)):
            positions = slice(start, min(start + batch_size, len(self)))
            yield positions, self[positions]
