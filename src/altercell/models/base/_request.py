"""What `predict` was asked, and the table of the cells that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from altercell.errors import DataError, GroupError, listing
from altercell.models.base._cells import Cells
from altercell.models.base._schema import as_list

Way = Literal["decoded", "residual", "transport", "sampled"]
#: Column of the cells' own names in an answer for several targets, where each cell stands once a target.
SOURCE_CELL = "source_cell"


@dataclass(frozen=True)
class Request:
    """What `predict` was asked, in codes.

    Attributes
    ----------
    source, target
        Codes of the conditions.
    label_codes
        Code of every asked cell's label, shape ``(n_cells,)``; -1 where training has not seen it.
    batch_size
        Cells a batch.
    seed
        Seed in use.
    way
        How cells are made of the prediction.
    reference
        Source cells that stand for each asked type, where they are not those that are asked.
    """

    source: int
    target: int
    label_codes: np.ndarray
    batch_size: int
    seed: int
    way: Way = "decoded"
    reference: Cells | None = None


def label_list(labels: object | Sequence[object] | None) -> list[object] | None:
    """Return one label or several as a list; None for None.

    Parameters
    ----------
    labels
        A label, or several.

    Raises
    ------
    GroupError
        The sequence is empty.
    """
    if labels is None:
        return None
    several = as_list(labels)
    if several is None:
        return [labels]
    if not several:
        raise GroupError("labels is empty; give at least one, or None for all")
    return several


def once_a_target(obs: pd.DataFrame, targets: Sequence[object]) -> pd.DataFrame:
    """Return a table of cells once for each target, under names that say so.

    Parameters
    ----------
    obs
        The table.
    targets
        Names of the targets.

    Raises
    ------
    DataError
        The table has a column of the name that is written, or two rows would have one name.
    """
    if SOURCE_CELL in obs:
        raise DataError(
            f"obs has a column '{SOURCE_CELL}', which the answer for several targets would write over; rename it, for "
            f"example adata.obs = adata.obs.rename(columns={{'{SOURCE_CELL}': 'earlier_{SOURCE_CELL}'}})"
        )
    table = pd.concat([obs] * len(targets))
    table[SOURCE_CELL] = table.index.to_numpy()
    table.index = pd.Index([f"{cell}-{target}" for target in targets for cell in obs.index], name=obs.index.name)
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()]
        raise DataError(f"cells and targets give the same name {listing(twice, 3)}; ask for one target at a time")
    return table
