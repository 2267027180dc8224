"""Held-out cells: taken away before anything is chosen or trained."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from anndata import AnnData

from altercell.data._checks import check_column
from altercell.errors import GroupError, listing

SCVI_IDENTIFIERS = ("_scvi_uuid", "_scvi_manager_uuid")


def hold_out(
    adata: AnnData,
    *,
    batch: object | Iterable[object] | None = None,
    labels: object | Iterable[object] | None = None,
    control: object | None = None,
    batch_key: str = "condition",
    labels_key: str = "cell_type",
) -> tuple[AnnData, AnnData]:
    """Split cells into those to train on and those to predict, which nothing may see.

    Split before genes are chosen. What an earlier analysis of all cells has left in `adata` (principal components in
    obsm, say) is kept as it is, and has seen the held-out cells.

    Parameters
    ----------
    adata
        All cells, in memory, a view or backed; not changed. Backed cells are read into memory.
    batch
        Condition or conditions to hold out. None holds out all but `control`.
    labels
        Cell type or types whose cells of these conditions are held out; None: all types.
    control
        The condition that stays when `batch` is None: with `labels`, all perturbed conditions of a type are held out,
        the protocol of trVAE :cite:p:`Lotfollahi2020`.
    batch_key, labels_key
        Columns of obs with the conditions and with the cell types. Groups are compared as text, so that `"1"` finds 1.

    Returns
    -------
    Training cells and held-out cells: two copies, in the order of `adata`, that share no cell. Categories that no
    longer occur are removed, and so are scvi-tools' identifiers, which belong to `adata`.

    Raises
    ------
    KeyNotFoundError
        A column is missing.
    DataError
        A cell has no value in such a column, so that it might be of the held-out group.
    GroupError
        An unknown condition or type, a combination without cells, or nothing left to train on.

    Examples
    --------
    >>> from altercell.datasets import simulate_response
    >>> adata = simulate_response(n_cells=200, n_genes=50)
    >>> train, real = hold_out(adata, batch="stimulated", labels="type_1")
    >>> train.n_obs, real.n_obs
    (180, 20)
    """
    check_column(adata.obs, batch_key, "batch_key")
    if (batch is None) == (control is None):
        raise GroupError(
            "give either batch=, the condition to hold out, or control=, to hold out every other condition."
        )
    held = (
        members(adata, batch_key, batch, "batch") if control is None else ~members(adata, batch_key, control, "control")
    )
    if labels is not None:
        check_column(adata.obs, labels_key, "labels_key")
        of_condition = adata.obs[labels_key][held].unique()
        held = held & members(adata, labels_key, labels, "labels")
        if not held.any():
            asked = f"'{batch_key}' {listing(_listed(batch)) if control is None else f'other than {control!r}'}"
            raise GroupError(
                f"no cell of {listing(_listed(labels))} has {asked}; the types there: {listing(of_condition, 12)}."
            )
    return _split(adata, held)


def hold_out_groups(adata: AnnData, groups: object | Iterable[object], key: str) -> tuple[AnnData, AnnData]:
    """Split cells so that whole groups, such as donors, are held out: each group is on one side.

    Parameters
    ----------
    adata
        All cells, in memory, a view or backed; not changed. Backed cells are read into memory.
    groups
        Group or groups to hold out, compared as text.
    key
        Column of obs with the groups, for example `"donor"`.

    Returns
    -------
    Training cells and held-out cells, as :func:`hold_out` gives them.

    Raises
    ------
    KeyNotFoundError
        The column is missing.
    DataError
        A cell has no value in it.
    GroupError
        An unknown group, or nothing left to train on.

    Examples
    --------
    >>> from altercell.datasets import simulate_response
    >>> adata = simulate_response(n_cells=200, n_genes=50, n_batches=4)
    >>> train, real = hold_out_groups(adata, "batch_3", key="batch")
    >>> list(real.obs["batch"].cat.categories)
    ['batch_3']
    """
    check_column(adata.obs, key, "key")
    return _split(adata, members(adata, key, groups, "groups"))


def members(adata: AnnData, key: str, names: object | Iterable[object], argument: str) -> np.ndarray:
    """Find the cells of one or several groups.

    Parameters
    ----------
    adata
        Cells.
    key
        Column of obs with the groups, without missing values.
    names
        Group or groups, compared as text.
    argument
        The argument that named them, for the error.

    Returns
    -------
    Whether each cell belongs to them, shape `(n_cells,)`.

    Raises
    ------
    GroupError
        No name is given, or one does not occur.
    """
    column, wanted = adata.obs[key].astype(str), [str(name) for name in _listed(names)]
    present = sorted(column.unique())
    unknown = [name for name in wanted if name not in present]
    if unknown or not wanted:
        what = f"{listing(unknown)} ({argument}) is not" if unknown else f"{argument} names no group"
        raise GroupError(f"{what} in obs['{key}']; there are {listing(present, 12)}.")
    return np.array(column.isin(wanted))


def _listed(names: object | Iterable[object] | None) -> list[object]:
    return [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)


def _split(adata: AnnData, held: np.ndarray) -> tuple[AnnData, AnnData]:
    if held.all():
        raise GroupError("all cells would be held out; nothing is left to train on.")
    return take_cells(adata, ~held), take_cells(adata, held)


def take_cells(adata: AnnData, keep: np.ndarray) -> AnnData:
    """Copy some cells, without the categories that no longer occur and without scvi-tools' identifiers.

    Parameters
    ----------
    adata
        Cells, in memory, a view or backed; not changed. Backed cells are read into memory.
    keep
        Mask of the cells, shape `(n_cells,)`.
    """
    part = adata[keep].to_memory() if adata.isbacked else adata[keep].copy()
    for name in part.obs.columns:
        if part.obs[name].dtype == "category":
            part.obs[name] = part.obs[name].cat.remove_unused_categories()
    for name in SCVI_IDENTIFIERS:
        # A copy with the original's identifier would make scvi-tools refuse the original.
        part.uns.pop(name, None)
    return part
