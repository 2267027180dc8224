"""The mathematics of LatentGAN: the players of a Wasserstein GAN meet in the latent space of an autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from scvi.module.base import auto_move_data

from altercell.errors import DataError
from altercell.models.scgan import ScGANModule
from altercell.models.scvi import ScviModule

#: Totals beyond so many standard deviations (of their logarithms) are taken for those there.
LARGEST = 5.0


class LatentGANModule(ScGANModule):
    r"""A generator G of latent points, a critic D of them, and the autoencoder that is held still.

    A real point is drawn from the posterior of a cell, anew at each step, and has the cell's total l beside it; the
    losses are those of :class:`~altercell.models.scgan.ScGANModule`, with points p in place of cells:

    .. math::

        p &= \left( z, \frac{\log l - m}{s} \right), \quad
        z \sim q(z \mid x) = N(\mu(x), \operatorname{diag} \sigma^2(x)), \qquad \tilde p = G(\epsilon, c) \\
        L_D &= E D(\tilde p, c) - E D(p, c) + \lambda E (\lVert \nabla_{\hat p} D(\hat p, c) \rVert_2 - 1)^2, \qquad
        L_G = - E D(\tilde p, c)

    with the mean m and the standard deviation s of the logarithms of totals. A cell that is made has the expected
    counts :math:`\tilde l \rho(\tilde z)`, with the profile :math:`\rho` of the autoencoder's decoder.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    vae
        The autoencoder.
    **game
        Of :class:`~altercell.models.scgan.ScGANModule`: `n_latent` (of the noise), `n_hidden`, `critic_hidden`,
        `class_of_group`, `conditioning`, `penalty_weight`, `classifier_weight`, `average_decay`.

    Attributes
    ----------
    vae_trained
        Whether the autoencoder's training has ended.
    total_mean, total_sd
        m and s.
    """

    #: What is made has a total of its own, its sum.
    makes_totals = True

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        *,
        vae: ScviModule,
        **game: Any,
    ) -> None:
        super().__init__(n_genes, n_conditions, n_labels, library_size=None, n_values=vae.n_latent + 1, **game)
        self.vae_trained: torch.Tensor
        self.total_mean: torch.Tensor
        self.total_sd: torch.Tensor
        self.scales, self.vae = True, vae
        self.register_buffer("vae_trained", torch.tensor(False))
        self.register_buffer("total_mean", torch.tensor(0.0))
        self.register_buffer("total_sd", torch.tensor(1.0))

    def train(self, mode: bool = True) -> LatentGANModule:
        """Set the players to training mode, or to evaluation; the autoencoder is always in evaluation.

        Parameters
        ----------
        mode
            Whether to train.
        """
        super().train(mode)
        self.vae.eval()
        return self

    @auto_move_data
    def inference(self, x: torch.Tensor, condition: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draw a point of each cell, and return it with the cell's class.

        Parameters
        ----------
        x
            Counts, shape ``(n_cells, n_genes)``.
        condition, label
            Their codes, shape ``(n_cells, 1)``.
        """
        if self.training and len(x) < 2:
            raise DataError("a training batch needs 2 cells or more for batch normalisation; give larger batches")
        with torch.no_grad():
            mean, variance = self.vae.posterior(x, torch.zeros_like(condition))
        z = mean + variance.sqrt() * torch.randn_like(mean)
        total = (x.sum(dim=1, keepdim=True).clamp(min=1).log() - self.total_mean) / self.total_sd
        return {
            "real": torch.cat([z, total], dim=1),
            "classes": self.class_of_group[condition.ravel().long(), label.ravel().long()],
        }

    def make(self, noise: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return the expected counts of cells of given noise.

        Parameters
        ----------
        noise, classes
            See :meth:`altercell.models.scgan.ScGANModule.make`.
        """
        return self.decoded(super().make(noise, classes))

    def decoded(self, points: torch.Tensor) -> torch.Tensor:
        """Return the expected counts of points, shape ``(n_cells, n_genes)``.

        Parameters
        ----------
        points
            Latent points with the total beside them, shape ``(n_cells, n_dimensions + 1)``.
        """
        z, total = points[:, :-1], points[:, -1:].clamp(-LARGEST, LARGEST)
        codes = torch.zeros(len(z), 1, dtype=torch.int64, device=z.device)
        return self.vae.decoded(z, (self.total_mean + self.total_sd * total).exp(), codes).mean
