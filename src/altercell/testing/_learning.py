"""C3: the model learns, on simulated cells whose response is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from altercell._space import LOG
from altercell.data import hold_out
from altercell.models.base import GenerativeModel, ResponseModel, TrainingMixin
from altercell.testing._data import BATCH_KEY, HELD_OUT, LABELS_KEY, SOURCE, TARGET, dense, learnable
from altercell.testing._registry import NotApplicable, check
from altercell.testing._subject import Subject
from altercell.train import WGANTrainingPlan


def _learnt(subject: Subject) -> Any:
    return subject.once("learnt", lambda: subject.train(subject.make(_split(subject)[0]), **subject.learning_arguments))


def _split(subject: Subject) -> tuple[Any, Any]:
    return hold_out(learnable(subject.data), batch=TARGET, labels=HELD_OUT)


def _means(subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean control, real and predicted cell of the held-out type, in log space, each (n_genes,).

    Counts are averaged before the logarithm: expected counts have no counting noise, and the mean of their logarithms
    lies above that of measured cells, however good they are.
    """
    train, real = _split(subject)
    chosen = ((train.obs[BATCH_KEY] == SOURCE) & (train.obs[LABELS_KEY] == HELD_OUT)).to_numpy()
    predicted = _learnt(subject).predict(source=SOURCE, target=TARGET, labels=HELD_OUT, seed=0)
    values = dense(predicted.X).astype(np.float64)
    if subject.data == "counts" and predicted.uns["altercell"]["space"].startswith(LOG):
        values = np.expm1(values)
    return _mean(subject, train.X[chosen]), _mean(subject, real.X), _mean(subject, values)


def _mean(subject: Subject, values: Any) -> np.ndarray:
    cells = dense(values).astype(np.float64)
    if subject.data == "counts":
        return np.log1p((cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-9) * 1e4).mean(axis=0))
    return cells.mean(axis=0)


@check("C3", needs=(ResponseModel,))
def beats_no_change(subject: Subject) -> None:
    """The predicted mean of a held-out type is nearer to the real one than that of its control cells."""
    control, real, predicted = _means(subject)
    ours, theirs = np.mean((predicted - real) ** 2), np.mean((control - real) ** 2)
    assert ours < theirs, f"the mean squared error of the mean is {ours:.4g}, that of no change {theirs:.4g}"


@check("C3", needs=(ResponseModel,))
def delta_above_floor(subject: Subject) -> None:
    """Pearson's correlation of the predicted with the real delta of a held-out type reaches the floor."""
    control, real, predicted = _means(subject)
    delta = predicted - control
    assert delta.std() > 0, "the predicted delta is the same for all genes"
    found = np.corrcoef(delta, real - control)[0, 1]
    assert found >= subject.floor, f"the correlation is {found:.3f}, the floor {subject.floor:g}"


@check("C3", needs=(TrainingMixin,))
def loss_falls(subject: Subject) -> None:
    """The training loss is lower at the end than after the first epoch; a critic's estimate is no such loss."""
    if issubclass(subject.Model._training_plan_cls, WGANTrainingPlan):
        raise NotApplicable("the critic's estimate rises while the critic learns, and falls as the generator does")
    loss = _learnt(subject).history_["train_loss"].to_numpy(dtype=float).ravel()
    if len(loss) < 2:
        raise NotApplicable("training has one epoch only")
    assert loss[-1] < loss[0], f"the training loss goes from {loss[0]:.4g} to {loss[-1]:.4g}"


@check("C3", needs=(GenerativeModel,))
def classes(subject: Subject) -> None:
    """Cells generated as a type have a mean that is nearest to the mean of this type's real cells."""
    if not subject.takes("generate", "labels"):
        raise NotApplicable("generate takes no labels")
    train, _ = _split(subject)
    names = list(train.obs[LABELS_KEY].cat.categories)
    real = np.stack([_mean(subject, train.X[(train.obs[LABELS_KEY] == name).to_numpy()]) for name in names])
    for number, name in enumerate(names):
        made = _mean(subject, _learnt(subject).generate(100, labels=name, seed=0).X)
        nearest = names[int(np.argmin(np.linalg.norm(real - made, axis=1)))]
        assert nearest == name, f"cells generated as '{names[number]}' are nearest to '{nearest}'"
