"""Cells whose genes come from neighbours of one cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from altercell.data._normalize import log_scaled
from altercell.errors import DataError
from altercell.models.base import as_dense
from altercell.models.samplers._base import TrainingCellSampler
from altercell.models.samplers._pcs import fit_pcs

#: Total that cells are scaled to before the logarithm.
LOG_TOTAL = 1e4
#: Spread of the logarithm of a made cell's total around that of its seed cell.
TOTAL_SPREAD = 0.03
#: Numbers of donors (cells by neighbours by genes) that are held dense at once.
BLOCK = 2**20


class NeighbourBootstrap(TrainingCellSampler):
    r"""Cells that are put together, gene by gene, from the neighbours of a training cell.

    A training cell of the class is drawn, and a total :math:`l = l_0 e^{\sigma u}` near its own. For every gene a donor
    j is drawn among its k nearest cells of the class, itself included, in principal components of log1p of counts per
    10,000; its count x is brought to the total,

    .. math:: \operatorname{Binomial}(x, \min(1, l / l_j)) + \operatorname{Poisson}(x \max(0, l / l_j - 1)).

    What a generator has to beat: it learns nothing, and its cells lie where training cells lie. The training cells are
    read again, and their components found, at every call of :meth:`generate`.

    Parameters
    ----------
    adata, registry, seed
        See :class:`CellSampler`; the cells are counts.
    n_neighbors
        k; fewer where a class has fewer cells.
    n_pcs
        Number of principal components.
    """

    _doubt = "every count is one of a training cell: no privacy, and nothing that training has not seen"

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

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[sparse.csr_matrix]:
        counts = self.cells().read(slice(None), dense=False)
        totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        seeds = self._seeds(self._class_of(groups), rng)
        wanted = np.rint(totals[seeds] * np.exp(TOTAL_SPREAD * rng.standard_normal(len(seeds))))
        near, sizes = self._neighbours(log_scaled(counts, totals, LOG_TOTAL), seeds)
        # One generator for donors, one for thinning and one for adding: each is used up cell by cell, so that the size
        # of a block changes nothing.
        donors, thin, add = rng.spawn(3)
        n_genes = counts.shape[1]
        step = max(1, min(batch_size, BLOCK // (n_genes * self.n_neighbors)))
        for start in range(0, len(seeds), step):
            block = slice(start, start + step)
            rows, place = np.unique(near[block], return_inverse=True)
            which = (donors.random((len(near[block]), n_genes)) * sizes[block, None]).astype(np.int64)
            donor = np.take_along_axis(place.reshape(near[block].shape), which, axis=1)  # (n_cells, n_genes)
            given = as_dense(counts[rows]).astype(np.int64)[donor, np.arange(n_genes)]
            ratio = wanted[block, None] / np.maximum(totals[rows], 1)[donor]
            made = thin.binomial(given, np.minimum(ratio, 1)) + add.poisson(given * np.maximum(ratio - 1, 0))
            yield sparse.csr_matrix(made, dtype=np.float32)

    def _neighbours(self, values: Any, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of each seed's nearest cells of its class, shape ``(n_seeds, k)``, and how many these are.

        Where a class has fewer than k cells, the rest of the row repeats the seed.
        """
        points = fit_pcs(values, self.n_pcs).transform(values)
        near, sizes = np.repeat(seeds[:, None], self.n_neighbors, axis=1), np.empty(len(seeds), dtype=np.int64)
        for pool in self._pools().values():
            mine = np.flatnonzero(np.isin(seeds, pool))
            k = min(self.n_neighbors, len(pool))
            tree = NearestNeighbors(n_neighbors=k).fit(points[pool])
            rows, place = np.unique(seeds[mine], return_inverse=True)
            if len(rows):
                found = pool[tree.kneighbors(points[rows], return_distance=False)]
                near[mine, :k], sizes[mine] = found[place], k
        return near, sizes
