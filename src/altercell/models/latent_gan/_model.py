"""LatentGAN: AnnData in, AnnData out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast, get_args

import numpy as np
import torch
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData

from altercell.errors import DataError, check_choice
from altercell.models.base import INFERENCE_BATCH, Classes, Encoding
from altercell.models.latent_gan._count_vae import CountVAE
from altercell.models.latent_gan._module import LatentGANModule
from altercell.models.scgan import WassersteinGAN
from altercell.models.scgan._generation import Values
from altercell.models.scgan._networks import Conditioning


class LatentGAN(Encoding, WassersteinGAN):
    """A Wasserstein GAN of latent points, whose cells are counts drawn around what an autoencoder decodes.

    Not a published method: it joins scVI's autoencoder :cite:p:`Lopez2018` to cscGAN's game :cite:p:`Marouf2020`. Few
    cells suffice for it, where a generator of thousands of genes needs very many.

    Parameters
    ----------
    adata
        AnnData of counts registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    classes
        ``"labels"``, ``"conditions"`` (the groups of `batch_key`) or ``"both"``: what cells can be asked for by. None
        for nothing.
    conditioning
        How the critic knows the class; see :class:`CscGAN`.
    n_dimensions, vae_hidden, vae_layers
        The autoencoder: dimensions of its latent space, width of the hidden blocks, and their number on each side.
    n_latent
        Dimensions of the noise.
    n_hidden, critic_hidden
        Widths of the generator's and of the critic's hidden blocks; see :class:`ScGAN`.
    penalty_weight, classifier_weight, average_decay
        As in :class:`CscGAN`.
    seed
        Seed of the initial weights, and of training where that is given none.

    Raises
    ------
    DataError
        The values are not counts, or an argument is not among those that can be.
    GroupError
        There is no column of what is to be told apart.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0)
    >>> ac.LatentGAN.setup_anndata(adata, labels_key="cell_type")
    >>> model = ac.LatentGAN(adata, classes="labels")
    >>> model.train(n_steps=5, vae={"max_epochs": 2}, enable_progress_bar=False)
    >>> model.generate({"type_0": 2, "type_1": 3}, seed=0).obs["cell_type"].tolist()
    ['type_0', 'type_0', 'type_1', 'type_1', 'type_1']
    """

    #: The moves are small and cheap, so that the rate may be higher than for a generator of genes.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "final_lr": 1e-4, "eps": 1e-8, "weight_decay": 0.0}

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        classes: Classes | None = None,
        conditioning: Conditioning = "projection",
        n_dimensions: int = 10,
        vae_hidden: int = 128,
        vae_layers: int = 1,
        n_latent: int = 16,
        n_hidden: Sequence[int] = (128, 128),
        critic_hidden: Sequence[int] | None = None,
        penalty_weight: float = 10.0,
        classifier_weight: float = 1.0,
        average_decay: float | None = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("conditioning", conditioning, get_args(Conditioning))
        for name, value in (("n_dimensions", n_dimensions), ("vae_hidden", vae_hidden), ("vae_layers", vae_layers)):
            if value < 1:
                raise DataError(f"{name}={value} must be at least 1")
        if adata is not None:
            CountVAE.register_manager(self.adata_manager)  # of the same cells, registered once
        #: The autoencoder, with its own `history_`, which a file does not keep.
        self.vae = CountVAE(
            adata,
            None if adata is not None else self.registry_,
            n_latent=n_dimensions,
            n_hidden=vae_hidden,
            n_layers=vae_layers,
            seed=seed,
        )
        self._build(
            1.0,
            classes,
            n_hidden,
            critic_hidden,
            conditioning=conditioning,
            n_latent=n_latent,
            penalty_weight=penalty_weight,
            classifier_weight=classifier_weight,
            average_decay=average_decay,
        )
        self.vae.module.set_trainable(False)  # but while it is trained
        self.init_params_ = self._get_init_params(locals())

    def _make_module(self, library_size: float | None, **arguments: Any) -> LatentGANModule:
        sizes = len(self.schema.genes), len(self.schema.conditions), len(self.schema.labels)
        return LatentGANModule(*sizes, vae=self.vae.module, **arguments)

    def train(
        self,
        max_epochs: int | None = None,
        *,
        n_steps: int = 5_000,
        vae: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Train the autoencoder, and then the players; a second call trains the players on.

        Parameters
        ----------
        max_epochs, n_steps
            Of the players; see :meth:`WassersteinGAN.train`.
        vae
            Arguments of the autoencoder's training, such as ``{"max_epochs": 100}`` (by default 400, with early
            stopping by a tenth of the training cells). See :class:`altercell.models.base.TrainingMixin`. With a
            `datamodule`, ``max_epochs`` is needed.
        **kwargs
            As in :meth:`WassersteinGAN.train`. `seed`, `accelerator`, `devices`, `datamodule`, `resume_dir`,
            `validation_indices` and `enable_progress_bar` hold for both trainings; validation cells are those of both.

        Raises
        ------
        DataError
            See :meth:`WassersteinGAN.train`.
        """
        self._check_steps(max_epochs, n_steps, kwargs)
        if kwargs.get("datamodule") is not None and "max_epochs" not in (vae or {}):
            raise DataError("with a datamodule= give vae={'max_epochs': ...}: it has no cells to stop early by")
        if not bool(self.module.vae_trained):
            self._train_vae(dict(vae or {}), kwargs)
            if not bool(self.module.vae_trained):
                self.interrupted_ = True
                return
        super().train(max_epochs, n_steps=n_steps, **kwargs)

    def _train_vae(self, options: dict[str, Any], kwargs: Mapping[str, Any]) -> None:
        shared = ("seed", "accelerator", "devices", "datamodule", "enable_progress_bar", "validation_indices")
        given = {name: kwargs[name] for name in shared if name in kwargs}
        if kwargs.get("resume_dir") is not None:
            given["resume_dir"] = Path(kwargs["resume_dir"]) / "vae"
        share = float(kwargs.get("train_size", 1.0))
        if share < 1 and given.get("validation_indices") is None and given.get("datamodule") is None:
            seed = self.seed if given.get("seed") is None else int(given["seed"])
            given["validation_indices"] = self._split(self._training_cells(), share, seed)[1]
        network = self.vae.module
        network.set_trainable(True)
        try:
            self.vae.train(**{"max_epochs": 400, **given, **options})
        finally:
            network.set_trainable(False)
            self.module.to(self.vae.module.device)  # where the players are trained next
            self.module.train(self.module.training)
        if not self.vae.interrupted_:
            self._keep_totals(given.get("datamodule"), given.get("validation_indices"))
            self.module.vae_trained.fill_(True)

    def _keep_totals(
        self, datamodule: LightningDataModule | None, validation: Sequence[int] | np.ndarray | None
    ) -> None:
        """Keep the mean and the standard deviation of the logarithms of the training cells' totals."""
        batches: Iterable[dict[str, torch.Tensor]]
        if datamodule is None:
            cells = self.cells()
            held = np.zeros(len(cells), dtype=bool)
            held[[] if validation is None else np.asarray(validation)] = True
            batches = (batch for _, batch in cells.at(~held).batches(INFERENCE_BATCH))
        else:
            batches = cast("Iterable[dict[str, torch.Tensor]]", datamodule)
        logs = torch.cat([batch["X"].sum(dim=1).double().clamp(min=1).log().cpu() for batch in batches])
        self.module.total_mean.fill_(float(logs.mean()))
        self.module.total_sd.fill_(max(float(logs.std()), 1e-3))

    def deregister_manager(self, adata: AnnData | None = None) -> None:
        """Let scvi-tools' store forget the cells, those of the autoencoder too.

        Parameters
        ----------
        adata
            The cells; None for all.
        """
        self.vae.deregister_manager(adata)
        super().deregister_manager(adata)

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | MuData | None = None, **options: Any) -> Self:
        """Read a model from a folder; see :meth:`altercell.models.base.AltercellModel.load`.

        Parameters
        ----------
        dir_path, adata
            The folder, and cells to attach.
        **options
            `prefix`, `accelerator` and `device`.

        Returns
        -------
        The model. Of the autoencoder's training its file keeps the weights, and no history.
        """
        model = super().load(dir_path, adata, **options)
        model.vae.is_trained_ = bool(model.module.vae_trained)
        return model

    @property
    def _n_dimensions(self) -> int:
        return int(self.module.vae.n_latent)

    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        x = batch["X"]
        mean, variance = self.module.vae.posterior(x, torch.zeros(len(x), 1, dtype=torch.int64, device=x.device))
        return mean, variance

    def generate(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        n: int | Mapping[object, int],
        *,
        labels: object | Sequence[object] | None = None,
        condition: object | None = None,
        output: Values = "counts",
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells; by default their counts.

        Parameters
        ----------
        n, labels, condition, output, seed, batch_size, path
            As in :meth:`CscGAN.generate`. ``output="model"`` are expected counts,
            which counts are drawn around.

        Returns
        -------
        The cells, with the genes' names, their class in obs and, in ``uns["altercell"]``, how they were made.

        Raises
        ------
        GroupError
            An unknown label or condition, one that the model does not tell apart, or one without training cells.
        """
        return self._generate(n, labels, condition, output, seed, batch_size, path)
