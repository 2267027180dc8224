"""From counts to log data, with the counts kept."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from altercell._space import COUNTS, get_space, log_space
from altercell.errors import DataError

logger = logging.getLogger(__name__)


def normalize(adata: AnnData, target_sum: float | None = 1e4, layer: str | None = None) -> AnnData:
    r"""Return a copy whose X is log1p of counts scaled to one total a cell.

    .. math:: y_{ig} = \log(1 + S\,x_{ig} / n_i), \quad n_i = \sum_g x_{ig} \text{ over all genes}

    This is :func:`scanpy.pp.normalize_total` followed by :func:`scanpy.pp.log1p`, except that :math:`n_i` still counts
    the genes that :func:`select_genes` has left out. Cells without any count stay zero.

    Parameters
    ----------
    adata
        Cells with counts; not changed. Backed cells are read into memory.
    target_sum
        The total S that each cell is scaled to; None: the median of the cells' totals.
    layer
        Layer with the counts; None for X.

    Returns
    -------
    A copy with log data in X, the counts in ``layers["counts"]`` (both float32), each cell's total over all genes in
    ``obs["size_factor"]``, ``uns["log1p"]`` as scanpy writes it, and the space in ``uns["altercell"]``.

    Raises
    ------
    DataError
        The values are no counts, or `target_sum` is not positive.
    KeyNotFoundError
        There is no such layer.

    Examples
    --------
    >>> from altercell.datasets import simulate_response
    >>> adata = normalize(simulate_response(n_cells=200, n_genes=50))
    >>> adata.uns["altercell"]["space"]
    'log1p of counts per 10,000'
    """
    if target_sum is not None and not (np.isfinite(target_sum) and target_sum > 0):
        raise DataError(
            f"target_sum must be a finite number larger than 0, or None for the median, not {target_sum!r}."
        )
    place = "X" if layer is None else f"layer '{layer}'"
    if (space := get_space(adata, layer)) != COUNTS:
        raise DataError(
            f"normalize needs counts, but {place} holds: {space}. Name the layer that holds them by layer=."
        )
    result = adata.to_memory() if adata.isbacked else adata.copy()
    counts = as_rows(result.X if layer is None else result.layers[layer])
    _check_whole(counts, place)
    totals = cell_totals(result, counts)
    result.layers["counts"] = counts.astype(np.float32)
    result.obs["size_factor"] = totals
    result.X = log_scaled(counts, totals, target_sum)
    result.uns["log1p"] = {"base": None}
    record = dict(result.uns.get("altercell", {}))
    result.uns["altercell"] = {**record, "space": log_space("median" if target_sum is None else target_sum)}
    return result


def as_rows(values: Any) -> np.ndarray | sparse.csr_matrix:
    """Return values as they are where dense, as CSR where sparse.

    Parameters
    ----------
    values
        Matrix in memory, shape `(n_cells, n_genes)`.
    """
    return values.tocsr() if sparse.issparse(values) else np.asarray(values)


def cell_totals(adata: AnnData, counts: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """Return each cell's total count over all genes, also over those that :func:`select_genes` has left out.

    Parameters
    ----------
    adata
        Cells; ``obs["size_factor"]`` is believed where ``uns["altercell"]["n_genes_total"]`` says that genes were left
        out, and nowhere else.
    counts
        Their counts, shape `(n_cells, n_genes)`.

    Returns
    -------
    Totals, shape `(n_cells,)`.

    Raises
    ------
    DataError
        A recorded total is smaller than the sum of the genes that are left.
    """
    sums = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    if adata.uns.get("altercell", {}).get("n_genes_total", 0) <= adata.n_vars:
        return sums
    if "size_factor" not in adata.obs:
        logger.warning(
            "genes were left out and obs['size_factor'] is missing: totals are of the %d genes left", adata.n_vars
        )
        return sums
    totals = np.asarray(adata.obs["size_factor"], dtype=np.float64)
    if not np.all(totals >= sums * (1 - 1e-6)):
        raise DataError(
            "obs['size_factor'] is no total over all genes: in some cells it is below the sum of the genes left."
        )
    return totals


def log_of_counts(counts: np.ndarray | sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
    """Return log1p of counts per 10,000 of these genes; a cell without counts has zeros.

    Parameters
    ----------
    counts
        Counts, shape `(n_cells, n_genes)`; not changed.
    """
    return log_scaled(counts, np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1e4)


def log_scaled(
    counts: np.ndarray | sparse.csr_matrix, totals: np.ndarray, target_sum: float | None
) -> np.ndarray | sparse.csr_matrix:
    """Scale counts to one total a cell and take log1p.

    Parameters
    ----------
    counts
        Counts, shape `(n_cells, n_genes)`; not changed.
    totals
        Total of each cell, shape `(n_cells,)`.
    target_sum
        The total to scale to; None: the median of the totals above zero, as scanpy does.

    Returns
    -------
    Log data in float32, CSR where `counts` is.
    """
    seen = totals > 0
    goal = float(np.median(totals[seen])) if target_sum is None else target_sum
    scale = np.divide(goal, totals, out=np.zeros_like(totals), where=seen)
    if not isinstance(counts, np.ndarray):
        values = counts.data * np.repeat(scale, np.diff(counts.indptr))
        return sparse.csr_matrix(
            (np.log1p(values).astype(np.float32), counts.indices, counts.indptr), counts.shape, copy=True
        )
    return np.log1p(counts * scale[:, None], dtype=np.float32)


def _check_whole(counts: np.ndarray | sparse.csr_matrix, place: str) -> None:
    # The space is read off a record or a sample of cells; taking the logarithm twice would go unseen.
    values = counts if isinstance(counts, np.ndarray) else counts.data
    with np.errstate(invalid="ignore"):
        bad = (np.mod(values, 1) != 0) | (values < 0)
    if bad.any():
        raise DataError(
            f"{place} is said to hold counts, but {int(bad.sum())} values are no whole numbers of 0 or more, such as "
            f"{values[bad][0]:g}: was it normalised in place? Correct uns['altercell']['space'], or give the counts."
        )
