"""What ScGAN, CscGAN and WGAN share: the network is made, trained, and told what the cells were."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
import torch
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData

from altercell._random import isolated_rng
from altercell.errors import DataError, GroupError, check_choice
from altercell.models.base import INFERENCE_BATCH, AltercellModel, Cells, ClassCounts, Classes, TrainingMixin
from altercell.models.scgan._module import N_QUANTILES, ScGANModule
from altercell.models.scgan._networks import OutputLayer
from altercell.models.scgan._paths import Paths
from altercell.train import TrainingPlan, WGANTrainingPlan


class WassersteinGAN(Paths, TrainingMixin, AltercellModel):
    """What ScGAN, CscGAN and WGAN share: a generator against a critic, and `generate`.

    Parameters
    ----------
    adata, registry, seed
        As in all models.
    """

    _training_plan_cls: ClassVar[type[TrainingPlan]] = WGANTrainingPlan
    #: AMSGrad with the papers' rate, which falls to a tenth; Adam's own epsilon, and no weight decay.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-4, "final_lr": 1e-5, "eps": 1e-8, "weight_decay": 0.0}

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self.classes: Classes | None = None

    def _build(
        self,
        library_size: float | Literal["median"] | None,
        classes: Classes | None,
        n_hidden: Sequence[int],
        critic_hidden: Sequence[int] | None,
        **arguments: Any,
    ) -> None:
        """Make the network, after checking that the values are what it needs."""
        widths = _widths("n_hidden", n_hidden)
        critic = None if critic_hidden is None else _widths("critic_hidden", critic_hidden)
        for name, value, low, high in (
            ("n_latent", arguments["n_latent"], 1, math.inf),
            ("penalty_weight", arguments["penalty_weight"], 0, math.inf),
            ("average_decay", arguments["average_decay"], 0, 1 - 1e-9),
        ):
            if value is not None and not low <= value <= high:
                raise DataError(f"{name}={value} must be at least {low}" + (" and below 1" if high < 1 else ""))
        check_choice("output_layer", arguments.get("output_layer", "scaled"), get_args(OutputLayer))
        self.classes = classes
        total: float | None = None
        self._median_unknown = library_size == "median" and self.adata is None
        if library_size is None:
            if arguments.get("output_layer") == "poisson":
                raise DataError("output_layer='poisson' draws counts; give a library_size, and counts")
            self._require_log()
        else:
            self._require_counts()
            number = isinstance(library_size, int | float) and not isinstance(library_size, bool)
            if library_size != "median" and not (number and float(library_size) > 0):
                raise DataError(f"library_size={library_size!r} must be above 0, 'median', or None for log data")
            total = self._median_total() if library_size == "median" else float(library_size)
        with isolated_rng(self.seed):
            self.module = self._make_module(
                library_size=total,
                n_hidden=widths,
                critic_hidden=critic,
                class_of_group=self._class_codes(classes),
                **arguments,
            )
        if self.module.draws and self.adata is not None:
            self._start_at_the_mean_profile()
        self._model_summary_string = repr(self)

    def _make_module(self, library_size: float | None, **arguments: Any) -> ScGANModule:
        sizes = len(self.schema.genes), len(self.schema.conditions), len(self.schema.labels)
        return ScGANModule(*sizes, library_size=library_size, **arguments)

    def _median_total(self) -> float:
        if self.adata is None:
            return 1.0  # a model file brings the number along with the weights
        return float(np.median(self._totals()))

    def _totals(self) -> np.ndarray:
        """Return the total of each registered cell, shape ``(n_cells,)``."""
        return torch.cat([batch["X"].sum(dim=1) for _, batch in self.cells().batches(INFERENCE_BATCH)]).numpy()

    def _start_at_the_mean_profile(self) -> None:
        """Let the generator's first profiles lie around the mean of the registered cells."""
        sums = torch.stack([batch["X"].double().sum(dim=0) for _, batch in self.cells().batches(INFERENCE_BATCH)])
        counts = sums.sum(dim=0) + 1e-2  # a gene without counts stays rare
        with torch.no_grad():
            self.module.generator.output.bias.copy_((counts / counts.sum()).log())

    def _class_codes(self, classes: Classes | None) -> torch.Tensor:
        """Return the class of each (condition, label)."""
        if classes is None:
            return torch.from_numpy(self._class_table())
        check_choice("classes", classes, get_args(Classes))
        for what, key in (("labels", "labels_key"), ("conditions", "batch_key")):
            if classes in (what, "both") and getattr(self.schema, key) is None:
                raise GroupError(f"classes='{classes}' needs {key}= in setup_anndata, the column of the {what}")
        return torch.from_numpy(self._class_table())

    def train(
        self,
        max_epochs: int | None = None,
        *,
        n_steps: int = 5_000,
        batch_size: int = 128,
        train_size: float = 1.0,
        early_stopping: bool = False,
        plan_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training cells; None for as many as `n_steps` takes.
        n_steps
            Moves of the generator, or a few more up to the end of an epoch; the critic moves five times for each. The
            learning rate falls over so many, from the first move of this call, whatever `max_epochs` is. The papers
            have a million.
        batch_size
            Cells a move.
        train_size
            Share of the registered cells to train on.
        early_stopping
            Whether to stop by what ``early_stopping_monitor`` names, a score that a callback notes. Not by the
            validation loss: the critic's estimate is lowest before anything is learnt.
        plan_kwargs
            Arguments of :class:`altercell.train.WGANTrainingPlan`, such as ``n_critic``, ``lr`` and ``final_lr``.
        **kwargs
            `early_stopping_patience`, `early_stopping_monitor`, `seed`, `accelerator`, `devices`, `resume_dir`,
            `datamodule`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.

        Raises
        ------
        DataError
            `n_steps` is below 1, early stopping by the validation loss, or a `datamodule` without `max_epochs`.
        """
        options = {"early_stopping": early_stopping, "batch_size": batch_size, "plan_kwargs": plan_kwargs}
        self._check_steps(max_epochs, n_steps, {**kwargs, **options})
        plan = {**self._plan_defaults, **(plan_kwargs or {})}
        if plan.get("final_lr") is not None:
            plan.setdefault("decay_steps", n_steps * int(plan.get("n_critic", 5)))
        if max_epochs is None:
            data = self._data_module(train_size, max(batch_size, 2), self.seed, 0, kwargs.get("validation_indices"))
            n_batches = max(1, len(data.train_dataloader()))
            max_epochs = math.ceil(n_steps * int(plan.get("n_critic", 5)) / n_batches)
        super().train(
            max_epochs,
            batch_size=batch_size,
            train_size=train_size,
            early_stopping=early_stopping,
            plan_kwargs=plan,
            **kwargs,
        )

    def _check_steps(self, max_epochs: int | None, n_steps: int, options: Mapping[str, Any]) -> None:
        """Raise where the arguments of :meth:`train` make no sense together."""
        batch_size = options.get("batch_size", 128)
        if n_steps < 1:
            raise DataError(f"n_steps={n_steps} must be at least 1")
        if batch_size < 2 or (max_epochs is not None and max_epochs < 1):
            raise DataError(f"max_epochs={max_epochs} must be at least 1, and batch_size={batch_size} at least 2")
        self._check_settings({**self._plan_defaults, **(options.get("plan_kwargs") or {})})
        if (
            options.get("early_stopping")
            and options.get("early_stopping_monitor", "validation_loss") == "validation_loss"
        ):
            raise DataError(
                "early_stopping=True would stop by the critic's estimate of a distance, which is lowest before the "
                "critic has learnt anything: name another value with early_stopping_monitor="
            )
        if options.get("datamodule") is not None:
            if max_epochs is None:
                raise DataError("with a datamodule= give max_epochs=: how many batches it has is not known")
            if self._median_unknown and self._library_size() == 1:
                raise DataError(
                    "library_size='median' needs an AnnData to take it from; with a data module give a number"
                )

    def _training_cells(self) -> Cells:
        return self.cells(groups=True, size_factors=self.schema.size_factor_key is not None)

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        """Count the training cells of each group, and keep how their totals are distributed in each class."""
        batches: Iterable[dict[str, torch.Tensor]]
        if datamodule is None:
            cells, rows = self._training_cells(), getattr(self, "train_indices_", None)
            # Validation cells are no training cells; while training still runs, which these are is not known.
            cells = cells if rows is None or self._in_training else cells.at(np.asarray(rows))
            batches = (batch for _, batch in cells.batches(INFERENCE_BATCH))
        else:
            batches = cast("Iterable[dict[str, torch.Tensor]]", datamodule)
        sizes, totals, classes, whole = torch.zeros_like(self.module.group_sizes).cpu(), [], [], []
        measured = ClassCounts(self.module.n_classes, len(self.schema.genes))
        codes = self.module.class_of_group.cpu()
        for batch in batches:
            groups = batch["batch"].cpu().long().ravel(), batch["labels"].cpu().long().ravel()
            sizes.index_put_(groups, torch.ones(len(groups[0]), dtype=sizes.dtype), accumulate=True)
            classes.append(codes[groups])
            totals.append(batch["X"].sum(dim=1).cpu())
            whole.append(batch["size_factor"].ravel().cpu() if "size_factor" in batch else totals[-1])
            if self.module.scales:
                measured.add(batch["X"].cpu().numpy(), classes[-1].numpy())
        self.module.group_sizes.copy_(sizes)
        every, place, over_all = torch.cat(totals), torch.cat(classes), torch.cat(whole)
        shares = torch.linspace(0, 1, N_QUANTILES)
        for number in place.unique().tolist():
            values = np.quantile(every[place == number].double().numpy(), shares.numpy())
            self.module.totals[number] = torch.from_numpy(values)
            mine = place == number
            self.module.covered[number] = (every[mine].double().sum() / over_all[mine].double().sum()).clamp(1e-6, 1)
        if self.module.scales:
            self._fit_count_head(measured)


def _widths(name: str, widths: Sequence[int]) -> list[int]:
    """Return widths of layers, after checking them."""
    listed = list(widths) if isinstance(widths, Iterable) else [widths]
    if isinstance(widths, str) or not isinstance(widths, Iterable) or not listed or min(map(int, listed)) < 1:
        raise DataError(f"{name}={widths!r} must be widths of one layer or more, each at least 1: [256, 512, 1024]")
    return [int(width) for width in listed]
