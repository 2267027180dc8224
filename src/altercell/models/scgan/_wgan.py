"""The Wasserstein GAN on log data, which generates cells and, by arithmetic on noise, predicts responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData

from altercell.errors import DataError
from altercell.models.base import Cells, LatentArithmetic, LatentModel, Request, ResponseModel
from altercell.models.scgan._model import ScGAN


class WGAN(LatentModel, LatentArithmetic, ResponseModel, ScGAN):
    r"""A Wasserstein GAN on log data: :class:`ScGAN` without the library-size layer.

    Registered with conditions, it predicts responses too, as the sc-WGAN that :cite:p:`Tang2024` compares with. A
    generator has no encoder, so that a cell's noise is found by optimisation, from :math:`z = 0` with Adam,

    .. math:: z(x) = \arg\min_z \tfrac12 \lVert x - G(z) \rVert^2 + \tfrac12 \lVert z \rVert^2,

    the mode of its posterior where values vary with variance 1. Then, as scGen does in its latent space,
    :math:`\hat x = G(z(x) + \delta)`, with the difference :math:`\delta` of the conditions' mean points. When training
    ends, every registered cell's point is found, which takes a while; without a column of conditions it is not done.

    Parameters
    ----------
    adata
        AnnData of log data registered with :meth:`setup_anndata`; None with `registry`.
    registry, n_latent, n_hidden, critic_hidden, penalty_weight, average_decay, seed
        As in :class:`ScGAN`.
    n_encode_steps, encode_lr
        Steps and learning rate of the search for a cell's noise.

    Raises
    ------
    DataError
        The values are no log data, or a width, `n_encode_steps` or `encode_lr` is not above 0.
    """

    #: It generates without conditions too.
    _needs_conditions: ClassVar[bool] = False
    # While the mean points of the groups are found.
    _trained_alone: bool = False
    _predict_options: ClassVar[tuple[str, ...]] = ("weights", "types", "nearest", "nearest_to")

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
        n_encode_steps: int = 200,
        encode_lr: float = 0.05,
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
        if n_encode_steps < 1 or not encode_lr > 0:
            raise DataError(f"n_encode_steps={n_encode_steps} and encode_lr={encode_lr} must be above 0")
        self.n_encode_steps, self.encode_lr = n_encode_steps, encode_lr
        shape = (len(self.schema.conditions), len(self.schema.labels), n_latent)
        self.module.register_buffer("latent_means", torch.zeros(shape))
        self.init_params_ = self._get_init_params(locals())

    def predict(self, adata: AnnData | MuData | None = None, **arguments: Any) -> AnnData:
        """Predict what cells of condition `source` would look like under condition `target`.

        Parameters
        ----------
        adata
            Cells to start from; None for the registered ones.
        **arguments
            `source`, `target`, `labels`, `indices`, `batch_size`, `seed`, `path`, `cells` and `reference` of
            :meth:`altercell.models.base.ResponseModel.predict`; `weights`, `types`, `nearest` and `nearest_to` of
            :meth:`get_delta`.

        Returns
        -------
        One predicted cell for each source cell; see :meth:`altercell.models.base.ResponseModel.predict`.

        Raises
        ------
        KeyNotFoundError
            The model was set up without a column of conditions.
        GroupError
            An unknown condition or label.
        """
        self._require_conditions()
        return super().predict(adata, **arguments)

    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode(False), torch.enable_grad():
            cells = batch["X"].clone()
            classes = torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
            z = torch.zeros(len(cells), self.module.n_latent, device=cells.device, requires_grad=True)
            optimizer = torch.optim.Adam([z], lr=self.encode_lr)
            for _ in range(self.n_encode_steps):
                loss = 0.5 * (cells - self.module.make(z, classes)).square().sum() + 0.5 * z.square().sum()
                (z.grad,) = torch.autograd.grad(loss, z)
                optimizer.step()
            return z.detach(), torch.zeros_like(z)

    def _decode(self, z: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        return self.module.make(z, torch.zeros(len(z), dtype=torch.int64, device=z.device))

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        weights, types = options.pop("weights", "balanced"), options.pop("types", "shared")
        deltas, place = self._weighted_deltas(cells, request, weights, types, **options)
        for positions, batch in cells.batches(request.batch_size):
            z = self._encode(self._to_device(batch))[0]
            step = torch.from_numpy(deltas[place[positions]]).to(z.device)
            yield self._decode(z + step, None).cpu().numpy()

    def _unshifted(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        for _, batch in cells.batches(request.batch_size):
            yield self._decode(self._encode(self._to_device(batch))[0], None).cpu().numpy()

    def _reads_seed(self, **options: Any) -> bool:
        return options.get("weights") == "resampled"

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        ScGAN._after_training(self, datamodule)
        if self.schema.batch_key is not None:
            self._trained_alone = True
            try:
                LatentModel._after_training(self, datamodule)
            finally:
                self._trained_alone = False

    def _training_cells(self) -> Cells:
        cells, rows = super()._training_cells(), getattr(self, "train_indices_", None)
        # The means are those of the cells that were trained on; while training runs, which these are is not known.
        return (
            cells.at(np.asarray(rows)) if self._trained_alone and rows is not None and not self._in_training else cells
        )
