"""ScGAN, CscGAN and WGAN: AnnData in, AnnData out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
import torch
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData

from altercell._random import isolated_rng
from altercell.errors import DataError, GroupError, check_choice
from altercell.models.base import INFERENCE_BATCH, AltercellModel, ClassCounts, TrainingMixin
from altercell.models.scgan._generation import Classes, Generation, Values
from altercell.models.scgan._module import N_QUANTILES, ScGANModule
from altercell.models.scgan._networks import Conditioning
from altercell.train import TrainingPlan, WGANTrainingPlan

#: The total that the papers scale cells to.
PAPER_TOTAL = 20_000.0


class WassersteinGAN(Generation, TrainingMixin, AltercellModel):
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
        if not n_hidden or (critic_hidden is not None and not critic_hidden):
            raise DataError("n_hidden and critic_hidden need one width or more, such as [256, 512, 1024]")
        self.classes = classes
        total: float | None = None
        if library_size is None:
            self._require_log()
        else:
            self._require_counts()
            total = self._median_total() if library_size == "median" else float(library_size)
            if not total > 0:
                raise DataError(f"library_size={library_size} must be above 0, 'median', or None for log data")
        with isolated_rng(self.seed):
            self.module = ScGANModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                n_hidden=[int(width) for width in n_hidden],
                critic_hidden=critic_hidden,
                class_of_group=self._class_codes(classes),
                library_size=total,
                **arguments,
            )
        self._model_summary_string = repr(self)

    def _median_total(self) -> float:
        if self.adata is None:
            return 1.0  # a model file brings the number along with the weights
        totals = [batch["X"].sum(dim=1) for _, batch in self.cells().batches(INFERENCE_BATCH)]
        return float(np.median(torch.cat(totals).numpy()))

    def _class_codes(self, classes: Classes | None) -> torch.Tensor:
        """Return the class of each (condition, label)."""
        n_conditions, n_labels = len(self.schema.conditions), len(self.schema.labels)
        if classes is None:
            return torch.zeros(n_conditions, n_labels, dtype=torch.int64)
        check_choice("classes", classes, get_args(Classes))
        for what, key in (("labels", "labels_key"), ("conditions", "batch_key")):
            if classes in (what, "both") and getattr(self.schema, key) is None:
                raise GroupError(f"classes='{classes}' needs {key}= in setup_anndata, the column of the {what}")
        conditions, labels = torch.arange(n_conditions)[:, None], torch.arange(n_labels)[None, :]
        if classes == "labels":
            return labels.expand(n_conditions, -1).clone()
        return conditions.expand(-1, n_labels).clone() if classes == "conditions" else conditions * n_labels + labels

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
            learning rate falls over so many. The papers have a million.
        batch_size
            Cells a move.
        train_size
            Share of the registered cells to train on.
        early_stopping
            Whether to stop when the critic's estimate of the distance to validation cells no longer falls.
        plan_kwargs
            Arguments of :class:`altercell.train.WGANTrainingPlan`, such as ``n_critic``, ``lr`` and ``final_lr``.
        **kwargs
            `early_stopping_patience`, `early_stopping_monitor`, `seed`, `accelerator`, `devices`, `resume_dir`,
            `datamodule`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.

        Raises
        ------
        DataError
            `n_steps` is below 1.
        """
        if n_steps < 1:
            raise DataError(f"n_steps={n_steps} must be at least 1")
        plan = {**self._plan_defaults, **(plan_kwargs or {})}
        if plan.get("final_lr") is not None:
            plan.setdefault("decay_steps", n_steps * int(plan.get("n_critic", 5)))
        if max_epochs is None:
            n_cells = max(2, math.ceil(train_size * int(self.summary_stats["n_cells"])))
            n_batches = max(1, math.ceil(n_cells / max(batch_size, 2)))
            max_epochs = math.ceil(n_steps * int(plan.get("n_critic", 5)) / n_batches)
        super().train(
            max_epochs,
            batch_size=batch_size,
            train_size=train_size,
            early_stopping=early_stopping,
            plan_kwargs=plan,
            **kwargs,
        )

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        """Count the training cells of each group, and keep how their totals are distributed in each class."""
        batches: Iterable[dict[str, torch.Tensor]]
        if datamodule is None:
            batches = (batch for _, batch in self._training_cells().batches(INFERENCE_BATCH))
        else:
            batches = cast("Iterable[dict[str, torch.Tensor]]", datamodule)
        sizes, totals, classes = torch.zeros(self.module.group_sizes.shape), [], []
        measured = ClassCounts(self.module.n_classes, len(self.schema.genes))
        codes = self.module.class_of_group.cpu()
        for batch in batches:
            groups = batch["batch"].cpu().long().ravel(), batch["labels"].cpu().long().ravel()
            sizes.index_put_(groups, torch.ones(len(groups[0])), accumulate=True)
            classes.append(codes[groups])
            totals.append(batch["X"].sum(dim=1).cpu())
            if self.module.scales:
                measured.add(batch["X"].cpu().numpy(), classes[-1].numpy())
        self.module.group_sizes.copy_(sizes)
        every, place = torch.cat(totals), torch.cat(classes)
        shares = torch.linspace(0, 1, N_QUANTILES)
        for number in place.unique().tolist():
            values = np.quantile(every[place == number].double().numpy(), shares.numpy())
            self.module.totals[number] = torch.from_numpy(values)
        if self.module.scales:
            self._fit_count_head(measured)


