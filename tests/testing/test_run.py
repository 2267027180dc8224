"""`check_model`, and the decorator for pytest: reports, declared failures, wrong names."""

import numpy as np
import pandas as pd
import pytest
import torch

from altercell.errors import DataError, NotTrainedError
from altercell.models.base import AltercellModel, GenerativeModel, answer
from altercell.testing import (
    Check,
    NotApplicable,
    Subject,
    check_model,
    checks_for,
    parametrize_with_checks,
    run_check,
)
from altercell.testing._registry import all_checks

from .suite import SMALL, Net, Shift
from .test_invariance import Centres, IgnoresNames

DECLARED = {"C8-subset": "its answer is about the cells together"}


def _check(function, **options):
    return Check("C1-made-up", "A made-up statement.", function, **options)


def _raising(error):
    def function(subject):
        raise error

    return function


def test_a_sound_model_passes_everything():
    report = check_model(Shift)
    assert report.of("failed") == []
    assert len(report.of("passed")) > 100
    assert len(report.outcomes) == len([one for one in all_checks() if not one.heavy])
    assert {one.check.id for one in report.of("not applicable")} >= {"C2-gradients", "C6-negative"}


class Resampler(GenerativeModel, AltercellModel):
    """It generates: training cells, drawn anew. It predicts nothing, and has no latent space."""

    def __init__(self, adata=None, registry=None, *, seed=0):
        super().__init__(adata, registry, seed=seed)
        self.module = torch.nn.Module()
        self.module.register_buffer("means", torch.zeros(len(self.schema.genes)))
        self.init_params_ = self._get_init_params(locals())

    def train(self):
        cells = self.cells()
        self.module.means.copy_(torch.from_numpy(cells.read(slice(None)).astype(np.float64).mean(axis=0)))
        self.is_trained_ = True

    def generate(self, n, *, seed=None, labels=None):
        if n < 1:
            raise DataError(f"n={n} must be at least 1")
        with self._inference(seed) as used:
            if self.adata is None:
                raise NotTrainedError("there are no cells to draw from; give load() an adata=")
            codes = self.schema.cell_label_codes(self.adata)
            keep = (
                np.ones(len(codes), dtype=bool) if labels is None else codes == self.schema.label_code(labels, "labels")
            )
            cells = self.cells(rows=np.random.default_rng(used).choice(np.flatnonzero(keep), n))
            obs = pd.DataFrame(index=[f"generated_{number}" for number in range(n)])
            made = {"model": "Resampler", "verb": "generate", "version": "1", "space": self.space, "seed": used}
            return answer([cells.read(slice(None))], obs, cells.var(), made)


def test_a_model_that_only_generates_can_be_checked():
    report = check_model(Resampler)
    passed = {one.check.id for one in report.of("passed")}
    assert {
        "C1-generated-cells",
        "C3-classes",
        "C4-other-answers",
        "C6-nan",
        "C6-empty-gene",
        "C9-every-verb",
    } <= passed
    reasons = {one.check.id: one.reason for one in report.of("not applicable")}
    assert reasons["C6-missing-genes"] == reasons["C8-subset"] == "no verb takes cells"
    assert reasons["C12-held-out-values"] == "Resampler is no ResponseModel"


def test_a_broken_model_raises_with_the_report():
    with pytest.raises(AssertionError, match=r"IgnoresNames: \d+ of \d+ checks passed, \d failed") as caught:
        check_model(IgnoresNames, only="C8")
    assert "C8-order-of-genes" in str(caught.value)
    assert "X differ" in str(caught.value)


def test_the_report_can_be_had_without_an_error():
    report = check_model(IgnoresNames, only="C8", raise_failures=False)
    assert "C8-order-of-genes" in [one.check.id for one in report.of("failed")]
    assert isinstance(report.of("failed")[0].error, AssertionError)


def test_declared_failures_are_told_and_do_not_raise():
    ids = ["C8-subset", "C8-subset-by-labels", "C8-subset-by-indices", "C8-batch-size"]
    report = check_model(Centres, only="C8", known_failures=dict.fromkeys(ids, "about the cells together"))
    assert [one.check.id for one in report.of("declared")] == ids
    assert {one.reason for one in report.of("declared")} == {"about the cells together"}
    assert "4 declared failures" in report.summary()


def test_a_declared_failure_that_passes_is_a_failure():
    with pytest.raises(AssertionError, match=r"C8-subset .* declared as a known failure .its answer.*, but it holds"):
        check_model(Shift, only="C8", known_failures=DECLARED)


@pytest.mark.parametrize("name", ["C8-nothing", "C2-gradients", "C6-negative"])
def test_a_declaration_must_name_a_check_of_the_model(name):
    with pytest.raises(DataError, match=f"known_failures names '{name}', no check of Shift; there are 'C1-"):
        check_model(Shift, known_failures={name: "who knows"})


def test_a_heavy_check_can_be_declared_without_being_run():
    report = check_model(Shift, only="C12", known_failures={"C11-training": "reads all cells"})
    assert report.of("failed") == []


