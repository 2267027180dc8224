"""What every member of the stack is: a rule that predicts a type's mean target cell from the other types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from altercell.models.stack._evidence import Evidence


class Member(ABC):
    """A rule that predicts mean target cells."""

    #: What it is called in arguments and tables.
    name: ClassVar[str]

    @abstractmethod
    def means(self, evidence: Evidence) -> np.ndarray:
        """Predict the mean target cell of every fold's asked type from the fold's types.

        Parameters
        ----------
        evidence
            What is known.

        Returns
        -------
        Shape ``(n_folds, n_genes)``; values may be negative.
        """

    def solve(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
        """Return the means, and the variances that the member itself gives them: 0 where it gives none.

        Parameters
        ----------
        evidence
            What is known.

        Returns
        -------
        Shape ``(n_folds, n_genes)`` each.
        """
        means = self.means(evidence)
        return means, np.zeros_like(means)