class ScGAN(WassersteinGAN):
    """scGAN: a Wasserstein GAN with a library-size layer :cite:p:`Marouf2020`.

    Parameters
    ----------
    adata
        AnnData of counts registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_latent
        Dimensions of the noise.
    n_hidden
        Widths of the generator's hidden blocks; the paper's (256, 512, 1024).
    critic_hidden
        Widths of the critic's; None for those of the generator in the other order, as in the paper.
    library_size
        Total of the registered genes that every cell is scaled to, real or made: 20,000 in the paper; or ``"median"``,
        that of the training cells. None for log data, and no such layer (:class:`WGAN`).
    penalty_weight
        Weight of the gradient penalty.
    average_decay
        Decay of a moving average of the generator's weights, which then makes the cells; None for none (the paper).
    seed
        Seed of the initial weights, and of training where that is given none.

    Raises
    ------
    DataError
        The values are not counts, or a width or `library_size` is not above 0.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0)
    >>> ac.ScGAN.setup_anndata(adata, labels_key="cell_type")
    >>> model = ac.ScGAN(adata, n_hidden=[16, 32])
    >>> model.train(n_steps=5, enable_progress_bar=False)
    >>> model.generate(10, seed=0).shape
    (10, 100)
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_latent: int = 128,
        n_hidden: Sequence[int] = (256, 512, 1024),
        critic_hidden: Sequence[int] | None = None,
        library_size: float | Literal["median"] | None = PAPER_TOTAL,
        penalty_weight: float = 10.0,
        average_decay: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._build(
            library_size,
            None,
            n_hidden,
            critic_hidden,
            n_latent=n_latent,
            penalty_weight=penalty_weight,
            average_decay=average_decay,
        )
        self.init_params_ = self._get_init_params(locals())

    def generate(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        n: int,
        *,
        output: Values = "model",
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells.

        Parameters
        ----------
        n
            How many.
        output
            One of

            * ``"model"``: what the network makes, counts that are scaled to one total;
            * ``"log"``: log1p of these per 10,000;
            * ``"rounded"``: whole numbers, each cell scaled to a total that is drawn from those of the training cells;
            * ``"counts"``: counts that are drawn around these, with the rates of the class and the zeros of the
              training cells (:class:`~altercell.models.base.CountHead`); not the papers'.
        seed
            Seed of the noise.
        batch_size
            Cells a batch.
        path
            An ``.h5ad`` file to write to.

        Returns
        -------
        The cells, with the genes' names and, in ``uns["altercell"]``, how they were made.
        """
        return self._generate(n, None, None, output, seed, batch_size, path)


