"""Distances between two populations of cells, computed in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import wasserstein_distance

from altercell.metrics._matrix import Matrix, as_matrices, as_matrix, dense_blocks
from altercell.metrics._pcs import project_on_pcs

_MEDIAN_CELLS = 2_000


def edistance(x: Matrix, y: Matrix, *, unbiased: bool = True, block_size: int = 1_024) -> float:
    r"""Energy distance of two populations :cite:p:`Szekely2013`, with the Euclidean distance, not squared.

    .. math:: E = 2 \, \mathbb{E}|x - y| - \mathbb{E}|x - x'| - \mathbb{E}|y - y'|

    :func:`evaluate` takes it in gene space. Symmetric; 0 for equal distributions; lower is better. Memory: three blocks
    of `block_size` cells, whatever the number of cells; time: the square of the number of cells.

    Parameters
    ----------
    x, y
        Cells, dense or sparse: (n_cells, n_genes), with any two numbers of cells.
    unbiased
        Whether a cell's distance of 0 to itself is left out of the two means within a population (the U-statistic,
        right on average but at times a little negative) or kept (the V-statistic: at least 0, too large by about
        ``(E|x-x'| + E|y-y'|) / n_cells``).
    block_size
        Cells that are made dense at a time; the answer does not depend on it.

    Returns
    -------
    The distance, in the units of the data; nan where it is unbiased and a population has one cell.

    Examples
    --------
    >>> edistance(np.array([[0.0], [2.0]]), np.array([[10.0], [12.0]]))
    16.0
    """
    x, y = as_matrices(x, y)

    def _root(squared: np.ndarray) -> np.ndarray:
        return np.sqrt(squared, out=squared)

    between = _mean_between(x, y, _root, block_size)
    return float(
        2 * between
        - _mean_within(x, _root, 0.0, unbiased, block_size)
        - _mean_within(y, _root, 0.0, unbiased, block_size)
    )


def mmd(
    x: Matrix, y: Matrix, *, bandwidth: float | None = None, unbiased: bool = True, block_size: int = 1_024
) -> float:
    r"""Squared maximum mean discrepancy :cite:p:`Gretton2012` with one Gaussian kernel.

    .. math:: \mathbb{E}\,k(x, x') + \mathbb{E}\,k(y, y') - 2 \, \mathbb{E}\,k(x, y), \qquad
              k(a, b) = \exp\left(-\frac{|a - b|^2}{2 \sigma^2}\right)

    :func:`evaluate` takes it on 50 principal components of the real cells. 0 for equal distributions; lower is better.

    Parameters
    ----------
    x
        Predicted cells, dense or sparse: (n_cells, n_genes).
    y
        Real cells: (n_cells, n_genes).
    bandwidth
        sigma. None takes the median Euclidean distance between two different cells of `y` divided by the root of 2, so
        that the kernel is ``exp(-|a - b|^2 / median^2)`` as in the code of :cite:p:`Gretton2012`; but the median over
        real cells alone (2,000 evenly spaced ones where there are more), so that all predictions of the same real cells
        are measured with one kernel.
    unbiased
        Whether pairs of a cell with itself are left out (U-statistic, at times a little negative) or kept.
    block_size
        Cells that are made dense at a time; the answer does not depend on it.

    Returns
    -------
    The squared discrepancy, at most 2; nan where it is unbiased and a population has one cell, or where the median is
    0.
    """
    x, y = as_matrices(x, y)
    sigma = median_distance(y) / np.sqrt(2) if bandwidth is None else bandwidth
    if not sigma > 0:
        return float("nan")

    def _kernel(squared: np.ndarray) -> np.ndarray:
        squared *= -0.5 / sigma**2
        return np.exp(squared, out=squared)

    within = sum(_mean_within(cells, _kernel, 1.0, unbiased, block_size) for cells in (x, y))
    return float(within - 2 * _mean_between(x, y, _kernel, block_size))


def wasserstein_pcs(x: Matrix, y: Matrix, basis: Matrix | None = None, *, n_pcs: int = 50, seed: int = 0) -> float:
    r"""Mean over principal components of the Wasserstein-1 distance of the two populations' coordinates.

    .. math:: \frac1K \sum_{k=1}^{K} \int |F_k(t) - G_k(t)| \, dt

    with :math:`F_k, G_k` the distribution functions of component k (:func:`scipy.stats.wasserstein_distance`).
    0 for equal distributions; lower is better.

    Parameters
    ----------
    x
        Predicted cells, dense or sparse: (n_cells, n_genes).
    y
        Real cells: (n_cells, n_genes).
    basis
        Cells whose principal components are used. None takes `y`.
    n_pcs
        Number of components, fewer where the cells or genes do not have as many.
    seed
        Of the start vector of the eigensolver.

    Returns
    -------
    The mean distance, in the units of the data; nan where the basis has no variance.
    """
    return wasserstein_columns(*project_on_pcs(x, y, basis, n_pcs=n_pcs, seed=seed))


def wasserstein_columns(x: np.ndarray, y: np.ndarray) -> float:
    """Mean over columns of the one-dimensional Wasserstein-1 distance; nan where there is no column."""
    distances = [wasserstein_distance(x[:, k], y[:, k]) for k in range(x.shape[1])]
    return float(np.mean(distances)) if distances else float("nan")


def median_distance(y: Matrix) -> float:
    """Median Euclidean distance between two different cells of `y`, of 2,000 evenly spaced ones where there are more.

    nan where there is one cell, 0 where most are copies of one.
    """
    y = as_matrix(y)
    if y.shape[0] > _MEDIAN_CELLS:
        y = y[np.linspace(0, y.shape[0] - 1, _MEDIAN_CELLS).astype(int)]
    _, cells = next(dense_blocks(y, _MEDIAN_CELLS))
    squared = _squared_distances(cells, cells)[np.triu_indices(len(cells), 1)]
    if len(squared) == 0:
        return float("nan")
    # Copies of one cell are apart by the rounding of their norms alone.
    return (
        float(np.sqrt(np.median(squared))) if np.median(squared) > 1e-12 * np.square(cells).sum(axis=1).max() else 0.0
    )


def _mean_between(x: Matrix, y: Matrix, function: Callable[[np.ndarray], np.ndarray], block_size: int) -> float:
    total = sum(
        float(function(_squared_distances(a, b)).sum())
        for _, a in dense_blocks(x, block_size)
        for _, b in dense_blocks(y, block_size)
    )
    return total / (x.shape[0] * y.shape[0])


def _mean_within(
    x: Matrix, function: Callable[[np.ndarray], np.ndarray], at_zero: float, unbiased: bool, block_size: int
) -> float:
    """Mean of function(|x - x'|^2) over pairs; a cell with itself gives `at_zero`, or is left out where `unbiased`."""
    n_cells = x.shape[0]
    if unbiased and n_cells < 2:
        return float("nan")
    total = 0.0
    for first, a in dense_blocks(x, block_size):
        for second, b in dense_blocks(x, block_size, start=first):
            values = function(_squared_distances(a, b))
            # Blocks right of the diagonal stand for their mirror images too.
            total += float(values.sum() - np.trace(values)) if first == second else 2 * float(values.sum())
    return total / (n_cells * (n_cells - 1)) if unbiased else (total + n_cells * at_zero) / n_cells**2


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # In float64: in float32 the difference of the norms would leave equal cells visibly apart.
    squared = a @ b.T
    squared *= -2
    squared += np.einsum("ij,ij->i", a, a)[:, None]
    squared += np.einsum("ij,ij->i", b, b)[None, :]
    return np.maximum(squared, 0, out=squared)
