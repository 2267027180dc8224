"""The plan under adversarial training: players with an optimiser each, moved by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import nn

from altercell.errors import DataError, listing
from altercell.train import _plan


def scalar_losses(loss: torch.Tensor, n_cells: int, **terms: torch.Tensor) -> LossOutput:
    """Return a loss and terms that are scalars of the whole batch, not sums over its cells.

    Parameters
    ----------
    loss
        The loss, a scalar.
    n_cells
        Cells of the batch, its weight in the epoch's mean.
    **terms
        Further scalars for the history, by name.
    """
    output = LossOutput(loss=loss, n_obs_minibatch=n_cells, extra_metrics=terms)
    # scvi-tools fills in zeros for what a variational autoencoder would have; they are no part of the history.
    output.reconstruction_loss.clear()
    output.kl_local.clear()
    return output


class AdversarialPlan(_plan.TrainingPlan, ABC):
    """A plan for players that train against each other, each with an optimiser for its own parameters.

    The module says which parameters are whose by a method ``player_parameters(player)``; every parameter belongs to one
    player. A plan derives from this and writes ``training_step``, which calls :meth:`move` for each turn of a player,
    :meth:`record` for the first player's losses, :meth:`record_of` for another's, and returns ``{"loss": ...}``.

    What :class:`altercell.train.TrainingPlan` holds, holds here: a loss that is not finite stops before the player
    moves (on a GPU it is looked at once in 50 batches), and the state after each epoch, with all optimisers, resumes
    exactly. ``trainer.global_step`` counts every move of every player. A learning rate is not changed on the way: there
    is no loss to go by.

    Parameters
    ----------
    module
        The module, with all players in it, so that a model file holds them.
    gradient_clip_val
        Largest norm of a move's gradient; None for any. The trainer's own argument does not work for moves by hand.
    **kwargs
        Of :class:`altercell.train.TrainingPlan`: ``lr``, ``eps``, ``weight_decay``, ..., for every optimiser.

    Raises
    ------
    DataError
        ``reduce_lr_on_plateau`` was asked for, or a parameter belongs to no player or to two.
    """

    #: Names of the players, in the order of their optimisers.
    players: ClassVar[tuple[str, ...]] = ("generator", "discriminator")

    def __init__(self, module: BaseModuleClass, *, gradient_clip_val: float | None = None, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        if self.reduce_lr_on_plateau:
            raise DataError("reduce_lr_on_plateau needs a loss that falls, and players against each other have none")
        self.automatic_optimization = False
        self.gradient_clip_val = gradient_clip_val
        self._check_parameters()

    def _check_parameters(self) -> None:
        owners = [id(value) for player in self.players for value in self._own(player)]
        named = {name: owners.count(id(value)) for name, value in self.module.named_parameters() if value.requires_grad}
        wrong = [name for name, count in named.items() if count != 1]
        if wrong:
            names = listing(self.players)
            raise DataError(f"these parameters belong to no player, or to several, of {names}: {listing(wrong)}")

    def _own(self, player: str) -> list[nn.Parameter]:
        return [value for value in self.module.player_parameters(player) if value.requires_grad]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return an optimiser for each player."""
        return [self.get_optimizer_creator()(self._own(player)) for player in self.players]

    def move(self, player: str, output: LossOutput, batch_idx: int) -> None:
        """Move one player against the gradient of its loss; nothing else moves, or gets a gradient.

        Parameters
        ----------
        player
            Whose turn it is.
        output
            Its loss and terms.
        batch_idx
            Number of the batch in the epoch.

        Raises
        ------
        NonFiniteLossError
            The loss is NaN or infinite.
        """
        every = 1 if self.device.type == "cpu" else _plan.GUARD_EVERY_GPU
        if batch_idx % every == 0:
            self.guard(output)
        optimizer = self.optimizers()[self.players.index(player)]
        optimizer.zero_grad()
        self.manual_backward(output.loss, inputs=self._own(player))
        if self.gradient_clip_val is not None:
            self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip_val)
        optimizer.step()

    @abstractmethod
    def training_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Let the players move, in the order and as often as the game has it.

        Parameters
        ----------
        batch, batch_idx
            The batch, and its number in the epoch.
        """

    def record_of(self, player: str, mode: str, output: LossOutput) -> None:
        """Add a player's losses to the epoch's sums, as ``<player>_loss_<mode>`` and ``<term>_<mode>``.

        Parameters
        ----------
        player
            Whose they are; it may have had another number of turns than the others.
        mode
            ``"train"`` or ``"validation"``.
        output
            Its loss and terms.
        """
        n_cells = output.n_obs_minibatch
        terms = {f"{player}_loss": output.loss, **output.extra_metrics}
        sums = self._sums.setdefault(f"{player} {mode}", {})
        for name, value in terms.items():
            key, value = f"{name}_{mode}", torch.as_tensor(value).detach() * n_cells
            sums[key] = sums[key] + value if key in sums else value
        sums["n"] = sums.get("n", 0) + torch.tensor(float(n_cells), device=output.loss.device)

    def _epoch_means(self, mode: str) -> dict[str, float]:
        means = super()._epoch_means(mode)
        for player in self.players:
            if f"{player} {mode}" in self._sums:
                means |= super()._epoch_means(f"{player} {mode}")
        return means
