import numpy as np
import pandas as pd
import pytest

from altercell.errors import KeyNotFoundError
from altercell.pl import score_map

VALUES = {
    "mse": ("lower", {"net": 4.0, "bad": 30.0, "no change": 10.0, "real against real": 2.0}),
    "r": ("higher", {"net": 0.6, "bad": -0.4, "no change": 0.0, "real against real": 0.8}),
    "bias": ("zero", {"net": -1.0, "bad": 4.0, "no change": -2.0, "real against real": 0.0}),
    "flat": ("lower", {"net": 1.0, "bad": 2.0, "no change": 0.0, "real against real": 0.0}),
}


@pytest.fixture
def table():
    rows = [
        (model, label, seed, metric, value + shift, better)
        for metric, (better, models) in VALUES.items()
        for model, value in models.items()
        for label, shift in (("B", 0.0), ("T", 0.0))
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["model", "label", "seed", "metric", "value", "better"])


def shades(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_a_field_a_model_and_metric_on_the_given_axes(table, ax, figures_stay):
    before = table.copy()
    assert score_map(table, ax=ax) is ax
    assert [text.get_text() for text in ax.get_yticklabels()] == list(VALUES["mse"][1])
    assert [text.get_text() for text in ax.get_xticklabels()] == list(VALUES)
    assert ax.texts[0].get_text() == "4"
    assert len(ax.texts) == 16
    pd.testing.assert_frame_equal(table, before)


def test_colours_are_the_way_from_no_change_to_real_cells_whichever_way_is_better(table):
    got = shades(score_map(table))
    expected = [[6 / 8, 0.75, 0.5], [-1, -0.5, -1], [0, 0, 0], [1, 1, 1]]
    np.testing.assert_allclose(got[:, :3], expected, atol=1e-12)


def test_a_metric_that_does_not_tell_the_two_apart_is_grey(table):
    assert np.isnan(shades(score_map(table))[:, 3]).all()


def test_other_ends_may_be_named(table):
    got = shades(score_map(table, ["mse"], floor="bad", ceiling="net"))
    np.testing.assert_allclose(got[:, 0], [1, 0, 20 / 26, 1], atol=1e-12)


def test_without_the_ends_ranks_are_coloured(table):
    ax = score_map(table[table["model"] != "no change"], ["r", "mse"])
    np.testing.assert_allclose(shades(ax), [[0, 0], [-1, -1], [1, 1]], atol=1e-12)
    bar = ax.figure.axes[1]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["worst", "middle", "best"]


def test_a_missing_value_is_a_dash_on_grey(table):
    table.loc[(table["model"] == "net") & (table["metric"] == "r"), "value"] = np.nan
    ax = score_map(table)
    assert ax.texts[1].get_text() == "–"
    assert np.isnan(shades(ax)[0, 1])


def test_an_unknown_metric_is_named(table):
    with pytest.raises(KeyNotFoundError, match="no value of metric 'mmd'; its metrics are 'mse', 'r', 'bias', 'flat'"):
        score_map(table, ["mse", "mmd"])
