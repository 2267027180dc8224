"""The style transfer GAN's mathematics: two translations, two discriminators, and the cycle between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import nn

from altercell.errors import DataError
from altercell.losses import CycleNorm, cycle_consistency, least_squares_discriminator, least_squares_generator
from altercell.models.style_transfer._networks import (
    Discriminator,
    DiscriminatorActivation,
    DiscriminatorBatches,
    Generators,
)
from altercell.nn import OutputActivation
from altercell.train import scalar_losses

Pair = tuple[torch.Tensor, torch.Tensor]


class StyleTransferModule(BaseModuleClass):
    r"""Two generators and two discriminators between two conditions.

    With :math:`T_c` the generator that takes cells :math:`x^c` of condition :math:`c` to the other one, written
    :math:`\bar c`, and :math:`D_c` the discriminator of condition :math:`c`,

    .. math::

        \hat x^{\bar c} &= T_c(x^c), \qquad \tilde x^c = T_{\bar c}(\hat x^{\bar c}) \\
        L_T &= \sum_c E (D_{\bar c}(\hat x^{\bar c}) - 1)^2 + \lambda \sum_c E \, |x^c - \tilde x^c|^p \\
        L_D &= \sum_c E (D_c(x^c) - 1)^2 + E (D_c(\hat x^c))^2

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    conditions
        Codes of the two conditions.
    n_hidden, n_latent, dropout_rate, output_activation
        Of the generators; the discriminators have the same `n_hidden`.
    cycle_weight
        :math:`\lambda`.
    cycle_norm
        ``"l2"`` or ``"l1"``: :math:`p` is 2 or 1.
    discriminator_activation, discriminator_batches
        Of the discriminators.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        conditions: Sequence[int],
        *,
        n_hidden: Sequence[int] = (700, 100),
        n_latent: int = 50,
        dropout_rate: float = 0.5,
        cycle_weight: float = 5.0,
        cycle_norm: CycleNorm = "l2",
        output_activation: OutputActivation = "relu",
        discriminator_activation: DiscriminatorActivation = "sigmoid",
        discriminator_batches: DiscriminatorBatches = "separate",
    ) -> None:
        super().__init__()
        self.conditions: torch.Tensor
        self.cycle_weight, self.cycle_norm = cycle_weight, cycle_norm
        self.generators = Generators(
            n_genes, n_hidden, n_latent, dropout_rate=dropout_rate, output_activation=output_activation
        )
        self.discriminators = nn.ModuleList(
            Discriminator(
                n_genes,
                n_hidden,
                dropout_rate=dropout_rate,
                activation=discriminator_activation,
                batches=discriminator_batches,
            )
            for _ in range(2)
        )
        self.register_buffer("conditions", torch.tensor(list(conditions), dtype=torch.int64))
        self.register_buffer("group_sizes", torch.zeros(n_conditions, n_labels))

    def player_parameters(self, player: str) -> Iterator[nn.Parameter]:
        """Return the parameters that a player of the game moves.

        Parameters
        ----------
        player
            ``"generator"`` or ``"discriminator"``.
        """
        return (self.generators if player == "generator" else self.discriminators).parameters()

    def _get_inference_input(self, tensors: dict[str, torch.Tensor], **kwargs: object) -> dict[str, torch.Tensor]:
        return {"x": tensors["X"], "condition": tensors["batch"]}

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict[str, Pair], **kwargs: object
    ) -> dict[str, Pair]:
        return {"fake": inference_outputs["fake"]}

    @auto_move_data
    def inference(self, x: torch.Tensor, condition: torch.Tensor) -> dict[str, Pair]:
        """Translate each cell to the other condition.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        condition
            Their codes, shape ``(n_cells, 1)``.

        Returns
        -------
        ``real``, the cells of each condition, and ``fake``, what each generator made of them: the fakes of the first
        generator are of the second condition.
        """
        first, second = self.conditions.tolist()
        real = x[condition.ravel() == first], x[condition.ravel() == second]
        if self.training and min(map(len, real)) < 2:
            raise DataError("a training batch needs 2 cells of each condition; give larger or balanced batches")
        return {"real": real, "fake": (self.generators(real[0], 0), self.generators(real[1], 1))}

    @auto_move_data
    def generative(self, fake: Pair) -> dict[str, Pair]:
        """Translate fakes back, which leaves the running statistics as they are: a fake is no real cell.

        Parameters
        ----------
        fake
            What :meth:`inference` returned under ``fake``.

        Returns
        -------
        ``back``, the cells of each condition after both translations.
        """
        return {"back": (self.generators(fake[0], 1, keep=False), self.generators(fake[1], 0, keep=False))}

    @auto_move_data
    def translate(self, x: torch.Tensor, source: int) -> torch.Tensor:
        """Translate cells of one condition to the other.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        source
            Code of their condition.
        """
        return self.generators(x, self.conditions.tolist().index(source))

    def loss(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict[str, Pair], generative_outputs: dict[str, Pair]
    ) -> LossOutput:
        """Return the generators' loss of a batch, and its terms ``generator_loss`` and ``cycle_loss``.

        Parameters
        ----------
        tensors, inference_outputs, generative_outputs
            The batch, and what :meth:`inference` and :meth:`generative` returned for it.
        """
        real, fake, back = inference_outputs["real"], inference_outputs["fake"], generative_outputs["back"]
        judges = cast("list[Discriminator]", [self.discriminators[1], self.discriminators[0]])
        fooled = _total(least_squares_generator(judges[c].score_fakes(real[1 - c], fake[c])) for c in range(2))
        cycle = _total(cycle_consistency(real[c], back[c], self.cycle_norm) for c in range(2))
        loss = fooled + self.cycle_weight * cycle
        return scalar_losses(loss, len(tensors["X"]), generator_loss=fooled, cycle_loss=cycle)

    def discriminator_loss(self, inference_outputs: dict[str, Pair]) -> LossOutput:
        """Return the discriminators' loss of a batch; the generators get no gradient from it.

        Parameters
        ----------
        inference_outputs
            What :meth:`inference` returned.
        """
        real, fake = inference_outputs["real"], inference_outputs["fake"]
        loss = _total(
            least_squares_discriminator(*self.discriminators[c](real[c], fake[1 - c].detach())) for c in range(2)
        )
        return scalar_losses(loss, sum(map(len, real)))


def _total(losses: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(losses)).sum()
