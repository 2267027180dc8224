"""The generator and the critic of scGAN and cscGAN."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

Conditioning = Literal["projection", "heads", "classifier"]
OutputLayer = Literal["scaled", "poisson"]
Activation = Literal["relu", "softmax", "linear"]
# torch's defaults: the paper gives none.
EPS, MOMENTUM = 1e-5, 0.1
LARGEST_RATE = 1e8


class ClassNorm(nn.Module):
    r"""Batch normalisation with a scale and a shift of its own for each class :cite:p:`Marouf2020`.

    .. math:: \gamma_c \frac{h - E[h]}{\sqrt{V[h] + \varepsilon}} + \beta_c

    The mean and the variance are those of the whole batch, all classes together. With one class it is ordinary batch
    normalisation.

    Parameters
    ----------
    width
        Number of units.
    n_classes
        Number of classes.
    """

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor
        self.scale = nn.Parameter(torch.ones(n_classes, width))
        self.shift = nn.Parameter(torch.zeros(n_classes, width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, h: torch.Tensor, classes: torch.Tensor, keep: bool = True) -> torch.Tensor:
        """Normalise: in training by the batch's own mean and variance, else by the running ones.

        Parameters
        ----------
        h
            Units, shape ``(n_cells, width)``.
        classes
            Class of each cell, shape ``(n_cells,)``; or its shares of the classes, ``(n_cells, n_classes)``.
        keep
            Whether a batch in training enters the running statistics.
        """
        unkept = self.training and not keep
        mean, variance = (None, None) if unkept else (self.running_mean, self.running_var)
        normal = F.batch_norm(h, mean, variance, None, None, self.training, MOMENTUM, EPS)
        if classes.ndim == 2:
            return normal * (classes @ self.scale) + classes @ self.shift
        return normal * self.scale[classes] + self.shift[classes]


class LibrarySize(nn.Module):
    r"""Scale every cell to the same total :cite:p:`Marouf2020`.

    .. math:: x_g \mapsto \frac{L x_g}{\sum_h x_h}

    A cell of zeros stays one.

    Parameters
    ----------
    total
        :math:`L`.
    """

    def __init__(self, total: float) -> None:
        super().__init__()
        self.total: torch.Tensor
        self.register_buffer("total", torch.tensor(float(total)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale.

        Parameters
        ----------
        x
            Cells without negative values, shape ``(n_cells, n_genes)``.
        """
        return self.total * F.normalize(x, p=1, dim=1, eps=1e-8)


def drawn_counts(rate: torch.Tensor) -> torch.Tensor:
    """Draw Poisson counts, through which the gradient goes straight: as if the counts were the rates.

    Parameters
    ----------
    rate
        Their expectations, of any shape.
    """
    # torch refuses to draw from NaN; that of the rates stays in the sum, where the guard of training finds it.
    drawn = torch.poisson(rate.detach().nan_to_num().clamp(0, LARGEST_RATE))
    return rate + (drawn - rate).detach()


class Generator(nn.Module):
    """Makes cells of noise: blocks of Linear without bias, batch normalisation and ReLU; then Linear and ReLU.

    Parameters
    ----------
    n_latent
        Dimensions of the noise.
    n_hidden
        Widths of the blocks.
    n_genes
        Number of genes.
    n_classes
        Number of classes that the normalisation tells apart; 1 for none.
    library_size
        Total that every cell is scaled to; None for no such layer.
    activation
        What follows the last Linear: ``"relu"``; ``"softmax"`` over the genes, for profiles that counts are drawn
        from; or ``"linear"`` for nothing, where what is made is not expression.
    """

    def __init__(
        self,
        n_latent: int,
        n_hidden: Sequence[int],
        n_genes: int,
        *,
        n_classes: int,
        library_size: float | None,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.activation = activation
        widths = [n_latent, *n_hidden]
        self.linear = nn.ModuleList(nn.Linear(n_in, n_out, bias=False) for n_in, n_out in pairwise(widths))
        self.norms = nn.ModuleList(ClassNorm(width, n_classes) for width in n_hidden)
        self.output = nn.Linear(widths[-1], n_genes)
        self.scaled = nn.Identity() if library_size is None else LibrarySize(library_size)

    def forward(self, noise: torch.Tensor, classes: torch.Tensor, keep: bool = True) -> torch.Tensor:
        """Make cells.

        Parameters
        ----------
        noise
            Shape ``(n_cells, n_latent)``.
        classes
            Class of each cell, shape ``(n_cells,)``; or its shares of the classes, ``(n_cells, n_classes)``.
        keep
            Whether a batch in training enters the running statistics.

        Returns
        -------
        Cells, shape ``(n_cells, n_genes)``.
        """
        h = noise
        for linear, norm in zip(self.linear, self.norms, strict=True):
            h = F.relu(norm(linear(h), classes, keep))  # (n_cells, width)
        h = self.output(h)
        if self.activation == "softmax":
            return self.scaled(h.softmax(dim=1))
        return self.scaled(F.relu(h)) if self.activation == "relu" else h


class Critic(nn.Module):
    r"""Scores cells: blocks of Linear and ReLU, without normalisation, and a head.

    With :math:`h` the last hidden units and c the class, the score is

    * without classes, or with ``"classifier"``, :math:`\psi(h)`;
    * with ``"projection"``, :math:`\psi(h) + \langle e_c, h \rangle` :cite:p:`Miyato2018`;
    * with ``"heads"``, :math:`\psi_c(h)`, a head for each class.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_hidden
        Widths of the blocks.
    n_classes
        Number of classes; 1 for none.
    conditioning
        See above; with ``"classifier"`` there is a second head, which tells the classes apart :cite:p:`Odena2017`.
    """

    def __init__(self, n_genes: int, n_hidden: Sequence[int], *, n_classes: int, conditioning: Conditioning) -> None:
        super().__init__()
        self.conditioning = conditioning if n_classes > 1 else None
        widths = [n_genes, *n_hidden]
        self.linear = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(widths))
        heads = self.conditioning == "heads"
        # One constant for all cells cancels in the loss, and would get no gradient; one for each class does not.
        self.score = nn.Linear(widths[-1], n_classes if heads else 1, bias=heads)
        self.classes: nn.Module | None = None
        if self.conditioning == "projection":
            self.classes = nn.Embedding(n_classes, widths[-1])
            nn.init.zeros_(self.classes.weight)
        elif self.conditioning == "classifier":
            self.classes = nn.Linear(widths[-1], n_classes)

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last hidden units, shape ``(n_cells, width)``.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        """
        for linear in self.linear:
            x = F.relu(linear(x))
        return x

    def forward(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Score cells.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        classes
            Class that each is taken for, shape ``(n_cells,)``.

        Returns
        -------
        Scores, shape ``(n_cells,)``.
        """
        h = self.hidden(x)
        scores = self.score(h)
        if self.conditioning == "heads":
            return scores.gather(1, classes[:, None]).squeeze(1)
        if self.conditioning == "projection" and self.classes is not None:
            return scores.squeeze(1) + (self.classes(classes) * h).sum(dim=1)
        return scores.squeeze(1)

    def classified(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the classes, with ``"classifier"``, shape ``(n_cells, n_classes)``.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        """
        if self.conditioning != "classifier" or self.classes is None:
            raise RuntimeError("this critic has no classifier")
        return self.classes(self.hidden(x))
