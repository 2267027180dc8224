"""Checks of the caller's data before anything is computed: values, names, columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from altercell.errors import DataError, KeyNotFoundError, listing

BLOCK_VALUES = 8_000_000
FLOAT32_WHOLE = 2**24
LOG_LIMIT = 25.0


@dataclass(frozen=True)
class ValueSummary:
    """What one pass over a matrix has found.

    Attributes
    ----------
    largest
        The largest value.
    smallest
        The smallest value; 0 where any value is not stored.
    whole
        Whether all values are whole numbers.
    empty_cells
        Row numbers of cells whose values are all zero.
    n_genes_zero
        How many genes are zero in all cells.
    """

    largest: float
    smallest: float
    whole: bool
    empty_cells: np.ndarray
    n_genes_zero: int

    @property
    def counts(self) -> bool:
        """Whether the values can be counts: whole numbers, none negative."""
        return self.whole and self.smallest >= 0


def row_blocks(matrix: Any, n_values: int = BLOCK_VALUES) -> Iterator[tuple[slice, Any]]:
    """Yield a matrix by consecutive blocks of rows, each of about `n_values` dense values.

    Parameters
    ----------
    matrix
        Anything with ``shape`` that gives rows by a slice: NumPy, SciPy, h5py, zarr, anndata's on-disk sparse, dask.
    n_values
        How many values a block would have if it were dense.

    Yields
    ------
    The slice of rows, and the block as a NumPy array or a SciPy CSR.
    """
    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix = matrix.tocsr()
    n_cells, n_genes = matrix.shape
    step = max(1, n_values // max(1, n_genes))
    for start in range(0, n_cells, step):
        rows = slice(start, min(start + step, n_cells))
        block = matrix[rows]
        block = block.compute() if hasattr(block, "compute") else block
        yield rows, block.tocsr() if sparse.issparse(block) else np.asarray(block)


def check_names(var_names: pd.Index, obs_names: pd.Index) -> None:
    """Check that there are genes and cells, and that no gene's name stands twice.

    Parameters
    ----------
    var_names, obs_names
        The names of the genes and of the cells.

    Raises
    ------
    DataError
        No gene, fewer than two cells, or a repeated gene name.
    """
    if len(var_names) == 0:
        raise DataError("the data have 0 genes")
    if len(obs_names) < 2:
        raise DataError(f"the data have {len(obs_names)} cells; at least 2 are needed")
    if not var_names.is_unique:
        repeated = var_names[var_names.duplicated()].unique()
        raise DataError(
            f"gene names stand more than once: {listing(repeated)}; call adata.var_names_make_unique() first"
        )


def check_matrix(matrix: Any, place: str, var_names: pd.Index, obs_names: pd.Index) -> ValueSummary:
    """Check in one pass that every value is finite and fits float32, and say what the values are.

    Parameters
    ----------
    matrix
        Values of shape ``(n_cells, n_genes)``: dense, sparse or on disk. It is read by blocks of rows.
    place
        How the caller knows it, for example ``"adata.X"``; for the error.
    var_names, obs_names
        The names of the genes and of the cells, for the error.

    Returns
    -------
    The range and the kind of the values.

    Raises
    ------
    DataError
        NaN, an infinite value, a number that float32 cannot hold, or values that are no numbers.
    """
    kind = np.dtype(matrix.dtype).kind
    if kind not in "fiub":
        raise DataError(f"{place} holds values of type {matrix.dtype}, not numbers")
    largest, smallest, whole = -np.inf, np.inf, True
    empty, gene_seen = [], np.zeros(matrix.shape[1], dtype=bool)
    for rows, block in row_blocks(matrix):
        values = block.data if sparse.issparse(block) else block
        if kind == "f" and not np.isfinite(values).all():
            _raise_not_finite(block, rows, place, var_names, obs_names)
        if sparse.issparse(block):
            stored = block.copy()
            stored.eliminate_zeros()
            per_cell = np.diff(stored.indptr)
            gene_seen[np.unique(stored.indices)] = True
            full = stored.nnz == block.shape[0] * block.shape[1]
        else:
            nonzero = block != 0
            per_cell, full = nonzero.sum(axis=1), True
            gene_seen |= nonzero.any(axis=0)
        empty.append(np.flatnonzero(per_cell == 0) + rows.start)
        if values.size:
            largest, smallest = max(largest, float(values.max())), min(smallest, float(values.min()))
        if not full:
            largest, smallest = max(largest, 0.0), min(smallest, 0.0)
        whole = whole and (kind != "f" or bool((values == np.rint(values)).all()))
    _check_float32(largest, smallest, whole, place)
    return ValueSummary(largest, smallest, whole, np.concatenate(empty), int((~gene_seen).sum()))


def _raise_not_finite(block: Any, rows: slice, place: str, var_names: pd.Index, obs_names: pd.Index) -> None:
    table = block.tocoo() if sparse.issparse(block) else None
    if table is not None:
        bad = ~np.isfinite(table.data)
        cells, genes, values = table.row[bad], table.col[bad], table.data[bad]
    else:
        cells, genes = np.nonzero(~np.isfinite(block))
        values = block[cells, genes]
    found = " and ".join(
        name for name, hit in (("NaN", np.isnan(values).any()), ("infinite values", np.isinf(values).any())) if hit
    )
    raise DataError(
        f"{place} holds {found}, for example in gene {listing(pd.unique(var_names[genes]), 3)} of cell "
        f"{listing(pd.unique(obs_names[cells + rows.start]), 3)}; remove or fill them first"
    )


def _check_float32(largest: float, smallest: float, whole: bool, place: str) -> None:
    extreme = max(abs(largest), abs(smallest))
    if extreme > float(np.finfo(np.float32).max) or (whole and extreme > FLOAT32_WHOLE):
        raise DataError(
            f"{place} holds {extreme:.4g}, which 32-bit floats cannot hold exactly (whole numbers up to "
            f"{FLOAT32_WHOLE}); "
            "are these counts of single cells?"
        )


def check_log(values: ValueSummary, place: str, model: str) -> None:
    """Check that values can be log data.

    Parameters
    ----------
    values
        What :func:`check_matrix` found.
    place, model
        Where the values are and who needs them, for the error.

    Raises
    ------
    DataError
        The values are counts, or too large for logarithms.
    """
    advice = (
        "call sc.pp.normalize_total(adata, target_sum=1e4) and sc.pp.log1p(adata), "
        "or altercell.data.normalize(adata), first"
    )
    if values.counts and values.largest > 1:
        raise DataError(
            f"{place} holds counts (whole numbers up to {values.largest:g}), but {model} works on log data: {advice}"
        )
    if values.largest > LOG_LIMIT:
        raise DataError(
            f"{place} holds values up to {values.largest:g}, which are no log data, and {model} works on log "
            f"data: {advice}"
        )


def check_pixels(values: ValueSummary, place: str) -> None:
    """Check that values can be the pixels of images.

    Parameters
    ----------
    values
        What :func:`check_matrix` found.
    place
        Where the values are, for the error.

    Raises
    ------
    DataError
        They are too large to train on as they are.
    """
    if values.largest > LOG_LIMIT:
        raise DataError(
            f"{place} holds pixels up to {values.largest:g}; scale them to 0..1, such as "
            f"adata.X = adata.X / {values.largest:g}"
        )


def check_not_negative(values: ValueSummary, place: str, output_activation: str) -> None:
    """Check that values can be reached by a decoder whose output cannot be negative.

    Parameters
    ----------
    values
        What :func:`check_matrix` found.
    place, output_activation
        Where the values are and what follows the decoder, for the error.

    Raises
    ------
    DataError
        Some values are negative.
    """
    if values.smallest < 0:
        raise DataError(
            f"{place} holds negative values (down to {values.smallest:.3g}), which no logarithms of counts are and "
            f"which output_activation='{output_activation}' cannot give: register log data that were not scaled "
            "(before sc.pp.scale), or set output_activation='linear'"
        )


def check_counts(values: ValueSummary, place: str, model: str, obs_names: pd.Index) -> None:
    """Check that values are counts and that no cell is empty.

    Parameters
    ----------
    values
        What :func:`check_matrix` found.
    place, model
        Where the values are and who needs them, for the error.
    obs_names
        The names of the cells, for the error.

    Raises
    ------
    DataError
        Negative values, values that are not whole, or a cell without any count.
    """
    if values.smallest < 0:
        raise DataError(
            f"{place} holds negative values (down to {values.smallest:g}), but {model} needs counts: give raw "
            "counts, in X or by layer="
        )
    if not values.whole:
        raise DataError(
            f"{place} holds values that are not whole numbers, but {model} needs counts: give raw counts, in X "
            "or by layer="
        )
    if len(values.empty_cells):
        raise DataError(
            f"{place}: no count in cell {listing(obs_names[values.empty_cells], 3)}; remove empty cells with "
            "sc.pp.filter_cells(adata, min_counts=1)"
        )


def check_column(obs: pd.DataFrame, key: str, argument: str) -> None:
    """Check that a column of groups exists and names a group for every cell.

    Parameters
    ----------
    obs
        The table of cells.
    key, argument
        The column and the argument that named it.

    Raises
    ------
    KeyNotFoundError
        There is no such column.
    DataError
        Some cells have no value in it.
    """
    if key not in obs.columns:
        raise KeyNotFoundError(f"{argument}='{key}' is not a column of obs; there are {listing(obs.columns, 12)}")
    missing = obs[key].isna().to_numpy()
    if missing.any():
        raise DataError(
            f"obs['{key}'] ({argument}) has no value for {int(missing.sum())} cells, for example "
            f"{listing(obs.index[missing], 3)}; fill or remove them first"
        )


def check_columns(obs: pd.DataFrame, keys: Sequence[str] | None, argument: str) -> None:
    """Check several columns as :func:`check_column` does.

    Parameters
    ----------
    obs
        The table of cells.
    keys, argument
        The columns, or None, and the argument that named them.
    """
    for key in keys or ():
        check_column(obs, key, argument)
