import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl._columns import Column, choose_by_label, choose_evenly


def images(digits):
    obs = pd.DataFrame({"digit": pd.Series(digits)})
    obs.index = obs.index.astype(str)
    return AnnData(np.zeros((len(obs), 4), dtype=np.float32), obs=obs)


def places(columns):
    return [(column.label, column.source, column.real) for column in columns]


def test_images_are_evenly_spaced_from_the_first_to_the_last():
    columns = choose_evenly({"source": np.zeros((21, 4))}, 5)
    assert columns == [Column("", row, None) for row in (0, 5, 10, 15, 20)]


def test_real_images_of_the_same_number_are_those_of_the_same_rows():
    columns = choose_evenly({"source": np.zeros((50, 4)), "real": np.ones((50, 4))}, 7)
    assert [column.source for column in columns] == [column.real for column in columns]
    assert len(columns) == 7


def test_there_are_no_more_columns_than_source_images_and_places_without_a_real_one_stay_empty():
    columns = choose_evenly({"source": np.zeros((3, 4)), "real": np.ones((2, 4))}, 8)
    assert places(columns) == [("", 0, 0), ("", 1, 1), ("", 2, None)]


def test_one_image_a_label_and_a_real_one_of_that_label():
    given = {"source": images([7, 1, 7, 3]), "predicted": None, "real": images([3, 3, 1, 0])}
    assert places(choose_by_label(given, "digit", None)) == [("1", 1, 2), ("3", 3, 0), ("7", 0, None)]


def test_columns_are_shared_out_among_labels_the_first_get_one_more():
    given = {"source": images([0, 1] * 10)}
    columns = choose_by_label(given, "digit", 5)
    assert [column.label for column in columns] == ["0", "0", "0", "1", "1"]
    assert [column.source for column in columns] == [0, 8, 18, 1, 19]
    assert [column.label for column in choose_by_label(given, "digit", 1)] == ["0"]


def test_a_label_with_few_images_has_fewer_columns():
    columns = choose_by_label({"source": images([0, 1, 1, 1, 1]), "real": images([1, 0, 0])}, "digit", 6)
    assert places(columns) == [("0", 0, 1), ("1", 1, 0), ("1", 3, None), ("1", 4, None)]


def test_categories_keep_their_order_and_those_without_source_images_are_passed_over():
    kinds = pd.Categorical(["thick", "thin"], categories=["thin", "normal", "thick"])
    assert [c.label for c in choose_by_label({"source": images(kinds)}, "digit", None)] == ["thin", "thick"]


def test_images_without_a_label_are_left_out():
    assert places(choose_by_label({"source": images([None, "a", None])}, "digit", 3)) == [("a", 1, None)]
    with pytest.raises(DataError, match=r"no source image has a label in obs\['digit'\]"):
        choose_by_label({"source": images(pd.Categorical([None, None], categories=["a"]))}, "digit", None)


@pytest.mark.parametrize("n_columns", [0, -2])
def test_no_columns_are_an_error(n_columns):
    with pytest.raises(DataError, match=f"n_columns={n_columns} must be at least 1"):
        choose_evenly({"source": np.zeros((3, 4))}, n_columns)
    with pytest.raises(DataError, match=f"n_columns={n_columns} must be at least 1"):
        choose_by_label({"source": images([1, 2])}, "digit", n_columns)


def test_labels_need_anndata_with_the_column():
    other = images([1])
    other.obs.columns = ["number"]
    with pytest.raises(KeyNotFoundError, match=r"real has no obs\['digit'\]; its columns are 'number'"):
        choose_by_label({"source": images([1]), "real": other}, "digit", None)
    with pytest.raises(DataError, match="labels_key='digit' needs AnnData.*source is an array"):
        choose_by_label({"source": np.zeros((3, 4))}, "digit", None)
