"""What a check is: its name, to which models it applies; and that every check can fail."""

import importlib
import re

import pytest

import altercell as ac
from altercell.models.base import AltercellModel, GenerativeModel, ResponseModel, TrainingMixin
from altercell.models.baselines import MeanShift
from altercell.testing import Check, NotApplicable, checks_for
from altercell.testing._registry import _CHECKS, all_checks, check

# Caught in tests of their own, not by a row of BROKEN.
CAUGHT_ELSEWHERE = {
    "C6-decode-without-condition",
    "C6-log-given-to-counts",
    "C12-held-out-values",
    "C12-training-values-count",
    "C12-target-cells-given",
    "C11-training",
    "C11-prediction",
    "C5-killed-by-the-system",
}
FILES = (
    "formats",
    "life",
    "saving",
    "mathematics",
    "learning",
    "randomness",
    "resume",
    "bad_values",
    "bad_groups",
    "bad_cells",
    "bad_request",
    "files",
    "invariance",
    "untouched",
    "nan",
)


def _nothing(subject):
    """Nothing is asked."""


@pytest.fixture
def registry():
    before = dict(_CHECKS)
    yield _CHECKS
    _CHECKS.clear()
    _CHECKS.update(before)


def test_every_check_is_seen_to_fail():
    caught = set(CAUGHT_ELSEWHERE)
    for name in FILES:
        module = importlib.import_module(f".test_{name}", __package__)
        caught |= {row[0] for row in [*module.BROKEN, *getattr(module, "BROKEN_COUNTS", [])]}
    assert {one.id for one in all_checks()} - caught == set()
    assert caught - {one.id for one in all_checks()} == set()


def test_every_check_has_an_id_and_a_statement():
    for one in all_checks():
        assert re.fullmatch(r"C([1-9]|1[0-2])-[a-z0-9-]+", one.id)
        assert one.name[0].isupper() or one.name[0] in "`0"
        assert one.name.endswith("."), one.name


def test_every_family_is_there_in_order():
    families = [int(one.id.split("-")[0][1:]) for one in all_checks()]
    assert families == sorted(families)
    assert set(families) == set(range(1, 13))


def test_the_decorator_makes_id_and_statement(registry):
    @check("C6", needs=(ResponseModel,), heavy=True)
    def very_odd_data(subject):
        """Very odd data are refused.

        More words.
        """

    made = registry["C6-very-odd-data"]
    assert made.name == "Very odd data are refused."
    assert made.function is very_odd_data
    assert (made.needs, made.heavy, made.data) == ((ResponseModel,), True, None)


def test_two_checks_of_a_name_are_refused(registry):
    check("C6")(_nothing)
    with pytest.raises(ValueError, match="there are two checks 'C6-nothing'"):
        check("C6")(_nothing)


@pytest.mark.parametrize(
    ("options", "Model", "data", "obstacle"),
    [
        ({}, MeanShift, "log", None),
        ({"needs": (ResponseModel,)}, MeanShift, "log", None),
        ({"needs": (ResponseModel, GenerativeModel)}, MeanShift, "log", "MeanShift is no GenerativeModel"),
        ({"without": (TrainingMixin,)}, ac.ScGen, "log", "ScGen is a TrainingMixin"),
        ({"without": (TrainingMixin,)}, MeanShift, "log", None),
        ({"verbs": ("predict",)}, MeanShift, "log", None),
        ({"verbs": ("predict", "generate")}, MeanShift, "log", "MeanShift has no generate"),
        ({"data": "counts"}, MeanShift, "counts", None),
        ({"data": "counts"}, MeanShift, "log", "it is about counts data"),
    ],
)
def test_which_models_a_check_is_about(options, Model, data, obstacle):
    one = Check("C1-x", "X.", _nothing, **options)
    assert one.obstacle(Model, data) == obstacle
    assert one.applies(Model, data) is (obstacle is None)


def test_a_check_is_called_as_its_function():
    called = []
    Check("C1-x", "X.", called.append)("the subject")
    assert called == ["the subject"]


def test_checks_of_a_model():
    ids = {one.id for one in checks_for(ac.ScGen)}
    assert {"C2-gradients", "C5-killed-in-an-epoch", "C6-nan", "C10-loss"} <= ids
    assert not {"C6-negative", "C8-refit-on-other-order", "C11-training"} & ids
    closed = {one.id for one in checks_for(MeanShift)}
    assert "C8-refit-on-other-order" in closed
    assert not [name for name in closed if name.startswith(("C2", "C5", "C10"))]


def test_heavy_checks_are_asked_for():
    light, heavy = (checks_for(ac.ScGen, heavy=heavy) for heavy in (False, True))
    assert {one.id for one in heavy} - {one.id for one in light} == {
        "C5-killed-by-the-system",
        "C11-training",
        "C11-prediction",
    }


def test_checks_of_a_count_model():
    ids = {one.id for one in checks_for(ac.ScGen, "counts")}
    assert {"C1-integers", "C6-negative", "C6-fractions", "C6-log-for-counts"} <= ids
    assert "C6-counts-for-log" not in ids


def test_a_model_without_verbs_has_the_checks_that_all_have():
    class Plain(AltercellModel):
        pass

    ids = {one.id for one in checks_for(Plain)}
    assert {"C1-save-and-load", "C6-nan", "C7-planted-pickle", "C9-registration"} <= ids
    assert not [one for one in checks_for(Plain) if one.needs]


def test_not_applicable_is_told_by_its_text():
    with pytest.raises(NotApplicable, match="no meaning here"):
        raise NotApplicable("no meaning here")
