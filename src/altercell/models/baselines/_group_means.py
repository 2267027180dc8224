"""The means of the training cells by condition and cell type, in one pass over the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from altercell.models.base import Cells
from altercell.models.baselines._closed_form import ClosedFormModel, Weighting


def group_sums(cells: Cells, groups: np.ndarray, n_groups: int, batch_size: int) -> np.ndarray:
    """Sum cells by group, in float64 and without a dense copy of sparse data.

    Parameters
    ----------
    cells
        The cells.
    groups
        Group of each cell, from 0 to ``n_groups - 1``, shape ``(n_cells,)``.
    n_groups
        Number of groups.
    batch_size
        Cells a batch.

    Returns
    -------
    The sums, shape ``(n_groups, n_genes)``; 0 for a group without cells.
    """
    sums = np.zeros((n_groups, cells.n_genes))
    for start in range(0, len(cells), batch_size):
        values = cells.read(slice(start, start + batch_size), dense=False)  # (n, n_genes)
        # Only the groups of this batch, so that thousands of groups cost nothing here.
        present, member = np.unique(groups[start : start + batch_size], return_inverse=True)
        ones = np.ones(len(member))
        indicator = sparse.csr_matrix((ones, (member, np.arange(len(member)))), shape=(len(present), len(member)))
        batch_sums = indicator @ values  # (n_present, n_genes), float64
        sums[present] += batch_sums.toarray() if sparse.issparse(batch_sums) else batch_sums
    return sums


class GroupMeanModel(ClosedFormModel):
    r"""A closed form of the means :math:`\bar x_{ck}` of the training cells of each condition c and type k.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    weighting
        How the types' means are averaged: ``"balanced"``, every type alike, or ``"unbalanced"``, every cell alike.
    seed
        For the signature that all models share.

    Raises
    ------
    DataError
        `weighting` is unknown.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        weighting: Weighting = "balanced",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._check_weighting(weighting)
        self.weighting = weighting
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
        weights = np.ones(len(types)) if self.weighting == "balanced" else self._group_sizes()[condition, types]
        return weights @ self._type_means(condition)[types] / weights.sum()
