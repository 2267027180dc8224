"""Models with a latent space: encode, decode, and the means of groups in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData

from altercell.errors import DataError
from altercell.models.base._cells import Cells, check_batch_size

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

INFERENCE_BATCH = 1024


class Encoding(ABC, Base):
    """A model that encodes cells as points of a latent space."""

    @property
    def _n_dimensions(self) -> int:
        """Number of dimensions of the points."""
        return int(self.module.n_latent)

    @abstractmethod
    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of q(z | x), each of shape (n, n_latent)."""

    def _latent_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None = None) -> Cells:
        """Return cells with what the encoder reads."""
        return self.cells(adata, rows)

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = INFERENCE_BATCH,
        give_mean: bool = True,
        seed: int | None = None,
    ) -> np.ndarray:
        """Encode cells.

        Parameters
        ----------
        adata
            Cells; their genes are aligned by name. None for the registered ones.
        indices
            Row numbers or a mask of the cells to encode; None for all.
        batch_size
            Cells a batch.
        give_mean
            Whether to return the posterior means; else one sample of each posterior.
        seed
            Seed of the samples.

        Returns
        -------
        Latent points, float32 of shape ``(n_cells, n_latent)``.
        """
        cells = self._latent_cells(adata, indices)
        latent = np.empty((len(cells), self._n_dimensions), dtype=np.float32)
        with self._inference(seed) as used:
            noise = np.random.default_rng(used)  # row by row, so that the batch size changes nothing
            for positions, batch in cells.batches(batch_size):
                mean, variance = self._encode(self._to_device(batch))
                latent[positions] = mean.cpu().numpy()
                if not give_mean:
                    drawn = noise.standard_normal(mean.shape, dtype=np.float32)
                    latent[positions] += variance.sqrt().cpu().numpy() * drawn
        return latent

    def _to_device(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        device = self.module.device
        return {name: tensor.to(device) for name, tensor in batch.items()}


class LatentModel(Encoding):
    """A model that encodes cells as points of a latent space and decodes points as cells.

    The module keeps two buffers, ``latent_means`` of shape ``(n_conditions, n_labels, n_latent)`` and ``group_sizes``
    of shape ``(n_conditions, n_labels)``: the means of the training cells' latent means by condition and label. They
    are all that latent arithmetic needs of the training cells, and they go into the model file.
    """

    @abstractmethod
    def _decode(self, z: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        """Return the expected cells of latent points, of shape (n, n_genes)."""

    def decode(
        self, latent: np.ndarray, *, size_factor: np.ndarray | None = None, batch_size: int = INFERENCE_BATCH
    ) -> np.ndarray:
        """Decode latent points of your own making.

        Parameters
        ----------
        latent
            Points of shape ``(n_cells, n_latent)``.
        size_factor
            Total counts of shape ``(n_cells,)``, for count likelihoods.
        batch_size
            Cells a batch.

        Returns
        -------
        Expected cells, float32 of shape ``(n_cells, n_genes)``, genes in the model's order.

        Raises
        ------
        DataError
            The points have another number of dimensions than the latent space, or are not finite; or the totals are not
            one positive number a point.
        """
        return self._decode_points(latent, size_factor, batch_size)

    def _decode_points(
        self, latent: np.ndarray, size_factor: np.ndarray | None, batch_size: int, **condition: int
    ) -> np.ndarray:
        points = np.asarray(latent, dtype=np.float32)
        n_latent = self.module.n_latent
        if points.ndim != 2 or points.shape[1] != n_latent:
            raise DataError(f"latent has shape {points.shape}; the model decodes points of shape (n_cells, {n_latent})")
        if not np.isfinite(points).all():
            raise DataError("latent holds NaN or infinite values")
        totals = None if size_factor is None else _totals(size_factor, len(points))
        values = np.empty((len(points), len(self.schema.genes)), dtype=np.float32)
        with self._inference():
            for start in range(0, len(points), check_batch_size(batch_size)):
                rows = slice(start, start + batch_size)
                sizes = None if totals is None else totals[rows, None]
                values[rows] = self._decode_numpy(points[rows], sizes, **condition)
        return values

    def _decode_numpy(self, points: np.ndarray, sizes: np.ndarray | None, **condition: int) -> np.ndarray:
        device = self.module.device
        z = torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32)).to(device)
        given = {name: torch.full((len(z), 1), code, device=device) for name, code in condition.items()}
        return self._decode(z, None if sizes is None else torch.from_numpy(sizes).to(device), **given).cpu().numpy()

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        """Fill the buffers of group means from the training cells."""
        batches: Iterable[dict[str, torch.Tensor]]
        if datamodule is None:
            cells = self._training_cells()
            batches = (batch for _, batch in cells.batches(INFERENCE_BATCH))
        else:
            batches = cast("Iterable[dict[str, torch.Tensor]]", datamodule)
        with self._inference():
            sums = torch.zeros(self.module.latent_means.shape, dtype=torch.float64)
            sizes = torch.zeros(self.module.group_sizes.shape, dtype=torch.float64)
            n_labels = sums.shape[1]
            for batch in batches:
                mean, _ = self._encode(self._to_device(batch))
                group = (batch["batch"].long().cpu() * n_labels + batch["labels"].long().cpu()).ravel()
                sums.view(-1, sums.shape[2]).index_add_(0, group, mean.double().cpu())
                sizes.view(-1).index_add_(0, group, torch.ones(len(group), dtype=torch.float64))
            self.module.latent_means.copy_(sums / sizes.clamp_min(1)[..., None])
            self.module.group_sizes.copy_(sizes)


def _totals(size_factor: np.ndarray, n_points: int) -> np.ndarray:
    totals = np.asarray(size_factor, dtype=np.float32)
    if totals.shape != (n_points,):
        raise DataError(f"size_factor has shape {totals.shape}; give one total for each of the {n_points} points")
    if not (np.isfinite(totals) & (totals > 0)).all():
        raise DataError("size_factor must be finite and positive: it is each point's total count")
    return totals
