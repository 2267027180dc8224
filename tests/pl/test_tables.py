import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl._tables import check_columns


def test_a_table_with_the_columns_passes_and_may_have_more():
    assert check_columns(pd.DataFrame({"a": [1], "b": [2], "c": [3]}), ("a", "b"), "x") is None


def test_missing_columns_are_named_beside_those_that_are_there():
    with pytest.raises(
        KeyNotFoundError, match="no column 'b', 'c'; a table of the benchmark is wanted, this one has 'a'"
    ):
        check_columns(pd.DataFrame({"a": [1]}), ("a", "b", "c"), "the benchmark")


def test_a_table_without_rows_is_an_error():
    with pytest.raises(DataError, match="no rows; a table of the benchmark is wanted"):
        check_columns(pd.DataFrame({"a": []}), ("a",), "the benchmark")
