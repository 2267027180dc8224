"""What the tests of the suite share: sound models, and the statement that a check catches a broken one."""

from __future__ import annotations

import re
from typing import Any

import altercell as ac
from altercell.models.base import TrainingMixin
from altercell.models.baselines import MeanShift
from altercell.testing import Outcome, Subject, run_check
from altercell.testing._registry import all_checks

SMALL = {"n_hidden": 8, "n_latent": 3}


class Shift(MeanShift):
    """The sound model that most broken ones derive from: quick, in closed form."""


class Net(ac.ScGen):
    """The sound model that is trained by gradient descent, has a latent space and generates."""


def subject_of(Model: type, **settings: Any) -> Subject:
    """Return a subject, small where it has a network."""
    if issubclass(Model, TrainingMixin):
        settings["arguments"] = {**SMALL, **settings.get("arguments", {})}
    return Subject(Model, **settings)


def outcome_of(check_id: str, Model: type, **settings: Any) -> Outcome:
    """Run one check on a model."""
    return run_check({one.id: one for one in all_checks()}[check_id], subject_of(Model, **settings))


def assert_caught(check_id: str, Model: type, pattern: str, **settings: Any) -> None:
    """Assert that a check fails on a broken model, and says why."""
    outcome = outcome_of(check_id, Model, **settings)
    assert outcome.status == "failed", f"{check_id} does not catch {Model.__name__}: {outcome}"
    assert re.search(pattern, outcome.reason), f"{check_id} on {Model.__name__} says: {outcome.reason}"


def broken_ids(broken: list[tuple[Any, ...]]) -> list[str]:
    """Return the ids of a list of (check id, model, pattern, ...)."""
    return [f"{row[0]}-{row[1].__name__}" for row in broken]
