"""Callbacks: the best weights are kept and put back when training ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from altercell.errors import check_choice

Mode = Literal["min", "max"]


class BestWeights(Callback):
    """Keep the weights of the epoch with the best monitored value, and put them back at the end of training.

    Parameters
    ----------
    monitor
        Name of a logged value.
    mode
        ``"min"`` where lower is better, ``"max"`` where higher is.

    Raises
    ------
    DataError
        `mode` is another.
    """

    def __init__(self, monitor: str = "validation_loss", mode: Mode = "min") -> None:
        check_choice("mode", mode, get_args(Mode))
        self.monitor, self.mode = monitor, mode
        self.best, self.epoch = float("inf") if mode == "min" else -float("inf"), -1
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights where the value is the best so far.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        value = trainer.callback_metrics.get(self.monitor)
        if trainer.sanity_checking or value is None or not self._is_better(float(value)):
            return
        self.best, self.epoch = float(value), trainer.current_epoch
        module: Any = pl_module.module
        self.weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights where the value is the best so far, also in an epoch without validation.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        self.on_validation_end(trainer, pl_module)  # a value that was looked at before is not better than itself

    def _is_better(self, value: float) -> bool:
        return value < self.best if self.mode == "min" else value > self.best

    @contextlib.contextmanager
    def in_place(self, pl_module: LightningModule) -> Iterator[None]:
        """Put the kept weights into the module inside the block, and the others back after it.

        Parameters
        ----------
        pl_module
            The plan whose module is trained.
        """
        module: Any = pl_module.module
        last = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        self.put_back(pl_module)
        try:
            yield
        finally:
            module.load_state_dict(last)

    def put_back(self, pl_module: LightningModule) -> None:
        """Load the kept weights into the module, if any were kept.

        Parameters
        ----------
        pl_module
            The plan whose module was trained.
        """
        module: Any = pl_module.module
        if self.weights:
            module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for a resume file."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a state.

        Parameters
        ----------
        state_dict
            What :meth:`state_dict` returned.
        """
        self.best, self.epoch, self.weights = state_dict["best"], state_dict["epoch"], state_dict["weights"]
