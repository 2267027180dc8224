"""Batch removal by latent arithmetic, with and without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from altercell import __version__
from altercell.errors import GroupError, NotTrainedError
from altercell.models.base import INFERENCE_BATCH, Cells, answer

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

CORRECTED_LATENT = "X_altercell"


class BatchRemoval(Base):
    """`remove_batch_effect`, for a model with latent arithmetic whose ``batch_key`` names batches."""

    def remove_batch_effect(
        self,
        *,
        reference: object | None = None,
        use_labels: bool | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Move the batches onto each other in latent space and decode.

        With labels (the code of :cite:p:`Lotfollahi2019`), within each cell type every batch's latent mean is moved
        onto that of the reference batch, or of the type's largest batch; a type seen in one batch stays. Without labels
        (the paper's text), every batch's mean is moved onto the reference's.

        Parameters
        ----------
        reference
            The batch that the others are moved onto. None: the largest (with labels, the largest of each type). With
            labels, a type without cells in it goes to its own largest batch.
        use_labels
            Whether to move within cell types; None: where the model was set up with ``labels_key``. The labels then
            enter the answer, so that scores which compare the same labels are optimistic.
        batch_size
            Cells a batch.
        path
            An ``.h5ad`` file to write to.

        Returns
        -------
        All registered cells in their order, with their obs, var, layers and obsm; X is decoded, the corrected latent
        points are in ``obsm["X_altercell"]``.

        Raises
        ------
        GroupError
            `reference` is no batch, or labels were asked for and there are none.
        NotTrainedError
            The model has no cells (it was loaded without).
        """
        self._check_trained()
        if self.adata is None:
            raise NotTrainedError(
                "remove_batch_effect corrects the registered cells, and this model has none; give load() an adata="
            )
        with_labels = self.schema.labels_key is not None if use_labels is None else use_labels
        if with_labels and self.schema.labels_key is None:
            raise GroupError("use_labels=True needs labels_key at setup")
        code = None if reference is None else self.schema.condition_code(reference, "reference")
        shift = self._batch_shifts(code, with_labels)
        cells = self._latent_cells(None)
        batch, kind = self.schema.condition_codes(cells.data), self.schema.cell_label_codes(cells.data)
        latent = self.get_latent_representation(batch_size=batch_size) + shift[batch, kind]
        largest = "the largest batch of each type" if with_labels else "the largest batch"
        made = {
            "model": type(self).__name__,
            "verb": "remove_batch_effect",
            "version": __version__,
            "reference": largest if reference is None else str(reference),
            "labels_read": with_labels,
            "batch_key": self.schema.batch_key,
            "labels_key": self.schema.labels_key,
            "space": self.space,
            "trust": ["labels were read: scores on the same labels are optimistic"] if with_labels else [],
        }
        order = slice(None) if cells.columns is None else cells.columns
        layers: Mapping[str | None, Any] = cells.adata.layers  # X stands among them, under None
        blocks = self._decoded_blocks(cells, latent, batch_size)
        return answer(
            blocks,
            cells.obs(),
            cells.var(),
            made,
            path,
            layers={name: layer[:, order].copy() for name, layer in layers.items() if name is not None},
            obsm={name: values.copy() for name, values in cells.adata.obsm.items()} | {CORRECTED_LATENT: latent},
        )

    def _batch_shifts(self, reference: int | None, with_labels: bool) -> np.ndarray:
        """Return the latent shift of every (batch, label), shape (n_batches, n_labels, n_latent)."""
        means, sizes = self.group_means()
        if not with_labels:
            totals = sizes.sum(axis=1)
            centre = (sizes[..., None] * means).sum(axis=1) / np.maximum(totals, 1)[:, None]
            onto = int(totals.argmax()) if reference is None else reference
            return np.repeat((centre[onto] - centre)[:, None].astype(np.float32), sizes.shape[1], axis=1)
        onto_each = sizes.argmax(axis=0)
        if reference is not None:
            onto_each = np.where(sizes[reference] > 0, reference, onto_each)
        goal = means[onto_each, np.arange(sizes.shape[1])]
        return ((goal - means) * (sizes > 0)[..., None]).astype(np.float32)

    def _decoded_blocks(self, cells: Cells, latent: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
        with self._inference():
            for positions, batch in cells.batches(batch_size):
                sizes = batch.get("size_factor")
                yield self._decode_numpy(latent[positions], None if sizes is None else sizes.numpy())
