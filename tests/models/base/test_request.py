"""Tests of what is asked, and of the table of the cells that answer."""

import pandas as pd
import pytest

from altercell.errors import DataError, GroupError
from altercell.models.base._request import label_list, once_a_target


@pytest.mark.parametrize(
    ("labels", "listed"),
    [(None, None), ("B cells", ["B cells"]), (3, [3]), ((1, 2), [1, 2]), (pd.Series(["a"]), ["a"]), (("a",), ["a"])],
)
def test_label_list(labels, listed):
    assert label_list(labels) == listed


def test_no_label_is_refused():
    with pytest.raises(GroupError, match="labels is empty; give at least one, or None for all"):
        label_list([])


def test_a_table_stands_once_for_each_target_under_names_that_say_so():
    obs = pd.DataFrame({"donor": ["x", "y"]}, index=pd.Index(["a", "b"], name="cell"))
    table = once_a_target(obs, ["drug", 2])
    assert table.index.tolist() == ["a-drug", "b-drug", "a-2", "b-2"]
    assert table.index.name == "cell"
    assert table["donor"].tolist() == ["x", "y", "x", "y"]
    assert table["source_cell"].tolist() == ["a", "b", "a", "b"]
    assert obs.columns.tolist() == ["donor"]


def test_names_that_would_be_the_same_and_a_column_that_would_be_lost_are_refused():
    with pytest.raises(DataError, match="the same name 'a-b-c'; ask for one target"):
        once_a_target(pd.DataFrame(index=["a", "a-b"]), ["b-c", "c"])
    with pytest.raises(DataError, match="obs has a column 'source_cell'.* rename it"):
        once_a_target(pd.DataFrame({"source_cell": ["x"]}, index=["a"]), ["c"])
