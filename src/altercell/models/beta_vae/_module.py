"""The mathematics of the beta-TCVAE: a variational autoencoder that pays for dimensions that know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from scvi.module.base import LossOutput
from torch import nn

from altercell.losses import kl_standard_normal, total_correlation
from altercell.models.base import AutoencoderModule, GeneLikelihood
from altercell.nn import OutputActivation, hidden_blocks

VARIANCE_FLOOR = 1e-4


class Encoder(nn.Module):
    """Cells to q(z | x): hidden blocks, then a linear layer for the mean and one for the logarithm of the variance.

    Parameters
    ----------
    n_genes, n_latent
        Numbers of inputs and latent dimensions.
    n_hidden
        Width of each hidden block.
    dropout_rate
        Dropout of the hidden blocks.
    """

    def __init__(self, n_genes: int, n_hidden: Sequence[int], n_latent: int, *, dropout_rate: float) -> None:
        super().__init__()
        self.hidden = hidden_blocks(n_genes, n_hidden, dropout_rate=dropout_rate)
        self.mean = nn.Linear(n_hidden[-1], n_latent)
        self.log_variance = nn.Linear(n_hidden[-1], n_latent)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return mean and variance of q(z | x) and a sample of it, each of shape ``(n_cells, n_latent)``.

        Parameters
        ----------
        x
            Log values, shape ``(n_cells, n_genes)``.
        """
        hidden = self.hidden(x)
        mean, variance = self.mean(hidden), self.log_variance(hidden).exp() + VARIANCE_FLOOR
        return mean, variance, mean + variance.sqrt() * torch.randn_like(mean)


class BetaTCVAEModule(AutoencoderModule):
    r"""A variational autoencoder with a weight of the total correlation :cite:p:`Chen2018`, as in :cite:p:`Yu2021`.

    .. math::

        q(z \mid x) &= N(\mu_\phi(x), \operatorname{diag} \sigma^2_\phi(x)), \qquad p(x \mid z) = N(g_\theta(z), 1) \\
        L &= E_{q(z \mid x)}[-\log p(x \mid z)] + \lambda\, KL(q(z \mid x) \,\|\, N(0, 1))
             + \beta\, KL\Bigl(q(z) \,\Big\|\, \prod_j q(z_j)\Bigr)

    With :math:`\beta = 0` and :math:`\lambda > 1` it is the beta-VAE :cite:p:`Higgins2017`, with
    :math:`\lambda = 1` the variational autoencoder. The last term is :func:`altercell.losses.total_correlation`. With
    counts, a (zero-inflated) negative binomial is in the Gaussian's place.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    n_hidden
        Widths of the encoder's hidden blocks; the decoder has them in the other order.
    n_latent
        Dimensions of z.
    dropout_rate
        Dropout of the hidden blocks.
    kl_weight, tc_weight
        :math:`\lambda` and :math:`\beta`.
    gene_likelihood
        ``"gaussian"`` on log data; ``"nb"`` or ``"zinb"`` on counts.
    output_activation
        Of the Gaussian's mean: ``"linear"``, ``"relu"`` or ``"softplus"``.
    totals_over_all_genes
        Whether size factors count genes that are not among the registered ones.

    Attributes
    ----------
    n_cells
        Number of training cells, of which the aggregated posterior is made.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        *,
        n_hidden: Sequence[int] = (512, 256),
        n_latent: int = 10,
        dropout_rate: float = 0.2,
        kl_weight: float = 1.0,
        tc_weight: float = 10.0,
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "linear",
        totals_over_all_genes: bool = False,
    ) -> None:
        super().__init__(n_conditions, n_labels, n_latent, gene_likelihood, totals_over_all_genes)
        self.kl_weight, self.tc_weight = kl_weight, tc_weight
        self.encoder = Encoder(n_genes, n_hidden, n_latent, dropout_rate=dropout_rate)
        self.decoder = self.make_decoder(
            list(reversed(n_hidden)), n_genes, dropout_rate=dropout_rate, output_activation=output_activation
        )
        self.n_cells: torch.Tensor
        self.register_buffer("n_cells", torch.zeros((), dtype=torch.int64))

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, torch.Tensor],
        generative_outputs: dict[str, Any],
        kl_weight: float = 1.0,
    ) -> LossOutput:
        """Return the loss of a batch and its terms, ``total_correlation`` among them.

        Parameters
        ----------
        tensors, inference_outputs, generative_outputs
            The batch, and what :meth:`inference` and :meth:`generative` returned for it.
        kl_weight
            Share of both weights that a warm-up has reached.
        """
        reconstruction = self.reconstruction(tensors["X"], generative_outputs)  # (n_cells,)
        mean, variance, z = (inference_outputs[name] for name in ("qzm", "qzv", "z"))
        kl = kl_standard_normal(mean, variance)  # (n_cells,)
        loss = (reconstruction + kl_weight * self.kl_weight * kl).mean()
        if self.tc_weight == 0:
            return LossOutput(loss=loss, reconstruction_loss=reconstruction, kl_local=kl)
        # A batch of one cell has nobody to be compared with.
        together = max(int(self.n_cells), len(z))
        correlation = total_correlation(z, mean, variance, together).mean() if len(z) > 1 else loss.new_zeros(())
        return LossOutput(
            loss=loss + kl_weight * self.tc_weight * correlation,
            reconstruction_loss=reconstruction,
            kl_local=kl,
            extra_metrics={"total_correlation": correlation.detach()},
        )
