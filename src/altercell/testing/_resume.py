"""C5: killed and resumed equals uninterrupted."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from lightning.pytorch import Callback

from altercell.models.base import TrainingMixin
from altercell.models.base._training import RESUME_FILE
from altercell.testing._callbacks import AtBatch, AtEpochEnd, Killed, kill
from altercell.testing._child import run_child
from altercell.testing._expect import refuses, same, weights_same
from altercell.testing._registry import NotApplicable, check
from altercell.testing._subject import Subject
from altercell.testing._verbs import answers

EPOCHS = 4


def resumed_equals(subject: Subject, first: Any, second: Any, what: str) -> None:
    """Assert that two trained models have the same weights, history and answers, bit for bit.

    Parameters
    ----------
    subject
        The model under test.
    first, second
        The models.
    what
        What they are, for the message.

    Raises
    ------
    AssertionError
        They differ.
    """
    weights_same(first, second, what)
    assert first.history_.keys() == second.history_.keys(), f"{what}: the histories have different entries"
    for name, frame in first.history_.items():
        same(second.history_[name], frame, f"{what}: history", tolerance=0)
    after = answers(subject, second)
    for name, answer in answers(subject, first).items():
        same(after[name], answer, f"{what}: {name}", tolerance=0)


def _killed_and_resumed(subject: Subject, killer: Callback, what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _killed(subject, folder, killer)
        assert (Path(folder) / RESUME_FILE).exists(), f"{what}: no file to resume from was written"
        again = subject.train(subject.make(), EPOCHS, resume_dir=folder)
    resumed_equals(subject, _uninterrupted(subject), again, what)


def _uninterrupted(subject: Subject) -> Any:
    return subject.once("uninterrupted", lambda: subject.train(subject.make(), EPOCHS))


def _killed(subject: Subject, folder: str | Path, killer: Callback, **train: Any) -> None:
    try:
        subject.train(subject.make(), EPOCHS, resume_dir=folder, callbacks=[killer], **train)
    except Killed:
        return
    raise AssertionError("the training was to be killed, and was not: it has fewer epochs or batches than asked for")


@check("C5", needs=(TrainingMixin,))
def killed_in_an_epoch(subject: Subject) -> None:
    """Killed in the middle of an epoch and resumed: weights, history and answers equal an uninterrupted training."""
    _killed_and_resumed(subject, AtBatch(kill, epoch=2, batch=1), "killed in the middle of epoch 2")


@check("C5", needs=(TrainingMixin,))
def killed_between_epochs(subject: Subject) -> None:
    """Killed at the end of an epoch and resumed equals uninterrupted."""
    _killed_and_resumed(subject, AtEpochEnd(kill, epoch=1), "killed at the end of epoch 1")


@check("C5", needs=(TrainingMixin,))
def killed_in_the_last_epoch(subject: Subject) -> None:
    """Killed in the last epoch and resumed equals uninterrupted."""
    _killed_and_resumed(subject, AtBatch(kill, epoch=EPOCHS - 1, batch=1), "killed in the last epoch")


@check("C5", needs=(TrainingMixin,))
def killed_twice(subject: Subject) -> None:
    """Killed, resumed, killed and resumed equals uninterrupted."""
    with tempfile.TemporaryDirectory() as folder:
        for epoch in (1, 3):
            _killed(subject, folder, AtBatch(kill, epoch=epoch, batch=1))
        again = subject.train(subject.make(), EPOCHS, resume_dir=folder)
    resumed_equals(subject, _uninterrupted(subject), again, "killed twice")


@check("C5", needs=(TrainingMixin,))
def killed_in_the_first_epoch(subject: Subject) -> None:
    """Killed before any epoch has ended, the training starts afresh and ends the same."""
    with tempfile.TemporaryDirectory() as folder:
        _killed(subject, folder, AtBatch(kill, epoch=0, batch=1))
        again = subject.train(subject.make(), EPOCHS, resume_dir=folder)
    resumed_equals(subject, _uninterrupted(subject), again, "killed in the first epoch")


@check("C5", needs=(TrainingMixin,))
def resumed_early_stopping(subject: Subject) -> None:
    """Early stopping goes on as if there had been no kill: the same last epoch, the same best weights."""
    early = {"early_stopping": True, "early_stopping_patience": 1, "train_size": 0.7}
    whole = subject.train(subject.make(), 2 * EPOCHS, **early)
    with tempfile.TemporaryDirectory() as folder:
        _killed(subject, folder, AtBatch(kill, epoch=1, batch=1), **early)
        again = subject.train(subject.make(), 2 * EPOCHS, resume_dir=folder, **early)
    resumed_equals(subject, whole, again, "killed with early stopping")


@check("C5", needs=(TrainingMixin,))
def resume_dir_changes_nothing(subject: Subject) -> None:
    """A training that writes its state gives the same weights as one that does not."""
    with tempfile.TemporaryDirectory() as folder:
        written = subject.train(subject.make(), EPOCHS, resume_dir=folder)
    resumed_equals(subject, _uninterrupted(subject), written, "with resume_dir")


@check("C5", needs=(TrainingMixin,))
def resumed_when_finished(subject: Subject) -> None:
    """A training that had finished and is started again with the same arguments gives the same model."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (subject.train(subject.make(), EPOCHS, resume_dir=folder) for _ in range(2))
    resumed_equals(subject, first, second, "started again when finished")


