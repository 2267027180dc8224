"""From profiles that a generator makes to counts: the rates of the class, and the zeros of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Dispersions that are tried; the best lies between two of them.
DISPERSIONS = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5])
#: A gene of fewer counts a cell than this tells little of its dispersion, which is then held below the second number.
FEW_COUNTS, FEW_COUNTS_DISPERSION = 0.2, 0.2
PSEUDO_CELLS = 2.0
FACTORS = (0.1, 10.0)
ROUNDS = 10


class ClassCounts:
    """Sums over measured cells, by class, that are taken batch by batch.

    Parameters
    ----------
    n_classes, n_genes
        Sizes.

    Attributes
    ----------
    sums, zeros
        Sum of the counts, and number of zeros, shape ``(n_classes, n_genes)``.
    totals, sizes
        Sum of the cells' totals, and number of cells, shape ``(n_classes,)``.
    """

    def __init__(self, n_classes: int, n_genes: int) -> None:
        self.sums, self.zeros = np.zeros((n_classes, n_genes)), np.zeros((n_classes, n_genes))
        self.totals, self.sizes = np.zeros(n_classes), np.zeros(n_classes)

    def add(self, counts: np.ndarray, classes: np.ndarray) -> None:
        """Add cells.

        Parameters
        ----------
        counts
            Shape ``(n_cells, n_genes)``.
        classes
            Class of each, shape ``(n_cells,)``.
        """
        for number in np.unique(classes):
            mine = counts[classes == number]
            self.sums[number] += mine.sum(axis=0, dtype=np.float64)
            self.zeros[number] += (mine == 0).sum(axis=0)
            self.totals[number] += mine.sum(dtype=np.float64)
            self.sizes[number] += len(mine)

    def rates(self) -> np.ndarray:
        """Return the share of each class's counts that a gene has, drawn a little towards that over all cells."""
        whole, cells = self.sums.sum(axis=0), max(self.sizes.sum(), 1)
        total = max(self.totals.sum(), 1)
        prior = PSEUDO_CELLS * total / cells
        return (self.sums + prior * whole / total) / (self.totals + prior)[:, None]


@dataclass(frozen=True, eq=False)
class CountHead:
    r"""Draws counts around profiles p, whose rows sum to 1.

    .. math::

        \mu_{ig} = l_i \frac{f_{c g} p_{ig}}{\sum_h f_{c h} p_{ih}}, \qquad
        x_{ig} \sim \operatorname{Poisson}(\mu_{ig} \gamma_{ig}), \quad \gamma_{ig} \sim \Gamma(1 / \phi_g, \phi_g)

    Attributes
    ----------
    factors
        f, of each class and gene, shape ``(n_classes, n_genes)``.
    dispersion
        :math:`\phi`, shape ``(n_genes,)``.
    """

    factors: np.ndarray
    dispersion: np.ndarray

    @classmethod
    def fit(cls, profiles: np.ndarray, totals: np.ndarray, classes: np.ndarray, measured: ClassCounts) -> CountHead:
        r"""Fit the head to what a generator makes.

        f brings the mean of a class's profiles, weighted by the totals, to the share of the class's counts that the
        gene has. :math:`\phi` is that which gives as many zeros as were measured,

        .. math:: \sum_c \frac{n_c}{n} \frac1{m_c} \sum_{i \in c} (1 + \phi \mu_{ig})^{-1 / \phi} = \text{share of 0}.

        Parameters
        ----------
        profiles
            Made cells, rows of sum 1, shape ``(n_made, n_genes)``; some of every class that has measured cells.
        totals, classes
            Their totals and classes, shape ``(n_made,)``.
        measured
            The measured cells.
        """
        there, rates = np.unique(classes), measured.rates()
        factors = np.ones_like(rates)
        for number in there:
            mine = classes == number
            for _ in range(ROUNDS):  # what the factors change, the scaling to a sum of 1 changes a little again
                mean = totals[mine] @ _scaled(factors[number] * profiles[mine]) / totals[mine].sum()
                factors[number] = np.clip(factors[number] * rates[number] / np.maximum(mean, 1e-12), *FACTORS)
        mu = totals[:, None] * _scaled(factors[classes] * profiles)
        made = np.bincount(classes, minlength=len(rates))
        weights = (measured.sizes / measured.sizes.sum() / np.maximum(made, 1))[classes]
        wanted = measured.zeros.sum(axis=0) / measured.sizes.sum()
        shares = np.stack([weights @ zero_chance(mu, phi) for phi in DISPERSIONS])  # rises with the dispersion
        dispersion = _crossing(shares, wanted)
        few = measured.sums.sum(axis=0) / measured.sizes.sum() < FEW_COUNTS
        return cls(factors, np.where(few, np.minimum(dispersion, FEW_COUNTS_DISPERSION), dispersion))

    def means(self, profiles: np.ndarray, totals: np.ndarray, classes: np.ndarray) -> np.ndarray:
        r"""Return the expected counts :math:`\mu`, shape ``(n_cells, n_genes)``.

        Parameters
        ----------
        profiles, totals, classes
            Of the cells; see :meth:`fit`.
        """
        return totals[:, None] * _scaled(self.factors[classes] * profiles)


def _scaled(profiles: np.ndarray) -> np.ndarray:
    """Return profiles scaled to a sum of 1."""
    return profiles / np.maximum(profiles.sum(axis=1, keepdims=True), 1e-12)


def zero_chance(mu: np.ndarray, dispersion: float) -> np.ndarray:
    """Return the chance that a negative binomial count is zero.

    Parameters
    ----------
    mu
        Its mean.
    dispersion
        Its dispersion; 0 for a Poisson count.
    """
    return np.exp(-mu) if dispersion == 0 else np.exp(-np.log1p(dispersion * mu) / dispersion)


def _crossing(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where shares that rise along the dispersions reach what is wanted, each column by itself."""
    above = np.clip((shares < wanted).sum(axis=0), 1, len(shares) - 1)
    column = np.arange(shares.shape[1])
    low, high = shares[above - 1, column], shares[above, column]
    part = np.divide(wanted - low, high - low, out=np.zeros_like(wanted), where=high > low)
    step = DISPERSIONS[above] - DISPERSIONS[above - 1]
    return DISPERSIONS[above - 1] + np.clip(part, 0, 1) * step
