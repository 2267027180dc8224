"""Training of scPerb on pairs of cells: which cells are paired, and which pairs choose the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch.utils.data import Sampler

from altercell.errors import DataError, GroupError, listing
from altercell.models.base import Cells, TrainingMixin
from altercell.models.base._response import label_list
from altercell.train import Arms, Balance, PairedBatches, ResumeFile, find_arms, transport_arms

Pairing = Literal["random", "transport"]


class PairedTraining(TrainingMixin):
    """`train` on pairs of a control cell and a perturbed cell of its type, for a module that knows its ``control``."""

    #: The published optimiser: torch's AdamW as it stands.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {
        "optimizer": "AdamW",
        "lr": 1e-3,
        "eps": 1e-8,
        "weight_decay": 0.01,
    }

    pairing: Pairing
    balance: Balance
    _validation_labels: list[object] | None = None

    def train(
        self,
        max_epochs: int = 500,
        *,
        batch_size: int = 256,
        validation_labels: object | Sequence[object] | None = None,
        **kwargs: Any,
    ) -> None:
        """Train the model; the defaults are the published ones: 256 pairs a step, 500 epochs, and early stopping.

        The epoch is chosen by the loss of validation pairs, which are of the registered cells: what is held out is
        not seen.

        Parameters
        ----------
        max_epochs
            Passes over the pairs, at most.
        batch_size
            Pairs a step.
        validation_labels
            Cell type or types whose pairs are the validation, all of them, in place of random cells of every type;
            `train_size` is then not used. The epoch is then chosen by how well types are predicted that training has
            not seen, which is what a held-out type asks for.
        **kwargs
            `train_size`, `early_stopping`, `early_stopping_patience`, `seed`, `accelerator`, `devices`, `resume_dir`,
            `datamodule`, `plan_kwargs`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.
            A `datamodule` knows nothing of pairs: they are then made of the cells that stand in one batch.

        Raises
        ------
        GroupError
            No type has cells both of the control and of another condition, or an unknown label.
        """
        self._validation_labels = label_list(validation_labels)
        if self._validation_labels is not None and kwargs.get("datamodule") is not None:
            raise DataError("validation_labels= chooses among the registered cells; a datamodule brings its own")
        super().train(max_epochs, batch_size=batch_size, **kwargs)

    def _split(self, cells: Cells, train_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        if self._validation_labels is None:
            return super()._split(cells, train_size, seed)
        codes = [self.schema.label_code(label, "validation_labels") for label in self._validation_labels]
        inner = np.isin(self._codes(cells)[1], codes)
        validation = np.flatnonzero(inner)
        if not find_arms(*self._codes(cells), self.module.control, validation):
            raise GroupError(
                f"validation_labels={listing(self._validation_labels)} have no cells both of "
                f"'{self.schema.conditions[self.module.control]}' and of another condition, so there is nothing to pair"
            )
        return np.flatnonzero(~inner), validation

    def _train_batches(
        self, cells: Cells, train_idx: np.ndarray, batch_size: int, seed: int, first_epoch: int
    ) -> Sampler[np.ndarray]:
        batches = PairedBatches(self._arms(cells, train_idx, seed), batch_size, seed, first_epoch, balance=self.balance)
        if batches.n_pairs < 2:
            raise GroupError(
                f"training has {batches.n_pairs} pairs: {self.schema.labels_key or 'the data'} must have groups with "
                f"cells both of '{self.schema.conditions[self.module.control]}' (control=) and of another condition, "
                f"and the training cells hold {listing(self._groups(cells, train_idx), 12)}"
            )
        return batches

    def _validation_batches(self, cells: Cells, val_idx: np.ndarray, batch_size: int, seed: int) -> Sampler[np.ndarray]:
        return PairedBatches(self._arms(cells, val_idx, seed), batch_size, seed, balance=self.balance, fixed=True)

    def _arms(self, cells: Cells, indices: np.ndarray, seed: int) -> list[Arms]:
        arms = find_arms(*self._codes(cells), self.module.control, indices)
        return arms if self.pairing == "random" else transport_arms(arms, cells.read, seed=seed)

    @staticmethod
    def _codes(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of condition and label by position."""
        return cells.condition_codes[cells.rows], cells.label_codes[cells.rows]  # type: ignore[index]

    def _groups(self, cells: Cells, indices: np.ndarray) -> list[str]:
        """Return the groups of cells in words, for an error."""
        pairs = np.unique(np.stack(self._codes(cells), axis=1)[indices], axis=0)
        names = self.schema.conditions, self.schema.labels
        return [f"{names[1][label]}, {names[0][condition]}" for condition, label in pairs]

    def _resume_file(
        self, folder: Path, seed: int, batch_size: int, train_size: float, settings: Mapping[str, Any]
    ) -> ResumeFile:
        inner = {"validation_labels": self._validation_labels}
        return super()._resume_file(folder, seed, batch_size, train_size, {**settings, **inner})
