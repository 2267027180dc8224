"""How the style transfer GAN is trained: the generators move, then the discriminators, on the same batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from altercell.train import AdversarialPlan, scalar_losses


class StyleTransferPlan(AdversarialPlan):
    """The generators move first; the discriminators then see the fakes that were made before that move.

    In validation the loss is the cycle's alone: the others measure the two players against each other, and say nothing
    of how far the training has come. Parameters: those of :class:`altercell.train.AdversarialPlan`.
    """

    def training_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Move the generators and the discriminators once.

        Parameters
        ----------
        batch, batch_idx
            The batch, and its number in the epoch.
        """
        translated, _, ours = self.forward(batch, loss_kwargs=self.loss_kwargs)
        self.record("train", ours)
        self.move("generator", ours, batch_idx)
        theirs = self.module.discriminator_loss(translated)
        self.record_of("discriminator", "train", theirs)
        self.move("discriminator", theirs, batch_idx)
        return {"loss": ours.loss.detach()}

    def validation_step(self, batch: Mapping[str, torch.Tensor], batch_idx: int) -> None:
        """Add the losses of a validation batch to the epoch's record.

        Parameters
        ----------
        batch, batch_idx
            The batch, and its number.
        """
        translated, _, ours = self.forward(batch, loss_kwargs=self.loss_kwargs)
        self.record(
            "validation", scalar_losses(ours.extra_metrics["cycle_loss"], len(batch["X"]), **ours.extra_metrics)
        )
        self.record_of("discriminator", "validation", self.module.discriminator_loss(translated))
