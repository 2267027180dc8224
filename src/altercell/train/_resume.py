"""Exact resume: the state after each epoch as data, and its return into a fresh trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer

from altercell import _datafile
from altercell.errors import ModelFileError

if TYPE_CHECKING:
    from altercell.train._plan import TrainingPlan


def flatten(prefix: str, value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Move the tensors of a nested state into `tensors`, and leave their names in their places.

    Parameters
    ----------
    prefix
        Start of the names.
    value
        Nested mappings and lists of tensors and plain data.
    tensors
        Where the tensors go; changed in place.

    Returns
    -------
    The same nesting, made of plain data.
    """
    if isinstance(value, torch.Tensor):
        tensors[prefix] = value
        return {"tensor": prefix}
    if isinstance(value, Mapping):
        return {"items": [[key, flatten(f"{prefix}.{key}", item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [flatten(f"{prefix}.{number}", item, tensors) for number, item in enumerate(value)]}
    return {"value": value}


def unflatten(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Undo :func:`flatten`.

    Parameters
    ----------
    value
        What :func:`flatten` returned.
    tensors
        The tensors that it moved.
    """
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "items" in value:
        return {key: unflatten(item, tensors) for key, item in value["items"]}
    if "list" in value:
        return [unflatten(item, tensors) for item in value["list"]]
    return value["value"]


class ResumeFile:
    """The state of a training after its last finished epoch, in one file of data.

    It holds weights, optimisers, learning-rate schedulers, callbacks (early stopping, best weights) and the history.
    The order of the cells and the noise need no state: they are functions of (seed, epoch).

    Parameters
    ----------
    path
        The file.
    identity
        What a run must share with the one that wrote the file, by name: model, seed, batch size, data, ...
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = path, dict(identity)

    def exists(self) -> bool:
        """Return whether there is a state to take up."""
        return self.path.exists()

    def read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Read the file and check that it belongs to this run.

        Returns
        -------
        The plain data and the tensors.

        Raises
        ------
        ModelFileError
            The file is damaged or belongs to another run; the message names what differs.
        """
        meta, tensors = _datafile.read(self.path, "resume")
        theirs = meta["identity"]
        different = [name for name in {**self.identity, **theirs} if theirs.get(name) != self.identity.get(name)]
        if different:
            details = "; ".join(
                f"{name} is {theirs.get(name)} there and {self.identity.get(name)} here" for name in different
            )
            raise ModelFileError(f"'{self.path}' belongs to another run: {details}. Remove it or choose another folder")
        return meta, tensors

    def first_epoch(self, trained: int) -> int:
        """Return how many epochs the model had been trained when the run began.

        Parameters
        ----------
        trained
            How many the model at hand has been trained; the answer where there is no file yet.

        Raises
        ------
        ModelFileError
            The file is damaged, belongs to another run, or to a model that had been trained longer.
        """
        if not self.exists():
            return trained
        began = int(self.read()[0]["first_epoch"])
        if began > trained:
            raise ModelFileError(
                f"'{self.path}' belongs to a run that began after {began} epochs, but this model has {trained}: "
                "load the model that it began with, or choose another folder"
            )
        return began

    def write(self, plan: TrainingPlan, epoch: int) -> None:
        """Write the state after `epoch` finished epochs.

        Parameters
        ----------
        plan
            The plan in training.
        epoch
            How many epochs have finished.
        """
        tensors: dict[str, torch.Tensor] = {}
        trainer = plan.trainer
        if not trainer.is_global_zero:
            return
        state = {
            "module": dict(plan.module.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            "callbacks": {callback.state_key: callback.state_dict() for callback in trainer.callbacks},
        }
        meta = {
            "identity": self.identity,
            "epoch": epoch,
            "first_epoch": plan.first_epoch,
            "global_step": trainer.global_step,
            "stopped": bool(trainer.should_stop),
            "records": plan.records,
            "state": flatten("state", state, tensors),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _datafile.write(self.path, "resume", meta, tensors)

    def restore(self, plan: TrainingPlan) -> None:
        """Put the state of the file into a trainer that is about to start.

        Parameters
        ----------
        plan
            The plan, attached to its trainer.

        Raises
        ------
        ModelFileError
            The file is damaged or belongs to another run.
        """
        meta, tensors = self.read()
        state, trainer = unflatten(meta["state"], tensors), plan.trainer
        plan.module.load_state_dict(state["module"])
        for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for config, saved in zip(trainer.lr_scheduler_configs, state["schedulers"], strict=True):
            config.scheduler.load_state_dict(saved)
        for callback in trainer.callbacks:
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        plan.records = list(meta["records"])
        trainer.should_stop = bool(meta["stopped"])
        _set_progress(trainer, meta["epoch"], meta["global_step"])


def _set_progress(trainer: Trainer, epoch: int, global_step: int) -> None:
    loop = trainer.fit_loop
    for name in ("ready", "started", "processed", "completed"):
        setattr(loop.epoch_progress.current, name, epoch)
    steps = loop.epoch_loop
    steps.automatic_optimization.optim_progress.optimizer.step.total.completed = global_step
    steps.manual_optimization.optim_step_progress.total.completed = global_step
