"""Networks of the style transfer GAN: two generators with a common middle, and a discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from altercell.models.style_transfer._blocks import Block, Blocks
from altercell.nn import ACTIVATIONS, OutputActivation

DiscriminatorActivation = Literal["sigmoid", "linear"]
#: Which cells a discriminator normalises together.
DiscriminatorBatches = Literal["separate", "joint"]

REAL, FAKE = 0, 1


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