@pytest.mark.parametrize(
    ("only", "ids"),
    [
        ("C12", ["C12-held-out-values", "C12-training-values-count", "C12-target-cells-given"]),
        (["C6-nan", "C9-training"], ["C6-nan", "C9-training"]),
        ("C6-nan", ["C6-nan"]),
    ],
)
def test_only_some_checks(only, ids):
    assert [one.check.id for one in check_model(Shift, only=only)] == ids


def test_only_must_name_checks():
    with pytest.raises(DataError, match="only='C13', 'C6-nothing' is no check; there are 'C1-csr'"):
        check_model(Shift, only=["C6-nan", "C6-nothing", "C13"])


def test_arguments_reach_the_model():
    seen = {}

    class Listens(Net):
        def __init__(self, *args, **kwargs):
            seen.update(kwargs)
            super().__init__(*args, **kwargs)

        def train(self, *args, **kwargs):
            seen.update(kwargs)
            super().train(*args, **kwargs)

    check_model(
        Listens,
        arguments={**SMALL, "dropout_rate": 0.1},
        train_arguments={"early_stopping_patience": 3},
        setup_arguments={"categorical_covariate_keys": ["donor"]},
        only=["C1-verbs"],
        verbs={"name": lambda model, seed: seen.update(verb=True) or seed},
    )
    assert (seen["dropout_rate"], seen["early_stopping_patience"], seen["verb"]) == (0.1, 3, True)


def test_the_floor_is_handed_on():
    with pytest.raises(AssertionError, match="the floor 0.999"):
        check_model(Shift, only="C3", floor=0.999)


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (lambda subject: None, "passed", ""),
        (_raising(AssertionError("it differs")), "failed", "it differs"),
        (_raising(RuntimeError("it broke")), "failed", "RuntimeError: it broke"),
        (_raising(NotApplicable("no meaning")), "not applicable", "no meaning"),
    ],
)
def test_what_comes_out_of_a_check(function, status, reason):
    outcome = run_check(_check(function), Subject(Shift))
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.seconds >= 0


def test_a_check_that_does_not_apply_is_not_run():
    outcome = run_check(_check(_raising(RuntimeError("run")), verbs=("fly",)), Subject(Shift))
    assert (outcome.status, outcome.reason, outcome.error) == ("not applicable", "Shift has no fly", None)


def test_a_declared_failure_keeps_its_error():
    subject, error = Subject(Shift, known_failures={"C1-made-up": "as was said"}), AssertionError("it differs")
    outcome = run_check(_check(_raising(error)), subject)
    assert (outcome.status, outcome.reason, outcome.error) == ("declared", "as was said", error)


def test_a_keyboard_interrupt_ends_it():
    with pytest.raises(KeyboardInterrupt):
        run_check(_check(_raising(KeyboardInterrupt())), Subject(Shift))


def _cases(decorator):
    return decorator.args[1]


def test_the_decorator_makes_a_case_of_every_check():
    cases = _cases(parametrize_with_checks([Subject(Shift), Subject(Net, name="small")]))
    expected = [f"Shift-{one.id}" for one in checks_for(Shift, heavy=True)]
    expected += [f"small-{one.id}" for one in checks_for(Net, heavy=True)]
    assert [case.id for case in cases] == expected


def test_the_slow_checks_can_be_left_out():
    cases = _cases(parametrize_with_checks([Subject(Net)], heavy=False))
    assert [case.id for case in cases] == [f"Net-{one.id}" for one in checks_for(Net, heavy=False)]
    assert not any("C11" in case.id for case in cases)


def test_heavy_and_declared_checks_bear_their_marks():
    cases = _cases(parametrize_with_checks([Subject(Shift, known_failures=DECLARED)]))
    marks = {case.id: {mark.name: mark for mark in case.marks} for case in cases}
    assert set(marks["Shift-C11-training"]) == {"heavy"}
    assert marks["Shift-C8-subset"]["xfail"].kwargs == {"reason": DECLARED["C8-subset"], "strict": True}
    assert marks["Shift-C6-nan"] == {}


def test_the_decorator_refuses_wrong_declarations():
    with pytest.raises(DataError, match="known_failures names 'C8-nothing'"):
        parametrize_with_checks([Subject(Shift, known_failures={"C8-nothing": "who knows"})])


def test_a_case_verifies_when_it_is_called():
    cases = {case.id: case.values[0] for case in _cases(parametrize_with_checks([Subject(Centres)]))}
    cases["Centres-C6-nan"]()
    with pytest.raises(AssertionError, match="predict of a subset of the cells: X differ"):
        cases["Centres-C8-subset"]()


def test_a_case_without_meaning_is_skipped():
    cases = {case.id: case.values[0] for case in _cases(parametrize_with_checks([Subject(Shift)]))}
    with pytest.raises(pytest.skip.Exception, match="no verb is random"):
        cases["Shift-C4-other-answers"]()
