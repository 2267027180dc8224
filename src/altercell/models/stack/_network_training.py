"""The part of ResponseStack that has networks: it makes, trains and asks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError, GroupError, listing
from altercell.models.base import INFERENCE_BATCH, Cells, ClosedFormModel, Profiles
from altercell.models.stack._log_cells import LogCells
from altercell.models.stack._network import NetworkMember, Networks


@dataclass(frozen=True, eq=False)
class OtherTypes:
    """Types that are asked and have no training cells in the source: they are known by the cells that are asked.

    Attributes
    ----------
    profiles
        Their mean control cells.
    cells, kinds
        The cells, and the type of each, counted from 0; -1 for cells of no such type.
    """

    profiles: Profiles
    cells: LogCells
    kinds: np.ndarray


class NetworkTraining(ClosedFormModel):
    """A closed form that may have networks beside it.

    Parameters
    ----------
    adata, registry, seed
        See :class:`~altercell.models.base.ClosedFormModel`.
    """

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self.members: tuple[str, ...] = ()
        self._networks: Networks | None = None
        self._network_training: dict[str, Any] = {}

    def _add_networks(self, control: object, arguments: Mapping[str, Any] | None) -> None:
        """Make the networks, where they are a member; their weights are part of the model's module."""
        if NetworkMember.name not in self.members:
            if arguments is not None:
                raise DataError(f"network= is for members='{NetworkMember.name}', which is not among {self.members}")
            return
        if control is None:
            raise DataError(
                f"members='{NetworkMember.name}' needs control=, the condition that every question starts from; there "
                f"are {listing(self.schema.conditions)}"
            )
        if self.schema.labels_key is None:
            raise GroupError(f"members='{NetworkMember.name}' leaves out types, and there is no labels_key")
        self._networks = Networks(self.registry_, control, arguments or {}, self.seed)
        self.module.add(
            "left_out_means", (len(self.schema.conditions), len(self.schema.labels), len(self.schema.genes))
        )
        self.module.add_module("network", self._networks.whole.module)

    def train(self, *, batch_size: int = INFERENCE_BATCH, network: Mapping[str, Any] | None = None) -> None:
        """Fit the model to the registered cells, in one pass over them; then train the networks where there are some.

        Parameters
        ----------
        batch_size
            Cells a batch of the pass; it bounds the memory and does not change the result.
        network
            Arguments of :meth:`altercell.models.ScGen.train`, such as ``{"max_epochs": 40}``. With ``resume_dir`` each
            network has a folder in it, and a run that was stopped goes on where it was.

        Raises
        ------
        NotTrainedError
            The model has no cells, because it was loaded without.
        DataError
            `batch_size` is below 1, or there are no networks to train.
        GroupError
            There are fewer than two types that can be left out.
        """
        if network is not None and self._networks is None:
            raise DataError(f"network= is for members='{NetworkMember.name}', which is not among {self.members}")
        self._network_training = dict(network or {})
        super().train(batch_size=batch_size)

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        fitted = super()._fit(cells, groups, batch_size)
        if self._networks is None:
            return fitted
        data = self.schema.anndata(self.adata)
        return {**fitted, "left_out_means": self._networks.fit(data, **self._network_training)}

    def _network_member(self, source: int, target: int, others: OtherTypes | None) -> NetworkMember:
        networks = self._networks
        if networks is None:
            raise DataError(f"this {type(self).__name__} has no networks")
        if source != networks.control:
            raise GroupError(
                f"source='{self.schema.conditions[source]}': the networks were trained for questions from "
                f"'{self.schema.conditions[networks.control]}'; make another model with control="
            )

        def cells_of(position: int) -> Cells:
            """Return the control cells of a type of the training, or of one of the other types."""
            beyond = position - len(self.schema.labels)
            if beyond >= 0 and others is not None:
                return others.cells.cells.at(others.kinds == beyond)
            conditions, labels = self._training_groups(f"the member '{NetworkMember.name}' reads training cells")
            return self._predict_cells(None, (conditions == source) & (labels == position))

        return networks.member(self._fitted("left_out_means")[target], target, cells_of)
