"""Callbacks that look at a training, spoil it, or end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback


class Killed(Exception):
    """Raised by a check in the middle of a training, in place of a kill."""


class AtBatch(Callback):
    """Call a function at the start of training batches.

    Parameters
    ----------
    function
        Takes the trainer and the plan.
    epoch, batch
        When; None for every one.
    """

    def __init__(
        self, function: Callable[[Any, Any], None], epoch: int | None = None, batch: int | None = None
    ) -> None:
        self.function, self.epoch, self.batch = function, epoch, batch

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Call the function where it is time.

        Parameters
        ----------
        trainer, pl_module, batch, batch_idx
            Given by Lightning.
        """
        if self.epoch in (None, trainer.current_epoch) and self.batch in (None, batch_idx):
            self.function(trainer, pl_module)


class AtEpochEnd(Callback):
    """Call a function at the end of a training epoch.

    Parameters
    ----------
    function
        Takes the trainer and the plan.
    epoch
        Which; None for every one.
    """

    def __init__(self, function: Callable[[Any, Any], None], epoch: int | None = None) -> None:
        self.function, self.epoch = function, epoch

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Call the function where it is time.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if self.epoch in (None, trainer.current_epoch):
            self.function(trainer, pl_module)


def kill(trainer: Any, plan: Any) -> None:
    """End the training as a kill would: at once.

    Parameters
    ----------
    trainer, plan
        Given by the callback.

    Raises
    ------
    Killed
        Always.
    """
    raise Killed("killed by a check")
