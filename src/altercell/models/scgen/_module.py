"""scGen's mathematics: a variational autoencoder whose latent space is added and subtracted in."""

from __future__ import annotations

from typing import Any, Literal

import torch
from scvi.module.base import LossOutput
from scvi.nn import Encoder
from torch import nn

from altercell.losses import kl_standard_normal, kl_variance_only
from altercell.models.base import AutoencoderModule, GeneLikelihood
from altercell.nn import OutputActivation

KL = Literal["standard", "variance_only"]


class ScGenModule(AutoencoderModule):
    r"""The variational autoencoder of scGen :cite:p:`Lotfollahi2019`.

    .. math::

        q(z \mid x) &= N(\mu_\phi(x), \operatorname{diag} \sigma^2_\phi(x)), \qquad
        x' = g_\theta(z), \quad z = \mu + \sigma \epsilon, \quad \epsilon \sim N(0, 1) \\
        L &= \frac1N \sum_n \left( \tfrac12 \sum_g (x_{ng} - x'_{ng})^2
             + \tfrac12 \lambda\, KL(q(z \mid x_n) \,\|\, N(0, 1)) \right), \qquad \lambda = 5 \cdot 10^{-5}

    With counts, the squared error gives way to the negative log-likelihood of a (zero-inflated) negative binomial.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    n_hidden, n_layers, n_latent
        Width and number of the hidden blocks on each side, and dimensions of z.
    dropout_rate
        Dropout of the hidden blocks.
    kl_weight
        :math:`\lambda`.
    kl
        ``"standard"``, or ``"variance_only"``: the divergence that the paper's own results were made with.
    gene_likelihood
        ``"gaussian"`` on log data; ``"nb"`` or ``"zinb"`` on counts.
    output_activation
        Of the Gaussian decoder: ``"linear"``, ``"relu"`` or ``"softplus"``.
    totals_over_all_genes
        Whether size factors count genes that are not among the registered ones.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        *,
        n_hidden: int = 800,
        n_layers: int = 2,
        n_latent: int = 100,
        dropout_rate: float = 0.2,
        kl_weight: float = 5e-5,
        kl: KL = "standard",
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "linear",
        totals_over_all_genes: bool = False,
    ) -> None:
        super().__init__(n_conditions, n_labels, n_latent, gene_likelihood, totals_over_all_genes)
        self.kl_weight, self.kl = kl_weight, kl
        self.encoder = Encoder(
            n_genes,
            n_latent,
            n_layers=n_layers,
            n_hidden=n_hidden,
            dropout_rate=dropout_rate,
            var_eps=1e-4,
            activation_fn=nn.LeakyReLU,
        )
        self.decoder = self.make_decoder(
            [n_hidden] * n_layers, n_genes, dropout_rate=dropout_rate, output_activation=output_activation
        )

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, torch.Tensor],
        generative_outputs: dict[str, Any],
    ) -> LossOutput:
        """Return the loss of a batch and its terms.

        Parameters
        ----------
        tensors, inference_outputs, generative_outputs
            The batch, and what :meth:`inference` and :meth:`generative` returned for it.
        """
        reconstruction = self.reconstruction(tensors["X"], generative_outputs)  # (n_cells,)
        mean, variance = inference_outputs["qzm"], inference_outputs["qzv"]
        kl = kl_standard_normal(mean, variance) if self.kl == "standard" else kl_variance_only(variance)  # (n_cells,)
        return LossOutput(
            loss=(reconstruction + 0.5 * self.kl_weight * kl).mean(), reconstruction_loss=reconstruction, kl_local=kl
        )
