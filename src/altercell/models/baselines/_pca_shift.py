"""The mean difference of the other types, as far as principal components carry it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError
from altercell.models.base import Cells, ProfileWeights, leading_eigenvectors
from altercell.models.baselines._mean_shift import MeanShift


def principal_components(cells: Cells, n_components: int, batch_size: int) -> np.ndarray:
    """Return the principal axes of cells, exactly, from their covariance in one pass.

    Memory is one batch and two matrices of ``(n_genes, n_genes)`` in float64: together 64 MB at 2,000 genes, 1.6 GB at
    10,000.

    Parameters
    ----------
    cells
        The cells, of which there are at least one.
    n_components
        How many axes.
    batch_size
        Cells a batch.

    Returns
    -------
    Orthonormal axes of falling variance, shape ``(n_components, n_genes)``; rows beyond the rank of the data are 0.
    """
    total, products = np.zeros(cells.n_genes), np.zeros((cells.n_genes, cells.n_genes))
    for start in range(0, len(cells), batch_size):
        values = cells.read(slice(start, start + batch_size)).astype(np.float64)  # (n, n_genes)
        total += values.sum(axis=0)
        products += values.T @ values
    products -= np.outer(total, total / len(cells))
    return leading_eigenvectors(products, n_components)[1].T


class PCAShift(MeanShift):
    r"""Vector arithmetic in the space of principal components :cite:p:`Lotfollahi2019`.

    .. math:: \hat x = x + V V^\top \delta,

    or :math:`\hat x = \mu + V V^\top (x - \mu + \delta)` with ``reconstruct=True``: V are the principal axes of the
    training cells, :math:`\mu` their mean, and :math:`\delta` the difference of :class:`MeanShift`. The first form
    keeps the cell's own residual, so that the variance stays as in the control cells, which the paper's text describes;
    the authors' published code reconstructs the cell (``reconstruct=True``).

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    n_components
        Number of components, at most one a gene. The paper's is 100.
    reconstruct
        Whether the cell itself is reconstructed from the components, and loses what they do not hold.
    weights
        ``"balanced"``: every type counts alike; ``"unbalanced"``: every cell counts alike.
    clip
        Whether negative values, which a shift gives where a gene goes down, are set to 0. That moves the means.
    seed
        For the signature that all models share.

    Raises
    ------
    DataError
        `n_components` is below 1.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_components: int = 100,
        reconstruct: bool = False,
        weights: ProfileWeights = "balanced",
        clip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, weights=weights, clip=clip, seed=seed)
        if n_components < 1:
            raise DataError(f"n_components={n_components} must be at least 1")
        n_genes = len(self.schema.genes)
        self.n_components, self.reconstruct = min(n_components, n_genes), reconstruct
        self.module.add("components", (self.n_components, n_genes))
        self.module.add("center", (n_genes,))
        self.init_params_ = self._get_init_params(locals())

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        fitted = super()._fit(cells, groups, batch_size)
        sizes = fitted["group_sizes"]
        center = np.einsum("ck,ckg->g", sizes, fitted["group_means"]) / sizes.sum()
        components = principal_components(cells, self.n_components, batch_size)
        return {**fitted, "components": components, "center": center}

    def _delta(self, source: int, target: int, own: int) -> np.ndarray:
        axes = self._fitted("components")
        return axes.T @ (axes @ super()._delta(source, target, own))

    def _start(self, values: np.ndarray) -> np.ndarray:
        if not self.reconstruct:
            return values
        axes, center = self._fitted("components"), self._fitted("center")
        return center + (values - center) @ axes.T @ axes
