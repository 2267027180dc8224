"""Cells whose genes come from neighbours of one cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from altercell.errors import DataError
from altercell.models.base import INFERENCE_BATCH, Cells, as_dense
from altercell.models.resampling._base import TrainingCells

#: Spread of the logarithm of a made cell's total around that of its seed cell.
TOTAL_SPREAD = 0.03


class NeighbourBootstrap(TrainingCells):
    r"""Cells that are put together, gene by gene, from the neighbours of a training cell.

    A training cell of the class is drawn, and a total :math:`l = l_0 e^{\sigma u}` near its own. For every gene a donor
    j is drawn among its k nearest cells of the class, itself included, in principal components; its count x is brought
    to the total,

    .. math:: \operatorname{Binomial}(x, \min(1, l / l_j)) + \operatorname{Poisson}(x \max(0, l / l_j - 1)).

    What a generator has to beat: it learns nothing, and its cells lie where training cells lie.

    Parameters
    ----------
    adata, registry, seed
        See :class:`TrainingCells`; the cells are counts.
    n_neighbors
        k; fewer where a class has fewer cells.
    n_pcs
        Number of principal components of log1p of counts per 10,000.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_neighbors: int = 20,
        n_pcs: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._require_counts()
        if n_neighbors < 1 or n_pcs < 1:
            raise DataError(f"n_neighbors={n_neighbors} and n_pcs={n_pcs} must be at least 1")
        self.n_neighbors, self.n_pcs = n_neighbors, n_pcs
        self.init_params_ = self._get_init_params(locals())

    def _doubt(self) -> str:
        return "every count is one of a training cell: no privacy, and nothing that training has not seen"

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[np.ndarray]:
        cells = self.cells()
        points, totals = self._points(cells)
        seeds = self._seed_rows(groups, rng)
        spread = np.exp(TOTAL_SPREAD * rng.standard_normal(len(seeds)))
        near = self._neighbours(points, np.unique(seeds))
        # One generator for donors, one for thinning and one for adding: each is used up cell by cell.
        donors, thin, add = rng.spawn(3)
        for start in range(0, len(seeds), batch_size):
            rows = seeds[start : start + batch_size]
            made = np.empty((len(rows), cells.n_genes), dtype=np.float32)
            for number, row in enumerate(rows):
                pool = near[int(row)]
                found = as_dense(cells.read(pool, dense=False))  # (k, n_genes)
                which = donors.integers(0, len(pool), cells.n_genes)
                counts = found[which, np.arange(cells.n_genes)]
                ratio = np.rint(totals[row] * spread[start + number]) / totals[pool][which]
                less = thin.binomial(counts.astype(np.int64), np.minimum(ratio, 1))
                made[number] = less + add.poisson(counts * np.maximum(ratio - 1, 0))
            yield made

    def _points(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Return the principal components of the training cells, and their totals."""
        parts, totals = [], []
        for start in range(0, len(cells), INFERENCE_BATCH):
            counts = as_dense(cells.read(slice(start, start + INFERENCE_BATCH), dense=False)).astype(np.float64)
            totals.append(counts.sum(axis=1))
            parts.append(np.log1p(1e4 * counts / totals[-1][:, None]).astype(np.float32))
        values = np.concatenate(parts)
        n_pcs = min(self.n_pcs, *values.shape)
        return PCA(n_pcs, random_state=0).fit_transform(values), np.concatenate(totals)

    def _neighbours(self, points: np.ndarray, rows: np.ndarray) -> dict[int, np.ndarray]:
        """Return the nearest cells of the same group of some cells, themselves first."""
        near: dict[int, np.ndarray] = {}
        for pool in self._rows_of().values():
            mine = np.intersect1d(rows, pool)
            if len(mine):
                tree = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(pool))).fit(points[pool])
                found = tree.kneighbors(points[mine], return_distance=False)
                near.update(zip(mine.tolist(), pool[found], strict=True))
        return near
