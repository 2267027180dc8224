"""Networks of the style transfer GAN: blocks, two generators with a common middle, and a discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from altercell.nn import ACTIVATIONS, OutputActivation

DiscriminatorActivation = Literal["sigmoid", "linear"]
#: Which cells a discriminator normalises together.
DiscriminatorBatches = Literal["separate", "joint"]

NEGATIVE_SLOPE = 0.2
# torch's defaults: the paper gives none.
EPS, MOMENTUM = 1e-5, 0.1
REAL, FAKE = 0, 1


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
            Block(n_in, n_out, dropout_rate=dropout_rate, n_domains=n_domains)
            for n_in, n_out in zip(widths[:-1], widths[1:], strict=True)
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


class Generators(nn.Module):
    """Two generators: first and last layers of their own, the middle in common, as in UNIT :cite:p:`Liu2017`.

    Generator `c` takes cells of condition `c` to the other condition: n_genes-700-(100-50-100)-700-n_genes, where the
    layers in brackets have the same weights in both. Running statistics are of each generator apart, and of real cells
    alone: those are what a generator is given when it predicts.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_hidden
        Widths from the genes to the bottleneck; all but the first are in common.
    n_latent
        Width of the bottleneck.
    dropout_rate
        Dropout of the blocks.
    output_activation
        What follows the normalised output.
    """

    def __init__(
        self,
        n_genes: int,
        n_hidden: Sequence[int],
        n_latent: int,
        *,
        dropout_rate: float,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        first, inner = n_hidden[0], list(n_hidden[1:])
        self.entry = nn.ModuleList(Blocks([n_genes, first], dropout_rate=dropout_rate) for _ in range(2))
        middle = [first, *inner, n_latent, *reversed(inner)]
        self.middle = Blocks(middle, dropout_rate=dropout_rate, n_domains=2)
        self.exit = nn.ModuleList(Blocks([middle[-1], first], dropout_rate=dropout_rate) for _ in range(2))
        self.output = nn.ModuleList(
            Block(first, n_genes, activation=ACTIVATIONS[output_activation]()) for _ in range(2)
        )

    def forward(self, x: torch.Tensor, which: int, keep: bool = True) -> torch.Tensor:
        """Translate cells.

        Parameters
        ----------
        x
            Cells of one condition, shape ``(n_cells, n_genes)``.
        which
            The generator: 0 for cells of the first condition, 1 for those of the second.
        keep
            Whether a batch in training enters the running statistics.

        Returns
        -------
        Cells of the other condition, shape ``(n_cells, n_genes)``.
        """
        hidden = self.entry[which](x, 0, keep)  # (n_cells, 700)
        hidden = self.middle(hidden, which, keep)  # (n_cells, 100)
        hidden = self.exit[which](hidden, 0, keep)  # (n_cells, 700)
        return self.output[which](hidden, 0, keep)  # (n_cells, n_genes)


class Discriminator(nn.Module):
    """Tells real cells of one condition from fakes: n_genes-700-100-1.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_hidden
        Widths of the blocks.
    dropout_rate
        Dropout of the blocks.
    activation
        Of the score: ``"sigmoid"`` or ``"linear"``.
    batches
        ``"separate"``: real cells and fakes are normalised each by their own batch, and have running statistics each;
        ``"joint"``: together.
    """

    def __init__(
        self,
        n_genes: int,
        n_hidden: Sequence[int],
        *,
        dropout_rate: float,
        activation: DiscriminatorActivation,
        batches: DiscriminatorBatches,
    ) -> None:
        super().__init__()
        self.joint = batches == "joint"
        self.hidden = Blocks([n_genes, *n_hidden], dropout_rate=dropout_rate, n_domains=1 if self.joint else 2)
        self.score = nn.Linear(n_hidden[-1], 1)
        self.activation = nn.Sigmoid() if activation == "sigmoid" else nn.Identity()

    def forward(self, real: torch.Tensor, fake: torch.Tensor, keep: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Score real cells and fakes.

        Parameters
        ----------
        real, fake
            Cells, shapes ``(n_real, n_genes)`` and ``(n_fake, n_genes)``.
        keep
            Whether a batch in training enters the running statistics.

        Returns
        -------
        Scores, shapes ``(n_real, 1)`` and ``(n_fake, 1)``.
        """
        if self.joint:
            real_score, fake_score = self._score(torch.cat([real, fake]), 0, keep).split([len(real), len(fake)])
            return real_score, fake_score
        return self._score(real, REAL, keep), self._score(fake, FAKE, keep)

    def score_fakes(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Score fakes as :meth:`forward` does, for the generator's turn: the running statistics stay as they are.

        Parameters
        ----------
        real, fake
            Cells; the real ones are looked at where both are normalised together.

        Returns
        -------
        Scores, shape ``(n_fake, 1)``.
        """
        return self(real, fake, keep=False)[1] if self.joint else self._score(fake, FAKE, keep=False)

    def _score(self, x: torch.Tensor, domain: int, keep: bool) -> torch.Tensor:
        return self.activation(self.score(self.hidden(x, domain, keep)))
