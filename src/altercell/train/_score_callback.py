"""Callback: during training, the model's answers are scored every few epochs."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from altercell.errors import DataError
from altercell.train._callbacks import BestWeights
from altercell.train._plan import TrainingPlan


class ScoreCallback(Callback):
    """What the callbacks that score have in common: when a score is taken, and where it is found.

    Parameters
    ----------
    model
        The model in training.
    metrics
        Names of the scores.
    every
        Epochs between two scores; the first is of the first epoch.
    name
        Start of the scores' names.

    Raises
    ------
    DataError
        ``every`` is below 1.
    """

    def __init__(self, model: Any, metrics: Sequence[str], every: int, name: str) -> None:
        if every < 1:
            raise DataError(f"every={every} must be at least 1")
        self.model, self.metrics, self.every, self.name = model, list(metrics), every, name
        self._epoch = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the epochs of an earlier training, and look at who waits for the scores.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.

        Raises
        ------
        DataError
            Early stopping watches a score, and would stop before the second one.
        """
        self._epoch = -1
        stop = trainer.early_stopping_callback
        watched = stop is not None and stop.monitor in map(self._named, self.metrics)
        if stop is not None and watched and stop.patience < self.every:
            raise DataError(
                f"early stopping watches '{stop.monitor}' with a patience of {stop.patience} epochs, and it is scored "
                f"every={self.every} epochs; give early_stopping_patience= several times every="
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last scores again where a killed training is taken up between two of them.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if self._epoch < 0:
            plan = _plan(pl_module)
            names = [self._named(metric) for metric in self.metrics]
            plan.show({name: record[name] for record in plan.records for name in names if name in record})

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the weights so far.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if not trainer.sanity_checking and trainer.current_epoch % self.every == 0:
            self._epoch = trainer.current_epoch
            _plan(pl_module).note(self.score())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the weights so far in an epoch without validation.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if self._epoch != trainer.current_epoch:
            self.on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the score of the weights that are kept where a search reads it.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        plan = _plan(pl_module)
        best = next((one for one in trainer.callbacks if isinstance(one, BestWeights) and one.weights), None)  # type: ignore[attr-defined]
        epoch = len(plan.records) - 1 if best is None else best.epoch
        record = plan.records[epoch] if plan.records else {}
        names = [self._named(metric) for metric in self.metrics]
        scores = {name: record[name] for name in names if name in record}
        if len(scores) < len(names):
            with contextlib.nullcontext() if best is None else best.in_place(pl_module):
                scores = self.score()
        plan.show(scores)

    def score(self) -> dict[str, float]:
        """Score the model with its weights as they are.

        Returns
        -------
        The scores by name.
        """
        with self.model.as_trained():
            values = self._values()
        return {self._named(metric): float(value) for metric, value in zip(self.metrics, values, strict=True)}

    @abstractmethod
    def _values(self) -> Sequence[float]:
        """Return the scores, in the order of the metrics."""

    def _named(self, metric: str) -> str:
        return f"{self.name}_{metric}"


def _plan(pl_module: LightningModule) -> TrainingPlan:
    if not isinstance(pl_module, TrainingPlan):
        raise DataError(f"scores are taken in altercell's training plans, and this is a {type(pl_module).__name__}")
    return pl_module
