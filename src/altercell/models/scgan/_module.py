"""The mathematics of scGAN and cscGAN: a generator and a critic, and what each of them is moved by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from altercell.errors import DataError
from altercell.losses import gradient_penalty, wasserstein_estimate
from altercell.models.scgan._networks import Conditioning, Critic, Generator, OutputLayer, drawn_counts
from altercell.train import scalar_losses

#: Quantiles of the cells' totals that are kept of each class, from the lowest to the highest.
N_QUANTILES = 101


class ScGANModule(BaseModuleClass):
    r"""A generator G and a critic D, a Wasserstein GAN with a gradient penalty :cite:p:`Marouf2020,Gulrajani2017`.

    With noise :math:`z \sim N(0, 1)`, class c and fakes :math:`\tilde x = G(z, c)`,

    .. math::

        L_D &= E D(\tilde x, c) - E D(x, c) + \lambda E (\lVert \nabla_{\hat x} D(\hat x, c) \rVert_2 - 1)^2 \\
        L_G &= - E D(\tilde x, c)

    and with a classifier C both have :math:`\alpha E[-\log C_c]` on top, of real cells and of fakes.

    With the Poisson layer (not the papers') the generator makes a profile :math:`\rho`, which sums to 1, for a total l
    that a real cell has, and both players see logarithms of counts, with that of the total beside them:

    .. math:: \tilde x = (\log(1 + k), \log l), \quad k_g \sim \operatorname{Poisson}(l \rho_g)

    The gradient of k goes straight to :math:`l \rho`.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    n_latent
        Dimensions of the noise.
    n_hidden
        Widths of the generator's hidden blocks; the critic has them in the other order, or `critic_hidden`.
    critic_hidden
        Widths of the critic's hidden blocks.
    class_of_group
        Class of each (condition, label), shape ``(n_conditions, n_labels)``; of all zeros for no classes.
    library_size
        Total that every cell is scaled to; None where the cells are log data.
    conditioning
        How the critic knows the class; see :class:`Critic`.
    penalty_weight
        :math:`\lambda`.
    classifier_weight
        :math:`\alpha`.
    average_decay
        Decay of the moving average of the generator's weights, which then makes the cells; None for none.
    output_layer
        ``"scaled"`` (the papers') or ``"poisson"``.
    n_values
        Number of values that the generator makes and the critic sees, where these are no genes; None where they are.

    Attributes
    ----------
    group_sizes, totals
        Number of training cells of each (condition, label), and quantiles of the cells' totals of each class.
    covered
        Share of each class's counts over all genes that the registered ones have.
    head_factors, head_dispersion
        Of the :class:`~altercell.models.base.CountHead`.
    critic_steps, first_move
        How often the critic has moved, and had moved before the last training.
    """

    #: Whether what is made has a total of its own; else it is scaled to one total.
    makes_totals = False

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        *,
        n_latent: int = 128,
        n_hidden: Sequence[int] = (256, 512, 1024),
        critic_hidden: Sequence[int] | None = None,
        class_of_group: torch.Tensor | None = None,
        library_size: float | None = 20_000.0,
        conditioning: Conditioning = "projection",
        penalty_weight: float = 10.0,
        classifier_weight: float = 1.0,
        average_decay: float | None = None,
        output_layer: OutputLayer = "scaled",
        n_values: int | None = None,
    ) -> None:
        super().__init__()
        self.class_of_group: torch.Tensor
        self.group_sizes: torch.Tensor
        self.critic_steps: torch.Tensor
        self.scales, self.n_latent = library_size is not None, n_latent
        self.draws = output_layer == "poisson"
        self.penalty_weight, self.classifier_weight = penalty_weight, classifier_weight
        groups = torch.zeros(n_conditions, n_labels) if class_of_group is None else class_of_group
        n_classes = int(groups.max()) + 1
        n_made = n_genes if n_values is None else n_values
        self.critic = Critic(
            n_made + self.draws,
            tuple(reversed(n_hidden)) if critic_hidden is None else critic_hidden,
            n_classes=n_classes,
            conditioning=conditioning,
        )
        self.generator = Generator(
            n_latent,
            n_hidden,
            n_made,
            n_classes=n_classes,
            library_size=library_size,
            activation="softmax" if self.draws else "relu" if n_values is None else "linear",
        )
        self.average: AveragedModel | None = None
        if average_decay is not None:
            rule = partial(_averaged, average_decay)
            self.average = AveragedModel(self.generator, avg_fn=rule, use_buffers=True).requires_grad_(False)
        self.totals: torch.Tensor
        self.register_buffer("class_of_group", groups.long())
        self.head_factors: torch.Tensor
        self.head_dispersion: torch.Tensor
        self.register_buffer("totals", torch.zeros(n_classes, N_QUANTILES))
        self.register_buffer("head_factors", torch.ones(n_classes, n_genes))
        self.register_buffer("head_dispersion", torch.zeros(n_genes))
        self.covered: torch.Tensor
        self.first_move: torch.Tensor
        self.register_buffer("group_sizes", torch.zeros(n_conditions, n_labels, dtype=torch.int64))
        self.register_buffer("covered", torch.ones(n_classes))
        self.register_buffer("first_move", torch.zeros((), dtype=torch.int64))
        self.register_buffer("critic_steps", torch.zeros((), dtype=torch.int64))

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 where there are none."""
        return int(self.class_of_group.max()) + 1

    def player_parameters(self, player: str) -> Iterator[nn.Parameter]:
        """Return the parameters that a player of the game moves.

        Parameters
        ----------
        player
            ``"generator"`` or ``"critic"``.
        """
        return (self.generator if player == "generator" else self.critic).parameters()

    def _get_inference_input(self, tensors: dict[str, torch.Tensor], **kwargs: object) -> dict[str, torch.Tensor]:
        return {"x": tensors["X"], "condition": tensors["batch"], "label": tensors["labels"]}

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict[str, torch.Tensor], **kwargs: object
    ) -> dict[str, torch.Tensor]:
        return self.drawn(inference_outputs)

    @auto_move_data
    def inference(self, x: torch.Tensor, condition: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return cells as the critic sees them, and their classes.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``: counts where there is a library size.
        condition, label
            Their codes, shape ``(n_cells, 1)``.
        """
        if self.training and len(x) < 2:
            raise DataError("a training batch needs 2 cells or more for batch normalisation; give larger batches")
        classes = self.class_of_group[condition.ravel().long(), label.ravel().long()]
        if self.draws:
            totals = x.sum(dim=1)
            return {"real": _with_total(x, totals), "classes": classes, "totals": totals}
        return {"real": self.generator.scaled(x) if self.scales else x, "classes": classes}

    @staticmethod
    def drawn(real: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Draw what as many fakes are to be of, with replacement, so that it comes in the data's own proportions.

        Parameters
        ----------
        real
            What :meth:`inference` returned: ``"classes"`` of real cells, shape ``(n_cells,)``; with the Poisson layer
            their ``"totals"``, which then come from the same cell.
        """
        classes = real["classes"]
        rows = torch.randint(len(classes), (len(classes),), device=classes.device)
        return {name: real[name][rows] for name in ("classes", "totals") if name in real}

    @auto_move_data
    def generative(
        self, classes: torch.Tensor, totals: torch.Tensor | None = None, keep: bool = True
    ) -> dict[str, torch.Tensor]:
        """Make a cell of each class from fresh noise.

        Parameters
        ----------
        classes
            Shape ``(n_cells,)``.
        totals
            Total of each, shape ``(n_cells,)``; for the Poisson layer alone.
        keep
            Whether a batch in training enters the generator's running statistics.
        """
        noise = torch.randn(
            len(classes), self.n_latent, device=classes.device, dtype=self.generator.output.weight.dtype
        )
        fake = self.generator(noise, classes, keep)
        if self.draws and totals is not None:
            rate = fake * (totals / cast("torch.Tensor", self.generator.scaled.total))[:, None]
            fake = _with_total(drawn_counts(rate), totals)
        return {"fake": fake, "classes": classes}

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, torch.Tensor],
        generative_outputs: dict[str, torch.Tensor],
    ) -> LossOutput:
        """Return the critic's loss, and its terms ``wasserstein``, ``penalty`` and ``gradient_norm``.

        Parameters
        ----------
        tensors, inference_outputs
            A batch, and what :meth:`inference` returned for it.
        generative_outputs
            As many fakes, which get no gradient.
        """
        real, classes = inference_outputs["real"], inference_outputs["classes"]
        fake = generative_outputs["fake"].detach()
        # The critic looks at one cell at a time, so that both populations go through it at once.
        scores = self.critic(torch.cat([real, fake]), torch.cat([classes, generative_outputs["classes"]]))
        distance = wasserstein_estimate(scores[: len(real)], scores[len(real) :])
        epsilon = torch.rand(len(real), 1, device=real.device, dtype=real.dtype)
        with torch.enable_grad():  # also where a loss is only looked at
            penalty, norm = gradient_penalty(lambda x: self.critic(x, classes), real, fake, epsilon)
        loss, terms = -distance + self.penalty_weight * penalty, {}
        if self.critic.conditioning == "classifier":
            terms["classifier"] = F.cross_entropy(self.critic.classified(real), classes)
            loss = loss + self.classifier_weight * terms["classifier"]
        return scalar_losses(loss, len(real), wasserstein=distance, penalty=penalty, gradient_norm=norm, **terms)

    def generator_loss(self, fake: torch.Tensor, classes: torch.Tensor) -> LossOutput:
        """Return the generator's loss.

        Parameters
        ----------
        fake, classes
            Fakes, shape ``(n_cells, n_genes)``, and their classes.
        """
        loss = -self.critic(fake, classes).mean()
        if self.critic.conditioning == "classifier":
            loss = loss + self.classifier_weight * F.cross_entropy(self.critic.classified(fake), classes)
        return scalar_losses(loss, len(fake))

    def update_average(self) -> None:
        """Move the averaged generator, running statistics included, a little towards the generator."""
        if self.average is not None:
            self.average.update_parameters(self.generator)

    def make(self, noise: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return cells of given noise, by the averaged generator where there is one.

        Parameters
        ----------
        noise
            Shape ``(n_cells, n_latent)``.
        classes
            Class of each cell, shape ``(n_cells,)``; or its shares of the classes, ``(n_cells, n_classes)``.
        """
        return (self.generator if self.average is None else self.average)(noise, classes)


def _with_total(counts: torch.Tensor, totals: torch.Tensor) -> torch.Tensor:
    """Return counts as the players of the Poisson layer see them, shape ``(n_cells, n_genes + 1)``."""
    return torch.cat([counts.log1p(), totals.clamp(min=1)[:, None].log()], dim=1)


def _averaged(decay: float, mean: torch.Tensor, now: torch.Tensor, n: torch.Tensor | int) -> torch.Tensor:
    """Return the average after a move; its decay starts low, so that early weights are soon forgotten."""
    return mean.lerp(now, 1 - min(decay, (1 + int(n)) / (10 + int(n))))
