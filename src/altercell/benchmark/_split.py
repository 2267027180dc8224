"""One question of the benchmark: a combination of condition and type that no model may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.data import hold_out, select_genes
from altercell.errors import GroupError, KeyNotFoundError, listing


@dataclass(frozen=True)
class Split:
    """Training cells, the held-out truth and the control cells of one (condition, label).

    Attributes
    ----------
    label, source, target
        The label and the two conditions.
    train, real, control
        Training cells; the held-out cells of `target`; the cells of `source` of the same label. Same genes.
    """

    label: str
    source: str
    target: str
    train: AnnData
    real: AnnData
    control: AnnData


def labels_to_hold_out(
    adata: AnnData,
    *,
    batch_key: str,
    labels_key: str,
    source: str,
    target: str,
    wanted: str | Sequence[str] = "each",
    min_cells: int = 20,
) -> list[str]:
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
        ``"each"``: every label with `min_cells` in each of the two conditions; or names.
    min_cells
        Least number of cells in each condition.

    Raises
    ------
    KeyNotFoundError
        A column is missing.
    GroupError
        A condition or a label is unknown, or has too few cells.
    """
    for argument, key in (("batch_key", batch_key), ("labels_key", labels_key)):
        if key not in adata.obs:
            raise KeyNotFoundError(
                f"{argument}='{key}' is not a column of obs; there are {listing(adata.obs.columns, 12)}"
            )
    conditions, labels = adata.obs[batch_key].astype(str), adata.obs[labels_key].astype(str)
    for argument, name in (("source", source), ("target", target)):
        if not (conditions == name).any():
            there = listing(sorted(conditions.unique()))
            raise GroupError(f"{argument}='{name}' is no condition of obs['{batch_key}']; there are {there}")
    if source == target:
        raise GroupError(f"source and target are both '{source}'; there is nothing to predict")
    counts = pd.crosstab(labels, conditions)
    sizes = counts[[source, target]].min(axis=1).to_dict()
    enough = [name for name, size in sizes.items() if size >= min_cells]
    if wanted == "each":
        if not enough:
            raise GroupError(f"no label has {min_cells} cells in both conditions")
        return enough
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in chosen:
        if name not in sizes:
            raise GroupError(f"'{name}' is no label of obs['{labels_key}']; there are {listing(sizes, 12)}")
        if sizes[name] < 2:
            raise GroupError(
                f"'{name}' has {sizes[name]} cells in one of the conditions; at least 2 are needed to score"
            )
    return chosen


def make_split(
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
    train, real = hold_out(adata, batch=target, labels=label, batch_key=batch_key, labels_key=labels_key)
    if n_genes is not None:
        train = select_genes(train, n_genes)
        real = real[:, train.var_names].copy()
    mine = np.asarray((train.obs[batch_key].astype(str) == source) & (train.obs[labels_key].astype(str) == label))
    if not mine.any():
        raise GroupError(f"'{label}' has no cell of condition '{source}' to start from")
    return Split(label, source, target, train, real, train[mine].copy())
