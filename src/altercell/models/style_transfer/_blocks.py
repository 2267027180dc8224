"""Blocks of the style transfer GAN, with a batch normalisation that keeps populations apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

NEGATIVE_SLOPE = 0.2
# torch's defaults: the paper gives none.
EPS, MOMENTUM = 1e-5, 0.1


class DomainNorm(nn.Module):
    """Batch normalisation with one scale and shift, and running statistics of each domain apart.

    Parameters
    ----------
    width
        Number of units.
    n_domains
        Number of populations that come through it, each in batches of its own.
    """

    def __init__(self, width: int, n_domains: int) -> None:
        super().__init__()
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(n_domains, width))
        self.register_buffer("running_var", torch.ones(n_domains, width))

    def forward(self, x: torch.Tensor, domain: int = 0, keep: bool = True) -> torch.Tensor:
        """Normalise: in training by the batch's own mean and variance, else by the domain's running ones.

        Parameters
        ----------
        x
            Units, shape ``(n_cells, width)``.
        domain
            Which population the cells are of.
        keep
            Whether a batch in training enters the running statistics.
        """
        mean, variance = self.running_mean[domain], self.running_var[domain]
        if self.training and not keep:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, MOMENTUM, EPS)
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, MOMENTUM, EPS)


class Block(nn.Module):
    """Linear, batch normalisation, an activation and dropout.

    The linear layer has no bias: the normalisation would take it away again.

    Parameters
    ----------
    n_input, n_output
        Widths.
    dropout_rate
        Dropout; 0 for none.
    n_domains
        Of :class:`DomainNorm`.
    activation
        What follows the normalisation; None for the leaky ReLU of slope 0.2.
    """

    def __init__(
        self,
        n_input: int,
        n_output: int,
        *,
        dropout_rate: float = 0.0,
        n_domains: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(n_input, n_output, bias=False)
        self.norm = DomainNorm(n_output, n_domains)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE) if activation is None else activation
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: torch.Tensor, domain: int = 0, keep: bool = True) -> torch.Tensor:
        """Transform.

        Parameters
        ----------
        x
            Units, shape ``(n_cells, n_input)``.
        domain, keep
            Of :class:`DomainNorm`.
        """
        return self.dropout(self.activation(self.norm(self.linear(x), domain, keep)))


class Blocks(nn.ModuleList):
    """A stack of :class:`Block`, of the given widths.

    Parameters
    ----------
    widths
        Of the input and of each block.
    dropout_rate, n_domains
        Of the blocks.
    """

    def __init__(self, widths: Sequence[int], *, dropout_rate: float, n_domains: int = 1) -> None:
        super().__init__(
            Block(n_in, n_out, dropout_rate=dropout_rate, n_domains=n_domains) for n_in, n_out in pairwise(widths)
        )

    def forward(self, x: torch.Tensor, domain: int = 0, keep: bool = True) -> torch.Tensor:
        """Transform; see :class:`Block`.

        Parameters
        ----------
        x, domain, keep
            As there.
        """
        for block in self:
            x = block(x, domain, keep)
        return x
