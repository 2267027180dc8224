"""How a Wasserstein GAN is trained: the critic moves several times, then the generator once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import nn

from altercell.errors import DataError
from altercell.train._adversarial import AdversarialPlan, scalar_losses


class WGANTrainingPlan(AdversarialPlan):
    r"""The critic moves at every batch, and the generator after every `n_critic` moves of it.

    The count goes on over the ends of epochs, so that it is exact. Fakes that the critic is shown do not enter the
    generator's running statistics. The optimiser is AMSGrad, and the learning rate falls exponentially with the
    critic's moves t in this training,

    .. math:: \eta_t = \eta_0 (\eta_1 / \eta_0)^{\min(1, t / T)}.

    A module has ``player_parameters``, ``inference``, ``generative``, ``drawn``, ``loss`` (the critic's),
    ``generator_loss``, ``update_average`` and buffers ``critic_steps`` and ``first_move``; see
    :class:`altercell.models.scgan.ScGANModule`. In the history are ``critic_loss``, ``wasserstein``, ``penalty``,
    ``gradient_norm`` and ``generator_loss``; the training and the validation loss are the critic's estimate of the
    distance.

    Parameters
    ----------
    module
        The module.
    n_critic
        Moves of the critic for each of the generator.
    betas
        Of AMSGrad.
    final_lr, decay_steps
        The learning rate after so many moves of the critic; None for `lr` throughout.
    **kwargs
        Of :class:`AdversarialPlan`.

    Raises
    ------
    DataError
        `n_critic` is below 1, or only one of `final_lr` and `decay_steps` is given.
    """

    players = ("generator", "critic")

    def __init__(
        self,
        module: BaseModuleClass,
        *,
        n_critic: int = 5,
        betas: tuple[float, float] = (0.5, 0.9),
        final_lr: float | None = None,
        decay_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        if n_critic < 1:
            raise DataError(f"n_critic={n_critic} must be at least 1")
        if (final_lr is None) != (decay_steps is None):
            raise DataError("final_lr and decay_steps say together how the learning rate falls; give both or none")
        self.n_critic, self.betas = n_critic, betas
        self.final_lr, self.decay_steps = final_lr, decay_steps
        self._moves = 0

    def get_optimizer_creator(self) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
        """Return the function that makes a player's optimiser."""
        return lambda parameters: torch.optim.Adam(
            parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, amsgrad=True
        )

    def on_train_start(self) -> None:
        """Take up the state of a killed run, where there is one, and the count of moves."""
        self.module.first_move.copy_(self.module.critic_steps)  # a killed run brings its own
        super().on_train_start()
        self._moves, self._first_move = int(self.module.critic_steps), int(self.module.first_move)

    def training_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Move the critic once, and the generator where it is its turn.

        Parameters
        ----------
        batch, batch_idx
            The batch, and its number in the epoch.
        """
        self._set_learning_rate()
        module, (real, theirs) = self.module, self._criticised(batch)
        self.record_of("critic", "train", theirs)
        self.move("critic", theirs, batch_idx)
        module.critic_steps += 1
        self._moves += 1
        if self._moves % self.n_critic == 0:
            made = module.generative(**module.drawn(real))
            ours = module.generator_loss(made["fake"], made["classes"])
            self.record_of("generator", "train", ours)
            self.move("generator", ours, self._moves // self.n_critic)  # the guard looks at some of its own moves
            module.update_average()
        estimate = theirs.extra_metrics["wasserstein"].detach()
        self.record("train", scalar_losses(estimate, theirs.n_obs_minibatch))
        return {"loss": estimate}

    def validation_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> None:
        """Add the losses of a validation batch to the epoch's record.

        Parameters
        ----------
        batch, batch_idx
            The batch, and its number.
        """
        _, theirs = self._criticised(batch)
        self.record_of("critic", "validation", theirs)
        self.record("validation", scalar_losses(theirs.extra_metrics["wasserstein"], theirs.n_obs_minibatch))

    def _criticised(self, batch: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], LossOutput]:
        """Return real cells with their classes, and the critic's loss on them and on fakes."""
        module = self.module
        real = module.inference(**module._get_inference_input(batch))
        with torch.no_grad():
            shown = module.generative(**module.drawn(real), keep=False)
        return real, module.loss(batch, real, shown)

    def _set_learning_rate(self) -> None:
        """Set the rate of this move; it depends on the count of moves alone, so that a resumed run has the same."""
        if self.final_lr is None or self.decay_steps is None:
            return
        share = min(1.0, (self._moves - self._first_move) / self.decay_steps)
        rate = self.lr * (self.final_lr / self.lr) ** share
        for optimizer in self.optimizers():
            for group in optimizer.param_groups:
                group["lr"] = rate
