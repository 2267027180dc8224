r"""Kriging: a gene's response is a Gaussian process over the types, by how alike their control cells are.

The response :math:`d_k = s_k - c_k` of a gene g in type k has, over the types, the prior

.. math::

    d_g \sim N\bigl(0,\; a\, 1 1^\top + b\, e^{-D / (l m)} + o\, c_g c_g^\top + \operatorname{diag} V_g\bigr):

a response that all types share, one that alike types share (D are the distances of the types' control cells and m
their median), one in proportion to the gene's expression :math:`c_g`, and the noise of the two means. The four numbers
are not chosen: they are summed over a grid, with weights that all genes share and that are estimated from them
(empirical Bayes, by expectation-maximisation), and for each gene by its own likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import torch

from altercell.models.stack._evidence import Evidence
from altercell.models.stack._member import Member

SHARED = (0.0, 0.01, 0.1, 1.0)
ALIKE = (0.0, 0.01, 0.05, 0.2, 1.0)
PROPORTIONAL = (0.0, 0.1)
LENGTHS = (0.1, 0.3, 1.0)
ROUNDS = 30
#: Numbers in the matrices that are inverted at once.
BLOCK = 5_000_000
#: Share of the prior's variance that is added to the noise: a gene without noise would have no inverse.
JITTER = 1e-8


@dataclass(frozen=True)
class Grid:
    """Values of the prior's numbers, shape ``(n_points,)`` each: a, b, l and o."""

    shared: np.ndarray
    alike: np.ndarray
    length: np.ndarray
    proportional: np.ndarray

    @classmethod
    def usual(cls) -> Grid:
        """Return the usual grid; without what types share by likeness the length is of no account."""
        points = [
            (a, b, length, o)
            for a, b, o in product(SHARED, ALIKE, PROPORTIONAL)
            for length in (LENGTHS if b else LENGTHS[:1])
        ]
        return cls(*np.array(points).T)

    def across(self, distances: np.ndarray) -> np.ndarray:
        """Return the covariance of types and other types, in the part that all genes share.

        Parameters
        ----------
        distances
            In units of the typical one, shape ``(n, m)``.

        Returns
        -------
        Shape ``(n_points, n, m)``.
        """
        alike = np.exp(-distances / self.length[:, None, None])
        return self.shared[:, None, None] + self.alike[:, None, None] * alike

    def covariance(self, distances: np.ndarray) -> np.ndarray:
        """Return the covariance among types, in the part that all genes share.

        Distances less their noise are not those of points, so that the kernel need not be a covariance; its negative
        eigenvalues are then set to 0.

        Parameters
        ----------
        distances
            In units of the typical one, symmetric, shape ``(n, n)``.

        Returns
        -------
        Shape ``(n_points, n, n)``, positive semi-definite.
        """
        values, vectors = np.linalg.eigh(np.exp(-distances / self.length[:, None, None]))
        alike = (vectors * np.maximum(values, 0)[:, None]) @ vectors.transpose(0, 2, 1)
        return self.shared[:, None, None] + self.alike[:, None, None] * alike


@dataclass(frozen=True)
class Posterior:
    """What kriging says of every fold, at each point of the grid: shape ``(n_folds, n_genes, n_points)`` each.

    Attributes
    ----------
    log_likelihood
        Of the responses of the fold's types.
    mean, variance
        Of the asked type's response.
    """

    log_likelihood: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


