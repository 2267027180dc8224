"""Training cells, drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from altercell.models.resampling._base import TrainingCells


class ResampledCells(TrainingCells):
    """Training cells of the class, drawn with replacement: perfect but for being copies.

    Parameters
    ----------
    adata, registry, seed
        See :class:`TrainingCells`.
    """

    def _doubt(self) -> str:
        return "these are training cells, drawn again"

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[Any]:
        cells = self.cells(rows=self._seed_rows(groups, rng))
        for start in range(0, len(cells), batch_size):
            yield cells.read(slice(start, start + batch_size), dense=False)
