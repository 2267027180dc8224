"""StyleTransferGAN: AnnData in, AnnData out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast, get_args

import numpy as np
import torch
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData
from torch.utils.data import Sampler

from altercell._random import isolated_rng
from altercell.errors import DataError, GroupError, listing
from altercell.losses import CycleNorm
from altercell.models.base import AltercellModel, Cells, Request, ResponseModel, TrainingMixin
from altercell.models.base._likelihood import check_choice
from altercell.models.base._schema import REGISTRY_ENTRY
from altercell.models.style_transfer._module import StyleTransferModule
from altercell.models.style_transfer._networks import DiscriminatorActivation, DiscriminatorBatches
from altercell.models.style_transfer._plan import StyleTransferPlan
from altercell.nn import OutputActivation
from altercell.train import EpochBatches, StratifiedBatches, TrainingPlan
from altercell.train._loader import VALIDATION_BATCH

#: How many times the paper moves each player: 1,000 iterations over all cells.
PAPER_MOVES = 1_000
DOUBT = "style transfer GANs are poor on record; score a held-out type beside NoChange before you believe it"


class StyleTransferGAN(ResponseModel, TrainingMixin, AltercellModel):
    """The style transfer GAN that scGen and trVAE compare with :cite:p:`Lotfollahi2019,Lotfollahi2020`.

    Two generators translate cells between two conditions, and two discriminators tell real cells from translated ones
    :cite:p:`Zhu2017`; the middle of the generators is in common :cite:p:`Liu2017`. It reads log data, knows no cell
    types, and is poor on record: it is here to be compared with.

    Parameters
    ----------
    adata
        AnnData of exactly two conditions, registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_hidden
        Widths from the genes to the bottleneck of the generators, and of the discriminators; the paper's (700, 100).
        All but the first are in common to both generators.
    n_latent
        Width of the generators' bottleneck.
    dropout_rate
        Dropout of the hidden blocks.
    cycle_weight
        Weight of the cycle's loss against the discriminators' verdict.
    cycle_norm
        ``"l2"`` (scGen's note) or ``"l1"`` (CycleGAN): squared or absolute differences, mean over genes.
    output_activation
        What follows the generators' normalised output: ``"relu"`` (the paper), ``"softplus"`` or ``"linear"``.
    discriminator_activation
        Of the score that least squares compare with 0 and 1: ``"sigmoid"`` (the paper's table) or ``"linear"`` (least
        squares as published).
    discriminator_batches
        One of

        * ``"separate"``: batch normalisation of real cells and of fakes apart, as where a discriminator is called twice
          (the papers do not say);
        * ``"joint"``: together, so that a discriminator can see a difference of means.
    seed
        Seed of the initial weights, and of training where that is given none.

    Raises
    ------
    GroupError
        There are more or fewer than two conditions.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> ac.StyleTransferGAN.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.StyleTransferGAN(adata, n_hidden=[32, 16], n_latent=8)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(source="stimulated", target="control").n_vars
    100
    """

    _training_plan_cls: ClassVar[type[TrainingPlan]] = StyleTransferPlan
    #: Adam as published, with its own epsilon and without weight decay.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "eps": 1e-8, "weight_decay": 0.0}

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] = (700, 100),
        n_latent: int = 50,
        dropout_rate: float = 0.5,
        cycle_weight: float = 5.0,
        cycle_norm: CycleNorm = "l2",
        output_activation: OutputActivation = "relu",
        discriminator_activation: DiscriminatorActivation = "sigmoid",
        discriminator_batches: DiscriminatorBatches = "separate",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        for name, value, allowed in (
            ("cycle_norm", cycle_norm, get_args(CycleNorm)),
            ("output_activation", output_activation, get_args(OutputActivation)),
            ("discriminator_activation", discriminator_activation, get_args(DiscriminatorActivation)),
            ("discriminator_batches", discriminator_batches, get_args(DiscriminatorBatches)),
        ):
            check_choice(name, value, allowed)
        n_hidden = [int(width) for width in n_hidden]
        if not n_hidden:
            raise DataError("n_hidden is empty; give the widths from the genes to the bottleneck, such as [700, 100]")
        self._require_log()
        self._require_reachable(output_activation)
        with isolated_rng(seed):
            self.module = StyleTransferModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                self._two_conditions(),
                n_hidden=n_hidden,
                n_latent=n_latent,
                dropout_rate=dropout_rate,
                cycle_weight=cycle_weight,
                cycle_norm=cycle_norm,
                output_activation=output_activation,
                discriminator_activation=discriminator_activation,
                discriminator_batches=discriminator_batches,
            )
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def _check_conditions_seen(cls, adata: AnnData, batch_key: str | None, source: Mapping[str, Any] | None) -> None:
        super()._check_conditions_seen(adata, batch_key, source)
        if source is None:
            _check_two(adata.obs[batch_key].unique(), batch_key)

    def _two_conditions(self) -> list[int]:
        """Return the codes of the two conditions; a category without cells has a code too."""
        if self.adata is not None:
            seen = np.unique(self.schema.condition_codes(self.adata))
            if len(seen) == 2:
                return [int(code) for code in seen]
        if REGISTRY_ENTRY not in self.registry_:
            _check_two(self.schema.conditions, self.schema.batch_key)
        # A model file brings the codes along with the weights.
        return [0, 1]

    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int | None = 256,
        train_size: float = 0.9,
        early_stopping: bool = False,
        **kwargs: Any,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training cells. None for as many as move each player 1,000 times, as the paper does.
        batch_size
            Cells a step, half of each condition; at least 4. None for all training cells at once, as the paper has it.
        train_size
            Share of the registered cells to train on; the paper trains on all, which is 1.
        early_stopping
            Whether to stop when the cycle's loss on validation cells no longer falls. It is off: generators that change
            nothing have the lowest one.
        **kwargs
            `early_stopping_patience`, `seed`, `accelerator`, `devices`, `resume_dir`, `datamodule`, `plan_kwargs`, and
            arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.

        Raises
        ------
        DataError
            `batch_size` is below 4: batch normalisation needs 2 cells of each condition.
        GroupError
            A condition has fewer than 2 training cells.
        """
        n_cells = int(self.summary_stats["n_cells"])
        size = max(n_cells, 4) if batch_size is None else batch_size
        if size < 4:
            raise DataError(f"batch_size={size} must be at least 4: a batch holds 2 cells of each condition or more")
        if max_epochs is None:
            steps = math.ceil(math.ceil(train_size * n_cells) / size)
            max_epochs = math.ceil(PAPER_MOVES / max(steps, 1))
        super().train(max_epochs, batch_size=size, train_size=train_size, early_stopping=early_stopping, **kwargs)

    def _train_batches(
        self, cells: Cells, train_idx: np.ndarray, batch_size: int, seed: int, first_epoch: int
    ) -> Sampler[np.ndarray]:
        codes = _codes(cells, train_idx)
        for code in self.module.conditions.tolist():
            if (codes == code).sum() < 2:
                raise GroupError(
                    f"'{self.schema.conditions[code]}' has {int((codes == code).sum())} training cells; batch "
                    "normalisation needs 2 of each condition: give more cells, or a larger train_size="
                )
        return StratifiedBatches(train_idx, codes, batch_size, seed, first_epoch)

    def _validation_batches(self, cells: Cells, val_idx: np.ndarray, batch_size: int, seed: int) -> Sampler[np.ndarray]:
        return EpochBatches(_mixed(val_idx, _codes(cells, val_idx)), max(batch_size, VALIDATION_BATCH))

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        """Count the training cells of each group."""
        sizes = torch.zeros(self.module.group_sizes.shape)
        for conditions, labels in self._groups(datamodule):
            sizes.index_put_((conditions, labels), torch.ones(len(labels)), accumulate=True)
        self.module.group_sizes.copy_(sizes)

    def _groups(self, datamodule: LightningDataModule | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the codes of condition and label of the training cells."""
        if datamodule is None:
            cells = self._training_cells()
            labels = cast(np.ndarray, cells.label_codes)[cells.rows]
            yield torch.as_tensor(_codes(cells)).long(), torch.as_tensor(labels).long()
            return
        for batch in cast("Iterable[dict[str, torch.Tensor]]", datamodule):
            yield batch["batch"].cpu().long().ravel(), batch["labels"].cpu().long().ravel()

    def _doubts(self, cells: Cells, request: Request, **options: Any) -> list[str]:
        return [DOUBT, *super()._doubts(cells, request, **options)]

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        for _, batch in cells.batches(request.batch_size):
            yield self.module.translate(batch["X"], request.source).cpu().numpy()


def _check_two(conditions: Iterable[object], batch_key: str | None) -> None:
    names = list(conditions)
    if len(names) != 2:
        raise GroupError(
            f"StyleTransferGAN translates between two conditions, and obs['{batch_key}'] (batch_key) holds "
            f"{len(names)}, {listing(names)}; keep two: adata[adata.obs['{batch_key}'].isin([...])].copy()"
        )


def _codes(cells: Cells, positions: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the codes of the conditions of some of the cells."""
    return cast(np.ndarray, cells.condition_codes)[cells.rows[positions]]


def _mixed(positions: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the cells of all conditions spread evenly over the whole, so that every batch has its share of each."""
    place = np.empty(len(positions))
    for code in np.unique(codes):
        mine = codes == code
        place[mine] = (np.arange(mine.sum()) + 0.5) / mine.sum()
    return positions[np.argsort(place, kind="stable")]