class Kriging(Member):
    r"""Kriging over types; see the module's text for the model.

    A fold that leaves a type out is not solved anew: with :math:`P = \Sigma^{-1}`, what the others say of type u is
    normal with mean :math:`d_u - (P d)_u / P_{uu}` and variance :math:`1 / P_{uu}`, exactly :cite:p:`Rasmussen2006`.
    """

    name: ClassVar[str] = "kriging"

    def means(self, evidence: Evidence) -> np.ndarray:
        """See :meth:`Member.means`.

        Parameters
        ----------
        evidence
            What is known.
        """
        return self.solve(evidence)[0]

    def solve(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
        """Return the means and the variances of the response.

        Parameters
        ----------
        evidence
            What is known.

        Returns
        -------
        Mean target cells, and the posterior variance of their response, shape ``(n_folds, n_genes)`` each.
        """
        posterior = posteriors(evidence, Grid.usual())
        shape = posterior.mean.shape[:2]
        means, variances = np.empty(shape), np.empty(shape)
        for fold in range(shape[0]):
            weight = _responsibilities(posterior.log_likelihood[fold])
            mean = posterior.mean[fold]
            means[fold] = (weight * mean).sum(1)
            variances[fold] = (weight * (posterior.variance[fold] + mean**2)).sum(1) - means[fold] ** 2
        return evidence.bases + means, np.maximum(variances, 0)


def posteriors(evidence: Evidence, grid: Grid) -> Posterior:
    """Solve for all folds, at all points of the grid.

    Parameters
    ----------
    evidence
        What is known.
    grid
        The grid.
    """
    types, asked = evidence.types, evidence.asked
    inner = np.flatnonzero(np.isin(types, evidence.inner_types))
    n_genes, n_points, n_folds = evidence.source.means.shape[1], len(grid.shared), len(asked) + len(inner)
    result = Posterior(*(np.empty((n_folds, n_genes, n_points), dtype=np.float32) for _ in range(3)))
    unit = evidence.distances / evidence.scale
    among = torch.from_numpy(grid.covariance(unit[np.ix_(types, types)]))  # (p, k, k)
    across = torch.from_numpy(grid.across(unit[np.ix_(asked, types)]))  # (p, t, k)
    own = torch.from_numpy(grid.shared + grid.alike)  # (p,)
    slope = torch.from_numpy(grid.proportional)  # (p,)
    size = max(1, BLOCK // (n_points * len(types) ** 2))
    for start in range(0, n_genes, size):
        genes = slice(start, start + size)
        c, d, v = (
            torch.from_numpy(np.ascontiguousarray(values[:, genes].T))  # (g, k)
            for values in (evidence.source.means[types], evidence.responses, evidence.response_noise(types))
        )
        v = v + JITTER * (own.max() + slope.max() * (c**2).amax(dim=1, keepdim=True))
        asked_c = torch.from_numpy(np.ascontiguousarray(evidence.source.means[asked][:, genes].T))  # (g, t)
        outer = c[:, None, :, None] * c[:, None, None, :]
        factor = torch.linalg.cholesky(among + slope[:, None, None] * outer + torch.diag_embed(v)[:, None])
        inverse = torch.cholesky_inverse(factor)  # (g, p, k, k)
        solved = torch.einsum("gpij,gj->gpi", inverse, d)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        whole = -0.5 * (torch.einsum("gpi,gi->gp", solved, d) + log_determinant)
        cross = across + slope[:, None, None] * asked_c[:, None, :, None] * c[:, None, None, :]  # (g, p, t, k)
        prior = own[:, None] + slope[:, None] * asked_c[:, None] ** 2  # (g, p, t)
        mean = torch.einsum("gptk,gpk->gpt", cross, solved)
        variance = prior - torch.einsum("gptk,gpkj,gptj->gpt", cross, inverse, cross)
        precision = inverse.diagonal(dim1=-2, dim2=-1)  # (g, p, k)
        error = solved / precision
        left_out = whole[..., None] + 0.5 * (error**2 * precision - precision.log())
        parts = (
            (result.log_likelihood, whole[..., None].expand(mean.shape), left_out),
            (result.mean, mean, d[:, None] - error),
            (result.variance, variance, 1 / precision - v[:, None]),
        )
        for whole_of, outer_part, inner_part in parts:
            folds = torch.cat([outer_part, inner_part[..., inner]], dim=-1)
            whole_of[:, genes] = folds.permute(2, 0, 1).numpy()
    np.maximum(result.variance, 0, out=result.variance)
    return result


def _responsibilities(log_likelihood: np.ndarray) -> np.ndarray:
    """Return how much each point of the grid counts for each gene, shape ``(n_genes, n_points)``."""
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    prior = np.full(likelihood.shape[1], 1 / likelihood.shape[1], dtype=likelihood.dtype)
    for _ in range(ROUNDS):
        # The responsibilities' mean, without keeping them.
        prior = prior * (likelihood.T @ (1 / (likelihood @ prior))) / len(likelihood)
    weights = likelihood * prior
    return weights / weights.sum(axis=1, keepdims=True)
