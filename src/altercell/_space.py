"""The space of an AnnData's values: counts, or logarithms of counts scaled to a known total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from altercell.errors import DataError, KeyNotFoundError, SpaceMismatchError, listing

COUNTS = "counts"
LOG = "log1p of counts"
UNKNOWN = "unknown"

# log1p of 25 is a count of 7e10: a cell does not hold that many molecules, so larger values are not logarithms.
_LARGEST_LOG = 25.0
_SAMPLED_CELLS = 1_000
# Cells whose totals differ by less, relatively, were scaled to one total: float32, and rounding before storage.
_TOTAL_TOLERANCE = 1e-3


def log_space(total: float | str) -> str:
    """Name the space log1p(count / cell total * `total`), with the total that all cells were scaled to, or "median".

    Examples
    --------
    >>> log_space(10_000)
    'log1p of counts per 10,000'
    """
    return f"{LOG} per {total if isinstance(total, str) else f'{round(total):,}'}"


def total_of(space: str) -> float | None:
    """Return the total that :func:`log_space` has named; None where there is none, or it is a median.

    Examples
    --------
    >>> total_of("log1p of counts per 10,000")
    10000.0
    """
    number = space.removeprefix(f"{LOG} per ").replace(",", "")
    return float(number) if space.startswith(LOG) and number.isdigit() else None


def get_space(adata: AnnData, layer: str | None = None) -> str:
    """Tell the space of the values of `adata`.

    What ``adata.uns["altercell"]["space"]`` records about `X` is believed, unless the values show that `X` has been
    replaced since (whole numbers are no logarithms, nor the reverse). Otherwise the values of up to
    1,000 cells, evenly spaced (so that data on disk stay there), decide:

    - whole numbers, none negative, not all zero: ``"counts"``;
    - none negative, all below 25, and the cells' sums of ``expm1(x)`` equal within 1e-3 (while their sums of x
      are not): ``"log1p of counts per N"`` with that sum as N;
    - none negative and all below 25: ``"log1p of counts"``, the total being unknown, as after a choice of genes;
    - anything else (negative or non-finite values, only zeros, large fractions): ``"unknown"``.

    Parameters
    ----------
    adata
        Cells, in memory or on disk. Not changed.
    layer
        Layer to look at; None is `X`. Nothing is recorded about layers, so their space is always inferred.

    Returns
    -------
    ``"counts"``, ``"log1p of counts per 10,000"`` (or another number, or ``median``), ``"log1p of counts"``
    or ``"unknown"``.

    Raises
    ------
    KeyNotFoundError
        If there is no such layer.
    DataError
        If `adata` has no `X`.
    """
    record = adata.uns.get("altercell") if layer is None else None
    if not isinstance(record, Mapping) or record.get("space") is None:
        return _infer(_sampled_cells(adata, layer))
    recorded = str(record["space"])
    if "verb" in record:
        return recorded
    cells = _sampled_cells(adata, layer)
    if _values(cells).min(initial=0) < 0:
        return UNKNOWN  # neither counts nor their logarithms are negative: X has been scaled since
    found = _infer(cells)
    # X may have been replaced since: whole numbers are no logarithms, nor the reverse.
    stale = found != recorded and COUNTS in (found, recorded) and found != UNKNOWN
    return found if stale else recorded


def check_same_space(*adatas: AnnData, names: Sequence[str] | None = None) -> None:
    """Refuse to compare data in different spaces.

    Two spaces can be compared when they are equal, or when both are logarithms of counts and the total of one is
    not known (a choice of genes hides it). Unknown values can be compared with each other and, when they are small
    enough to be logarithms (below 25), with logarithms; never with counts, and never large values with logarithms.

    Parameters
    ----------
    *adatas
        The data sets, whose `X` are compared pair by pair.
    names
        What to call them in the message, in the same order; by default "data set 1", "data set 2", ...

    Raises
    ------
    SpaceMismatchError
        If two of them are in different spaces; the message names both.
    """
    names = names or [f"data set {i + 1}" for i in range(len(adatas))]
    spaces = [get_space(adata) for adata in adatas]
    for i, j in combinations(range(len(adatas)), 2):
        if not _comparable(spaces[i], spaces[j], adatas[i], adatas[j]):
            raise SpaceMismatchError(
                f"{names[i]} is '{spaces[i]}' but {names[j]} is '{spaces[j]}': bring both to one space "
                "(scanpy.pp.normalize_total, then scanpy.pp.log1p), or, where the values were misread, state it: "
                'adata.uns["altercell"] = {"space": "log1p of counts per 10,000"}'
            )


def check_space(adata: AnnData, space: str, layer: str | None = None, name: str = "adata") -> None:
    """Refuse data whose values are not in a space that was known before, by the rules of :func:`check_same_space`.

    Values that are not finite say nothing about the space; whoever reads them has to refuse them by name.

    Parameters
    ----------
    adata
        The data.
    space
        The space that is needed; where it is ``"unknown"``, nothing is refused.
    layer
        Layer to look at; None is `X`.
    name
        What to call the data in the message.

    Raises
    ------
    SpaceMismatchError
        The values are in another space.
    """
    values = adata if layer is None else AnnData(adata.layers[layer])
    theirs = get_space(values)
    if space == UNKNOWN or not np.isfinite(_values(_sampled_cells(values, None))).all():
        return
    negative = theirs == UNKNOWN and _values(_sampled_cells(values, None)).min(initial=0) < 0
    if negative or not _comparable(theirs, space, values, values):
        raise SpaceMismatchError(
            f"{name} is '{theirs}' but '{space}' is needed: bring it to that space, or, where the values were misread, "
            f'state it: adata.uns["altercell"] = {{"space": "{space}"}}'
        )


def _comparable(first: str, second: str, first_data: AnnData, second_data: AnnData) -> bool:
    if first == second:
        return True
    if first.startswith(LOG) and second.startswith(LOG):
        return LOG in (first, second) or _same_total(first, second)
    if first == UNKNOWN and second.startswith(LOG):
        return _largest(first_data) < _LARGEST_LOG
    if second == UNKNOWN and first.startswith(LOG):
        return _largest(second_data) < _LARGEST_LOG
    return False


def _same_total(first: str, second: str) -> bool:
    """Tell whether two named totals are equal but for what rounding does to inferred ones."""
    totals = [space.removeprefix(f"{LOG} per ").replace(",", "") for space in (first, second)]
    if not all(total.isdecimal() for total in totals):
        return False
    return bool(np.isclose(float(totals[0]), float(totals[1]), rtol=2 * _TOTAL_TOLERANCE, atol=0.5))


def _sampled_cells(adata: AnnData, layer: str | None) -> np.ndarray | sp.csr_matrix:
    """Return up to 1,000 evenly spaced cells, in memory: (n_sampled, n_genes)."""
    if layer is not None and layer not in adata.layers:
        raise KeyNotFoundError(f"there is no layer '{layer}'; the layers are {listing(adata.layers.keys())}")
    values = adata.X if layer is None else adata.layers[layer]
    if values is None:
        raise DataError("adata.X is empty (None): name a layer, or put the expression values into X")
    if adata.n_obs > _SAMPLED_CELLS:
        values = values[np.linspace(0, adata.n_obs - 1, _SAMPLED_CELLS).astype(int)]
    elif not isinstance(values, np.ndarray) and not sp.issparse(values):
        values = values[:]  # on disk: read it
    values = values.compute() if hasattr(values, "compute") else values  # dask
    return sp.csr_matrix(values) if sp.issparse(values) else np.asarray(values)


def _largest(adata: AnnData) -> float:
    return float(np.nan_to_num(_values(_sampled_cells(adata, None)).max(initial=0), nan=np.inf))


def _infer(cells: np.ndarray | sp.csr_matrix) -> str:
    values = _values(cells)
    if not values.any() or not np.isfinite(values).all() or values.min() < 0:
        return UNKNOWN
    if not np.mod(values, 1).any():
        return COUNTS
    if values.max() >= _LARGEST_LOG:
        return UNKNOWN
    total = _common_total(cells)
    return LOG if total is None else log_space(total)


def _values(cells: np.ndarray | sp.csr_matrix) -> np.ndarray:
    return cells if isinstance(cells, np.ndarray) else cells.data


def _common_total(cells: np.ndarray | sp.csr_matrix) -> float | None:
    """Return the sum of expm1(x) that all cells share, or None.

    Cells with equal sums of x as well say nothing: they may be copies of one cell.
    """
    cells = cells.astype(np.float64)
    counts = np.expm1(cells) if isinstance(cells, np.ndarray) else cells.expm1()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    sums = np.asarray(cells.sum(axis=1)).ravel()
    totals, sums = totals[sums > 0], sums[sums > 0]
    if _spread(totals) > _TOTAL_TOLERANCE or _spread(sums) <= _TOTAL_TOLERANCE:
        return None
    return float(totals.mean())


def _spread(values: np.ndarray) -> float:
    return float(np.ptp(values) / values.mean())
