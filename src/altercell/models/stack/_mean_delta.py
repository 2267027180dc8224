"""The mean response of the other types."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from altercell.models.stack._evidence import Evidence
from altercell.models.stack._member import Member


class MeanDelta(Member):
    r"""The asked type's control cells, moved by the mean response of the other types.

    .. math:: A_t = c_t + \frac{1}{K} \sum_k (s_k - c_k)
    """

    name: ClassVar[str] = "mean"

    def means(self, evidence: Evidence) -> np.ndarray:
        """See :meth:`Member.means`.

        Parameters
        ----------
        evidence
            What is known.
        """
        source, target = evidence.source.means, evidence.target.means
        moved = [(target[fold.types] - source[fold.types]).mean(0) for fold in evidence.folds]
        return evidence.bases + np.stack(moved)
