"""C1, files: a model that was saved and loaded answers, and trains on, as before."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from altercell.errors import NotTrainedError, listing
from altercell.models.base import TrainingMixin
from altercell.testing._callbacks import AtBatch
from altercell.testing._expect import answers_or_refuses, refuses, same, says
from altercell.testing._registry import check
from altercell.testing._subject import Subject
from altercell.testing._verbs import answers, control_cells, queries_of, verbs_of


@check("C1")
def save_and_load(subject: Subject) -> None:
    """A model that was saved and loaded with its cells answers every verb as before."""
    before = answers(subject, subject.trained)
    with tempfile.TemporaryDirectory() as folder:
        subject.trained.save(folder, overwrite=True)
        loaded = subject.Model.load(folder, subject.adata(), accelerator="cpu")
    _all_same(before, answers(subject, loaded), "after load")
    assert loaded.is_trained_, "the loaded model does not know that it is trained"


@check("C1")
def save_anndata(subject: Subject) -> None:
    """A model that was saved with its cells loads with them, and answers every verb as before."""
    before = answers(subject, subject.trained)
    with tempfile.TemporaryDirectory() as folder:
        subject.trained.save(Path(folder) / "model", save_anndata=True)
        loaded = subject.Model.load(Path(folder) / "model", accelerator="cpu")
        _all_same(before, answers(subject, loaded), "after load with the saved cells")


@check("C1")
def load_without_cells(subject: Subject) -> None:
    """A model that was loaded without cells answers for cells that it is given, or says what it lacks."""
    model, cells = subject.trained, control_cells(subject)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder, overwrite=True)
        loaded = subject.Model.load(folder, accelerator="cpu")
    for name, query in queries_of(subject, needed=False).items():
        what = f"{name} of given cells, by a model loaded without its own"
        try:
            answer = query(loaded, cells)
        except NotTrainedError as error:
            says(error, what, "adata=")
        else:
            same(answer, query(model, cells), what)
    for name, verb in verbs_of(subject).items():
        answers_or_refuses(functools.partial(verb.call, loaded, 0), f"{name} of a model without cells")


@check("C1")
def history_kept(subject: Subject) -> None:
    """The file keeps the history and the numbers of the training cells."""
    model = subject.trained
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder, overwrite=True)
        loaded = subject.Model.load(folder, accelerator="cpu")
    for name, frame in (model.history_ or {}).items():
        pd.testing.assert_frame_equal(loaded.history_[name], frame)
    for name in ("train_indices_", "validation_indices_"):
        assert np.array_equal(getattr(loaded, name), getattr(model, name)), f"{name} changes in the file"


@check("C1")
def overwrite(subject: Subject) -> None:
    """`save` does not replace a model without being told to."""
    with tempfile.TemporaryDirectory() as folder:
        subject.trained.save(folder, overwrite=True)
        refuses(lambda: subject.trained.save(folder), "save over a model", "overwrite")
        subject.trained.save(folder, overwrite=True)


@check("C1", needs=(TrainingMixin,))
def train_twice(subject: Subject) -> None:
    """A second `train` goes on in training mode, and the history goes on with it."""
    model = subject.fit(epochs=1)
    _trains_on(subject, model)


@check("C1", needs=(TrainingMixin,))
def train_after_load(subject: Subject) -> None:
    """A model that was loaded trains on in training mode, and its history goes on."""
    with tempfile.TemporaryDirectory() as folder:
        subject.fit(epochs=1).save(folder, overwrite=True)
        loaded = subject.Model.load(folder, subject.adata(), accelerator="cpu")
    _trains_on(subject, loaded)


def _trains_on(subject: Subject, model: Any) -> None:
    frozen: list[str] = []

    def _look(trainer: Any, plan: Any) -> None:
        frozen.extend(name or "the module" for name, part in _trained(plan.module) if not part.training)

    subject.train(model, epochs=1, callbacks=[AtBatch(_look)])
    assert not frozen, f"in evaluation mode during training: {listing(dict.fromkeys(frozen))}"
    assert not model.module.training, "the module is left in training mode"
    lengths = {name: len(frame) for name, frame in model.history_.items()}
    assert set(lengths.values()) == {2}, f"after 1 + 1 epochs the history has so many rows: {lengths}"


def _trained(module: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the parts of a network by name, but for those that are held still with all their parameters."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return
    yield name, module
    for child, part in module.named_children():
        yield from _trained(part, f"{name}.{child}" if name else child)


def _all_same(before: dict[str, Any], after: dict[str, Any], when: str) -> None:
    for name, answer in before.items():
        same(after[name], answer, f"{name} {when}")
