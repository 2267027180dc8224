"""The total correlation of a latent space, estimated from a mini-batch."""

from __future__ import annotations

import math

import torch


def total_correlation(z: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, n_cells: int) -> torch.Tensor:
    r"""Return each sample's part of the total correlation, by minibatch-stratified sampling :cite:p:`Chen2018`.

    The total correlation is the divergence of the aggregated posterior :math:`q(z) = \frac1N \sum_n q(z \mid x_n)` from
    the product of its marginals,

    .. math:: TC = KL\Bigl(q(z) \,\Big\|\, \prod_j q(z_j)\Bigr) = E_{q(z)}\Bigl[\log q(z) - \sum_j \log q(z_j)\Bigr].

    Of the N cells a batch has B. For the sample :math:`z_n` of cell n,

    .. math::

        q(z_n) \approx \frac1N q(z_n \mid x_n) + \frac{N - 1}{N (B - 1)} \sum_{m \ne n} q(z_n \mid x_m),

    and so for every dimension: without bias whichever cells the batch has, and exact where it has all. It is the
    paper's estimate averaged over the order of the batch (there one of the other cells has a weight of its own): the
    mean over orders is the same, and the variance smaller.

    Parameters
    ----------
    z
        A sample of each cell's posterior, shape ``(n_batch, n_latent)``.
    mean, variance
        Of the diagonal Gaussian posteriors, shape ``(n_batch, n_latent)``.
    n_cells
        :math:`N`, the number of training cells.

    Returns
    -------
    :math:`\log q(z_n) - \sum_j \log q(z_{nj})`, shape ``(n_batch,)``, in nats; their mean is the estimate.
    """
    size = len(z)
    if size < 2 or n_cells < 2:
        raise ValueError("the total correlation needs a batch of 2 cells or more, of 2 training cells or more")
    # log q(z_nj | x_m), of shape (n_batch, n_batch, n_latent): a sample by a row.
    density = -0.5 * ((z[:, None] - mean).square() / variance + variance.log() + math.log(2 * math.pi))
    weights = torch.full((size, size), (n_cells - 1) / (n_cells * (size - 1)), dtype=z.dtype, device=z.device)
    log_weights = weights.fill_diagonal_(1 / n_cells).log()
    joint = torch.logsumexp(log_weights + density.sum(-1), dim=1)
    marginal = torch.logsumexp(log_weights[..., None] + density, dim=1)  # (n_batch, n_latent)
    return joint - marginal.sum(-1)
