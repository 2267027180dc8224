r"""Mean cells of the types of one condition, how sure they are, and how alike the types are.

Notation: :math:`c_k` is the mean of the :math:`n_k` cells of type k in gene space, :math:`v_{kg}` the variance of that
mean for gene g. A type's own variance is drawn towards that of all types, by as much as ten cells weigh:

.. math:: v_{kg} = \frac{n_k s^2_{kg} + 10 \bar s^2_g}{(n_k + 10)\, n_k}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: So many cells' weight has the variance over all types in that of one type.
PRIOR_CELLS = 10.0
#: A type counts for as much as if its response had this variance of its own beside that of its means.
TYPE_VARIANCE = 1 / 200


@dataclass(frozen=True)
class Profiles:
    """Mean cells of types in one condition.

    Attributes
    ----------
    means
        Shape ``(n_types, n_genes)``; 0 for a type without cells.
    sizes
        Number of cells, shape ``(n_types,)``.
    noise
        Variance of each mean, shape ``(n_types, n_genes)``; 0 for a type without cells.
    """

    means: np.ndarray
    sizes: np.ndarray
    noise: np.ndarray

    @classmethod
    def of_sums(cls, sums: np.ndarray, squares: np.ndarray, sizes: np.ndarray, *, alone: bool = False) -> Profiles:
        """Make profiles of sums over cells.

        Parameters
        ----------
        sums, squares
            Sums of the cells and of their squares, shape ``(n_types, n_genes)``.
        sizes
            Number of cells, shape ``(n_types,)``.
        alone
            Whether each type stands for itself, so that its noise does not depend on which others there are.
        """
        means, variances = moments(sums, squares, sizes)
        if alone:
            return cls(means, np.asarray(sizes), variances / np.maximum(sizes, 1)[:, None])
        return cls.of_moments(means, variances, sizes)

    @classmethod
    def of_moments(
        cls, means: np.ndarray, variances: np.ndarray, sizes: np.ndarray, pooled: np.ndarray | None = None
    ) -> Profiles:
        """Make profiles of means and variances.

        Parameters
        ----------
        means, variances
            Of the cells of each type, shape ``(n_types, n_genes)``.
        sizes
            Number of cells, shape ``(n_types,)``.
        pooled
            Positions of the types whose variances are pooled; None for all.
        """
        n = np.maximum(sizes, 1)[:, None].astype(float)
        freedom = np.maximum(sizes - 1, 0)
        if pooled is not None:
            freedom = freedom * np.isin(np.arange(len(sizes)), pooled)
        common = freedom @ variances / max(freedom.sum(), 1)
        noise = (n * variances + PRIOR_CELLS * common) / ((n + PRIOR_CELLS) * n) * (sizes > 0)[:, None]
        return cls(means, np.asarray(sizes), noise)

    def joined(self, other: Profiles) -> Profiles:
        """Return these types and, after them, those of `other`.

        Parameters
        ----------
        other
            Profiles of the same genes.
        """
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("means", "sizes", "noise"))
        return Profiles(*(np.concatenate(pair) for pair in pairs))

    def emptied(self) -> Profiles:
        """Return as many types without cells."""
        return Profiles(*(np.zeros_like(getattr(self, name)) for name in ("means", "sizes", "noise")))

    def at(self, kind: int) -> Profiles:
        """Return one type, as profiles of one.

        Parameters
        ----------
        kind
            Its position.
        """
        return Profiles(*(getattr(self, name)[kind : kind + 1] for name in ("means", "sizes", "noise")))

    def distances(self) -> np.ndarray:
        r"""Return how far apart the types are, beyond what the noise of their means explains.

        .. math:: D_{kl} = \max\bigl(0, \lVert c_k - c_l \rVert^2 - \textstyle\sum_g (v_{kg} + v_{lg})\bigr)

        Returns
        -------
        Squared distances, symmetric, shape ``(n_types, n_types)``, 0 on the diagonal.
        """
        norms, noise = (self.means**2).sum(1), self.noise.sum(1)
        squared = norms[:, None] + norms - 2 * self.means @ self.means.T
        distances = np.maximum(squared - noise[:, None] - noise, 0)
        np.fill_diagonal(distances, 0)
        return distances


def moments(sums: np.ndarray, squares: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and unbiased variances; 0 for a type without cells, and the variance 0 for one cell.

    Parameters
    ----------
    sums, squares
        Sums of the cells and of their squares, shape ``(n_types, n_genes)``.
    sizes
        Number of cells, shape ``(n_types,)``.
    """
    n = np.maximum(sizes, 1)[:, None].astype(float)
    means = sums / n
    return means, np.maximum(squares - n * means**2, 0) / np.maximum(n - 1, 1)


def typical_distance(distances: np.ndarray, types: np.ndarray) -> float:
    """Return the median distance between two of the types; 1 where none are apart.

    Parameters
    ----------
    distances
        Shape ``(n_all, n_all)``.
    types
        Codes of the types, shape ``(n_types,)``.
    """
    among = distances[np.ix_(types, types)][np.triu_indices(len(types), 1)]
    median = float(np.median(among)) if len(among) else 0.0
    return median if median > 0 else float(among.max(initial=0)) or 1.0


def similarity_weights(distances: np.ndarray, noise: np.ndarray, scale: float) -> np.ndarray:
    r"""Weigh types by how alike they are to the asked one, and by how sure their response is.

    .. math:: w_k \propto \frac{\exp(-D_{tk} / s)}{1/n_{kc} + 1/n_{ks} + 1/200}

    Parameters
    ----------
    distances
        :math:`D_{tk}`, shape ``(..., n_types)``.
    noise
        :math:`1/n_{kc} + 1/n_{ks}`, from the numbers of cells in source and target, shape ``(n_types,)``.
    scale
        The distance s at which a type's weight has fallen by e.

    Returns
    -------
    Weights that sum to 1, shape ``(..., n_types)``.
    """
    # Taken off all, the nearest type's distance cancels in the ratio; the exponential of a large one would be 0.
    near = distances - distances.min(axis=-1, keepdims=True)
    weights = np.exp(-near / scale) / (noise + TYPE_VARIANCE)
    return weights / weights.sum(axis=-1, keepdims=True)
