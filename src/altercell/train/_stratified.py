"""Batches that hold about equal numbers of cells of each group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from altercell.errors import DataError
from altercell.train._loader import EpochBatches


class StratifiedBatches(EpochBatches):
    """Batches of one size, stratified over groups, in an order that is a function of (seed, epoch) alone.

    An epoch has as many batches as it takes to hold every cell once, each of ``batch_size`` cells, or of all where
    there are fewer; there is no smaller last batch. The cells of a group are walked through in shuffled order and, when
    used up, reshuffled and walked through again: those of a small group come several times an epoch, those of a large
    group are seen in part. Within a batch no cell comes twice. A group with fewer cells than its share gives all that
    it has and the others share the rest; cells that do not divide evenly go to the groups in turn.

    Parameters
    ----------
    indices
        Positions to draw from.
    groups
        Code of the group of each of ``indices``, any integers, shape ``(n_cells,)``.
    batch_size
        Cells a batch, at least 2.
    seed
        Seed of the order.
    first_epoch
        Added to the epoch, so that a second call of ``train`` does not repeat the orders of the first.

    Raises
    ------
    DataError
        ``groups`` does not match ``indices``, or a batch would have fewer than 2 cells by ``batch_size``.
    """

    def __init__(
        self, indices: np.ndarray, groups: np.ndarray, batch_size: int, seed: int, first_epoch: int = 0
    ) -> None:
        super().__init__(indices, batch_size, seed, first_epoch)
        self.seed: int = seed
        groups = np.asarray(groups)
        if groups.shape != self.indices.shape:
            raise DataError(f"groups has the shape {groups.shape}, indices {self.indices.shape}; give one code a cell")
        if self.batch_size < 2:
            raise DataError(f"batch_size={batch_size}: a stratified batch needs at least 2 cells")
        codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
        by_group = self.indices[np.argsort(codes, kind="stable")]
        self.members = np.split(by_group, np.cumsum(sizes)[:-1]) if len(sizes) else []

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng((self.seed, self.first_epoch + self.epoch))
        walks = [_Walk(cells, rng) for cells in self.members]
        sizes = np.array([len(cells) for cells in self.members], dtype=np.int64)
        for share in _shares(sizes, self.batch_size, len(self), rng):
            taken = [walk.take(count) for walk, count in zip(walks, share, strict=True) if count]
            yield rng.permutation(np.concatenate(taken))


class _Walk:
    """A walk through the cells of a group, shuffled afresh whenever all have been seen.

    Parameters
    ----------
    cells
        The cells of the group.
    rng
        Of the shuffles.
    """

    def __init__(self, cells: np.ndarray, rng: np.random.Generator) -> None:
        self.cells, self.rng = cells, rng
        self.ahead = rng.permutation(len(cells))

    def take(self, count: int) -> np.ndarray:
        """Return the next cells, all different.

        Parameters
        ----------
        count
            How many, at most those of the group.
        """
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        if len(taken) < count:
            taken = np.concatenate([taken, self._restart(taken, count - len(taken))])
        return self.cells[taken]

    def _restart(self, used: np.ndarray, count: int) -> np.ndarray:
        """Shuffle again and return the first ``count`` cells that are not in ``used``; the rest, those too, wait."""
        order = self.rng.permutation(len(self.cells))
        fresh = np.ones(len(self.cells), dtype=bool)
        fresh[used] = False
        first = np.flatnonzero(fresh[order])[:count]
        self.ahead = np.delete(order, first)
        return order[first]


def _shares(sizes: np.ndarray, batch_size: int, n_batches: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many cells of each group are in each batch, shape ``(n_batches, n_groups)``."""
    level, rest = _water_level(sizes, batch_size)
    shares = np.tile(np.minimum(sizes, level), (n_batches, 1))
    open_groups = rng.permutation(np.flatnonzero(sizes > level))
    if rest:
        turns = np.arange(n_batches)[:, None] * rest + np.arange(rest)
        shares[np.arange(n_batches)[:, None], open_groups[turns % len(open_groups)]] += 1
    return shares


def _water_level(sizes: np.ndarray, batch_size: int) -> tuple[int, int]:
    """Return the share at which the groups, each up to its size, fill a batch, and the cells then left to fill."""
    target = min(batch_size, int(sizes.sum()))
    low, high = 0, batch_size  # the largest level that asks for no more than the target lies in [low, high]
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= target else (low, middle - 1)
    return low, target - int(np.minimum(sizes, low).sum())
