"""Training cells, drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from altercell.models.samplers._base import TrainingCellSampler


class ResampledCells(TrainingCellSampler):
    """Training cells of the class, drawn with replacement: perfect but for being copies.

    Parameters
    ----------
    adata, registry, seed
        See :class:`CellSampler`.
    """

    _doubt = "these are training cells, drawn again"

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[Any]:
        cells = self.cells(rows=self._seeds(self._class_of(groups), rng))
        for start in range(0, len(cells), batch_size):
            yield cells.read(slice(start, start + batch_size), dense=False)
