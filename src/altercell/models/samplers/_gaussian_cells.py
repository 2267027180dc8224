"""Cells of a Gaussian mixture in principal components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from sklearn.mixture import GaussianMixture

from altercell.errors import DataError
from altercell.models.base import Cells
from altercell.models.samplers._base import CellSampler
from altercell.models.samplers._pcs import fit_pcs, n_components

#: Cells that a Gaussian is fitted to at least.
CELLS_EACH = 20
#: Added to the variances, so that few cells have a covariance.
LEAST_VARIANCE = 1e-4


class GaussianCells(CellSampler):
    """Points of a Gaussian mixture of each class in principal components, brought back to the genes.

    It has the means of the class, and its covariances within these components, but for what is lost as values below 0
    are cut off; few values are zero. All training cells are read at once.

    Parameters
    ----------
    adata, registry, seed
        See :class:`CellSampler`; the cells are log data.
    n_components
        Gaussians of each class, fewer where it has fewer than 20 cells for each; 1 for a Gaussian.
    n_pcs
        Number of principal components.
    """

    _doubt = "values are continuous, and hardly any is zero: compare with real cells"

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
        for name, shape in self._shapes().items():
            self.module.add(name, shape)
        self.init_params_ = self._get_init_params(locals())

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        n_genes, n_classes = len(self.schema.genes), self._n_classes()
        size = n_components(self.n_pcs, self.n_pcs + 1, n_genes)  # of fewer cells, the last ones stay 0
        mixture = (n_classes, self.n_components)
        return {
            "centre": (n_genes,),
            "loadings": (size, n_genes),
            "weights": mixture,
            "means": (*mixture, size),
            "factors": (*mixture, size, size),
        }

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        values = cells.read(slice(None), dense=False)
        pca = fit_pcs(values, self.n_pcs)
        points, classes = pca.transform(values), self._class_of(groups)
        fitted = {name: np.zeros(shape) for name, shape in self._shapes().items()}
        size = pca.n_components_
        fitted["centre"], fitted["loadings"][:size] = np.asarray(pca.mean_).ravel(), pca.components_
        for number in np.unique(classes):
            pool = points[classes == number]
            k = max(1, min(self.n_components, len(pool) // CELLS_EACH))
            # Of a single cell, a mixture needs two points, and its covariance is the least one.
            pool = np.repeat(pool, 2, axis=0) if len(pool) == 1 else pool
            mixture = GaussianMixture(k, reg_covar=LEAST_VARIANCE, random_state=self.seed).fit(pool)
            fitted["weights"][number, :k], fitted["means"][number, :k, :size] = mixture.weights_, mixture.means_
            fitted["factors"][number, :k, :size, :size] = np.linalg.cholesky(mixture.covariances_)
        return {**super()._fit(cells, groups, batch_size), **fitted}

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[np.ndarray]:
        weights, means, factors = (self._fitted(name).astype(float) for name in ("weights", "means", "factors"))
        centre, loadings = self._fitted("centre"), self._fitted("loadings")
        classes, place = self._class_of(groups), rng.random(len(groups))
        bounds = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True).clip(1e-12)
        which = (place[:, None] >= bounds[classes][:, :-1]).sum(axis=1)
        for start in range(0, len(groups), batch_size):
            rows = slice(start, start + batch_size)
            mine, part = classes[rows], which[rows]
            noise = rng.standard_normal((len(mine), means.shape[2]))
            points = means[mine, part] + np.einsum("nij,nj->ni", factors[mine, part], noise)
            yield np.maximum(points.astype(np.float32) @ loadings + centre, 0)
