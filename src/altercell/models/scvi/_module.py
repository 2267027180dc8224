"""scvi-tools' own network and loss, with the buffers and the two means that the verbs need."""

from __future__ import annotations

from typing import Any

import torch
from scvi.module import VAE
from torch.distributions import Distribution


class ScviModule(VAE):
    r"""scVI :cite:p:`Lopez2018`: :class:`scvi.module.VAE` as scvi-tools has it, with the condition as its batch.

    .. math::

        q(z \mid x) &= N(\mu_\phi(\log(1 + x)), \operatorname{diag} \sigma^2_\phi(\log(1 + x))), \qquad
        \rho = \operatorname{softmax}(f_\theta(z, c)), \quad \ell = \textstyle\sum_g x_g \\
        L &= \frac1N \sum_n \left( -\log p(x_n \mid \ell_n \rho_n) + \beta\, KL(q(z \mid x_n) \,\|\, N(0, 1)) \right)

    Nothing of the network or of the loss is written anew. The parts of it that these options do not use (the encoder
    of a latent library size, and, where they do not enter the likelihood, the heads of a dispersion by cell and of the
    technical zeros) are not trained.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    **network
        Of :class:`scvi.module.VAE`: ``n_hidden``, ``n_latent``, ``n_layers``, ``dropout_rate``, ``dispersion``,
        ``gene_likelihood``, ``encode_covariates``.
    """

    def __init__(self, n_genes: int, n_conditions: int, n_labels: int, **network: Any) -> None:
        super().__init__(n_input=n_genes, n_batch=n_conditions, n_labels=n_labels, **network)
        unused = [self.l_encoder]
        if self.dispersion != "gene-cell":
            unused.append(self.decoder.px_r_decoder)
        if self.gene_likelihood != "zinb":
            unused.append(self.decoder.px_dropout_decoder)
        self._unused = unused
        self.set_trainable(True)
        self.register_buffer("latent_means", torch.zeros(n_conditions, n_labels, self.n_latent))
        self.register_buffer("group_sizes", torch.zeros(n_conditions, n_labels))

    def set_trainable(self, on: bool) -> None:
        """Let the parts that are used be trained, or hold the whole network still.

        Parameters
        ----------
        on
            Whether to train.
        """
        self.requires_grad_(on)
        for part in self._unused:
            part.requires_grad_(False)

    def posterior(self, x: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of q(z | x), each of shape ``(n_cells, n_latent)``.

        Parameters
        ----------
        x
            Counts, shape ``(n_cells, n_genes)``.
        condition
            Codes of the conditions, shape ``(n_cells, 1)``; read with ``encode_covariates`` only.
        """
        qz = self.inference(x, condition)["qz"]
        return qz.loc, qz.scale.square()

    def decoded(self, z: torch.Tensor, total: torch.Tensor, condition: torch.Tensor) -> Distribution:
        r"""Return the distribution of counts that latent points decode to.

        Its ``mean``, of shape ``(n_cells, n_genes)``, is :math:`(1 - \pi)\, \ell \rho`, where :math:`\pi`, the
        probability of a technical zero, is 0 but for ``"zinb"``.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        total
            Total counts of the model's genes, shape ``(n_cells, 1)``.
        condition
            Codes of the conditions to decode under, shape ``(n_cells, 1)``.
        """
        return self.generative(z, torch.log(total), condition)["px"]
