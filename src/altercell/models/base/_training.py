"""`train` of the models that learn by gradient descent: Lightning, through scvi-tools' trainer."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import inspect
import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from scvi.train import TrainRunner
from torch.utils.data import Sampler

from altercell._random import isolated_rng
from altercell.errors import DataError, NotTrainedError, listing
from altercell.models.base._cells import Cells
from altercell.models.base._files import FileMixin
from altercell.train import BestWeights, CellDataModule, ResumeFile, TrainingPlan, split_cells

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

logger = logging.getLogger(__name__)

RESUME_FILE = "resume.safetensors"
# A resumed run must have the same cells; of these, so many are compared value by value.
DIGEST_CELLS = 256


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notes on hardware and its advertisements off the screen; warnings and errors stay."""
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning asks torch in a way that newer torch calls deprecated; a user can do nothing about it.
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Our plans choose the mode at the start; what is then in evaluation mode is frozen on purpose.
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
            yield
    finally:
        log.setLevel(level)


class Runner(TrainRunner):
    """scvi-tools' runner, with the history read from our plan and an interrupt that loses nothing."""

    def _run_training_core(self) -> None:
        handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
        try:
            self.trainer.fit(self.training_plan, self.data_splitter)
        except SystemExit as leaving:
            if not isinstance(leaving.__context__, KeyboardInterrupt):
                raise
            # Lightning turns a keyboard interrupt into an exit, which would close a notebook's kernel.
            self.model.interrupted_ = True
            n_epochs = self.training_plan.first_epoch + len(self.training_plan.records)
            warnings.warn(
                f"training was interrupted after {n_epochs} epochs; the model keeps its weights and its history so far"
                + ("" if n_epochs else ", and is not trained"),
                UserWarning,
                stacklevel=4,
            )
        finally:
            if handler is not None:
                signal.signal(signal.SIGINT, handler)
            self._update_history()
            self.model.module.eval()
        # What was stopped before its first epoch ended has learnt next to nothing.
        self.model.is_trained_ = self.model.is_trained_ or bool(self.training_plan.records)
        self.model.to_device(self.device)
        self.model.trainer = self.trainer

    def _update_history(self) -> None:
        first, records = self.training_plan.first_epoch, self.training_plan.records
        before = {name: frame.iloc[:first, 0].to_numpy() for name, frame in (self.model.history_ or {}).items()}
        epochs = pd.RangeIndex(first + len(records), name="epoch")
        history = {}
        for name in dict.fromkeys([*before, *(name for record in records for name in record)]):
            # NaN where a value was not computed, so that every row stays with its epoch.
            values = np.full(len(epochs), np.nan)
            values[: len(before.get(name, ()))] = before.get(name, ())
            values[first:] = [record.get(name, np.nan) for record in records]
            history[name] = pd.DataFrame({name: values}, index=epochs)
        self.model.history_ = history


