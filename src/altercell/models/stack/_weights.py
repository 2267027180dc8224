"""How much each member counts: learnt from types whose response is known, each predicted from the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from altercell.models.stack._evidence import Evidence
from altercell.models.stack._member import Member

#: So much more than all else counts that the weights sum to one.
SUM_WEIGHT = 1e3


@dataclass(frozen=True, eq=False)
class Stacked:
    """A weighted mean of the members' predictions, for an asked type and for the inner types.

    Attributes
    ----------
    weights
        Of the members, shape ``(n_members,)``: not negative, and of sum 1.
    means
        Mean target cells of the asked type and of the inner types, none negative, shape ``(1 + n_inner, n_genes)``.
    spread
        Weighted variance of the members' predictions, of the same shape.
    """

    weights: np.ndarray
    means: np.ndarray
    spread: np.ndarray


def stacked(evidence: Evidence, members: list[Member]) -> list[Stacked]:
    r"""Weigh the members, for each asked type t, by non-negative least squares over the inner types u and genes g.

    .. math::

        \min_{w \ge 0,\, \sum w = 1} \sum_u \frac{e^{-D_{tu} / \operatorname{median} D}}{\lVert s_u - c_u \rVert^2}
        \Bigl\lVert s_u - \sum_j w_j A_{ju} \Bigr\rVert^2:

    every inner type counts alike, whatever the size of its response, but those that are alike to the asked one more.
    Without an inner type the first member stands alone.

    Parameters
    ----------
    evidence
        What is known.
    members
        The members.

    Returns
    -------
    One for each asked type.
    """
    answers = np.stack([evidence.means(member) for member in members])  # (m, f, g)
    inner, n_asked = evidence.inner_types, len(evidence.asked)
    base = evidence.source.means[inner]
    real, wrong = evidence.target.means[inner] - base, answers[:, n_asked:] - base  # (u, g), (m, u, g)
    size = np.maximum((real**2).mean(axis=1), 1e-12)
    result = []
    for row, asked in enumerate(evidence.asked):
        near = evidence.distances[asked, inner] / evidence.scale
        weights = np.eye(len(members))[0]
        if len(inner) and len(members) > 1:
            share = np.sqrt(np.exp(-(near - near.min())) / size)[:, None]
            weights = _convex_weights((wrong * share).reshape(len(members), -1).T, (real * share).ravel())
        own = np.concatenate([answers[:, [row]], answers[:, n_asked:]], axis=1)
        mean = np.tensordot(weights, own, axes=1)
        result.append(Stacked(weights, np.maximum(mean, 0), np.tensordot(weights, (own - mean) ** 2, axes=1)))
    return result


def _convex_weights(design: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the weights of sum 1, none negative, that bring the columns of `design` nearest to `goal`."""
    n_members = design.shape[1]
    # The normal equations: as many rows as members, whatever the number of genes.
    gram, moment = design.T @ design, design.T @ goal
    heavy = SUM_WEIGHT * max(np.trace(gram), 1e-300)
    square = np.linalg.cholesky(gram + heavy + 1e-10 * np.eye(n_members) * max(np.trace(gram), 1e-300))
    found, _ = nnls(square.T, np.linalg.solve(square, moment + heavy))
    return found / found.sum() if found.sum() > 0 else np.eye(n_members)[0]
