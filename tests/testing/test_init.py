"""The room's public names, and the words that explain it."""

import re

import altercell as ac
from altercell import testing
from altercell.testing._registry import all_checks


def test_the_public_names():
    assert set(testing.__all__) == {
        "Check",
        "NotApplicable",
        "Outcome",
        "Report",
        "Subject",
        "check_model",
        "checks_for",
        "parametrize_with_checks",
        "run_check",
    }
    assert all(getattr(testing, name).__doc__ for name in testing.__all__)
    assert ac.testing is testing


def test_every_family_is_explained():
    explained = set(re.findall(r"\bC\d+\b", testing.__doc__))
    assert {one.id.split("-")[0] for one in all_checks()} <= explained


def test_the_example_of_a_declared_failure_names_a_check():
    (name,) = re.findall(r'known_failures=\{"([^"]+)"', testing.__doc__)
    assert name in {one.id for one in all_checks()}
