"""The choice of genes, on training cells alone."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from altercell._space import COUNTS, UNKNOWN, get_space
from altercell.data._normalize import as_rows, cell_totals, log_scaled
from altercell.errors import DataError

logger = logging.getLogger(__name__)

FLAVORS = ("seurat", "cell_ranger")


def select_genes(train: AnnData, n_top: int = 2_000, flavor: str = "seurat") -> AnnData:
    """Return a copy with the most variable genes of these cells.

    Give it training cells alone (see :func:`altercell.data.hold_out`): genes that are chosen with the held-out cells in
    view make every score too good. Predictions and scores then follow these genes by name.

    Parameters
    ----------
    train
        Training cells, counts or log data; not changed. Backed cells are read into memory.
    n_top
        How many genes. Genes that no cell expresses never count; where fewer are expressed, all of these are kept.
    flavor
        How :func:`scanpy.pp.highly_variable_genes` ranks them, on log data; counts are normalised for the choice alone.

        - `"seurat"`: dispersion, scaled within bins of mean expression
        - `"cell_ranger"`: the same with the median absolute deviation

    Returns
    -------
    The cells with the chosen genes, in their order in `train`. ``uns["altercell"]`` keeps ``n_genes_total``, the number
    of genes before the first choice, and ``space``, which the genes left no longer show. Where X or
    ``layers["counts"]`` holds counts and ``obs["size_factor"]`` is missing, it is added: the total over all genes,
    which a count model needs.

    Raises
    ------
    DataError
        `n_top` is below 1, the flavor is unknown, no gene is expressed, or X is neither counts nor logarithms.

    Examples
    --------
    >>> from altercell.datasets import simulate_response
    >>> select_genes(simulate_response(n_cells=200, n_genes=50), n_top=20).n_vars
    20
    """
    if n_top < 1:
        raise DataError(f"n_top={n_top} must be at least 1.")
    if flavor not in FLAVORS:
        raise DataError(f"flavor must be one of {FLAVORS}, not {flavor!r}.")
    train = train.to_memory() if train.isbacked else train
    matrix = as_rows(train.X)
    expressed = _expressed(matrix)
    space = get_space(train)
    if space == UNKNOWN:
        raise DataError(
            "X is neither counts nor logarithms of counts (negative, not finite, or too large): normalise it first."
        )
    if len(expressed) > n_top:
        seen = log_scaled(matrix, cell_totals(train, matrix), 1e4) if space == COUNTS else matrix
        chosen = expressed[_most_variable(seen[:, expressed], n_top, flavor, train.uns.get("log1p", {}))]
    else:
        logger.info("%d genes are expressed, no more than n_top=%d: all of them are kept", len(expressed), n_top)
        chosen = expressed
    return _with_genes(train, chosen, space)


def _expressed(matrix: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    genes = np.flatnonzero(np.asarray((matrix != 0).sum(axis=0)).ravel())
    if len(genes) == 0:
        raise DataError("no gene is expressed in any cell.")
    return genes


def _most_variable(matrix: Any, n_top: int, flavor: str, log1p: dict[str, Any]) -> np.ndarray:
    import scanpy as sc  # takes a second

    # Only the values: a copy of the whole object would copy its layers too.
    seen = AnnData(matrix, uns={"log1p": dict(log1p)})
    sc.pp.highly_variable_genes(seen, n_top_genes=n_top, flavor=flavor)
    # scanpy takes more than n_top where scaled dispersions tie, as genes that are alone in their bin do; the dispersion
    # itself then decides.
    scaled, plain = (np.nan_to_num(np.asarray(seen.var[f"dispersions{end}"]), nan=-np.inf) for end in ("_norm", ""))
    return np.sort(np.lexsort((-plain, -scaled))[:n_top])


def _with_genes(train: AnnData, chosen: np.ndarray, space: str) -> AnnData:
    counts = train.X if space == COUNTS else train.layers.get("counts")
    result = train[:, chosen].copy()
    record = dict(train.uns.get("altercell", {}))
    total = record.get("n_genes_total", train.n_vars)
    result.uns["altercell"] = {**record, "space": space, "n_genes_total": total}
    if counts is not None and "size_factor" not in result.obs:
        result.obs["size_factor"] = cell_totals(train, as_rows(counts))
    return result
