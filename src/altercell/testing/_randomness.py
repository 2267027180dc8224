"""C4: a seed decides everything, and the caller's generators are left as they were."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from altercell.models.base import TrainingMixin
from altercell.testing._expect import differ, same, weights_same
from altercell.testing._registry import NotApplicable, check
from altercell.testing._subject import Subject
from altercell.testing._verbs import answers, verbs_of


def _global_state() -> tuple[Any, ...]:
    settings = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global generator is what is looked at
    return random.getstate(), name, keys.tobytes(), tuple(rest), torch.get_rng_state().numpy().tobytes(), settings


def _leaves_generators(call: Callable[[], Any], what: str) -> None:
    before = _global_state()
    call()
    names = ("Python's random", *["NumPy's global"] * 3, "torch's global")
    for name, old, new in zip(names, before, _global_state(), strict=False):
        assert old == new, f"{what} moves {name} generator"
    assert before[-1] == _global_state()[-1], f"{what} changes torch's settings: {before[-1]} to {_global_state()[-1]}"


def _seed_globally(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _restored(call: Callable[[], Any]) -> Any:
    """Call with the global generators put back afterwards: the checks leave them alone as well."""
    python, legacy, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        return call()
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(torchs)


@check("C4")
def construction_leaves_generators(subject: Subject) -> None:
    """Registration and construction leave the global generators as they were."""
    _leaves_generators(subject.make, "construction")


@check("C4")
def training_leaves_generators(subject: Subject) -> None:
    """Training leaves the global generators as they were."""
    model = subject.make()
    _leaves_generators(lambda: subject.train(model, epochs=1), "train")


@check("C4")
def verbs_leave_generators(subject: Subject) -> None:
    """Every verb leaves the global generators as they were."""
    for name, verb in verbs_of(subject).items():
        _leaves_generators(functools.partial(verb.call, subject.trained, 0), name)


@check("C4")
def files_leave_generators(subject: Subject) -> None:
    """`save` and `load` leave the global generators as they were."""
    with tempfile.TemporaryDirectory() as folder:
        _leaves_generators(lambda: subject.trained.save(folder, overwrite=True), "save")
        _leaves_generators(lambda: subject.Model.load(folder, subject.adata(), accelerator="cpu"), "load")


@check("C4")
def same_training(subject: Subject) -> None:
    """The same seed gives the same weights, bit for bit, whatever the state of the global generators."""

    def _fit(seed: int) -> Any:
        _seed_globally(seed)
        return subject.fit(epochs=2)

    first, second = _restored(lambda: (_fit(1), _fit(2)))
    weights_same(first, second, "two trainings with the same seed")


@check("C4")
def same_answers(subject: Subject) -> None:
    """The same seed gives the same answer of every verb, bit for bit, whatever the state of the global generators."""

    def _ask(seed: int) -> dict[str, Any]:
        _seed_globally(seed)
        return answers(subject, subject.trained, seed=7)

    first, second = _restored(lambda: (_ask(1), _ask(2)))
    for name, answer in first.items():
        same(second[name], answer, f"{name} twice with the same seed", tolerance=0)


@check("C4", needs=(TrainingMixin,))
def other_start(subject: Subject) -> None:
    """Another seed of the constructor gives other initial weights."""
    if not subject.takes("__init__", "seed"):
        raise NotApplicable("the constructor takes no seed")
    _differ_in_weights(subject.make(seed=1), subject.make(seed=2), "two seeds of the constructor")


@check("C4", needs=(TrainingMixin,))
def other_training(subject: Subject) -> None:
    """Another seed of `train` gives other weights from the same start."""
    first, second = (subject.train(subject.make(), epochs=1, seed=seed) for seed in (1, 2))
    _differ_in_weights(first, second, "two seeds of train")


@check("C4")
def other_answers(subject: Subject) -> None:
    """Another seed gives another answer of every random verb."""
    chance = {name: verb for name, verb in verbs_of(subject).items() if verb.random(subject.Model)}
    if not chance:
        raise NotApplicable("no verb is random")
    for name, verb in chance.items():
        differ(verb.call(subject.trained, 1), verb.call(subject.trained, 2), f"{name} with two seeds")


def _differ_in_weights(first: Any, second: Any, what: str) -> None:
    one, two = first.module.state_dict(), second.module.state_dict()
    assert any(not torch.equal(one[name], two[name]) for name in one), f"{what} give the same weights"
