"""Points around cells, drawn back to where cells lie: the sampler of Lindenbaum and others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from altercell.errors import DataError
from altercell.models.base import as_dense
from altercell.models.samplers._base import TrainingCellSampler
from altercell.models.samplers._pcs import fit_pcs

#: Cells whose kernel to all training cells of a class is held at once.
BLOCK = 1_024
#: Values above this quantile of a gene do not set its scale.
HIGH = 0.99


class Sugar(TrainingCellSampler):
    r"""SUGAR :cite:p:`Lindenbaum2018`: points around the cells of a class, drawn back to where its cells lie.

    In principal components of log data, with the Gaussian kernel k of a class's training cells x and the degrees
    :math:`d_i = \sum_j k(x_i, x_j)`:

    1. a seed cell i of the class is drawn, with `equalise` with a chance that falls with its density,
       :math:`p_i \propto 1 / d_i`;
    2. a point is drawn around it, :math:`y \sim N(x_i, \Sigma_i)`, with the covariance of its nearest cells;
    3. points are smoothed by the measure-based kernel,

       .. math:: \hat k(y, y') = \sum_i k(y, x_i)\,k(x_i, y') / d_i, \qquad
           \hat y = \frac{\sum_{y'} \hat k(y, y')\,y'}{\sum_{y'} \hat k(y, y')};

    4. back in the genes, values below 0 are cut off, and with `rescale` each gene of a class is scaled so that the
       largest value of as many made cells as the class has is the 99 % quantile of its training cells (their largest
       value, where this is 0).

    The kernel's width is the median distance to the k-th neighbour. The paper smooths in the space of the genes; here
    that is done in principal components, which is the same for a linear step, but for what lies outside of them.

    Parameters
    ----------
    adata, registry, seed
        See :class:`CellSampler`; the cells are log data.
    n_neighbors
        Cells of the covariance, and k of the kernel's width.
    n_pcs
        Number of principal components.
    equalise
        Whether places with few cells are drawn more often, as in its paper; scGAN compares with it switched off.
    rescale
        Whether genes are scaled as in its paper. It gives smoothed values the range of measured ones, and with it genes
        other means than the class has.
    """

    _doubt = "points are smoothed, and vary less than cells do: compare with real cells"

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_neighbors: int = 5,
        n_pcs: int = 50,
        equalise: bool = False,
        rescale: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._require_log()
        if n_neighbors < 2 or n_pcs < 1:
            raise DataError(f"n_neighbors={n_neighbors} must be at least 2 and n_pcs={n_pcs} at least 1")
        self.n_neighbors, self.n_pcs, self.equalise, self.rescale = n_neighbors, n_pcs, equalise, rescale
        self.init_params_ = self._get_init_params(locals())

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[np.ndarray]:
        values = self.cells().read(slice(None), dense=False)
        pca = fit_pcs(values, self.n_pcs)
        points, classes, pools = pca.transform(values), self._class_of(groups), self._pools()
        made, scales = np.empty((len(groups), points.shape[1])), {}
        for number in np.unique(classes):
            mine, pool = classes == number, pools[int(number)]
            made[mine] = self._around(points[pool], int(mine.sum()), rng)
            if self.rescale:  # by cells of its own, so that what is asked for changes nothing
                drawn = self._around(points[pool], len(pool), np.random.default_rng(self.seed))
                largest, high = _positive(pca, drawn, batch_size).max(axis=0), _high_values(values[pool])
                scales[number] = np.divide(high, largest, out=np.ones_like(high), where=largest > 0)
        for start in range(0, len(made), batch_size):
            rows = slice(start, start + batch_size)
            cells = _positive(pca, made[rows], batch_size)
            if self.rescale:
                cells *= np.stack([scales[number] for number in classes[rows]])
            yield cells.astype(np.float32)

    def _around(self, cells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n points around a class's cells, smoothed, shape ``(n, n_pcs)``."""
        if len(cells) < 2:
            return np.repeat(cells, n, axis=0)
        k = min(self.n_neighbors, len(cells) - 1)
        distances, near = NearestNeighbors(n_neighbors=k + 1).fit(cells).kneighbors(cells)  # each cell first
        gamma = 1 / max(2 * float(np.median(distances[:, -1])) ** 2, 1e-12)
        degrees = np.concatenate(
            [
                rbf_kernel(cells[start : start + BLOCK], cells, gamma).sum(axis=1)
                for start in range(0, len(cells), BLOCK)
            ]
        )
        chances = 1 / degrees if self.equalise else np.ones(len(cells))
        seeds = rng.choice(len(cells), n, p=chances / chances.sum())
        # A combination of the neighbours' deviations with normal weights has their covariance.
        around = cells[near]  # (n_cells, k + 1, n_pcs)
        apart = (around - around.mean(axis=1, keepdims=True))[seeds] / np.sqrt(k)
        drawn = cells[seeds] + np.einsum("nkp,nk->np", apart, rng.standard_normal((n, k + 1)))
        return _smoothed(drawn, cells, degrees, gamma)


def _positive(pca: PCA, points: np.ndarray, batch_size: int) -> np.ndarray:
    """Return points brought back to the genes, with values below 0 cut off, shape ``(n, n_genes)``."""
    starts = range(0, len(points), batch_size)
    return np.concatenate(
        [np.maximum(pca.inverse_transform(points[start : start + batch_size]), 0) for start in starts]
    )


def _smoothed(points: np.ndarray, cells: np.ndarray, degrees: np.ndarray, gamma: float) -> np.ndarray:
    """Return the points after one step of diffusion over the training cells, without a matrix of pairs of points."""
    with_ones = np.column_stack([points, np.ones(len(points))])
    starts, sums = range(0, len(points), BLOCK), np.zeros((len(cells), with_ones.shape[1]))
    for start in starts:
        rows = slice(start, start + BLOCK)
        sums += rbf_kernel(cells, points[rows], gamma) @ with_ones[rows]
    sums /= degrees[:, None]
    spread = np.concatenate([rbf_kernel(points[start : start + BLOCK], cells, gamma) @ sums for start in starts])
    # A point that is far from every cell stays where it is.
    alone = spread[:, -1] < 1e-300
    return np.where(alone[:, None], points, spread[:, :-1] / np.where(alone, 1, spread[:, -1])[:, None])


def _high_values(values: Any) -> np.ndarray:
    """Return the 99 % quantile of every gene, or its largest value where that is 0; by blocks of genes."""
    by_gene = values.tocsc() if hasattr(values, "tocsc") else values
    found = np.empty(values.shape[1])
    for start in range(0, len(found), BLOCK):
        part = as_dense(by_gene[:, start : start + BLOCK])
        high = np.quantile(part, HIGH, axis=0)
        found[start : start + BLOCK] = np.where(high > 0, high, part.max(axis=0))
    return found
