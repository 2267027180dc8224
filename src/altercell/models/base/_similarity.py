"""How alike the cell types of a model's training data are, in gene space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from altercell.models.base._cells import Cells
from altercell.models.base._latent import INFERENCE_BATCH
from altercell.models.base._moments import sums_and_squares
from altercell.models.base._profiles import Profiles, similarity_weights, typical_distance

if TYPE_CHECKING:
    from altercell.models.base._response import ResponseModel
    from altercell.models.base._ways import Kinds

#: Share of the typical distance at which a type's weight in a delta has fallen by e.
REACH = 0.25


def log_profiles(
    model: ResponseModel, cells: Cells, types: np.ndarray, n_types: int, *, alone: bool = False
) -> Profiles:
    """Return the mean cells of types on the log scale.

    Parameters
    ----------
    model
        The model, which knows the scale.
    cells
        The cells, with totals where the model works on counts.
    types
        Type of each cell, from 0 to ``n_types - 1``, shape ``(n_cells,)``; below 0 for none.
    n_types
        Number of types.
    alone
        See :meth:`Profiles.of_sums`.
    """
    blocks = (model._log_values(batch) for _, batch in cells.batches(INFERENCE_BATCH))
    sums = sums_and_squares(blocks, types, n_types, cells.n_genes)
    return Profiles.of_sums(*sums, np.bincount(types[types >= 0], minlength=n_types), alone=alone)


def type_similarity(
    model: ResponseModel,
    source: int,
    target: int,
    types: np.ndarray,
    asked: np.ndarray,
    others: Profiles | None = None,
) -> np.ndarray:
    """Weigh types by how alike their cells of the source condition are to those of asked types.

    Parameters
    ----------
    model
        A trained model, with its training cells.
    source, target
        Codes of the conditions.
    types
        Codes of the types to weigh, shape ``(n_types,)``.
    asked
        Codes of the asked types, shape ``(n_asked,)``; from the number of labels upwards they are those of `others`.
    others
        Mean source cells of types that training has not seen in the source.

    Returns
    -------
    Weights that sum to 1 over types, shape ``(n_asked, n_types)``.

    Raises
    ------
    NotTrainedError
        The model has no training cells.
    """
    conditions, labels = model._training_groups("weights='similarity' compares the training cells of the types")
    rows, n_types = np.flatnonzero(conditions == source), len(model.schema.labels)
    known = log_profiles(model, model._predict_cells(None, rows), labels[rows], n_types)
    ends = np.bincount(labels[conditions == target], minlength=n_types)
    distances = (known if others is None else known.joined(others)).distances()
    noise = 1 / np.maximum(known.sizes[types], 1) + 1 / np.maximum(ends[types], 1)
    return similarity_weights(distances[np.ix_(asked, types)], noise, REACH * typical_distance(distances, types))


def kinds_and_others(
    model: ResponseModel, cells: Cells, kinds: Kinds, sizes: np.ndarray
) -> tuple[np.ndarray, Profiles | None]:
    """Return the numbers of asked kinds: a type with training cells in the source has its code, others come after.

    Parameters
    ----------
    model
        The model.
    cells, kinds
        The asked cells, and their kinds.
    sizes
        Number of training cells of each type in the source, shape ``(n_labels,)``.

    Returns
    -------
    The numbers, shape ``(n_kinds,)``, and the mean cells of the others among the asked cells; None without others.
    """
    known = (kinds.codes >= 0) & (sizes[kinds.codes] > 0)
    numbers = np.where(known, kinds.codes, len(sizes) - 1 + np.cumsum(~known))
    if known.all():
        return numbers, None
    within = np.where(known, -1, np.cumsum(~known) - 1)
    place = np.where(kinds.place >= 0, within[kinds.place], -1)
    return numbers, log_profiles(model, cells, place, int((~known).sum()), alone=True)
