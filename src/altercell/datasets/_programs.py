"""PROSSTT's model: a tree of branches, and programmes of genes that diffuse along each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from altercell.errors import DataError

# A branch whose expression runs away is drawn anew at most so many times.
N_TRIES = 100


def branch_parents(n_branches: int, topology: Sequence[tuple[int, int]] | None) -> np.ndarray:
    """Return the branch that each branch springs from.

    Parameters
    ----------
    n_branches
        Number of branches of a tree that splits breadth first: branch 0 into 1 and 2, branch 1 into 3 and 4, and so on.
        Where one would be left over, the last split is into three. Not read where there is a `topology`.
    topology
        Pairs (parent, child), one for each branch but the root.

    Returns
    -------
    Parents, each smaller than its child, -1 for the root, shape `(n_branches,)`.

    Raises
    ------
    DataError
        The pairs are no tree, or not numbered from the root outwards.
    """
    if topology is None:
        parents = (np.arange(n_branches) - 1) // 2
        if n_branches > 2 and n_branches % 2 == 0:
            parents[-1] = parents[-2]
        return parents
    pairs = [tuple(pair) for pair in topology]
    parent_of = {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
    in_order = sorted(parent_of) == list(range(1, len(pairs) + 1))
    if not in_order or any(not 0 <= parent < child for child, parent in parent_of.items()):
        raise DataError(
            f"topology must name the parent of each branch 1, 2, ... once, as pairs (parent, child) with the parent's "
            f"number below the child's, such as [(0, 1), (0, 2)]; got {pairs!r}."
        )
    return np.array([-1, *(parent_of[child] for child in sorted(parent_of))])


@dataclass(frozen=True)
class Diffusion:
    r"""A random walk with momentum, in log space :cite:p:`Papadopoulos2019`.

    .. math:: W_0 = 0, \quad V_0 \sim N(0, v^2), \quad W_{t+1} = W_t + V_t, \quad
        V_{t+1} = (m - \eta) V_t + \epsilon_t, \quad \eta \sim U(0, 1), \quad \epsilon_t \sim N(0, (j / T)^2)

    Attributes
    ----------
    n_steps
        T.
    start_speed
        v.
    momentum
        m.
    jitter
        j.
    """

    n_steps: int
    start_speed: float
    momentum: float
    jitter: float

    def draw(self, rng: np.random.Generator, n_walks: int) -> np.ndarray:
        """Draw independent walks.

        Parameters
        ----------
        rng
            Generator to draw from.
        n_walks
            How many.

        Returns
        -------
        Shape `(n_steps, n_walks)`, the first row zero.
        """
        kept = self.momentum - rng.random(n_walks)
        speed = np.empty((self.n_steps, n_walks))
        speed[0] = rng.normal(0.0, self.start_speed, n_walks)
        speed[1:] = rng.normal(0.0, self.jitter / self.n_steps, (self.n_steps - 1, n_walks))
        for step in range(1, self.n_steps):
            speed[step] += kept * speed[step - 1]
        return speed.cumsum(axis=0) - speed


def branch_programs(
    rng: np.random.Generator,
    parents: np.ndarray,
    coefficients: np.ndarray,
    diffusion: Diffusion,
    *,
    max_log_change: float,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw the programmes of each branch, and how they move the genes.

    .. math:: r_{btg} = r_{p(b) T g} + \sum_k W_{btk} h_{kg}, \quad r_{0 0 g} = 0

    A branch's first step is its parent's last, so that expression is continuous. Branches where a gene rises above
    `max_log_change` are drawn anew.

    Parameters
    ----------
    rng
        Generator to draw from.
    parents
        Parent p of each branch, -1 for the root, shape `(n_branches,)`.
    coefficients
        Weights h, shape `(n_programs, n_genes)`.
    diffusion
        What the programmes W are drawn from.
    max_log_change
        Largest value of r.

    Returns
    -------
    programs
        W, shape `(n_branches, n_steps, n_programs)`.
    log_change
        r, shape `(n_branches, n_steps, n_genes)`.

    Raises
    ------
    DataError
        No draw of a branch stays below `max_log_change`.
    """
    programs = np.zeros((len(parents), diffusion.n_steps, len(coefficients)))
    log_change = np.zeros((len(parents), diffusion.n_steps, coefficients.shape[1]))
    for branch, (parent, stream) in enumerate(zip(parents, rng.spawn(len(parents)), strict=True)):
        start = log_change[parent, -1] if parent >= 0 else 0.0
        for _ in range(N_TRIES):
            programs[branch] = diffusion.draw(stream, len(coefficients))
            log_change[branch] = start + programs[branch] @ coefficients
            if log_change[branch].max() <= max_log_change:
                break
        else:
            raise DataError(
                f"branch_{branch} rose above max_log_change={max_log_change} in each of {N_TRIES} draws: raise it, or "
                "lower coefficient_shape, start_speed, jitter or n_programs."
            )
    return programs, log_change


def base_expression(
    rng: np.random.Generator, log_change: np.ndarray, *, location: float, scale: float, highest: float
) -> np.ndarray:
    """Draw log-normal base expression, cut off so that no gene rises above a limit anywhere on the tree.

    Parameters
    ----------
    rng
        Generator to draw from.
    log_change
        How genes move, natural logarithm, shape `(n_branches, n_steps, n_genes)`.
    location, scale
        Mean and standard deviation of the logarithm, before it is cut off.
    highest
        Largest expected count.

    Returns
    -------
    Expected counts at the root's start, shape `(n_genes,)`.
    """
    limit = np.log(highest) - log_change.max(axis=(0, 1))
    uniform = rng.random(log_change.shape[-1]) * ndtr((limit - location) / scale)
    return np.exp(location + scale * ndtri(uniform))


@dataclass(frozen=True)
class CountVariance:
    r"""Dispersion of a count of variance :math:`\alpha \mu^2 + \beta \mu` :cite:p:`Papadopoulos2019`.

    A negative binomial count of mean :math:`\mu` has it where its dispersion is :math:`\alpha + (\beta - 1) / \mu`.

    Attributes
    ----------
    alpha
        :math:`\alpha > 0`, shape `(n_genes,)`.
    beta
        :math:`\beta \ge 1`, shape `(n_genes,)`.
    """

    alpha: np.ndarray
    beta: np.ndarray

    def __call__(self, mean: np.ndarray) -> np.ndarray:
        """Return the dispersion at expected counts above zero, of shape `(n_cells, n_genes)`, in the same shape."""
        return self.alpha + (self.beta - 1.0) / mean
