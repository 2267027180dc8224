"""C2: what can be said of any loss. That each term equals the paper's equation is for the model's own tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from altercell.errors import listing
from altercell.models.base import TrainingMixin
from altercell.testing._registry import check
from altercell.testing._subject import Subject


@check("C2", needs=(TrainingMixin,))
def finite_losses(subject: Subject) -> None:
    """Training records a finite loss for every epoch, and its terms."""
    history = subject.trained.history_
    assert history, "training records no history"
    assert "train_loss" in history, f"the history has no 'train_loss'; there are {listing(history)}"
    for name, frame in history.items():
        assert np.isfinite(frame.to_numpy(dtype=float)).all(), f"history['{name}'] is not finite"


@check("C2", needs=(TrainingMixin,))
def gradients(subject: Subject) -> None:
    """In one epoch a finite gradient, not zero, reaches every parameter."""
    model = subject.make()
    seen: dict[str, float] = dict.fromkeys((name for name, value in _learned(model)), 0.0)

    def _hook(name: str) -> Any:
        def _look(parameter: torch.Tensor) -> None:
            if parameter.grad is not None:
                seen[name] += float(parameter.grad.detach().abs().sum())

        return _look

    handles = [value.register_post_accumulate_grad_hook(_hook(name)) for name, value in _learned(model)]
    subject.train(model, epochs=1)
    for handle in handles:
        handle.remove()
    spoilt = [name for name, total in seen.items() if not np.isfinite(total)]
    assert not spoilt, f"the gradient is not finite in {listing(spoilt)}"
    unreached = [name for name, total in seen.items() if total == 0]
    assert not unreached, f"no gradient reaches {listing(unreached)}"


@check("C2", needs=(TrainingMixin,))
def weights_move(subject: Subject) -> None:
    """One epoch of training changes the weights."""
    model = subject.make()
    before = {name: value.detach().clone() for name, value in _learned(model)}
    subject.train(model, epochs=1)
    still = [name for name, value in _learned(model) if value.dim() > 1 and torch.equal(value, before[name])]
    assert not still, f"training does not change {listing(still)}"


def _learned(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, value) for name, value in model.module.named_parameters() if value.requires_grad]
