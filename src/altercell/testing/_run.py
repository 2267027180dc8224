"""Run the checks: all at once, or as the cases of a pytest function."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from altercell.errors import DataError, listing
from altercell.models.base import AltercellModel
from altercell.testing._data import Data
from altercell.testing._registry import Check, NotApplicable, all_checks, checks_for
from altercell.testing._report import Outcome, Report
from altercell.testing._subject import Subject


def run_check(one: Check, subject: Subject) -> Outcome:
    """Run one check, and hold what came out against what was declared.

    Parameters
    ----------
    one
        The check.
    subject
        The model under test.
    """
    obstacle = one.obstacle(subject.Model, subject.data)
    if obstacle is not None:
        return Outcome(one, "not applicable", obstacle)
    declared, begin = subject.known_failures.get(one.id), time.perf_counter()
    try:
        one(subject)
    except NotApplicable as note:
        return Outcome(one, "not applicable", str(note), time.perf_counter() - begin)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is a failure, to be told with the others
        seconds = time.perf_counter() - begin
        if declared is not None:
            return Outcome(one, "declared", declared, seconds, error)
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Outcome(one, "failed", f"{kind}{error}", seconds, error)
    seconds = time.perf_counter() - begin
    if declared is not None:
        return Outcome(one, "failed", f"declared as a known failure ({declared}), but it holds", seconds)
    return Outcome(one, "passed", "", seconds)


def check_model(
    Model: type[AltercellModel],
    *,
    arguments: Mapping[str, Any] | None = None,
    train_arguments: Mapping[str, Any] | None = None,
    setup_arguments: Mapping[str, Any] | None = None,
    learning_arguments: Mapping[str, Any] | None = None,
    data: Data = "log",
    known_failures: Mapping[str, str] | None = None,
    floor: float = 0.5,
    verbs: Mapping[str, Callable[[Any, int], Any]] | None = None,
    heavy: bool = False,
    only: str | Sequence[str] | None = None,
    raise_failures: bool = True,
) -> Report:
    """Check that a model holds what every model of altercell holds.

    Parameters
    ----------
    Model
        The class, which derives from :class:`~altercell.models.base.AltercellModel`.
    arguments
        Arguments of the constructor, plain data: make the model small, as in ``{"n_hidden": 16}``.
    train_arguments
        Arguments of ``train``. A model that learns by gradient descent gets ``max_epochs=3, batch_size=32`` on the CPU
        unless they say otherwise.
    setup_arguments
        Arguments of ``setup_anndata`` beside the two keys, for example ``{"size_factor_key": "size_factor"}``.
    learning_arguments
        Arguments of ``train`` for the checks of learning alone, for example more epochs.
    data
        ``"log"``: the model works on log data; ``"counts"``: on counts.
    known_failures
        What the model is known not to hold: reason by check id. A declared failure that does not fail is a failure.
    floor
        What Pearson's correlation of the predicted with the real delta must reach on the simulator.
    verbs
        Verbs of your own by name, each a function of (model, seed); those of the package are known.
    heavy
        Whether to run the slow checks too (a killed process, memory): a minute or two.
    only
        A family (``"C6"``) or check ids; None for all.
    raise_failures
        Whether to raise where a check fails; else look at the report.

    Returns
    -------
    What came out of every check, with the reason.

    Raises
    ------
    AssertionError
        A check failed, or a declared failure did not; the text is the report.
    DataError
        `Model` is no such class, or `known_failures` or `only` names no check.

    Examples
    --------
    >>> from altercell.models.baselines import MeanShift
    >>> check_model(MeanShift, only="C8").of("failed")
    []
    """
    subject = Subject(
        Model,
        arguments or {},
        train_arguments or {},
        setup_arguments or {},
        learning_arguments or {},
        data,
        known_failures or {},
        floor,
        verbs or {},
    )
    _check_declared(subject)
    report = Report(subject.title, tuple(run_check(one, subject) for one in _chosen(only) if heavy or not one.heavy))
    if raise_failures and report.of("failed"):
        raise AssertionError(str(report))
    return report


def _chosen(only: str | Sequence[str] | None) -> list[Check]:
    if only is None:
        return all_checks()
    wanted = {only} if isinstance(only, str) else set(only)
    chosen = [one for one in all_checks() if wanted & {one.id, one.id.split("-")[0]}]
    unknown = wanted - {one.id for one in chosen} - {one.id.split("-")[0] for one in chosen}
    if unknown:
        raise DataError(f"only={listing(sorted(unknown))} is no check; there are {listing(_ids(all_checks()), 200)}")
    return chosen


def _check_declared(subject: Subject) -> None:
    applicable = _ids(checks_for(subject.Model, subject.data, heavy=True))
    unknown = sorted(set(subject.known_failures) - set(applicable))
    if unknown:
        raise DataError(
            f"known_failures names {listing(unknown)}, no check of {subject.title}; there are "
            f"{listing(applicable, 200)}"
        )


def _ids(checks: Sequence[Check]) -> list[str]:
    return [one.id for one in checks]


def parametrize_with_checks(subjects: Sequence[Subject], *, heavy: bool = True) -> Any:
    """Return a pytest decorator that makes one test of every check of every model.

    Each test has the id "name-check", for example ``ScGen-C6-nan``; a declared failure is a strict ``xfail``; slow
    checks bear the marker ``heavy``, which your project has to register.

    Parameters
    ----------
    subjects
        The models.
    heavy
        Whether to make tests of the slow checks too.

    Returns
    -------
    The decorator of a function of one argument, ``verify``, which it has to call.

    Raises
    ------
    DataError
        The known failures of a model name no check of it.

    Examples
    --------
    >>> from altercell.models.baselines import MeanShift
    >>> @parametrize_with_checks([Subject(MeanShift)])
    ... def test_my_models(verify):
    ...     verify()
    """
    import pytest  # a test runner is no dependency of the package

    cases = []
    for subject in subjects:
        _check_declared(subject)
        for one in checks_for(subject.Model, subject.data, heavy=heavy):
            reason = subject.known_failures.get(one.id)
            marks = [pytest.mark.heavy] if one.heavy else []
            marks += [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            cases.append(
                pytest.param(functools.partial(_verify, one, subject), id=f"{subject.title}-{one.id}", marks=marks)
            )
    return pytest.mark.parametrize("verify", cases)


def _verify(one: Check, subject: Subject) -> None:
    import pytest

    try:
        one(subject)
    except NotApplicable as note:
        pytest.skip(str(note))