def _without(n_cells: int, validation_indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those to validate on, both in order."""
    given = np.asarray(validation_indices)
    if given.dtype == bool:
        given = np.flatnonzero(given) if given.shape == (n_cells,) else np.array([-1])
    elif not np.issubdtype(given.dtype, np.integer):
        given = np.array([-1])
    rows = np.unique(given.astype(np.int64))
    if len(rows) == 0 or rows[0] < 0 or rows[-1] >= n_cells or len(rows) == n_cells:
        raise DataError(
            f"validation_indices= must be row numbers, from 0, or a mask of the {n_cells} registered cells, and leave "
            "some to train on"
        )
    return np.setdiff1d(np.arange(n_cells), rows), rows


def _named(settings: Mapping[str, Any], stop: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of plan and early stopping under the names that a message shows."""
    named = {f"plan_kwargs['{name}']": value for name, value in settings.items()}
    return named | {f"early stopping's {name}": value for name, value in stop.items()}


class TrainingMixin(Base):
    """`train` by gradient descent, for a model with a ``module``."""

    _training_plan_cls: ClassVar[type[TrainingPlan]] = TrainingPlan
    _train_runner_cls: ClassVar[type[Runner]] = Runner
    #: The paper's optimiser settings; `plan_kwargs` overrides them.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {}
    _kept: ClassVar[tuple[str, ...]] = (*FileMixin._kept, "interrupted_")
    is_trained_: bool
    #: Whether the user interrupted the last training (Ctrl-C, or the notebook's stop); the model keeps its weights.
    interrupted_: bool = False
    # While train() runs: that it does, and the data module that it was given.
    _in_training: bool = False
    _datamodule: LightningDataModule | None = None

    def train(
        self,
        max_epochs: int = 100,
        *,
        batch_size: int = 128,
        train_size: float = 0.9,
        validation_indices: Sequence[int] | np.ndarray | None = None,
        early_stopping: bool = True,
        early_stopping_patience: int = 25,
        early_stopping_monitor: str = "validation_loss",
        early_stopping_mode: Literal["min", "max"] = "min",
        seed: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        resume_dir: str | Path | None = None,
        datamodule: LightningDataModule | None = None,
        plan_kwargs: Mapping[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, at most; with `resume_dir`, counted from the start of the resumed run.
        batch_size
            Cells a step.
        train_size
            Share of the registered cells to train on; the others are validation cells.
        validation_indices
            Row numbers or a mask of the validation cells, in place of a random share.
        early_stopping
            Whether to stop when the validation loss no longer falls, and to keep the best epoch's weights. Without
            validation cells there is none.
        early_stopping_patience
            Epochs without a better validation loss before training stops.
        early_stopping_monitor, early_stopping_mode
            What is watched in place of the validation loss, by its name in the history, such as the score of
            :class:`altercell.train.HeldOutScore`; and whether the least (``"min"``) or the greatest is the best.
        seed
            Seed of the split, of the order of cells and of the noise; None for the model's own.
        accelerator, devices
            Where to train, as in Lightning: ``"auto"`` takes a GPU when there is one.
        resume_dir
            Folder for the state after each finished epoch. A killed run that is started again with the same
            arguments goes on from there, and ends with the same weights as one that was not killed.
        datamodule
            Source of batches in place of the registered AnnData, for example scvi-tools' ``AnnbatchDataModule``.
        plan_kwargs
            Arguments of the training plan, such as ``lr``, ``weight_decay``, ``eps``.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`, such as ``enable_progress_bar=False``.

        Raises
        ------
        NonFiniteLossError
            A loss or a weight became NaN or infinite; the model keeps the last good weights.
        ModelFileError
            `resume_dir` holds the state of another run.
        DataError
            `max_epochs` or `batch_size` is too small, or what is to be watched is a training loss.
        """
        self.interrupted_ = False
        if max_epochs < 1 or batch_size < 2:
            raise DataError(f"max_epochs={max_epochs} must be at least 1, and batch_size={batch_size} at least 2")
        used = self.seed if seed is None else int(seed)
        settings = {**self._plan_defaults, **(plan_kwargs or {})}
        self._check_settings(settings)
        first_epoch = len(next(iter((self.history_ or {}).values()), ()))
        watches_score = early_stopping_monitor != "validation_loss"
        if early_stopping_monitor == "train_loss" or early_stopping_monitor.endswith("_train"):
            raise DataError(
                f"early_stopping_monitor='{early_stopping_monitor}' is of the training cells, whose loss falls as long "
                "as training lasts; watch a value of validation or of held-out cells"
            )
        resume: ResumeFile | None = None
        if resume_dir is not None:
            stop: dict[str, Any] = {"patience": early_stopping_patience * early_stopping}
            if early_stopping and watches_score:
                stop |= {"monitor": early_stopping_monitor, "mode": early_stopping_mode}
            if validation_indices is not None:
                rows = np.asarray(validation_indices, dtype=np.int64)
                stop["validation"] = hashlib.sha256(rows.tobytes()).hexdigest()
            resume = self._resume_file(Path(resume_dir), used, batch_size, train_size, _named(settings, stop))
            first_epoch = resume.first_epoch(first_epoch)
        data = datamodule
        if data is None:
            data = self._data_module(train_size, batch_size, used, first_epoch, validation_indices)
        plan = self._training_plan_cls(self.module, seed=used, first_epoch=first_epoch, resume=resume, **settings)
        best = BestWeights(early_stopping_monitor, early_stopping_mode)
        stops_early = bool(early_stopping and (watches_score or getattr(data, "n_val", 0)))
        trainer_kwargs.setdefault("check_val_every_n_epoch", 1)
        trainer_kwargs.setdefault("log_every_n_steps", 0)  # the plan logs once an epoch
        if getattr(data, "n_val", None) == 0:
            trainer_kwargs.setdefault("limit_val_batches", 0)  # Lightning warns of an empty loader
        with isolated_rng(used), quiet_lightning():
            runner = self._train_runner_cls(
                self,
                training_plan=plan,
                data_splitter=data,
                max_epochs=max_epochs,
                accelerator=accelerator,
                devices=devices,
                early_stopping=stops_early,
                early_stopping_monitor=early_stopping_monitor,
                early_stopping_mode=early_stopping_mode,
                early_stopping_patience=early_stopping_patience,
                callbacks=[*trainer_kwargs.pop("callbacks", []), *([best] if stops_early else [])],
                **trainer_kwargs,
            )
            self._in_training, self._datamodule = True, datamodule
            try:
                runner()
            except BaseException:
                if self.is_trained_:
                    # An earlier training's means of groups do not belong to the weights that are left.
                    self._after_training(datamodule)
                raise
            finally:
                self._in_training, self._datamodule = False, None
        best.put_back(plan)
        self.train_indices_, self.validation_indices_ = getattr(data, "train_idx", None), getattr(data, "val_idx", None)
        self.test_indices_ = getattr(data, "test_idx", None)
        if self.is_trained_:
            self._after_training(datamodule)

    @contextlib.contextmanager
    def as_trained(self) -> Iterator[None]:
        """Let the verbs answer inside the block as they would if training ended with the weights as they are now.

        For callbacks: during training, what the verbs read beside the weights (such as the latent means of groups) is
        missing or of an earlier state. It is computed when the block is entered, which reads all training cells once.
        After the block it is as it was before, and so are the modes of the network's parts and the random generators:
        training goes on as if nothing had been asked. When no training runs, the block changes nothing.
        """
        if not self._in_training:
            yield
            return
        module, trained = self.module, self.is_trained_
        modes = [(part, part.training) for part in module.modules()]
        buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
        self.is_trained_ = True
        try:
            self._after_training(self._datamodule)
            yield
        finally:
            self.is_trained_ = trained
            for part, mode in modes:
                # Not by train(), which would wake the parts inside that are frozen.
                part.training = mode
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)

    def _data_module(
        self,
        train_size: float,
        batch_size: int,
        seed: int,
        first_epoch: int,
        validation_indices: Sequence[int] | np.ndarray | None = None,
    ) -> CellDataModule:
        if self.adata is None:
            raise NotTrainedError(
                f"this {type(self).__name__} has no AnnData; give datamodule=, or load it with adata="
            )
        cells: Cells = self._training_cells()
        if validation_indices is None:
            train_idx, val_idx = self._split(cells, train_size, seed)
        else:
            train_idx, val_idx = _without(len(cells), validation_indices)
        train_idx, val_idx = self._with_every_condition(cells, train_idx, val_idx, validation_indices is not None)
        return CellDataModule(
            cells,
            train_idx,
            val_idx,
            batch_size,
            seed,
            first_epoch,
            train_batches=self._train_batches(cells, train_idx, batch_size, seed, first_epoch),
            val_batches=self._validation_batches(cells, val_idx, batch_size, seed),
        )

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse arguments of the training plan that neither it nor the loss has."""
        functions = [cls.__init__ for cls in self._training_plan_cls.__mro__ if issubclass(cls, LightningModule)]
        known = {name for each in (*functions, self.module.loss) for name in inspect.signature(each).parameters}
        unknown = sorted(set(settings) - known)
        if unknown:
            meant = difflib.get_close_matches(unknown[0], sorted(known), n=1)
            raise DataError(
                f"plan_kwargs has {listing(unknown)}, which the training plan does not know"
                + (f"; did you mean {listing(meant)}?" if meant else "")
            )

    def _split(self, cells: Cells, train_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the training and of the validation cells."""
        return split_cells(len(cells), train_size, seed)

    def _with_every_condition(
        self, cells: Cells, train_idx: np.ndarray, val_idx: np.ndarray, chosen: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the split after a check of what the network has to see; `chosen`: by the user."""
        return train_idx, val_idx

    def _train_batches(
        self, cells: Cells, train_idx: np.ndarray, batch_size: int, seed: int, first_epoch: int
    ) -> Sampler[np.ndarray] | None:
        """Return the sampler of an epoch's training batches; None for shuffled ones."""
        return None

    def _validation_batches(
        self, cells: Cells, val_idx: np.ndarray, batch_size: int, seed: int
    ) -> Sampler[np.ndarray] | None:
        """Return the sampler of the validation batches; None for all cells in order."""
        return None

    def _training_cells(self) -> Cells:
        """Return the registered cells with what the module's loss reads."""
        return self.cells(groups=True)

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        """Compute what the verbs need from the trained network; `datamodule` is None where there is an AnnData."""

    def _digest_of_cells(self) -> str:
        """Return a digest of all cells' groups and of some cells' values; to read all values may take long on disk."""
        if self.adata is None:
            return ""
        cells = self._training_cells()
        some = cells[np.unique(np.linspace(0, len(cells) - 1, DIGEST_CELLS).astype(np.int64))]
        parts = [some[name].numpy() for name in sorted(some)] + [cells.condition_codes, cells.label_codes]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]

    def _resume_file(
        self, folder: Path, seed: int, batch_size: int, train_size: float, settings: Mapping[str, Any]
    ) -> ResumeFile:
        genes = hashlib.sha256("\n".join(map(str, self.schema.genes)).encode()).hexdigest()[:16]
        identity = {
            "model": type(self).__name__,
            **{f"argument '{name}'": str(value) for name, value in self._constructor_arguments().items()},
            "genes": genes,
            "n_cells": int(self.summary_stats["n_cells"]),
            "cells": self._digest_of_cells(),
            "seed": seed,
            "batch_size": batch_size,
            "train_size": float(train_size),
            **{name: str(value) for name, value in settings.items()},
        }
        return ResumeFile(folder / RESUME_FILE, identity)
