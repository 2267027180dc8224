"""Cell attention: every control cell borrows the response of measured pairs whose control cells are like it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from altercell.models.stack._evidence import INNER_CELLS, Evidence
from altercell.models.stack._member import Member

MOST_NEIGHBOURS = 100
TEMPERATURE = 0.1
#: Attention from fewer effective pairs than this is trusted by less than half.
TRUSTED_PAIRS = 20.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Control cells of a type, each with a target cell of the same type.

    Attributes
    ----------
    points
        The control cells' principal components, shape ``(n_pairs, n_components)``.
    control, target
        Rows of the cells, shape ``(n_pairs,)`` each.
    """

    points: np.ndarray
    control: np.ndarray
    target: np.ndarray


class ControlSpace(ABC):
    """Principal components of the control cells, and the pairs of control and target cells."""

    @abstractmethod
    def points(self, kind: int) -> np.ndarray:
        """Return the components of a type's control cells, shape ``(n_cells, n_components)``.

        Parameters
        ----------
        kind
            Position of the type.
        """

    @abstractmethod
    def pairs(self, kind: int) -> Pairs:
        """Return the pairs of a type.

        Parameters
        ----------
        kind
            Position of the type.
        """

    @abstractmethod
    def differences(self, target: np.ndarray, control: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return weighted sums of the differences of pairs, shape ``(n_folds, n_genes)``.

        Parameters
        ----------
        target, control
            Rows of the pairs' cells, shape ``(n_pairs,)`` each.
        weights
            Shape ``(n_pairs, n_folds)``.
        """


def assigned(control: np.ndarray, target: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair control with target cells: the shifted control cells are nearest to their partners, in sum of squares.

    Parameters
    ----------
    control, target
        Points, shapes ``(n_control, n_components)`` and ``(n_target, n_components)``.
    shift
        What the control cells are moved by first, shape ``(n_components,)``.

    Returns
    -------
    Positions of the control and of the target cells, as many as the smaller arm has.
    """
    return linear_sum_assignment(cdist(control + shift, target, "sqeuclidean"))


class CellAttention(Member):
    r"""The mean over a type's control cells of the response of the pairs that they attend to.

    A control cell i attends to its m nearest pairs p of the other types, by the cosine of the principal components of
    the control cells: :math:`W_{ip} \propto e^{\cos_{ip} / 0.1}`, m being the smaller of 100 and a quarter of the
    pairs. With :math:`W_p` the mean over i,

    .. math::

        A_t = \alpha \Bigl(c_t + \sum_p W_p (x^s_p - x^c_p)\Bigr) + (1 - \alpha) B_t, \qquad
        \alpha = \frac{n}{n + 20}, \quad n = 1 / \textstyle\sum_p W_p^2,

    so that few effective pairs leave it to the anchor's prediction B. As in scPRAM :cite:p:`Jiang2024`, without its
    autoencoder.

    Parameters
    ----------
    anchor
        The member that it falls back on.
    """

    name: ClassVar[str] = "attention"

    def __init__(self, anchor: Member) -> None:
        self.anchor = anchor

    def means(self, evidence: Evidence) -> np.ndarray:
        """See :meth:`Member.means`.

        Parameters
        ----------
        evidence
            What is known.
        """
        weights, target, control = self.weights(evidence)
        fallback = evidence.means(self.anchor)
        if len(target) == 0:
            return fallback
        effective = effective_pairs(weights)[:, None]
        trust = effective / (effective + TRUSTED_PAIRS)
        own = evidence.bases + evidence.control_space().differences(target, control, weights)
        return trust * own + (1 - trust) * fallback

    def weights(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return how much each fold attends to each pair.

        Parameters
        ----------
        evidence
            What is known.

        Returns
        -------
        Weights that sum to 1 over pairs, shape ``(n_pairs, n_folds)``; 0 for a fold without pairs. Rows of the pairs'
        target and control cells, shape ``(n_pairs,)`` each.
        """
        return evidence.once((self, "weights"), lambda: self._weights(evidence))

    def _weights(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        space = evidence.control_space()
        least = np.minimum(evidence.source.sizes, evidence.target.sizes)
        types = [int(k) for k in evidence.types if least[k] >= INNER_CELLS]
        pairs = [space.pairs(k) for k in types]
        sizes = [len(found.target) for found in pairs]
        owner = np.repeat(types, sizes)
        weights = np.zeros((len(owner), len(evidence.folds)))
        for column, fold in enumerate(evidence.folds):
            mine = np.flatnonzero(np.isin(owner, fold.types))
            if len(mine):
                points = np.concatenate(
                    [found.points for k, found in zip(types, pairs, strict=True) if k in fold.types]
                )
                weights[mine, column] = attention(space.points(fold.asked), points)
        rows = [np.concatenate([getattr(found, side) for found in pairs] or [[]]) for side in ("target", "control")]
        return weights, rows[0].astype(np.int64), rows[1].astype(np.int64)


def attention(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the mean attention of cells to pairs.

    Parameters
    ----------
    queries, keys
        Points of the cells and of the pairs, shapes ``(n_cells, n_components)`` and ``(n_pairs, n_components)``.

    Returns
    -------
    Weights that sum to 1, shape ``(n_pairs,)``.
    """
    nearest = min(MOST_NEIGHBOURS, max(1, len(keys) // 4))
    cosine = _unit(queries) @ _unit(keys).T
    place = np.argpartition(-cosine, nearest - 1, axis=1)[:, :nearest]
    near = np.take_along_axis(cosine, place, axis=1)
    weights = np.exp((near - near.max(axis=1, keepdims=True)) / TEMPERATURE)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.bincount(place.ravel(), weights.ravel(), minlength=len(keys)) / len(queries)


def effective_pairs(weights: np.ndarray) -> np.ndarray:
    r"""Return the effective number of pairs, :math:`1 / \sum_p W_p^2`, of each fold; 0 where there is none.

    Parameters
    ----------
    weights
        Shape ``(n_pairs, n_folds)``.
    """
    squares = (weights**2).sum(axis=0)
    return np.divide(1, squares, out=np.zeros_like(squares), where=squares > 0)


def weighted_differences(
    read: Callable[[np.ndarray], sparse.csr_matrix | np.ndarray],
    target: np.ndarray,
    control: np.ndarray,
    weights: np.ndarray,
    block: int,
) -> np.ndarray:
    """Sum weighted differences of pairs of cells, a block of pairs at a time.

    Parameters
    ----------
    read
        Function of rows that gives the cells, shape ``(n, n_genes)``.
    target, control
        Rows of the pairs, shape ``(n_pairs,)`` each.
    weights
        Shape ``(n_pairs, n_folds)``.
    block
        Pairs a block.

    Returns
    -------
    Shape ``(n_folds, n_genes)``.
    """
    parts = [
        np.asarray(read(target[at]).T @ weights[at] - read(control[at]).T @ weights[at])
        for at in (slice(start, start + block) for start in range(0, len(target), block))
    ]
    return np.sum(parts, axis=0).T


def _unit(points: np.ndarray) -> np.ndarray:
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