@check("C5", needs=(TrainingMixin,))
def resumed_further(subject: Subject) -> None:
    """A finished training that is asked for more epochs goes on to where one long training ends."""
    patient = {"early_stopping": False}
    with tempfile.TemporaryDirectory() as folder:
        subject.train(subject.make(), EPOCHS - 2, resume_dir=folder, **patient)
        longer = subject.train(subject.make(), EPOCHS, resume_dir=folder, **patient)
    resumed_equals(subject, subject.train(subject.make(), EPOCHS, **patient), longer, "asked for more epochs")


@check("C5", needs=(TrainingMixin,))
def resume_of_another_run(subject: Subject) -> None:
    """The state of a run with another seed is refused, naming the seed."""
    with tempfile.TemporaryDirectory() as folder:
        subject.train(subject.make(), 1, resume_dir=folder, seed=1)
        refuses(lambda: subject.train(subject.make(), 1, resume_dir=folder, seed=2), "the state of another run", "seed")


@check("C5", needs=(TrainingMixin,))
def resume_on_other_cells(subject: Subject) -> None:
    """The state of a run on other values of the same shape is refused."""
    other = subject.adata()
    other.X = np.ascontiguousarray(other.X[::-1])
    with tempfile.TemporaryDirectory() as folder:
        subject.train(subject.make(), 1, resume_dir=folder)
        refuses(lambda: subject.train(subject.make(other), 2, resume_dir=folder), "the state of a run on other values")


@check("C5", needs=(TrainingMixin,))
def killed_while_writing(subject: Subject) -> None:
    """Killed while the state is written, the state before it is whole: resumed equals uninterrupted."""
    replace, written = os.replace, []

    def _die_the_second_time(source: Any, target: Any) -> None:
        written.append(target)
        if len(written) == 2:
            raise Killed
        replace(source, target)

    with tempfile.TemporaryDirectory() as folder:
        with mock.patch("altercell._datafile.os.replace", _die_the_second_time):
            _killed(subject, folder, Callback())
        again = subject.train(subject.make(), EPOCHS, resume_dir=folder)
    resumed_equals(subject, _uninterrupted(subject), again, "killed while writing")


@check("C5", needs=(TrainingMixin,), heavy=True)
def killed_by_the_system(subject: Subject) -> None:
    """A process that is killed by the operating system (SIGKILL) and resumed in another equals uninterrupted."""
    if not hasattr(signal, "SIGKILL"):
        raise NotApplicable("there is no SIGKILL on this system")
    with tempfile.TemporaryDirectory() as folder:
        ended = run_child(subject, task="train_and_die", folder=folder, epochs=EPOCHS, epoch=2)
        assert ended.returncode == -signal.SIGKILL, f"the process was to be killed, and said: {ended.stderr[-800:]}"
        assert (Path(folder) / RESUME_FILE).exists(), "no file to resume from was written"
        again = subject.train(subject.make(), EPOCHS, resume_dir=folder)
    resumed_equals(subject, _uninterrupted(subject), again, "killed by SIGKILL")
