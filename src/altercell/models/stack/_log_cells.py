"""Cells of a model of log data or of counts, read on the log scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse

from altercell.models.base import Cells, as_dense


class LogCells:
    """Cells on the log scale, read by position.

    Parameters
    ----------
    cells
        The cells; of counts, with their totals.
    scale
        The total that counts are scaled to; None for log data.
    """

    def __init__(self, cells: Cells, scale: float | None) -> None:
        self.cells, self.scale = cells, scale
        self.names = cells.adata.obs_names[cells.rows].to_numpy().astype(str)

    def __len__(self) -> int:
        return len(self.cells)

    def read(self, positions: np.ndarray | slice) -> np.ndarray | sparse.csr_matrix:
        """Return cells, sparse where log data are.

        Parameters
        ----------
        positions
            Which of the cells.
        """
        if self.scale is None:
            return self.cells.read(positions, dense=False)
        batch = self.cells[positions]
        return torch.log1p(batch["X"] / batch["size_factor"] * self.scale).numpy()

    def dense(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return cells, dense.

        Parameters
        ----------
        positions
            Which of the cells.
        """
        return as_dense(self.read(positions))

    def blocks(self, batch_size: int, *, dense: bool = False) -> Iterator[Any]:
        """Yield all cells, by blocks in order.

        Parameters
        ----------
        batch_size
            Cells a block.
        dense
            Whether the blocks are dense.
        """
        for start in range(0, len(self), batch_size):
            yield (self.dense if dense else self.read)(slice(start, start + batch_size))
