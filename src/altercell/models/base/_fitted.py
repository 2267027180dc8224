"""Models that are fitted in one pass over the cells, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError, NotTrainedError
from altercell.models.base._cells import Cells
from altercell.models.base._latent import INFERENCE_BATCH
from altercell.models.base._model import AltercellModel
from altercell.models.base._state import FittedState


class FittedModel(AltercellModel):
    """A model whose `train` counts, sums and solves; it knows the number of training cells of each group.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    seed
        For the signature that all models share; fitting in closed form is not random.
    """

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self.module = FittedState(group_sizes=(len(self.schema.conditions), len(self.schema.labels)))
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def train(self, *, batch_size: int = INFERENCE_BATCH) -> None:
        """Fit the model to the registered cells, which are read in batches.

        Parameters
        ----------
        batch_size
            Cells a batch; it bounds the memory and does not change the result.

        Raises
        ------
        NotTrainedError
            The model has no cells, because it was loaded without.
        DataError
            `batch_size` is below 1.
        """
        if batch_size < 1:
            raise DataError(f"batch_size={batch_size} must be at least 1")
        if self.adata is None:
            raise NotTrainedError(f"this {type(self).__name__} has no AnnData to fit; load it with adata=")
        cells, shape = self.cells(), (len(self.schema.conditions), len(self.schema.labels))
        codes = (self.schema.condition_codes(self.adata), self.schema.cell_label_codes(self.adata))
        self._keep(self._fit(cells, np.ravel_multi_index(codes, shape), batch_size))
        self.is_trained_ = True

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        """Return the value of every buffer; `groups` are the cells' groups, (condition, label) as one number."""
        shape = (len(self.schema.conditions), len(self.schema.labels))
        return {"group_sizes": np.bincount(groups, minlength=shape[0] * shape[1]).reshape(shape)}

    def _keep(self, fitted: Mapping[str, np.ndarray]) -> None:
        for name, values in fitted.items():
            getattr(self.module, name).copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def _fitted(self, name: str) -> np.ndarray:
        """Return a buffer, float32."""
        return getattr(self.module, name).cpu().numpy()
