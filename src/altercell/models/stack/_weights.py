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
    Without an inner type the first member stands alone. The inner types' own predictions, by which the stack is judged,
    take the weights that the other inner types have taught.

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
    real, said = evidence.target.means[inner] - base, answers[:, n_asked:] - base  # (u, g), (m, u, g)
    size = response_sizes(evidence)
    grams = np.einsum("mug,nug->umn", said, said) / size[:, None, None]
    moments = np.einsum("mug,ug->um", said, real) / size[:, None]
    return [
        _for_asked(answers, row, n_asked, grams, moments, evidence.distances[asked, inner] / evidence.scale)
        for row, asked in enumerate(evidence.asked)
    ]


def response_sizes(evidence: Evidence) -> np.ndarray:
    """Return the squared size of the inner types' responses, at least that of their noise, shape ``(n_inner,)``.

    Parameters
    ----------
    evidence
        What is known.
    """
    inner = evidence.inner_types
    squares = ((evidence.target.means[inner] - evidence.source.means[inner]) ** 2).sum(axis=1)
    return np.maximum(np.maximum(squares, evidence.response_noise(inner).sum(axis=1)), 1e-12)


def _for_asked(
    answers: np.ndarray, row: int, n_asked: int, grams: np.ndarray, moments: np.ndarray, distances: np.ndarray
) -> Stacked:
    """Return the stack for one asked type; an inner type is predicted with weights that the others have taught."""
    share = np.exp(-(distances - distances.min(initial=np.inf))) if len(distances) else distances
    weights = _convex_weights(np.tensordot(share, grams, axes=1), share @ moments)
    each = [weights]
    for u in range(len(share)):
        rest = share * (np.arange(len(share)) != u)
        each.append(_convex_weights(np.tensordot(rest, grams, axes=1), rest @ moments))
    own = np.concatenate([answers[:, [row]], answers[:, n_asked:]], axis=1)  # (m, 1 + u, g)
    mean = np.einsum("fm,mfg->fg", np.stack(each), own)
    spread = np.einsum("fm,mfg->fg", np.stack(each), (own - mean) ** 2)
    return Stacked(weights, np.maximum(mean, 0), spread)


def _convex_weights(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Return the weights of sum 1, none negative, of least squares with these normal equations.

    Where there is nothing to learn from, the first member stands alone.
    """
    n_members, size = len(gram), float(np.trace(gram))
    if size <= 0 or n_members == 1:
        return np.eye(n_members)[0]
    heavy = SUM_WEIGHT * size
    square = np.linalg.cholesky(gram + heavy + 1e-10 * size * np.eye(n_members))
    found, _ = nnls(square.T, np.linalg.solve(square, moment + heavy))
    return found / found.sum() if found.sum() > 0 else np.eye(n_members)[0]
