import pytest

from altercell import errors
from altercell.errors import (
    AltercellError,
    DataError,
    GeneMismatchError,
    GroupError,
    KeyNotFoundError,
    ModelFileError,
    NonFiniteLossError,
    NotTrainedError,
    SpaceMismatchError,
    check_choice,
    listing,
    named,
)


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (DataError, ValueError),
        (KeyNotFoundError, KeyError),
        (GroupError, ValueError),
        (GeneMismatchError, DataError),
        (SpaceMismatchError, DataError),
        (NotTrainedError, ValueError),
        (ModelFileError, ValueError),
        (NonFiniteLossError, ValueError),
    ],
)
def test_every_error_is_of_the_family_and_of_a_builtin_kind(error, also):
    assert issubclass(error, AltercellError)
    assert issubclass(error, also)
    with pytest.raises(AltercellError, match="what happened"):
        raise error("what happened")


def test_the_family_is_complete():
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert all(issubclass(error, AltercellError) for error in found)
    assert len(found) == 9


def test_a_missing_key_reads_as_a_sentence_without_quotes_around_it():
    assert str(KeyNotFoundError("batch_key='x' is not a column")) == "batch_key='x' is not a column"
    assert str(KeyNotFoundError()) == ""


@pytest.mark.parametrize(
    ("names", "limit", "text"),
    [
        ([], 8, "none"),
        (["a"], 8, "'a'"),
        (["a", "b"], 8, "'a', 'b'"),
        (["a", "b"], 2, "'a', 'b'"),
        (["a", "b", "c"], 2, "'a', 'b' and 1 more"),
        ((name for name in "abcd"), 1, "'a' and 3 more"),
        ([1, None], 8, "1, None"),
        ({"key": "value"}, 8, "'key'"),
    ],
)
def test_listing(names, limit, text):
    assert listing(names, limit) == text


def test_listing_writes_eight_names_unless_told():
    assert listing(range(9)) == "0, 1, 2, 3, 4, 5, 6, 7 and 1 more"


def test_a_choice_that_there_is_passes_and_another_is_named():
    check_choice("kernel", "rbf", ("rbf", "linear"))
    with pytest.raises(DataError, match="kernel='cubic' is unknown; there are 'rbf', 'linear'"):
        check_choice("kernel", "cubic", ("rbf", "linear"))


def test_numbers_are_not_quoted():
    assert named("1") == "'1'"
    assert named(1) == "1"
    assert listing(["a", 2, 0.5]) == "'a', 2, 0.5"
