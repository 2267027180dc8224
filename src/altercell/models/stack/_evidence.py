"""What a member of the stack may read: the types' mean cells in two conditions, and which type is asked from which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from altercell.models.base import Profiles, similarity_weights, typical_distance

if TYPE_CHECKING:
    from altercell.models.stack._attention import ControlSpace
    from altercell.models.stack._member import Member

#: A type whose response is to be predicted from within has at least so many cells in both conditions.
INNER_CELLS = 20


@dataclass(frozen=True)
class Fold:
    """A type that is asked, and the types whose response may be read.

    Attributes
    ----------
    asked
        Position of the type among the profiles.
    types
        Positions of the types, shape ``(n_types,)``; the asked one is not among them, unless its own response may be
        read.
    """

    asked: int
    types: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a response, for a question.

    Attributes
    ----------
    source, target
        Mean cells of all types in the two conditions, asked ones included; a type's target may have no cells.
    types
        Positions of the types whose response may be read, shape ``(n_types,)``.
    asked
        Positions of the types that are asked, shape ``(n_asked,)``.
    control_space
        Gives the control cells' own points and pairs, for members that read cells.
    """

    source: Profiles
    target: Profiles
    types: np.ndarray
    asked: np.ndarray
    control_space: Callable[[], ControlSpace]
    _made: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def distances(self) -> np.ndarray:
        """How far apart the types' control cells are, shape ``(n_all, n_all)``."""
        return self.source.distances()

    @cached_property
    def scale(self) -> float:
        """The typical distance between two types."""
        return typical_distance(self.distances, self.types)

    @cached_property
    def inner_types(self) -> np.ndarray:
        """The types whose known response is predicted from the others', to learn the members' weights."""
        if len(self.types) < 2:
            return self.types[:0]
        least = np.minimum(self.source.sizes, self.target.sizes)[self.types]
        return self.types[least >= INNER_CELLS]

    @cached_property
    def folds(self) -> list[Fold]:
        """The asked types, and after them the inner ones, each from the other types."""
        inner = [Fold(int(u), self.types[self.types != u]) for u in self.inner_types]
        return [Fold(int(t), self.types) for t in self.asked] + inner

    @property
    def bases(self) -> np.ndarray:
        """Mean control cell of each fold's asked type, shape ``(n_folds, n_genes)``."""
        return self.source.means[[fold.asked for fold in self.folds]]

    @property
    def responses(self) -> np.ndarray:
        """Difference of target and source of every type of :attr:`types`, shape ``(n_types, n_genes)``."""
        return self.target.means[self.types] - self.source.means[self.types]

    def similarity(self, fold: Fold, reach: float) -> np.ndarray:
        """Return how much each of a fold's types counts by its likeness to the asked one, shape ``(n_types,)``.

        Parameters
        ----------
        fold
            The fold.
        reach
            How far off, in typical distances, a type may be and still count.
        """
        types = fold.types
        noise = 1 / self.source.sizes[types] + 1 / self.target.sizes[types]
        return similarity_weights(self.distances[fold.asked, types], noise, reach * self.scale)

    def response_noise(self, types: np.ndarray) -> np.ndarray:
        """Return the variance of the types' responses that is due to their numbers of cells.

        Parameters
        ----------
        types
            Positions of the types.
        """
        return self.source.noise[types] + self.target.noise[types]

    def means(self, member: Member) -> np.ndarray:
        """Return what a member predicts for every fold, computed once.

        Parameters
        ----------
        member
            The member.

        Returns
        -------
        Mean target cells, shape ``(n_folds, n_genes)``.
        """
        return self._answer(member)[0]

    def variances(self, member: Member) -> np.ndarray:
        """Return how sure a member is of its means, computed once.

        Parameters
        ----------
        member
            The member.

        Returns
        -------
        Variances, shape ``(n_folds, n_genes)``.
        """
        return self._answer(member)[1]

    def _answer(self, member: Member) -> tuple[np.ndarray, np.ndarray]:
        return self.once(member, lambda: member.solve(self))

    def once[T](self, what: object, make: Callable[[], T]) -> T:
        """Return what `make` returns, made once.

        Parameters
        ----------
        what
            What it is.
        make
            Called the first time.
        """
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]
