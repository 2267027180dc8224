"""The control cells of a model's training data, in principal components, and their partners of the same type."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from altercell.models.base import INFERENCE_BATCH, hashed, leading_eigenvectors
from altercell.models.stack._attention import ControlSpace, Pairs, assigned, weighted_differences
from altercell.models.stack._log_cells import LogCells

COMPONENTS = 50
#: Principal axes are fitted on so many control cells; of a type, so many are compared, and paired.
AXES_CELLS = 3_000
TYPE_CELLS = 1_000


def some_rows(rows: np.ndarray, names: np.ndarray, n: int) -> np.ndarray:
    """Choose rows by the hash of their names, so that neither the choice nor their order depends on the data's order.

    Parameters
    ----------
    rows
        Rows to choose from.
    names
        Names of all cells.
    n
        How many at most.

    Returns
    -------
    The rows, in the order of their names' hashes.
    """
    return rows[np.argsort(hashed(names[rows], 0), kind="stable")[:n]]


def principal_axes(centred: np.ndarray, n_axes: int) -> np.ndarray:
    """Return the principal axes of cells, to the last digits: neither the cells' nor the genes' order matters.

    Parameters
    ----------
    centred
        Cells less their mean, float64 of shape ``(n_cells, n_genes)``.
    n_axes
        How many axes.

    Returns
    -------
    Orthonormal axes of falling variance, shape ``(n_axes, n_genes)``; 0 beyond the rank of the cells.
    """
    if len(centred) >= centred.shape[1]:
        return leading_eigenvectors(centred.T @ centred, n_axes)[1].T
    # Of fewer cells than genes, through the products of the cells.
    values, vectors = leading_eigenvectors(centred @ centred.T, n_axes)
    return vectors.T @ centred / np.sqrt(np.where(values > 0, values, 1))[:, None]


@dataclass(eq=False)
class TrainingControls(ControlSpace):
    """The control cells of training data; a type's points and pairs are made when they are first asked for.

    Attributes
    ----------
    cells
        All training cells.
    conditions, labels
        Their codes, shape ``(n_cells,)`` each.
    source, target
        Codes of the two conditions.
    """

    cells: LogCells
    conditions: np.ndarray
    labels: np.ndarray
    source: int
    target: int
    _points: dict[int, np.ndarray] = field(default_factory=dict, repr=False)
    _pairs: dict[int, Pairs] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        rows = some_rows(np.flatnonzero(self.conditions == self.source), self.cells.names, AXES_CELLS)
        sample = self.cells.dense(rows)
        self._center = sample.mean(axis=0, dtype=np.float64)
        self._axes = principal_axes(sample - self._center, min(COMPONENTS, *sample.shape))

    def project(self, cells: LogCells, rows: np.ndarray) -> np.ndarray:
        """Return the principal components of cells.

        Parameters
        ----------
        cells, rows
            The cells, and which of them.
        """
        blocks = [rows[start : start + INFERENCE_BATCH] for start in range(0, len(rows), INFERENCE_BATCH)]
        parts = [(cells.dense(block) - self._center) @ self._axes.T for block in blocks]
        return np.concatenate(parts).astype(np.float64)

    def points(self, kind: int) -> np.ndarray:
        """See :meth:`ControlSpace.points`.

        Parameters
        ----------
        kind
            Position of the type.
        """
        if kind not in self._points:
            self._points[kind] = self.project(self.cells, self._rows(kind, self.source))
        return self._points[kind]

    def pairs(self, kind: int) -> Pairs:
        """See :meth:`ControlSpace.pairs`.

        Parameters
        ----------
        kind
            Position of the type.
        """
        if kind not in self._pairs:
            before, after = (self._rows(kind, condition) for condition in (self.source, self.target))
            control, moved = self.points(kind), self.project(self.cells, after)
            first, second = assigned(control, moved, moved.mean(0) - control.mean(0))
            self._pairs[kind] = Pairs(control[first], before[first], after[second])
        return self._pairs[kind]

    def differences(self, target: np.ndarray, control: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """See :meth:`ControlSpace.differences`.

        Parameters
        ----------
        target, control, weights
            The pairs.
        """
        return weighted_differences(self.cells.read, target, control, weights, INFERENCE_BATCH)

    def _rows(self, kind: int, condition: int) -> np.ndarray:
        mine = np.flatnonzero((self.conditions == condition) & (self.labels == kind))
        return some_rows(mine, self.cells.names, TYPE_CELLS)


@dataclass(eq=False)
class WithOthers(ControlSpace):
    """A control space with further types, whose control cells are not of the training data.

    Attributes
    ----------
    training
        The training data's.
    first
        Position of the first of the further types.
    cells, kinds
        The further types' cells, and each one's type, counted from 0; -1 for cells of no such type.
    """

    training: TrainingControls
    first: int
    cells: LogCells
    kinds: np.ndarray

    def points(self, kind: int) -> np.ndarray:
        """See :meth:`ControlSpace.points`.

        Parameters
        ----------
        kind
            Position of the type.
        """
        if kind < self.first:
            return self.training.points(kind)
        rows = np.flatnonzero(self.kinds == kind - self.first)
        return self.training.project(self.cells, some_rows(rows, self.cells.names, TYPE_CELLS))

    def pairs(self, kind: int) -> Pairs:
        """See :meth:`ControlSpace.pairs`.

        Parameters
        ----------
        kind
            Position of the type.
        """
        return self.training.pairs(kind)

    def differences(self, target: np.ndarray, control: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """See :meth:`ControlSpace.differences`.

        Parameters
        ----------
        target, control, weights
            The pairs.
        """
        return self.training.differences(target, control, weights)
