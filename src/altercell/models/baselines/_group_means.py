"""The means of the training cells by condition and cell type, in one pass over the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell.models.base import Cells, ClosedFormModel, ProfileWeights, group_sums


class GroupMeanModel(ClosedFormModel):
    r"""A closed form of the means :math:`\bar x_{ck}` of the training cells of each condition c and type k.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    weights
        How the types' means are averaged: ``"balanced"``, every type alike, or ``"unbalanced"``, every cell alike.
    seed
        For the signature that all models share.

    Raises
    ------
    DataError
        `weights` is unknown.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        weights: ProfileWeights = "balanced",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._check_weights(weights)
        self.weights = weights
        schema = self.schema
        self.module.add("group_means", (len(schema.conditions), len(schema.labels), len(schema.genes)))
        self.init_params_ = self._get_init_params(locals())

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        fitted = super()._fit(cells, groups, batch_size)
        sizes = fitted["group_sizes"]  # (n_conditions, n_labels)
        sums = group_sums(cells, groups, sizes.size, batch_size).reshape(*sizes.shape, -1)
        sums /= np.maximum(sizes, 1)[..., None]
        return {**fitted, "group_means": sums}

    def _type_means(self, condition: int) -> np.ndarray:
        """Return the types' means in a condition, float64 of shape (n_labels, n_genes)."""
        return self._fitted("group_means")[condition].astype(np.float64)

    def _mean(self, condition: int, types: np.ndarray) -> np.ndarray:
        """Return the weighted mean of some types in a condition, float64 of shape (n_genes,)."""
        weights = np.ones(len(types)) if self.weights == "balanced" else self._group_sizes()[condition, types]
        return weights @ self._type_means(condition)[types] / weights.sum()
