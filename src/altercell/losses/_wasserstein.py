"""Losses of a Wasserstein GAN with a gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch

# The root has no derivative at 0, where a critic that is flat at a point stands.
_TINY = 1e-12


def wasserstein_estimate(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    r"""Return the critic's estimate of the distance between real cells and fakes :cite:p:`Arjovsky2017`.

    .. math:: W = \frac1N \sum_n D(x_n) - \frac1M \sum_m D(\tilde x_m)

    Its critic ascends it, and the generator descends it by the second term.

    Parameters
    ----------
    real, fake
        The critic's scores, shape ``(n_real,)`` and ``(n_fake,)``.

    Returns
    -------
    The estimate, a scalar.
    """
    return real.mean() - fake.mean()


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor, fake: torch.Tensor, epsilon: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Return how far the critic's slope is from 1 between real cells and fakes :cite:p:`Gulrajani2017`.

    .. math::

        \hat x_n = \epsilon_n x_n + (1 - \epsilon_n) \tilde x_n, \qquad
        P = \frac1N \sum_n \bigl( \lVert \nabla_{\hat x_n} D(\hat x_n) \rVert_2 - 1 \bigr)^2

    The gradient of a cell is its own only where the critic looks at one cell at a time: it must have no batch
    normalisation.

    Parameters
    ----------
    critic
        Gives the scores of cells, shape ``(n_cells,)``.
    real, fake
        As many real cells as fakes, shape ``(n_cells, n_genes)``.
    epsilon
        Where between them, one number in [0, 1] a cell, shape ``(n_cells, 1)``.

    Returns
    -------
    The penalty, and the mean norm of the gradient, scalars.
    """
    between = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm = (slope.square().sum(dim=1) + _TINY).sqrt()
    return (norm - 1).square().mean(), norm.detach().mean()
