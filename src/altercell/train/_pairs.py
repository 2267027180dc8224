"""Batches of pairs: control cells, and cells of another condition of the same type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import sparse

from altercell.errors import check_choice
from altercell.train._loader import EpochBatches

Balance = Literal["larger", "smaller"]


@dataclass(frozen=True, eq=False)
class Arms:
    """The control cells of a type, and its cells of one other condition.

    Attributes
    ----------
    label, condition
        Codes of the type and of the other condition.
    control, perturbed
        Positions of the cells, shapes ``(n_control,)`` and ``(n_perturbed,)``, neither empty.
    partners
        How likely a control cell is paired with each perturbed one, up to a factor a row, CSR of shape
        ``(n_control, n_perturbed)``; None where all are equally likely.
    """

    label: int
    condition: int
    control: np.ndarray
    perturbed: np.ndarray
    partners: sparse.csr_array | None = None

    def size(self, balance: Balance) -> int:
        """Return how many pairs an epoch draws.

        Parameters
        ----------
        balance
            ``"larger"`` or ``"smaller"``: the arm whose size both take.
        """
        return (max if balance == "larger" else min)(len(self.control), len(self.perturbed))

    def draw(self, n_pairs: int, rng: np.random.Generator) -> np.ndarray:
        """Draw pairs, using the cells of an arm evenly: no control cell comes more than once more than another.

        Without `partners` the same holds for the other arm.

        Parameters
        ----------
        n_pairs
            How many.
        rng
            Source of the randomness.

        Returns
        -------
        Positions of the control cells and of their partners, shape ``(n_pairs, 2)``.
        """
        rows = _in_rounds(len(self.control), n_pairs, rng)
        if self.partners is None:
            columns = _in_rounds(len(self.perturbed), n_pairs, rng)
        else:
            columns = _partners_of(self.partners, rows, rng)
        return np.stack([self.control[rows], self.perturbed[columns]], axis=1)


def find_arms(conditions: np.ndarray, labels: np.ndarray, control: int, indices: np.ndarray) -> list[Arms]:
    """Find the types that have cells both in the control and in another condition; the others are left out.

    Parameters
    ----------
    conditions, labels
        Codes of all cells, shape ``(n_cells,)``.
    control
        Code of the control condition.
    indices
        Positions of the cells to pair.

    Returns
    -------
    One entry for each (type, condition other than the control).
    """
    arms = []
    for label in np.unique(labels[indices]):
        cells = indices[labels[indices] == label]
        start = cells[conditions[cells] == control]
        if len(start):
            others = np.setdiff1d(conditions[cells], [control])
            arms += [Arms(int(label), int(code), start, cells[conditions[cells] == code]) for code in others]
    return arms


class PairedBatches(EpochBatches):
    """Batches whose first half are control cells and whose second half are their partners, pair by pair.

    A partner is of the same type and of another condition. Both arms of a type take one size, and the pairs are drawn
    afresh each epoch, as a function of (seed, epoch) alone: every arm is walked through in a new order, again from the
    start where it is the shorter one. The pairs of all types and conditions are then shuffled together. A last batch of
    one pair is folded into the one before.

    Parameters
    ----------
    arms
        What to pair; see :func:`find_arms`.
    batch_size
        Pairs a batch, which so has twice as many cells.
    seed
        Seed of the pairs and of their order.
    first_epoch
        Added to the epoch, so that a second call of ``train`` does not repeat the pairs of the first.
    balance
        The size that both arms of a type take: ``"larger"``, so that an epoch holds every cell, those of the smaller
        arm several times (the published code of :cite:t:`Tang2024`), or ``"smaller"``, so that none comes twice, and
        the larger arm is seen in part.
    fixed
        Whether every epoch has the pairs of the first, as for validation.

    Raises
    ------
    DataError
        `balance` is unknown.
    """

    def __init__(
        self,
        arms: Sequence[Arms],
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
        *,
        balance: Balance = "larger",
        fixed: bool = False,
    ) -> None:
        check_choice("balance", balance, get_args(Balance))
        self.arms, self.sizes, self.fixed = list(arms), [arm.size(balance) for arm in arms], fixed
        super().__init__(np.arange(sum(self.sizes)), batch_size, seed, first_epoch)

    @property
    def n_pairs(self) -> int:
        """Pairs an epoch."""
        return len(self.indices)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose pairs come next; Lightning calls it.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0. Not read where the pairs are fixed.
        """
        super().set_epoch(0 if self.fixed else epoch)

    def pairs(self) -> np.ndarray:
        """Return the epoch's pairs by type and condition, shape ``(n_pairs, 2)``: control cell, partner."""
        rng = np.random.default_rng((self.seed, self.first_epoch + self.epoch, 1))  # type: ignore[arg-type]
        drawn = [arm.draw(size, rng) for arm, size in zip(self.arms, self.sizes, strict=True)]
        return np.concatenate(drawn) if drawn else np.empty((0, 2), dtype=np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        pairs = self.pairs()
        for numbers in super().__iter__():
            yield pairs[numbers].T.ravel()


def pair_within(conditions: np.ndarray, labels: np.ndarray, control: int) -> np.ndarray:
    """Pair the cells of a batch that was not made of pairs, in the order in which they stand.

    Parameters
    ----------
    conditions, labels
        Codes of the batch's cells, shape ``(n_cells,)``.
    control
        Code of the control condition.

    Returns
    -------
    Positions in the batch: those of the control cells, then those of their partners. The smaller arm of a type decides
    how many; a control cell may be paired once with each other condition.
    """
    arms = find_arms(conditions, labels, control, np.arange(len(conditions)))
    first = [arm.control[: arm.size("smaller")] for arm in arms]
    second = [arm.perturbed[: arm.size("smaller")] for arm in arms]
    return np.concatenate([*first, *second]) if arms else np.empty(0, dtype=np.int64)


def _in_rounds(n_cells: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `size` of the numbers below `n_cells`: each once in random order, then again in another, and so on."""
    rounds = np.tile(np.arange(n_cells), (-(-size // n_cells), 1))
    return rng.permuted(rounds, axis=1).ravel()[:size]


def _partners_of(partners: sparse.csr_array, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one column for each of the rows, with the row's values as weights."""
    total = np.concatenate([[0.0], np.cumsum(partners.data)])
    first, last = partners.indptr[rows], partners.indptr[rows + 1]
    drawn = total[first] + rng.random(len(rows)) * (total[last] - total[first])
    # Rounding may carry a draw to the end of its row.
    where = np.clip(np.searchsorted(total[1:], drawn, side="right"), first, last - 1)
    return partners.indices[where]
