"""What is held out: types, conditions, donors, or the user's own test cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.data import check_column, select_genes, take_cells
from altercell.errors import DataError, GroupError, listing

Hide = Literal["target", "all"]
Wanted = str | Sequence[str | Sequence[str]]
TRAIN, VALIDATION, TEST = "train", "validation", "test"
#: Cells that a prediction starts from, and held-out cells: the ceiling scores one half of these against the other.
LEAST_CELLS, LEAST_TRUTH = 2, 4


@dataclass(frozen=True)
class Keys:
    """Where the groups stand in obs, and which condition is predicted from.

    Attributes
    ----------
    batch_key, labels_key
        Columns of the conditions and of the cell types.
    source
        The condition to predict from.
    """

    batch_key: str
    labels_key: str
    source: str

    def columns(self, adata: AnnData) -> tuple[np.ndarray, np.ndarray]:
        """Return conditions and labels of all cells as text.

        Parameters
        ----------
        adata
            Cells.
        """
        return adata.obs[self.batch_key].astype(str).to_numpy(), adata.obs[self.labels_key].astype(str).to_numpy()

    def check(self, adata: AnnData, targets: Sequence[str]) -> None:
        """Check the columns and the names of the conditions.

        Parameters
        ----------
        adata
            Cells.
        targets
            Conditions to predict.
        """
        for argument, key in (("batch_key", self.batch_key), ("labels_key", self.labels_key)):
            check_column(adata.obs, key, argument)
        there = set(self.columns(adata)[0])
        for argument, name in (("source", self.source), *(("target", name) for name in targets)):
            if name not in there:
                known = listing(sorted(there))
                raise GroupError(f"{argument}='{name}' is no condition of obs['{self.batch_key}']; there are {known}")
        if self.source in targets:
            raise GroupError(f"source and target are both '{self.source}'; there is nothing to predict")


@dataclass(frozen=True)
class HeldOut:
    """What one split holds out, by name.

    Attributes
    ----------
    name
        Of the split.
    target
        The condition that is asked for.
    labels
        The cell types that are asked for, and scored.
    hidden
        The conditions in which these types are not in the training cells.
    groups
        Where whole groups are held out: which values of which column.
    validation
        Where some training cells stop the training: which value of which column.
    """

    name: str
    target: str
    labels: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    groups: tuple[str, tuple[str, ...]] | None = None
    validation: tuple[str, str] | None = None


@dataclass(frozen=True)
class Question:
    """The held-out truth of one cell type.

    Attributes
    ----------
    label, source, target
        The type and the two conditions.
    real, control
        The held-out cells of `target`, and the cells of `source` of the same type that the prediction starts from.
    cells
        The same cells where they are not among the training cells; None where they are.
    """

    label: str
    source: str
    target: str
    real: AnnData
    control: AnnData
    cells: AnnData | None = None


@dataclass(frozen=True)
class Split:
    """Training cells, and the questions on the cells that are held out. All have the same genes.

    Attributes
    ----------
    name
        Its name.
    train
        The training cells.
    questions
        What is asked.
    validation
        Row numbers of the training cells that the user named to stop the training by; None where there are none.
    """

    name: str
    train: AnnData
    questions: tuple[Question, ...]
    validation: np.ndarray | None = None


def labels_to_hold_out(
    adata: AnnData,
    *,
    batch_key: str,
    labels_key: str,
    source: str,
    target: str,
    wanted: Wanted = "each",
    min_cells: int = 20,
) -> list[tuple[str, ...]]:
    """Return the labels to hold out, after checking that there are cells for it.

    Parameters
    ----------
    adata
        All cells.
    batch_key, labels_key
        Columns of the conditions and of the labels.
    source, target
        The two conditions.
    wanted
        ``"each"``: every label with `min_cells` in each of the two conditions; or names. A name may be several names,
        which are then held out at once.
    min_cells
        Least number of cells in each condition.

    Returns
    -------
    For each split its labels.

    Raises
    ------
    KeyNotFoundError
        A column is missing.
    GroupError
        A condition or a label is unknown, or has too few cells.
    """
    keys = Keys(batch_key, labels_key, source)
    keys.check(adata, [target])
    conditions, labels = keys.columns(adata)
    counts = pd.crosstab(labels, conditions)
    sizes = counts[[source, target]].min(axis=1).to_dict()
    if _each(wanted):
        least = max(LEAST_TRUTH, min_cells)
        enough: list[tuple[str, ...]] = [(str(name),) for name, size in sizes.items() if size >= least]
        if not enough:
            raise GroupError(f"no label has {min_cells} cells in both conditions")
        return enough
    chosen = _as_groups(wanted)
    for name in (name for group in chosen for name in group):
        if name not in sizes:
            raise GroupError(f"'{name}' is no label of obs['{labels_key}']; there are {listing(sizes, 12)}")
        if sizes[name] < LEAST_TRUTH:
            raise GroupError(
                f"'{name}' has {counts.loc[name, source]} cells in '{source}' and {counts.loc[name, target]} in "
                f"'{target}'; at least {LEAST_TRUTH} of each are needed to score"
            )
    return chosen


def _each(wanted: Any) -> bool:
    return isinstance(wanted, str) and wanted == "each"


def _as_groups(wanted: Wanted) -> list[tuple[str, ...]]:
    """Return names, and groups of names, all as groups."""
    names = as_names(wanted)
    groups = [tuple(str(part) for part in as_names(name)) for name in names]
    if not groups or not all(groups):
        raise GroupError("hold_out names nothing")
    return groups


def types_held_out(
    adata: AnnData, keys: Keys, targets: Sequence[str], wanted: Wanted, hide: Hide, min_cells: int
) -> Iterator[HeldOut]:
    """Hold out cell types, one or several at once, under one condition or under all but the source.

    Parameters
    ----------
    adata
        All cells.
    keys
        Where the groups stand.
    targets
        The conditions to predict.
    wanted, min_cells
        As in :func:`labels_to_hold_out`.
    hide
        ``"target"``: the types are held out under the asked condition; ``"all"``: under every condition but the source.
    """
    perturbed = tuple(sorted(set(keys.columns(adata)[0]) - {keys.source}))
    for target in targets:
        groups = labels_to_hold_out(
            adata,
            batch_key=keys.batch_key,
            labels_key=keys.labels_key,
            source=keys.source,
            target=target,
            wanted=wanted,
            min_cells=min_cells,
        )
        for labels in groups:
            name = " + ".join(labels) if len(targets) == 1 else f"{' + '.join(labels)}, {target}"
            yield HeldOut(name, target, labels, hidden=(target,) if hide == "target" else perturbed)


def groups_held_out(
    adata: AnnData, keys: Keys, targets: Sequence[str], group_key: str, wanted: Wanted, min_cells: int
) -> Iterator[HeldOut]:
    """Hold out whole groups, such as donors, with all their cells; each type with enough cells there is asked for.

    Parameters
    ----------
    adata
        All cells.
    keys
        Where the groups stand.
    targets
        The conditions to predict.
    group_key
        Column of the groups.
    wanted
        ``"each"`` group, or names.
    min_cells
        Least number of a group's cells of a type in each of the two conditions.
    """
    check_column(adata.obs, group_key, "group_key")
    column = adata.obs[group_key].astype(str).to_numpy()
    there = sorted(set(column))
    chosen = [(name,) for name in there] if _each(wanted) else _as_groups(wanted)
    unknown = {name for group in chosen for name in group} - set(there)
    if unknown:
        raise GroupError(
            f"{listing(sorted(unknown))} is not in obs['{group_key}'] (hold_out=); there are {listing(there, 12)}"
        )
    found = False
    for target in targets:
        for group in chosen:
            labels = _with_enough(adata, keys, target, np.isin(column, group), min_cells)
            if not labels and not _each(wanted):
                raise GroupError(
                    f"{listing(group)} of obs['{group_key}'] has no label with {min_cells} cells (min_cells=) in both "
                    f"'{keys.source}' and '{target}'"
                )
            if labels:
                found = True
                name = " + ".join(group) if len(targets) == 1 else f"{' + '.join(group)}, {target}"
                yield HeldOut(name, target, labels, groups=(group_key, group))
    if not found:
        raise GroupError(f"no group of obs['{group_key}'] has a label with {min_cells} cells in both conditions")


def column_held_out(
    adata: AnnData, keys: Keys, targets: Sequence[str], split_key: str, min_cells: int
) -> Iterator[HeldOut]:
    """Hold out the cells that a column of the user's calls test cells.

    Parameters
    ----------
    adata
        All cells.
    keys
        Where the groups stand.
    targets
        The conditions to predict.
    split_key
        Column with ``"train"``, ``"test"`` and, where wanted, ``"validation"``.
    min_cells
        Least number of a type's test cells of the asked condition.
    """
    check_column(adata.obs, split_key, "split_key")
    column = adata.obs[split_key].astype(str).to_numpy()
    unknown = set(column) - {TRAIN, VALIDATION, TEST}
    if unknown or not {TRAIN, TEST} <= set(column):
        raise DataError(
            f"obs['{split_key}'] must say '{TRAIN}' or '{TEST}' of every cell, or '{VALIDATION}'; it has "
            f"{listing(sorted(set(column)))}"
        )
    conditions, labels = keys.columns(adata)
    for target in targets:
        truth = pd.Series(labels[(column == TEST) & (conditions == target)]).value_counts()
        sources = pd.Series(labels[conditions == keys.source]).value_counts()
        enough = truth.index[truth >= max(LEAST_TRUTH, min_cells)]
        asked = tuple(sorted(str(name) for name in enough if sources.get(name, 0) >= LEAST_CELLS))
        if not asked:
            raise GroupError(
                f"no label has {min_cells} '{TEST}' cells of '{target}' in obs['{split_key}'], and cells of "
                f"'{keys.source}' to start from"
            )
        yield HeldOut(
            TEST if len(targets) == 1 else f"{TEST}, {target}",
            target,
            asked,
            groups=(split_key, (TEST,)),
            validation=(split_key, VALIDATION) if VALIDATION in column else None,
        )


def _with_enough(adata: AnnData, keys: Keys, target: str, member: np.ndarray, min_cells: int) -> tuple[str, ...]:
    conditions, labels = keys.columns(adata)
    counts = pd.crosstab(labels[member], conditions[member])
    if not {keys.source, target} <= set(counts.columns):
        return ()
    least = counts[[keys.source, target]].min(axis=1)
    return tuple(str(name) for name in counts.index[least >= max(LEAST_TRUTH, min_cells)])


def make_split(adata: AnnData, held_out: HeldOut, keys: Keys, n_genes: int | None = 2_000) -> Split:
    """Hold cells out, and choose genes on the others.

    Parameters
    ----------
    adata
        All cells, log data.
    held_out
        What is held out.
    keys
        Where the groups stand.
    n_genes
        Number of variable genes, chosen on the training cells alone; None keeps all.
    """
    conditions, labels = keys.columns(adata)
    if held_out.groups is None:
        held = np.isin(labels, held_out.labels) & np.isin(conditions, held_out.hidden)
    else:
        key, groups = held_out.groups
        held = np.isin(adata.obs[key].astype(str).to_numpy(), groups)
    if held.all():
        raise GroupError(f"'{held_out.name}': all cells would be held out; nothing is left to train on")
    train = take_cells(adata, ~held)
    if n_genes is not None:
        train = select_genes(train, n_genes)
    genes = train.var_names
    questions = []
    for label in held_out.labels:
        mine = labels == label
        real = take_cells(adata, mine & held & (conditions == held_out.target))[:, genes].copy()
        start = mine & (conditions == keys.source)
        own = start & held
        if held_out.groups is not None and own.sum() >= LEAST_CELLS:
            # A held-out group has source cells of its own: the prediction starts from them.
            cells = take_cells(adata, own)[:, genes].copy()
            questions.append(Question(label, keys.source, held_out.target, real, cells, cells))
        elif (start & ~held).sum() >= LEAST_CELLS:
            control = train[(start & ~held)[~held]].copy()
            questions.append(Question(label, keys.source, held_out.target, real, control))
        else:
            raise GroupError(f"'{label}' has fewer than {LEAST_CELLS} cells of condition '{keys.source}' to start from")
    validation = None
    if held_out.validation is not None:
        key, name = held_out.validation
        validation = np.flatnonzero(adata.obs[key].astype(str).to_numpy()[~held] == name)
    return Split(held_out.name, train, tuple(questions), validation)


def one_label(
    adata: AnnData,
    label: str,
    *,
    batch_key: str,
    labels_key: str,
    source: str,
    target: str,
    n_genes: int | None = 2_000,
) -> Split:
    """Hold one label's target cells out, and choose genes on the others.

    Parameters
    ----------
    adata
        All cells, log data.
    label, source, target
        What is held out, and from which condition it is to be predicted.
    batch_key, labels_key
        Columns of the conditions and of the labels.
    n_genes
        Number of variable genes, chosen on the training cells alone; None keeps all.
    """
    keys = Keys(batch_key, labels_key, source)
    keys.check(adata, [target])
    return make_split(adata, HeldOut(label, target, (label,), (target,)), keys, n_genes)


def as_names(names: Any) -> list[Any]:
    """Return one or several names as a list; a name may be a number.

    Parameters
    ----------
    names
        A name, or several in a list, an array or an index.
    """
    return [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)


def as_targets(target: Any) -> list[str]:
    """Return one or several conditions as a list of text.

    Parameters
    ----------
    target
        The condition or conditions.

    Raises
    ------
    GroupError
        There is none, or one stands twice.
    """
    found = [str(name) for name in as_names(target)]
    if not found or len(set(found)) < len(found):
        raise GroupError(f"target={target!r} must be a condition, or conditions that differ")
    return found
