"""What the plots read from AnnData objects: genes by name, spaces, named populations of cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import numpy as np
from anndata import AnnData

from altercell._space import LOG, UNKNOWN, check_same_space, get_space
from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, listing
from altercell.metrics._matrix import Matrix, genes_of


def as_names(genes: str | Sequence[str]) -> list[str]:
    """Return names of genes as a list, one name as a list of one.

    Parameters
    ----------
    genes
        One name or several.

    Raises
    ------
    DataError
        If there is none.
    """
    names = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
    if not names:
        raise DataError("no genes to draw: name at least one")
    return names


def find_genes(adata: AnnData, genes: Sequence[str], name: str) -> np.ndarray:
    """Find the columns of genes.

    Parameters
    ----------
    adata
        Cells.
    genes
        Names of genes.
    name
        What to call `adata` in an error.

    Returns
    -------
    The columns: (n_names,).

    Raises
    ------
    KeyNotFoundError
        If genes are not there; the message lists names near to theirs.
    """
    missing = [gene for gene in genes if gene not in adata.var_names]
    if missing:
        near = _near_names(missing, adata.var_names)
        hint = f"near names: {listing(near)}" if near else f"its genes are {listing(adata.var_names, limit=4)}"
        raise KeyNotFoundError(f"{name} has no gene {listing(missing)}; {hint}")
    return np.asarray(adata.var_names.get_indexer_for(genes))


def values_of(adata: AnnData, genes: Sequence[str], name: str) -> np.ndarray:
    """Return the expression of a few genes, dense.

    Parameters
    ----------
    adata
        Cells, dense, sparse or on disk.
    genes
        Names of genes.
    name
        What to call `adata` in an error.

    Returns
    -------
    The values, float64: (n_cells, n_names).

    Raises
    ------
    KeyNotFoundError
        If genes are not there; the message lists names near to theirs.
    GeneMismatchError
        If gene names occur twice.
    DataError
        If there are no cells, or values are NaN or infinite.
    """
    if adata.n_obs == 0:
        raise DataError(f"{name} has no cells")
    find_genes(adata, genes, name)
    values = genes_of(adata, np.asarray(genes), name)
    return np.asarray(values if isinstance(values, np.ndarray) else values.toarray(), dtype=np.float64)


def check_populations(populations: Mapping[str, AnnData]) -> None:
    """Check that there are populations to draw, and that their values are in one space.

    Parameters
    ----------
    populations
        Cells by the name to show.

    Raises
    ------
    DataError
        If there is none, or they are not given by name.
    SpaceMismatchError
        If two are in different spaces.
    """
    if not isinstance(populations, Mapping) or not populations:
        raise DataError('populations are wanted by name, for example {"control": ..., "real": ..., "ScGen": pred}')
    check_same_space(*populations.values(), names=list(populations))


def same_genes(populations: Mapping[str, AnnData | None]) -> dict[str, Matrix]:
    """Return the values of populations that have the same genes, in the order of the first one's.

    Parameters
    ----------
    populations
        Cells by the name that errors call them; those that are None are passed over.

    Returns
    -------
    The values by name, dense or CSR: (n_cells, n_genes) each.

    Raises
    ------
    GeneMismatchError
        If one lacks genes of another, or gene names occur twice.
    SpaceMismatchError
        If two are in different spaces.
    DataError
        If they are not AnnData, have no cells, or values are NaN or infinite.
    """
    given = {name: adata for name, adata in populations.items() if adata is not None}
    others = [name for name, adata in given.items() if not isinstance(adata, AnnData)]
    if others:
        raise DataError(f"{listing(others)} must be AnnData, so that genes are found by name")
    first, genes = next((name, adata.var_names) for name, adata in given.items())
    for name, adata in given.items():
        more = adata.var_names.difference(genes, sort=False)
        if len(more):
            raise GeneMismatchError(
                f"{first} lacks {len(more)} of the {adata.n_vars} genes of {name}: {listing(more)}; "
                f"give all the same genes, for example {name}[:, {first}.var_names]"
            )
    cells = {name: genes_of(adata, genes, name) for name, adata in given.items()}
    check_populations(given)  # after the search for NaN, which would hide the space
    return cells


def with_space(text: str, adatas: Iterable[AnnData]) -> str:
    """Write the label of an axis of expression, with its space in parentheses where that is known.

    Parameters
    ----------
    text
        What the axis shows.
    adatas
        Data in one space (:func:`check_populations`); the one that knows its total decides.

    Returns
    -------
    For example ``mean expression (log1p of counts per 10,000)``.
    """
    spaces = {get_space(adata) for adata in adatas} - {UNKNOWN}
    space = max(spaces - {LOG} or spaces, default=None)
    return text if space is None else f"{text} ({space})"


def _near_names(missing: Sequence[str], known: Iterable[str]) -> list[str]:
    # Gene symbols of man and mouse differ in case alone, so case is not compared.
    by_upper = {str(name).upper(): str(name) for name in known}
    found = [match for gene in missing for match in get_close_matches(gene.upper(), by_upper, n=3)]
    return [by_upper[name] for name in dict.fromkeys(found)]