class WGAN(ScGAN):
    """A Wasserstein GAN on log data: :class:`ScGAN` without the library-size layer.

    Parameters
    ----------
    adata
        AnnData of log data registered with :meth:`setup_anndata`; None with `registry`.
    registry, n_latent, n_hidden, critic_hidden, penalty_weight, average_decay, seed
        As in :class:`ScGAN`.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_latent: int = 128,
        n_hidden: Sequence[int] = (256, 512, 1024),
        critic_hidden: Sequence[int] | None = None,
        penalty_weight: float = 10.0,
        average_decay: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            adata,
            registry,
            n_latent=n_latent,
            n_hidden=n_hidden,
            critic_hidden=critic_hidden,
            library_size=None,
            penalty_weight=penalty_weight,
            average_decay=average_decay,
            seed=seed,
        )
        self.init_params_ = self._get_init_params(locals())


class CscGAN(WassersteinGAN):
    """cscGAN: a scGAN whose cells are of a class, such as a cell type :cite:p:`Marouf2020`.

    Parameters
    ----------
    adata
        AnnData of counts registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    classes
        ``"labels"``, ``"conditions"`` (the groups of `batch_key`), or ``"both"``: each condition of each label.
    conditioning
        How the critic knows the class. One of

        * ``"projection"``: a score of its own for the class, by a scalar product with the last hidden units;
        * ``"heads"``: an output layer for each class (the paper's text);
        * ``"classifier"``: an auxiliary classifier, as in ACGAN, with which the paper compares.
    n_latent, n_hidden, critic_hidden, library_size, penalty_weight, average_decay, seed
        As in :class:`ScGAN`.
    classifier_weight
        Weight of the auxiliary classifier.

    Raises
    ------
    DataError
        The values are not counts, or an argument is unknown.
    GroupError
        There is no column of what is to be told apart.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0)
    >>> ac.CscGAN.setup_anndata(adata, labels_key="cell_type")
    >>> model = ac.CscGAN(adata, n_hidden=[16, 32])
    >>> model.train(n_steps=5, enable_progress_bar=False)
    >>> model.generate({"type_0": 2, "type_1": 3}, seed=0).obs["cell_type"].tolist()
    ['type_0', 'type_0', 'type_1', 'type_1', 'type_1']
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        classes: Classes = "labels",
        conditioning: Conditioning = "projection",
        n_latent: int = 128,
        n_hidden: Sequence[int] = (256, 512, 1024),
        critic_hidden: Sequence[int] | None = None,
        library_size: float | Literal["median"] | None = PAPER_TOTAL,
        penalty_weight: float = 10.0,
        classifier_weight: float = 1.0,
        average_decay: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("conditioning", conditioning, get_args(Conditioning))
        self._build(
            library_size,
            classes,
            n_hidden,
            critic_hidden,
            conditioning=conditioning,
            n_latent=n_latent,
            penalty_weight=penalty_weight,
            classifier_weight=classifier_weight,
            average_decay=average_decay,
        )
        self.init_params_ = self._get_init_params(locals())

    def generate(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        n: int | Mapping[object, int],
        *,
        labels: object | Sequence[object] | None = None,
        condition: object | None = None,
        output: Values = "model",
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells of classes.

        Parameters
        ----------
        n
            How many; or the number of each label, such as ``{"CD8 T": 500, "NK": 200}``.
        labels
            A label or several, whose shares are those of training; None for all.
        condition
            A condition; None for all.
        output, seed, batch_size, path
            As in :meth:`ScGAN.generate`.

        Returns
        -------
        The cells, with the genes' names, their class in obs and, in ``uns["altercell"]``, how they were made.

        Raises
        ------
        GroupError
            An unknown label or condition, one that the model does not tell apart, or one without training cells.
        """
        return self._generate(n, labels, condition, output, seed, batch_size, path)
