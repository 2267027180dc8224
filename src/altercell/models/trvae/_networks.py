"""trVAE's network for tables of genes: an encoder, the decoder's first layer (where the MMD acts), and its rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from altercell.nn import CountDecoder, OutputActivation, ValueDecoder, hidden_blocks

BatchNorm = Literal["all", "first"]

#: Slope of the LeakyReLU below zero (Tables 1 to 9).
NEGATIVE_SLOPE = 0.2
VARIANCE_FLOOR = 1e-4


class GaussianHead(nn.Module):
    """Mean and variance of q(z | x, s); without variance, the point z of an autoencoder.

    Parameters
    ----------
    n_input, n_latent
        Widths.
    variational
        Whether there is a variance. Without one, z passes through a LeakyReLU (Table 9).
    """

    def __init__(self, n_input: int, n_latent: int, variational: bool = True) -> None:
        super().__init__()
        self.mean = nn.Linear(n_input, n_latent)
        self.log_variance = nn.Linear(n_input, n_latent) if variational else None

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance, each of shape ``(n_cells, n_latent)``; a variance of 0 for an autoencoder.

        Parameters
        ----------
        hidden
            Activations, shape ``(n_cells, n_input)``.
        """
        mean = self.mean(hidden)
        if self.log_variance is None:
            return nn.functional.leaky_relu(mean, NEGATIVE_SLOPE), torch.zeros_like(mean)
        return mean, self.log_variance(hidden).exp() + VARIANCE_FLOOR


class Encoder(nn.Module):
    """f of equation 5a: cells and their conditions to q(z | x, s).

    Parameters
    ----------
    n_genes, n_conditions, n_latent
        Sizes.
    n_hidden
        Width of each hidden block.
    dropout_rate
        Dropout of the hidden blocks.
    batch_norm
        Whether ``"all"`` hidden blocks have a batch norm, or only the ``"first"``.
    variational
        See :class:`GaussianHead`.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_hidden: Sequence[int],
        n_latent: int,
        *,
        dropout_rate: float,
        batch_norm: BatchNorm = "all",
        variational: bool = True,
    ) -> None:
        super().__init__()
        self.hidden = hidden_blocks(
            n_genes + n_conditions,
            n_hidden,
            dropout_rate=dropout_rate,
            negative_slope=NEGATIVE_SLOPE,
            batch_norm=[batch_norm == "all" or number == 0 for number in range(len(n_hidden))],
        )
        self.head = GaussianHead(n_hidden[-1], n_latent, variational)

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        s
            Conditions, one-hot, shape ``(n_cells, n_conditions)``.

        Returns
        -------
        Mean and variance of z, each of shape ``(n_cells, n_latent)``.
        """
        return self.head(self.hidden(torch.cat([x, s], dim=-1)))


class FirstLayer(nn.Module):
    """g1 of equation 5b: a latent point and a condition to y, the layer on which the MMD acts.

    Parameters
    ----------
    n_latent, n_conditions, n_output
        Sizes.
    dropout_rate
        Dropout of the block.
    batch_norm
        Whether it has a batch norm.
    """

    def __init__(
        self, n_latent: int, n_conditions: int, n_output: int, *, dropout_rate: float, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.block = hidden_blocks(
            n_latent + n_conditions,
            [n_output],
            dropout_rate=dropout_rate,
            negative_slope=NEGATIVE_SLOPE,
            batch_norm=batch_norm,
        )

    def forward(self, z: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Return y, shape ``(n_cells, n_output)``.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        s
            Conditions, one-hot, shape ``(n_cells, n_conditions)``.
        """
        return self.block(torch.cat([z, s], dim=-1))


def perceptrons(
    n_genes: int,
    n_conditions: int,
    n_hidden: Sequence[int],
    n_latent: int,
    *,
    dropout_rate: float,
    batch_norm: BatchNorm,
    variational: bool,
    gene_likelihood: str,
    output_activation: OutputActivation,
    rest: bool,
) -> tuple[Encoder, FirstLayer, ValueDecoder | CountDecoder]:
    """Return the parts of Table 3: f, g1, and g2, which mirrors f.

    Parameters
    ----------
    n_genes, n_conditions, n_hidden, n_latent, dropout_rate, batch_norm, variational
        See :class:`Encoder`.
    gene_likelihood, output_activation
        See :class:`~altercell.TrVAE`.
    rest
        See :class:`~altercell.nn.CountDecoder`.
    """
    encoder = Encoder(
        n_genes,
        n_conditions,
        n_hidden,
        n_latent,
        dropout_rate=dropout_rate,
        batch_norm=batch_norm,
        variational=variational,
    )
    everywhere = batch_norm == "all"
    *others, n_mmd = n_hidden
    first = FirstLayer(n_latent, n_conditions, n_mmd, dropout_rate=dropout_rate, batch_norm=everywhere)
    widths = others[::-1] or [n_mmd]
    blocks = {"dropout_rate": dropout_rate, "negative_slope": NEGATIVE_SLOPE, "batch_norm": everywhere}
    if gene_likelihood == "gaussian":
        return encoder, first, ValueDecoder(n_mmd, widths, n_genes, output_activation=output_activation, **blocks)  # type: ignore[arg-type]
    zero_inflated = gene_likelihood == "zinb"
    return encoder, first, CountDecoder(n_mmd, widths, n_genes, rest=rest, zero_inflated=zero_inflated, **blocks)  # type: ignore[arg-type]
