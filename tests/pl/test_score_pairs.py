import matplotlib.path as mpath
import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl import score_pairs


@pytest.fixture
def table():
    rows = [("net", "B", 0, 1.0), ("net", "B", 1, 3.0), ("net", "T", 0, 5.0), ("net", "NK", 0, 9.0)]
    rows += [("shift", "B", 0, 4.0), ("shift", "T", 0, 4.0), ("shift", "DC", 0, 4.5)]
    return pd.DataFrame(rows, columns=["model", "label", "seed", "value"]).assign(metric="mse", better="lower")


def test_a_point_a_set_that_both_have(table, ax, figures_stay):
    before = table.copy()
    assert score_pairs(table, "net", "shift", "mse", ax=ax) is ax
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), [[4, 2], [4, 5]])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("shift", "net", "mse")
    assert ax.get_xlim() == ax.get_ylim()
    pd.testing.assert_frame_equal(table, before)


def test_a_line_reaches_over_the_seeds(table):
    lines = score_pairs(table, "net", "shift", "mse").collections[1].get_segments()
    np.testing.assert_array_equal(lines, [[[4, 1], [4, 3]], [[4, 5], [4, 5]]])


def test_points_bear_the_names_of_their_sets(table):
    texts = [text.get_text() for text in score_pairs(table, "net", "shift", "mse").texts]
    assert {"B", "T"} <= set(texts)
    assert "B" not in [text.get_text() for text in score_pairs(table, "net", "shift", "mse", names=False).texts]


@pytest.mark.parametrize(("better", "inside", "outside"), [
    ("lower", (4, 2.5), (4, 4.8)), ("higher", (4, 4.8), (4, 2.5)), ("zero", (4, 2.5), (2.5, 4)),
])  # fmt: skip
def test_the_shaded_side_is_where_the_model_is_better(table, better, inside, outside):
    ax = score_pairs(table.assign(better=better), "net", "shift", "mse")
    shade = mpath.Path(ax.collections[0].get_paths()[0].vertices)
    assert shade.contains_point(inside)
    assert not shade.contains_point(outside)


def test_below_zero_the_smaller_size_is_better(table):
    ax = score_pairs(table.assign(better="zero", value=-table["value"]), "net", "shift", "mse")
    shade = mpath.Path(ax.collections[0].get_paths()[0].vertices)
    assert shade.contains_point((-4, -2.5))
    assert not shade.contains_point((-3, -4))


def test_errors_name_what_is_missing(table):
    with pytest.raises(KeyNotFoundError, match="no value of metric 'mmd'; there are 'mse'"):
        score_pairs(table, "net", "shift", "mmd")
    with pytest.raises(KeyNotFoundError, match="no value of model 'nobody'; there are 'net', 'shift'"):
        score_pairs(table, "nobody", "shift", "mse")
    apart = table[(table["model"] == "net") == (table["label"] == "NK")]
    with pytest.raises(DataError, match="no held-out set was scored by mse for both net and shift"):
        score_pairs(apart, "net", "shift", "mse")
