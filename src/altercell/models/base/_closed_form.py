"""Models that are fitted in closed form: `train` counts, sums and solves; nothing is learnt by steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from altercell.errors import GroupError, NotTrainedError, check_choice, listing
from altercell.models.base._cells import Cells
from altercell.models.base._fitted import FittedModel
from altercell.models.base._request import Request
from altercell.models.base._response import ResponseModel

ProfileWeights = Literal["balanced", "unbalanced"]


class ClosedFormModel(ResponseModel, FittedModel):
    """A response model without a network.

    It knows the number :math:`n_{ck}` of training cells of each condition c and cell type k. A type never takes part in
    the prediction of its own cells, whether or not training has seen it in the target condition.

    Its parameters are those of :class:`FittedModel`.
    """

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[Any]:
        return self._predicted(cells, request)

    @abstractmethod
    def _predicted(self, cells: Cells, request: Request) -> Iterator[Any]:
        """Yield the predicted cells by blocks of rows, in order, dense or CSR."""

    def _own_types(self, request: Request) -> np.ndarray:
        """Return the code of each asked cell's type, or -1 where there is none to leave out."""
        if self.schema.labels_key is None:
            return np.full(len(request.label_codes), -1)
        return request.label_codes

    @property
    def _leaves_own_type_out(self) -> bool:
        return not getattr(self, "own_type", False)

    def _training_groups(self, why: str) -> tuple[np.ndarray, np.ndarray]:
        conditions, labels = super()._training_groups(why)
        sizes = np.zeros_like(self._group_sizes())
        np.add.at(sizes, (conditions, labels), 1)
        if (sizes != self._group_sizes()).any():
            raise NotTrainedError(
                f"{why}, and the AnnData that is attached to this {type(self).__name__} is not what it was trained on: "
                "its groups have other numbers of cells"
            )
        return conditions, labels

    def _other_types(self, own: int, *conditions: int) -> np.ndarray:
        """Return the types, but for `own`, that have training cells in each of the conditions."""
        there = (self._group_sizes()[list(conditions)] > 0).all(axis=0)
        if own >= 0:
            there[own] = False
        if not there.any():
            names = listing(self.schema.conditions[list(conditions)])
            other = f"other than '{self.schema.labels[own]}' " if own >= 0 else ""
            raise GroupError(
                f"{type(self).__name__}: no {self.schema.labels_key or 'group of cells'} {other}has training cells in "
                f"{names}; train with cells of more types, or set the model up without labels_key"
            )
        return np.flatnonzero(there)

    @staticmethod
    def _check_weights(weights: str) -> None:
        check_choice("weights", weights, get_args(ProfileWeights))
