"""Cells of a Gaussian mixture in principal components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from altercell.errors import DataError
from altercell.models.base import as_dense
from altercell.models.resampling._base import TrainingCells


class GaussianCells(TrainingCells):
    """Points of a Gaussian mixture of each class in principal components, brought back to the genes.

    Values below 0 are cut off. It has the means and the covariances of the data, and none of their zeros.

    Parameters
    ----------
    adata, registry, seed
        See :class:`TrainingCells`; the cells are log data.
    n_components
        Gaussians of each class, fewer where it has fewer than 20 cells for each; 1 for a Gaussian.
    n_pcs
        Number of principal components.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_components: int = 1,
        n_pcs: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._require_log()
        if n_components < 1 or n_pcs < 1:
            raise DataError(f"n_components={n_components} and n_pcs={n_pcs} must be at least 1")
        self.n_components, self.n_pcs = n_components, n_pcs
        self.init_params_ = self._get_init_params(locals())

    def _doubt(self) -> str:
        return "values are continuous, and hardly any is zero: compare with real cells"

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[np.ndarray]:
        values = as_dense(self.cells().read(slice(None), dense=False))
        pca = PCA(min(self.n_pcs, *values.shape), random_state=0)
        points, rows = pca.fit_transform(values), self._rows_of()
        made = np.empty((len(groups), points.shape[1]))
        for group in np.unique(groups):
            mine, pool = groups == group, points[rows[int(group)]]
            made[mine] = self._mixed(pool, int(mine.sum()), rng)
        for start in range(0, len(made), batch_size):
            yield np.maximum(pca.inverse_transform(made[start : start + batch_size]), 0).astype(np.float32)

    def _mixed(self, pool: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n points of the mixture that is fitted to some."""
        if len(pool) < 2:
            return np.repeat(pool, n, axis=0)
        n_components = max(1, min(self.n_components, len(pool) // 20))
        seed = int(rng.integers(2**31))
        mixture = GaussianMixture(n_components, reg_covar=1e-4, random_state=seed).fit(pool)
        points, _ = mixture.sample(n)
        return points[rng.permutation(n)]
