"""Losses of adversarial training: least squares, and the cycle that holds two translations together."""

from __future__ import annotations

from typing import Literal

import torch

CycleNorm = Literal["l1", "l2"]


def _mean(values: torch.Tensor) -> torch.Tensor:
    # The mean of nothing is NaN; a population that is not there has no part in a loss.
    return values.mean() if values.numel() else values.sum()


def least_squares_generator(fake: torch.Tensor) -> torch.Tensor:
    r"""Return the generator's least-squares loss :cite:p:`Mao2017`: how far fakes are from being taken for real.

    .. math:: L_G = \frac1N \sum_n (D(\hat x_n) - 1)^2

    Parameters
    ----------
    fake
        The discriminator's scores of fakes, shape ``(n_fake, 1)``; without any, the loss is 0.

    Returns
    -------
    The loss, a scalar.
    """
    return _mean((fake - 1).square())


def least_squares_discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    r"""Return the discriminator's least-squares loss :cite:p:`Mao2017`: real cells towards 1, fakes towards 0.

    .. math:: L_D = \frac1N \sum_n (D(x_n) - 1)^2 + \frac1M \sum_m D(\hat x_m)^2

    Parameters
    ----------
    real, fake
        The discriminator's scores, shapes ``(n_real, 1)`` and ``(n_fake, 1)``; the term of an empty one is 0.

    Returns
    -------
    The loss, a scalar.
    """
    return _mean((real - 1).square()) + _mean(fake.square())


def cycle_consistency(x: torch.Tensor, back: torch.Tensor, norm: CycleNorm = "l2") -> torch.Tensor:
    r"""Return how far cells are from themselves after a translation there and back :cite:p:`Zhu2017`.

    .. math:: L_{cyc} = \frac1{NG} \sum_{n,g} |x_{ng} - F(T(x_n))_g|^p, \qquad p = 1 \text{ or } 2

    Parameters
    ----------
    x, back
        Cells, and what comes back, shape ``(n_cells, n_genes)``; without any, the loss is 0.
    norm
        ``"l2"``: squared differences; ``"l1"``: absolute ones.

    Returns
    -------
    The loss, a scalar.
    """
    difference = x - back
    return _mean(difference.square() if norm == "l2" else difference.abs())
