"""The response of the types that are most alike: multiplicative where a gene goes down, additive where it goes up."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from altercell.models.base import REACH
from altercell.models.stack._evidence import Evidence
from altercell.models.stack._member import Member

#: Added to both sides of a ratio, so that a gene that is hardly there has none.
RATIO_FLOOR = 0.01


class SimilarTypes(Member):
    r"""The asked type's control cells, moved as the types most alike to them.

    .. math::

        A_t = \begin{cases}
            c_t \, r & r < 1 \\
            c_t + \sum_k w_k (s_k - c_k) & \text{otherwise}
        \end{cases}
        \qquad r = \frac{\sum_k w_k s_k + 0.01}{\sum_k w_k c_k + 0.01}

    with the weights of :func:`~altercell.models.base.similarity_weights`, :math:`s = \tau \operatorname{median} D`.

    Parameters
    ----------
    reach
        :math:`\tau`: how far off, in typical distances, a type may be and still count.
    """

    name: ClassVar[str] = "similar"

    def __init__(self, reach: float = REACH) -> None:
        self.reach = reach

    def means(self, evidence: Evidence) -> np.ndarray:
        """See :meth:`Member.means`.

        Parameters
        ----------
        evidence
            What is known.
        """
        source, target = evidence.source, evidence.target
        result = np.empty_like(evidence.bases)
        for row, fold in enumerate(evidence.folds):
            types = fold.types
            weights = evidence.similarity(fold, self.reach)
            before, after, own = weights @ source.means[types], weights @ target.means[types], source.means[fold.asked]
            ratio = (after + RATIO_FLOOR) / (before + RATIO_FLOOR)
            result[row] = np.where(ratio < 1, own * ratio, own + after - before)
        return result
