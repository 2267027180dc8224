"""Splatter's model: what moves the mean of a gene, and how much cells vary around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from scipy import sparse

from altercell._space import COUNTS, get_space
from altercell.errors import DataError

# A non-linear path may not fall to zero or below; this keeps logarithms of the factors finite.
SMALLEST_FACTOR = 1e-6
# Below this expected count nothing is drawn in practice, and 1 / sqrt(mean) stays finite.
SMALLEST_MEAN = 1e-8
# The variation is estimated on this share of a reference's genes, those expressed most.
EXPRESSED_SHARE = 0.1


@dataclass(frozen=True)
class Variation:
    r"""Dispersion with Splatter's trend, which falls with the expected count :cite:p:`Zappia2017`.

    .. math:: \alpha_{ig} = B_{ig}^2, \quad B_{ig} = c_g (\phi + 1 / \sqrt{\mu_{ig}})

    Attributes
    ----------
    common
        The biological coefficient of variation :math:`\phi` that all genes have in common.
    scale
        :math:`c_g`, shape `(n_genes,)`.
    """

    common: float
    scale: np.ndarray

    def __call__(self, mean: np.ndarray) -> np.ndarray:
        """Return the dispersion at expected counts of shape `(n_cells, n_genes)`, in the same shape."""
        spread = 1.0 / np.sqrt(np.maximum(mean, SMALLEST_MEAN))
        spread += self.common
        spread *= self.scale
        return np.square(spread, out=spread)

    @classmethod
    def draw(cls, rng: np.random.Generator, common: float, freedom: float, n_genes: int) -> Variation:
        r"""Draw the genes' scales, :math:`c_g^2 = f / \chi^2_f`.

        Parameters
        ----------
        rng
            Generator to draw from.
        common
            :math:`\phi`.
        freedom
            Degrees of freedom f.
        n_genes
            Number of genes.
        """
        return cls(common, np.sqrt(freedom / rng.chisquare(freedom, n_genes)))


def gene_shares(
    rng: np.random.Generator, n_genes: int, *, shape: float, outlier_share: float, location: float, scale: float
) -> np.ndarray:
    """Draw the base expression: gamma distributed means, and a few genes far above them.

    An outlier has the median of the means times a log-normal factor, as in Splatter :cite:p:`Zappia2017`. The rate of
    the gamma distribution does not matter, since only shares are used.

    Parameters
    ----------
    rng
        Generator to draw from.
    n_genes
        Number of genes.
    shape
        Shape of the gamma distribution.
    outlier_share
        Probability that a gene is an outlier.
    location, scale
        Mean and standard deviation of the logarithm of an outlier's factor.

    Returns
    -------
    Shares that sum to one, shape `(n_genes,)`.
    """
    means = rng.gamma(shape, size=n_genes)
    outlier = rng.random(n_genes) < outlier_share
    factors = rng.lognormal(location, scale, n_genes)
    means = np.where(outlier, np.median(means) * factors, means)
    return means / means.sum()


def effect_factors(
    rng: np.random.Generator, n_groups: int, n_genes: int, *, share: float, location: float, scale: float
) -> np.ndarray:
    r"""Draw Splatter's factors: one for some genes, :math:`e^{\pm z}` with :math:`z \sim N(m, s^2)` for the others.

    Up and down are equally likely. Each group has its own stream, so that a further group leaves the others as they
    are.

    Parameters
    ----------
    rng
        Generator to draw from.
    n_groups
        Number of groups (batches or paths).
    n_genes
        Number of genes.
    share
        Probability that a gene has a factor other than one.
    location, scale
        m and s.

    Returns
    -------
    Factors above zero, shape `(n_groups, n_genes)`.
    """
    streams = rng.spawn(n_groups)
    return np.stack([_group_factors(stream, n_genes, share, location, scale) for stream in streams])


def _group_factors(rng: np.random.Generator, n_genes: int, share: float, location: float, scale: float) -> np.ndarray:
    chosen, up = rng.random((2, n_genes)) < [[share], [0.5]]
    size = rng.normal(location, scale, n_genes)
    return np.exp(np.where(chosen, np.where(up, size, -size), 0.0))


def path_factors(
    rng: np.random.Generator, ends: np.ndarray, n_steps: int, *, curved_share: float, curve_spread: float
) -> np.ndarray:
    r"""Lead the genes from one to their factors at the path's end, on a straight line or on a Brownian bridge.

    .. math:: f(t) = 1 + t (F - 1) + \sigma (W_t - t W_1), \quad 0 \le t \le 1, \quad
        \sigma \sim U(0, s) \cdot (1 + F) / 2 \text{ where the gene is curved, else } 0

    Parameters
    ----------
    rng
        Generator to draw from.
    ends
        Factors F at the end, shape `(n_paths, n_genes)`.
    n_steps
        Number of steps, at least two; the first is the origin.
    curved_share
        Probability that a gene follows a bridge.
    curve_spread
        s.

    Returns
    -------
    Factors above zero, shape `(n_paths, n_steps, n_genes)`.
    """
    time = np.linspace(0.0, 1.0, n_steps)[:, None]
    straight = 1.0 + time * (ends[:, None] - 1.0)
    sigma = rng.random(ends.shape) * curve_spread * (1.0 + ends) / 2.0
    sigma *= rng.random(ends.shape) < curved_share
    moves = rng.normal(0.0, 1.0 / np.sqrt(n_steps - 1), (len(ends), n_steps - 1, ends.shape[1]))
    walk = np.concatenate([np.zeros_like(moves[:, :1]), moves.cumsum(axis=1)], axis=1)
    return np.maximum(straight + sigma[:, None] * (walk - time * walk[:, -1:]), SMALLEST_FACTOR)


@dataclass(frozen=True)
class Reference:
    """What is taken over from measured counts.

    Attributes
    ----------
    shares
        Share of all counts that each gene has, shape `(n_genes,)`.
    genes
        Their names, shape `(n_genes,)`.
    library_size
        Median total of a log-normal distribution that is fitted to the cells' totals.
    library_spread
        Standard deviation of its natural logarithm.
    bcv
        The common biological coefficient of variation.
    """

    shares: np.ndarray
    genes: np.ndarray
    library_size: float
    library_spread: float
    bcv: float

    @classmethod
    def estimate(cls, like: AnnData) -> Reference:
        """Estimate the parameters from counts; cells without any count are left out.

        Parameters
        ----------
        like
            Cells with counts in X, not changed. Backed cells are read into memory.

        Raises
        ------
        DataError
            X does not hold counts.
        """
        if (space := get_space(like)) != COUNTS:
            raise DataError(f"like must hold counts in X, but it holds: {space}.")
        counts = sparse.csr_matrix(like.to_memory().X if like.isbacked else like.X, dtype=np.float64)
        totals = np.asarray(counts.sum(axis=1)).ravel()
        counts, totals = counts[totals > 0], totals[totals > 0]
        shares = np.asarray(counts.sum(axis=0)).ravel() / totals.sum()
        logs = np.log(totals)
        bcv = _common_variation(counts, totals, shares)
        return cls(shares, np.asarray(like.var_names, dtype=object), float(np.exp(logs.mean())), float(logs.std()), bcv)

    def take(self, rng: np.random.Generator, n_genes: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares, summing to one, and the names of all genes or of some drawn at random, in their order.

        Parameters
        ----------
        rng
            Generator to draw from.
        n_genes
            How many; None for all.

        Raises
        ------
        DataError
            There are fewer genes, or none of those drawn has a count.
        """
        n_genes = len(self.genes) if n_genes is None else n_genes
        if n_genes > len(self.genes):
            raise DataError(f"n_genes={n_genes} is more than the {len(self.genes)} genes of like; take at most these.")
        kept = np.sort(rng.permutation(len(self.genes))[:n_genes])
        shares = self.shares[kept]
        if not shares.any():
            raise DataError(f"none of the {n_genes} genes drawn from like has a count; take more genes.")
        return shares / shares.sum(), self.genes[kept]


def _common_variation(counts: sparse.csr_matrix, totals: np.ndarray, shares: np.ndarray) -> float:
    r"""Estimate the common biological coefficient of variation by moments, gene by gene.

    .. math:: \sum_i (x_i - \mu_i)^2 - \mu_i = \sum_i (\phi \mu_i + \sqrt{\mu_i})^2

    The left side is what the variance has above Poisson's, the right side what :class:`Variation` says of it. The
    median of the genes expressed most is returned; a gene that varies less than the trend has zero.
    """
    n_top = max(1, round(EXPRESSED_SHARE * len(shares)))
    top = np.argsort(shares)[len(shares) - n_top :]
    top = top[shares[top] > 0]
    x, p = counts[:, top], shares[top]
    squares = np.asarray(x.multiply(x).sum(axis=0)).ravel() - 2 * p * (x.T @ totals) + p**2 * (totals**2).sum()
    # The sums over cells of mu ** 1, 1.5 and 2.
    first, middle, second = (p**power * (totals**power).sum() for power in (1.0, 1.5, 2.0))
    root = np.sqrt(np.maximum(middle**2 + second * (squares - 2 * first), middle**2))
    return float(np.median((root - middle) / second))
