"""Mini-batches whose order is a function of (seed, epoch) alone, so that training can be resumed exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from altercell.errors import DataError

VALIDATION_BATCH = 512


class EpochBatches(Sampler[np.ndarray]):
    """Shuffled batches of positions; a last batch of one cell is folded into the one before (batch norm needs two).

    Parameters
    ----------
    indices
        Positions to draw from.
    batch_size
        Cells a batch.
    seed
        Seed of the order; None keeps the order as it is.
    first_epoch
        Added to the epoch, so that a second call of ``train`` does not repeat the orders of the first.
    """

    def __init__(self, indices: np.ndarray, batch_size: int, seed: int | None = None, first_epoch: int = 0) -> None:
        self.indices, self.batch_size, self.seed, self.first_epoch = (
            np.asarray(indices),
            int(batch_size),
            seed,
            first_epoch,
        )
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; Lightning calls it.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0.
        """
        self.epoch = int(epoch)

    def __len__(self) -> int:
        n_cells = len(self.indices)
        n_batches, rest = divmod(n_cells, self.batch_size)
        return n_batches + (rest > 1 or (rest == 1 and n_batches == 0))

    def __iter__(self) -> Iterator[np.ndarray]:
        order = self.indices
        if self.seed is not None:
            order = np.random.default_rng((self.seed, self.first_epoch + self.epoch)).permutation(order)
        for number in range(len(self)):
            last = number == len(self) - 1
            yield order[number * self.batch_size : None if last else (number + 1) * self.batch_size]


def split_cells(n_cells: int, train_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split cells at random into training and validation.

    Parameters
    ----------
    n_cells
        Number of cells.
    train_size
        Share to train on, above 0, at most 1.
    seed
        Seed of the split.

    Returns
    -------
    Sorted positions of the training and of the validation cells.

    Raises
    ------
    DataError
        The share is out of range, or fewer than 2 cells are left to train on.
    """
    if not 0 < train_size <= 1:
        raise DataError(f"train_size={train_size} must be above 0 and at most 1")
    n_train = int(np.ceil(train_size * n_cells))
    if n_train < 2:
        raise DataError(f"{n_train} of {n_cells} cells would be left to train on; at least 2 are needed")
    order = np.random.default_rng(seed).permutation(n_cells)
    return np.sort(order[:n_train]), np.sort(order[n_train:])


class CellDataModule(LightningDataModule):
    """Training and validation batches of a data set whose items are whole batches.

    Parameters
    ----------
    cells
        Data set that gives a batch for an array of positions.
    train_idx, val_idx
        Positions of the training and of the validation cells.
    batch_size
        Cells a batch.
    seed
        Seed of the order of training.
    first_epoch
        How many epochs the model has been trained before.
    train_batches, val_batches
        Samplers of whole batches in place of the usual ones: shuffled for training, in order for validation.
    """

    def __init__(
        self,
        cells: Dataset,
        train_idx: np.ndarray,
        val_idx: np.ndarray,
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
        *,
        train_batches: Sampler[np.ndarray] | None = None,
        val_batches: Sampler[np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.cells, self.train_idx, self.val_idx = cells, train_idx, val_idx
        self.test_idx = np.array([], dtype=np.int64)
        # A sampler of no batches is false, and is meant all the same.
        self.train_batches = (
            EpochBatches(train_idx, batch_size, seed, first_epoch) if train_batches is None else train_batches
        )
        self.val_batches = (
            EpochBatches(val_idx, max(batch_size, VALIDATION_BATCH)) if val_batches is None else val_batches
        )
        self.n_train, self.n_val = len(train_idx), len(val_idx) if len(self.val_batches) else 0  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training batches."""
        return self._loader(self.train_batches)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Return the validation batches; none where there are no validation cells."""
        return self._loader(self.val_batches) if self.n_val else []

    def _loader(self, batches: Sampler[np.ndarray]) -> DataLoader[Any]:
        # The sampler gives whole batches and the data set reads them at once; collation would only copy.
        return DataLoader(self.cells, sampler=batches, batch_size=None)
