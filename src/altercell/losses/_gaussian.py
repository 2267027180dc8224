"""Losses of Gaussian variational autoencoders: squared error and divergence from the standard normal."""

from __future__ import annotations

import torch


def half_squared_error(x: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    r"""Return half the squared error of each cell: a unit Gaussian's negative log-likelihood, up to a constant.

    .. math:: \ell_n = \tfrac12 \sum_g (x_{ng} - x'_{ng})^2

    Parameters
    ----------
    x, reconstruction
        Cells and their reconstructions, shape ``(n_cells, n_genes)``.

    Returns
    -------
    One value a cell, shape ``(n_cells,)``.
    """
    return 0.5 * (x - reconstruction).square().sum(-1)


def kl_standard_normal(mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    r"""Return the Kullback-Leibler divergence of each cell's posterior from the standard normal.

    .. math:: KL_n = \tfrac12 \sum_j \left(\sigma^2_{nj} + \mu^2_{nj} - 1 - \log \sigma^2_{nj}\right)

    Parameters
    ----------
    mean, variance
        Of the diagonal Gaussian posterior, shape ``(n_cells, n_latent)``.

    Returns
    -------
    One value a cell, shape ``(n_cells,)``, in nats.
    """
    return 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1)


def kl_variance_only(variance: torch.Tensor) -> torch.Tensor:
    r"""Return scGen's modified divergence, in which the squared mean is replaced by the squared variance.

    .. math:: KL'_n = \tfrac12 \sum_j \left(\sigma^2_{nj} + (\sigma^2_{nj})^2 - 1 - \log \sigma^2_{nj}\right)

    Supplemental Note 1.1 of :cite:p:`Lotfollahi2019` says that the paper's results were made with it. It does not hold
    the means near zero, and its least value is not at variance 1 but at 1/2.

    Parameters
    ----------
    variance
        Of the diagonal Gaussian posterior, shape ``(n_cells, n_latent)``.

    Returns
    -------
    One value a cell, shape ``(n_cells,)``.
    """
    return 0.5 * (variance + variance.square() - 1 - variance.log()).sum(-1)
