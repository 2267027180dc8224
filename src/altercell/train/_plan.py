"""The training plan under all models: one record an epoch, a guard against NaN, and exact resume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from scvi.train import TrainingPlan as ScviTrainingPlan

from altercell.errors import NonFiniteLossError
from altercell.train._resume import ResumeFile

# On a GPU, looking at a loss waits for it; there it is looked at once in so many steps.
GUARD_EVERY_GPU = 50


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch's noise (dropout, latent samples).

    Parameters
    ----------
    seed
        Seed of the training.
    epoch
        Number of the epoch, from 0.
    """
    return (int(seed) * 1_000_003 + int(epoch)) % (2**63)


class TrainingPlan(ScviTrainingPlan):
    """scvi-tools' plan with its defaults made explicit and four things added.

    * The module is in training mode at every start (scvi-tools leaves it in evaluation mode on a second ``train``).
    * Losses are added up on the device and recorded once an epoch.
    * A loss or a weight that is not finite stops training; the weights of the last good epoch are put back.
    * The noise of an epoch depends on (seed, epoch) alone, and the state after each epoch can be written to a file.

    A module whose ``loss`` takes ``kl_weight`` is given the weight of the divergence. There is no warm-up unless
    ``n_epochs_kl_warmup`` or ``n_steps_kl_warmup`` asks for one (scvi-tools: over 400 epochs), and validation is at the
    full weight, ``max_kl_weight``.

    Parameters
    ----------
    module
        The module to train.
    seed
        Seed of the noise.
    first_epoch
        How many epochs the model has been trained before.
    resume
        File that holds the state after the last finished epoch; None for none.
    **kwargs
        Of :class:`scvi.train.TrainingPlan`: ``optimizer``, ``lr``, ``eps``, ``weight_decay``, ...
    """

    def __init__(
        self,
        module: BaseModuleClass,
        *,
        seed: int = 0,
        first_epoch: int = 0,
        resume: ResumeFile | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("n_epochs_kl_warmup", None)
        kwargs.setdefault("lr_scheduler_metric", "validation_loss")
        super().__init__(module, **kwargs)
        self.seed, self.first_epoch, self.resume = seed, first_epoch, resume
        self.records: list[dict[str, float]] = []
        self._sums: dict[str, dict[str, torch.Tensor]] = {"train": {}, "validation": {}}
        self._validation: dict[str, float] = {}
        self._noted: dict[str, float] = {}
        self._good: dict[str, torch.Tensor] = {}

    def on_fit_start(self) -> None:
        """Return to training mode, whatever mode the last verb left."""
        self.module.train()

    def on_train_start(self) -> None:
        """Take up the state of a killed run, where there is one."""
        if self.resume is not None and self.resume.exists():
            self.resume.restore(self)
        self._keep_weights()

    def on_train_epoch_start(self) -> None:
        """Seed the epoch's noise, after writing what the epoch before has left."""
        if self.resume is not None and self.current_epoch > 0:
            self.resume.write(self, self.current_epoch)
        self._keep_weights()
        torch.manual_seed(epoch_seed(self.seed, self.first_epoch + self.current_epoch))

    def training_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch and add it to the epoch's record.

        Parameters
        ----------
        batch
            Tensors by key, as the data set gives them.
        batch_idx
            Number of the batch in the epoch.
        """
        output = self._losses(batch)
        self.record("train", output)
        every = 1 if self.device.type == "cpu" else GUARD_EVERY_GPU
        if batch_idx % every == 0:
            self.guard(output)
        return output.loss

    def validation_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> None:
        """Add the loss of a validation batch to the epoch's record.

        Parameters
        ----------
        batch
            Tensors by key.
        batch_idx
            Number of the batch.
        """
        # At its full weight, so that early stopping compares epochs of a warm-up by one and the same loss.
        self.record("validation", self._losses(batch, warming_up=False))

    @property
    def kl_weight(self) -> float:
        """Weight of the divergence in this epoch; a second ``train`` goes on where the first one stopped."""
        if not self.n_epochs_kl_warmup:
            return float(super().kl_weight) if self.n_steps_kl_warmup else self.max_kl_weight
        # scvi-tools reads it before our own __init__ has set the first epoch.
        epoch = getattr(self, "first_epoch", 0) + self.current_epoch
        reached = min(1.0, epoch / self.n_epochs_kl_warmup)
        return self.min_kl_weight + reached * (self.max_kl_weight - self.min_kl_weight)

    def _losses(self, batch: Mapping[str, torch.Tensor], warming_up: bool = True) -> LossOutput:
        if "kl_weight" in self.loss_kwargs:
            self.loss_kwargs["kl_weight"] = self.kl_weight if warming_up else self.max_kl_weight
        try:
            return self.forward(batch, loss_kwargs=self.loss_kwargs)[2]
        except ValueError:
            # torch's distributions refuse NaN with a wall of numbers, before a loss can show it.
            self.check_weights()
            raise

    def record(self, mode: str, output: LossOutput) -> None:
        """Add a batch's losses to the epoch's sums, without waiting for the device.

        Parameters
        ----------
        mode
            ``"train"`` or ``"validation"``.
        output
            What the module's loss returned. The terms are sums over the batch's cells, the loss is their mean.
        """
        n_cells = output.n_obs_minibatch
        terms = {
            f"{mode}_loss": output.loss.detach() * n_cells,
            "n": torch.tensor(float(n_cells), device=output.loss.device),
        }
        for group in (output.reconstruction_loss, output.kl_local):
            terms |= {f"{name}_{mode}": value.detach().sum() for name, value in group.items()}
        terms |= {
            f"{name}_{mode}": torch.as_tensor(value).detach() * n_cells for name, value in output.extra_metrics.items()
        }
        sums = self._sums[mode]
        for name, value in terms.items():
            sums[name] = sums[name] + value if name in sums else value

    def _epoch_means(self, mode: str) -> dict[str, float]:
        sums, self._sums[mode] = self._sums[mode], {}
        if not sums:
            return {}
        names = [name for name in sums if name != "n"]
        means = (
            torch.stack([sums[name].double() if sums[name].device.type != "mps" else sums[name] for name in names])
            / sums["n"]
        ).tolist()
        return dict(zip(names, means, strict=True))

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's validation means, for early stopping; stop where one is not finite."""
        self._validation = means = self._epoch_means("validation")
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            self._fail(f"the validation loss is not finite: {', '.join(bad)}")
        self.log_dict(means)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training means and keep them for the history."""
        means = self._epoch_means("train")
        self.check_weights()
        for name, value in means.items():
            self.log(name, value, prog_bar=name == "train_loss")
        warmup = {"kl_weight": self.kl_weight} if "kl_weight" in self.loss_kwargs else {}
        self.records.append({**means, **self._validation, **warmup, **self._noted})
        self._validation, self._noted = {}, {}

    def on_train_end(self) -> None:
        """Write the final state."""
        super().on_train_end()
        if self.resume is not None and self.records:
            self.resume.write(self, self.current_epoch)

    def note(self, values: Mapping[str, float]) -> None:
        """Take what a callback has measured into the epoch's record, and show it to the other callbacks.

        Call it before the epoch's record is written: in ``on_validation_epoch_end``, or in ``on_train_epoch_end`` of a
        callback.

        Parameters
        ----------
        values
            Numbers by name.
        """
        self._noted |= values
        self.show(values)
        for logger in self.trainer.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step=self.current_epoch)

    def show(self, values: Mapping[str, float]) -> None:
        """Put values where the callbacks read them, such as early stopping and a hyper-parameter search.

        Parameters
        ----------
        values
            Numbers by name.
        """
        # Not by log(), which is not allowed when training has ended.
        shown = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
        self.trainer.callback_metrics.update(shown)

    def guard(self, output: LossOutput) -> None:
        """Stop where the loss is not finite, naming the term, and put the last good weights back.

        Parameters
        ----------
        output
            What the module's loss returned.

        Raises
        ------
        NonFiniteLossError
            The loss is NaN or infinite.
        """
        if bool(torch.isfinite(output.loss)):
            return
        terms = {**output.reconstruction_loss, **output.kl_local, **output.extra_metrics}
        bad = [name for name, value in terms.items() if not bool(torch.isfinite(torch.as_tensor(value)).all())]
        self._fail(f"the loss is not finite: {', '.join(bad) or 'its sum'}")

    def check_weights(self) -> None:
        """Stop where a weight is not finite, naming it, and put the last good weights back.

        Raises
        ------
        NonFiniteLossError
            A weight is NaN or infinite.
        """
        tensors = {
            name: value
            for name, value in self.module.state_dict().items()
            if value.is_floating_point() and value.numel()
        }
        finite = torch.stack([torch.isfinite(value).all() for value in tensors.values()])
        if not bool(finite.all()):
            bad = [name for name, good in zip(tensors, finite.tolist(), strict=True) if not good]
            self._fail(f"weights are not finite after an update: {', '.join(bad[:4])}")

    def _fail(self, what: str) -> None:
        weights = self.module.state_dict()
        broken = [
            name
            for name, value in weights.items()
            if value.is_floating_point() and not bool(torch.isfinite(value).all())
        ]
        if broken:
            # A gradient has spoilt the weights before the loss could show it.
            what += f" (weights already spoilt: {', '.join(broken[:3])})" if "weights are" not in what else ""
            self.module.load_state_dict(self._good)
        raise NonFiniteLossError(
            f"training stopped in epoch {self.current_epoch}: {what}. The model keeps the last good weights. "
            "Try a smaller learning rate (plan_kwargs={'lr': ...}), and check the values of the data"
        )

    def _keep_weights(self) -> None:
        self._good = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
