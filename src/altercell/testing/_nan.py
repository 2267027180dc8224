"""C10: NaN in training stops it, names the term, and keeps the last good weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from altercell.errors import NonFiniteLossError
from altercell.models.base import TrainingMixin
from altercell.testing._callbacks import AtBatch
from altercell.testing._expect import refuses, says
from altercell.testing._registry import check
from altercell.testing._subject import Subject

STEADY = {"early_stopping": False}


def _stops(subject: Subject, model: Any, what: str, *names: object, named: Sequence[str] = (), **train: Any) -> None:
    def _fit() -> None:
        try:
            subject.train(model, 3, **STEADY, **train)
        except NonFiniteLossError as error:
            # Which terms there are is known only now.
            says(error, what, *named)
            raise

    refuses(_fit, what, *names, kind=NonFiniteLossError)
    spoilt = [name for name, value in model.module.state_dict().items() if not bool(torch.isfinite(value).all())]
    assert not spoilt, f"after {what} the model keeps weights that are not finite: {spoilt}"


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def _good_weights(epoch: int) -> tuple[AtBatch, list[dict[str, torch.Tensor]]]:
    """Return a callback that keeps the weights before each step of an epoch, and what it keeps."""
    kept: list[dict[str, torch.Tensor]] = []
    return AtBatch(lambda trainer, plan: kept.append(_weights(plan.module)), epoch=epoch), kept


def _are_kept(model: Any, good: list[dict[str, torch.Tensor]]) -> None:
    # Those before the spoilt step, or, where that step has spoilt them, those before the epoch.
    weights = _weights(model.module)
    candidates = [all(torch.equal(value, one[name]) for name, value in weights.items()) for one in (good[0], good[1])]
    assert any(candidates), "the model keeps weights that are neither those before the step nor those before the epoch"


@check("C10", needs=(TrainingMixin,))
def loss(subject: Subject) -> None:
    """A loss that becomes NaN stops training, naming the epoch and the term, and the last good weights are kept."""
    model = subject.make()
    watch, good = _good_weights(epoch=1)
    plain, terms = model.module.loss, []

    def _spoilt(*arguments: Any, **options: Any) -> Any:
        output = plain(*arguments, **options)
        terms.extend(output.reconstruction_loss)
        for name, value in output.reconstruction_loss.items():
            output.reconstruction_loss[name] = value * float("nan")
        object.__setattr__(output, "loss", output.loss * float("nan"))
        return output

    def _start(trainer: Any, plan: Any) -> None:
        model.module.loss = _spoilt

    _stops(subject, model, "a NaN loss", "epoch 1", callbacks=[watch, AtBatch(_start, epoch=1, batch=1)], named=terms)
    _are_kept(model, good)


@check("C10", needs=(TrainingMixin,))
def gradient(subject: Subject) -> None:
    """A gradient that becomes NaN stops training, naming the weights, and the last good weights are kept."""
    model = subject.make()
    name, parameter = next((name, value) for name, value in model.module.named_parameters() if value.requires_grad)

    def _start(trainer: Any, plan: Any) -> None:
        parameter.register_hook(lambda grad: grad * float("nan"))

    watch, good = _good_weights(epoch=1)
    _stops(subject, model, "a NaN gradient", name, callbacks=[watch, AtBatch(_start, epoch=1, batch=1)])
    _are_kept(model, good)


@check("C10", needs=(TrainingMixin,))
def last_batch(subject: Subject) -> None:
    """A gradient that becomes NaN in the very last step does not leave a spoilt model."""
    model = subject.make()
    parameter = next(value for value in model.module.parameters() if value.requires_grad)

    def _start(trainer: Any, plan: Any) -> None:
        if trainer.is_last_batch:
            parameter.register_hook(lambda grad: grad * float("nan"))

    _stops(subject, model, "a NaN gradient in the last step", callbacks=[AtBatch(_start, epoch=2)])
