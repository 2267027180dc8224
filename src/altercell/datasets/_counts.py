"""From expected profiles to cells: which group each cell belongs to, and its counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

#: The dispersion of each gene, or a function that gives it where it depends on the expected count.
Dispersion = np.ndarray | Callable[[np.ndarray], np.ndarray]

# Cells are drawn in blocks of about this many numbers (32 MB), so that only the non-zero counts are ever held at once.
BLOCK = 4_000_000


def assign_groups(rng: np.random.Generator, shares: np.ndarray, n_cells: int) -> np.ndarray:
    """Spread cells over groups as evenly as the shares allow, in random order.

    A group's size differs from `share * n_cells` by less than one cell.

    Parameters
    ----------
    rng
        Generator to draw from.
    shares
        Share of each group, summing to one, shape `(n_groups,)`.
    n_cells
        Number of cells.

    Returns
    -------
    Index of the group of each cell, shape `(n_cells,)`.
    """
    ranks = (np.arange(n_cells) + 0.5) / n_cells
    groups = np.searchsorted(np.cumsum(shares), ranks)
    return rng.permutation(np.minimum(groups, len(shares) - 1))


def negative_binomial(
    rng: np.random.Generator, profiles: np.ndarray, groups: np.ndarray, library: np.ndarray, dispersion: Dispersion
) -> sparse.csr_matrix:
    r"""Draw counts as a gamma-Poisson mixture, as Splatter :cite:p:`Zappia2017` does.

    .. math:: \mu_{ig} = l_i\,p_{k_i g}, \quad \lambda_{ig} \sim \Gamma(1 / \alpha_g, \alpha_g \mu_{ig}), \quad
        x_{ig} \sim \mathrm{Poisson}(\lambda_{ig}),

    so that a count has mean :math:`\mu` and variance :math:`\mu + \alpha \mu^2`; :math:`\alpha` may depend on the
    gene alone, or on the gene and the mean.

    Parameters
    ----------
    rng
        Generator to draw from.
    profiles
        Expected counts of the genes per unit of `library`, such as their shares of it, shape `(n_groups, n_genes)`.
    groups
        Group of each cell, shape `(n_cells,)`.
    library
        Scale of each cell, such as its expected total count, shape `(n_cells,)`.
    dispersion
        :math:`\alpha`, above zero, shape `(n_genes,)`; or a function from expected counts of shape
        `(n_some_cells, n_genes)` to such values of the same shape.

    Returns
    -------
    Whole counts as float32, shape `(n_cells, n_genes)`.
    """
    step = max(1, BLOCK // profiles.shape[1])
    blocks = []
    for start in range(0, len(groups), step):
        cells = slice(start, start + step)
        profile = profiles[groups[cells]]
        spread = dispersion(profile * library[cells, None]) if callable(dispersion) else dispersion
        rate = rng.standard_gamma(1.0 / spread, profile.shape)
        rate *= spread
        rate *= profile
        rate *= library[cells, None]
        blocks.append(sparse.csr_matrix(rng.poisson(rate), dtype=np.float32))
    return sparse.vstack(blocks, format="csr")
