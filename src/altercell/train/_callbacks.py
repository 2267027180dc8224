"""Callbacks: the best weights are kept and put back when training ends."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class BestWeights(Callback):
    """Keep the weights of the epoch with the lowest monitored value, and put them back at the end of training.

    Parameters
    ----------
    monitor
        Name of a logged value, lower is better.
    """

    def __init__(self, monitor: str = "validation_loss") -> None:
        self.monitor = monitor
        self.best, self.epoch = float("inf"), -1
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights where the value is the lowest so far.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        value = trainer.callback_metrics.get(self.monitor)
        if trainer.sanity_checking or value is None or not float(value) < self.best:
            return
        self.best, self.epoch = float(value), trainer.current_epoch
        module: Any = pl_module.module
        self.weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

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
