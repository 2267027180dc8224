"""What moves a gene: its base expression, the cell type, the response and the batch, all on the natural log scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from altercell.errors import DataError

# Effects are gamma distributed with this shape: most are modest and a few are strong, as in the response to IFN-beta.
EFFECT_SHAPE = 2.0


def effect_sizes(rng: np.random.Generator, mean: float, shape: int | tuple[int, ...]) -> np.ndarray:
    """Draw positive log fold changes.

    Parameters
    ----------
    rng
        Generator to draw from.
    mean
        Their mean.
    shape
        Shape of the answer.
    """
    return rng.gamma(EFFECT_SHAPE, mean / EFFECT_SHAPE, shape)


def random_order(rng: np.random.Generator, log_base: np.ndarray, low_bias: float) -> np.ndarray:
    """Draw genes one after the other without replacement, with weights `base ** -low_bias`.

    Parameters
    ----------
    rng
        Generator to draw from.
    log_base
        Log base expression, shape `(n_genes,)`.
    low_bias
        0 takes all genes alike; more prefers the weakly expressed.

    Returns
    -------
    Indices of all genes in the order drawn, shape `(n_genes,)`.
    """
    # Sorting by log weight + Gumbel noise is such a draw.
    return np.argsort(low_bias * log_base - rng.gumbel(size=len(log_base)))


def marker_effects(
    rng: np.random.Generator,
    log_base: np.ndarray,
    n_groups: int,
    *,
    share: float,
    size: float,
    spread: float,
    low_bias: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw how groups of cells differ: a set of marker genes each, and a little in every gene.

    Parameters
    ----------
    rng
        Generator to draw from.
    log_base
        Log base expression, shape `(n_genes,)`.
    n_groups
        Number of groups (types or lineages).
    share
        Share of the genes that mark a group; the groups' markers do not overlap.
    size
        Mean log fold change of a marker in its own group.
    spread
        Standard deviation of the differences that every gene has.
    low_bias
        Preference for weakly expressed genes, see :func:`random_order`.

    Returns
    -------
    effects
        Log fold changes against the base expression, shape `(n_groups, n_genes)`.
    marker_of
        Index of the group that a gene marks, -1 for none, shape `(n_genes,)`.

    Raises
    ------
    DataError
        There are more markers than genes.
    """
    n_genes = len(log_base)
    n_markers = round(share * n_genes)
    if n_markers * n_groups > n_genes:
        raise DataError(
            f"marker_share={share} gives each of {n_groups} groups {n_markers} markers, more than the {n_genes} genes "
            f"there are; at most {1 / n_groups:.3g} fits."
        )
    marker_of = np.full(n_genes, -1)
    chosen = rng.permutation(random_order(rng, log_base, low_bias)[: n_markers * n_groups])
    marker_of[chosen] = np.repeat(np.arange(n_groups), n_markers)
    effects = rng.normal(0.0, spread, (n_groups, n_genes))
    effects[marker_of[chosen], chosen] += effect_sizes(rng, size, len(chosen))
    return effects, marker_of


@dataclass(frozen=True)
class ResponseShape:
    """What a response looks like; the arguments of :func:`simulate_response` of the same names.

    Attributes
    ----------
    share
        Share of the genes that respond in a type.
    size
        Mean absolute log fold change of a responding gene.
    up_share
        Share of the responding genes that go up.
    specific_share
        Share of a type's responding genes that do not respond in all types.
    lineage_similarity
        Share of these that respond in all types of the lineage.
    low_bias
        Preference for weakly expressed genes, see :func:`random_order`.
    """

    share: float
    size: float
    up_share: float
    specific_share: float
    lineage_similarity: float
    low_bias: float

    def draw(self, rng: np.random.Generator, log_base: np.ndarray, n: int, free: np.ndarray) -> np.ndarray:
        """Draw the log fold changes of `n` genes, all others zero.

        Parameters
        ----------
        rng
            Generator to draw from.
        log_base
            Log base expression, shape `(n_genes,)`.
        n
            How many genes respond.
        free
            Which genes may be drawn, shape `(n_genes,)`.

        Returns
        -------
        Log fold changes, shape `(n_genes,)`.
        """
        effects = np.zeros_like(log_base)
        order = random_order(rng, log_base, self.low_bias)
        sign = np.where(rng.random(n) < self.up_share, 1.0, -1.0)
        effects[order[free[order]][:n]] = sign * effect_sizes(rng, self.size, n)
        return effects


def response_effects(
    rng: np.random.Generator, log_base: np.ndarray, lineage_of: np.ndarray, shape: ResponseShape
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the response to one condition: genes common to all types, to a lineage, and of a type alone.

    Parameters
    ----------
    rng
        Generator to draw from.
    log_base
        Log base expression, shape `(n_genes,)`.
    lineage_of
        Index of the lineage of each type, shape `(n_types,)`.
    shape
        How many genes respond, where, and how much.

    Returns
    -------
    shared
        Log fold changes common to all types, shape `(n_genes,)`.
    effects
        Log fold changes of each type, the shared included, shape `(n_types, n_genes)`.
    """
    n_all = round(shape.share * len(log_base))
    n_specific = round(shape.specific_share * n_all)
    n_lineage = round(shape.lineage_similarity * n_specific)
    shared = shape.draw(rng, log_base, n_all - n_specific, np.ones(len(log_base), dtype=bool))
    lineages = [shape.draw(rng, log_base, n_lineage, shared == 0) for _ in range(lineage_of.max() + 1)]
    common = shared + np.stack(lineages)[lineage_of]
    own = [shape.draw(rng, log_base, n_specific - n_lineage, row == 0) for row in common]
    return shared, common + np.stack(own)


def expected_profiles(
    log_base: np.ndarray, type_effect: np.ndarray, response: np.ndarray, batch_effect: np.ndarray
) -> np.ndarray:
    r"""Combine the effects into what share of a cell's counts each gene is expected to have.

    .. math:: p_{tcbg} = \mathrm{softmax}_g(\beta_g + \tau_{tg} + \rho_{tcg} + \delta_{bg})

    Parameters
    ----------
    log_base
        Log base expression, shape `(n_genes,)`.
    type_effect
        Log fold change of the type, shape `(n_types, n_genes)`.
    response
        Log fold change of the condition in the type, shape `(n_types, n_conditions, n_genes)`.
    batch_effect
        Log fold change of the batch, shape `(n_batches, n_genes)`.

    Returns
    -------
    Shares that sum to one over the genes, shape `(n_types, n_conditions, n_batches, n_genes)`.
    """
    logits = log_base + type_effect[:, None, None] + response[:, :, None] + batch_effect
    return softmax(logits, axis=-1)
