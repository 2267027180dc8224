"""Decoders: from latent points to cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from altercell.nn._blocks import hidden_blocks

OutputActivation = Literal["linear", "relu", "softplus"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"linear": nn.Identity, "relu": nn.ReLU, "softplus": nn.Softplus}


class ValueDecoder(nn.Module):
    """Hidden blocks, then one linear layer and an activation: the expected values of the genes.

    Parameters
    ----------
    n_latent, n_genes
        Numbers of inputs and outputs.
    n_hidden
        Width of each hidden block.
    dropout_rate, negative_slope, batch_norm
        Of the hidden blocks; see :func:`hidden_blocks`.
    output_activation
        ``"linear"``, or ``"relu"`` or ``"softplus"`` for values that cannot be negative.
    """

    def __init__(
        self,
        n_latent: int,
        n_hidden: Sequence[int],
        n_genes: int,
        *,
        dropout_rate: float,
        negative_slope: float = 0.01,
        batch_norm: bool = True,
        output_activation: OutputActivation = "linear",
    ) -> None:
        super().__init__()
        self.hidden = hidden_blocks(
            n_latent, n_hidden, dropout_rate=dropout_rate, negative_slope=negative_slope, batch_norm=batch_norm
        )
        self.output = nn.Linear(n_hidden[-1], n_genes)
        self.activation = ACTIVATIONS[output_activation]()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Decode.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.

        Returns
        -------
        Expected values, shape ``(n_cells, n_genes)``.
        """
        return self.activation(self.output(self.hidden(z)))


class CountDecoder(nn.Module):
    """Hidden blocks, then each gene's share of the cell's counts, a dispersion a gene, and a dropout logit where asked.

    Parameters
    ----------
    n_latent, n_hidden, n_genes, dropout_rate, negative_slope, batch_norm
        As in :class:`ValueDecoder`.
    rest
        Whether the shares leave room for genes that are not among these: the softmax has one column more, which is
        dropped. Needed where the cell's total is over all genes.
    zero_inflated
        Whether to give the logit of a technical zero.
    """

    def __init__(
        self,
        n_latent: int,
        n_hidden: Sequence[int],
        n_genes: int,
        *,
        dropout_rate: float,
        negative_slope: float = 0.01,
        batch_norm: bool = True,
        rest: bool = False,
        zero_inflated: bool = False,
    ) -> None:
        super().__init__()
        self.n_genes = n_genes
        self.hidden = hidden_blocks(
            n_latent, n_hidden, dropout_rate=dropout_rate, negative_slope=negative_slope, batch_norm=batch_norm
        )
        self.share = nn.Linear(n_hidden[-1], n_genes + int(rest))
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes))
        self.zero_logit = nn.Linear(n_hidden[-1], n_genes) if zero_inflated else None

    def forward(
        self, z: torch.Tensor, size_factor: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Decode.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        size_factor
            Total counts, shape ``(n_cells, 1)``.

        Returns
        -------
        The mean counts, shape ``(n_cells, n_genes)``; the inverse dispersion, shape ``(n_genes,)``; and the logits of
        technical zeros, shape ``(n_cells, n_genes)``, or None.
        """
        hidden = self.hidden(z)
        share = self.share(hidden).softmax(-1)[:, : self.n_genes]
        zero_logit = None if self.zero_logit is None else self.zero_logit(hidden)
        return share * size_factor, self.log_dispersion.exp(), zero_logit
