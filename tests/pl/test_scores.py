import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl import scores

MODELS, LABELS, SEEDS = ["ScGen", "NoChange"], ["B", "T", "NK"], [0, 1, 2]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    keys = itertools.product(MODELS, LABELS, SEEDS, ["mse", "pearson_delta"])
    frame = pd.DataFrame(list(keys), columns=["model", "label", "seed", "metric"])
    return frame.assign(value=rng.uniform(size=len(frame)))


def of(table, model, metric):
    return table[(table["model"] == model) & (table["metric"] == metric)]


def ticks(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_a_row_a_model_on_the_given_axes(table, ax, figures_stay):
    before = table.copy()
    assert scores(table, "mse", ax=ax) is ax
    assert ticks(ax) == MODELS
    assert ax.get_xlabel().startswith("mse\n")
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    pd.testing.assert_frame_equal(table, before)


def test_points_are_labels_and_the_bar_the_spread_over_seeds(table):
    ax = scores(table, "mse")
    for i, model in enumerate(MODELS):
        part = of(table, model, "mse")
        by_label = part.groupby("label")["value"].mean()
        points = np.asarray(ax.collections[2 * i].get_offsets())
        np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(by_label))
        by_seed = part.groupby("seed")["value"].mean()
        centre, _, bars = ax.containers[i].lines
        assert centre.get_xdata()[0] == pytest.approx(by_label.mean())
        ends = bars[0].get_segments()[0][:, 0]
        np.testing.assert_allclose(ends, by_label.mean() + by_seed.std(ddof=1) * np.array([-1, 1]))


def test_one_seed_has_no_spread(table):
    ax = scores(table[table["seed"] == 0], "mse")
    ends = ax.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert ends[0] == ends[1]


def test_the_only_metric_needs_no_name(table):
    ax = scores(table[table["metric"] == "pearson_delta"])
    assert ax.get_xlabel().startswith("pearson_delta\n")


def test_a_model_that_misses_labels_says_so(table):
    table.loc[(table["model"] == "NoChange") & (table["label"] == "NK"), "value"] = np.nan
    assert ticks(scores(table, "mse")) == ["ScGen", "NoChange (2 of 3 labels)"]


def test_categorical_columns_are_drawn_alike(table):
    plain = float(scores(table, "mse").containers[1].lines[0].get_xdata()[0])
    for column in ("model", "label", "metric"):
        table[column] = table[column].astype("category")
    assert scores(table, "mse").containers[1].lines[0].get_xdata()[0] == pytest.approx(plain)


def test_errors_name_metrics_and_columns(table):
    with pytest.raises(DataError, match="the table has 2 metrics; name one of 'mse', 'pearson_delta'"):
        scores(table)
    with pytest.raises(KeyNotFoundError, match="no value of metric 'mmd'; its metrics are 'mse', 'pearson_delta'"):
        scores(table, "mmd")
    with pytest.raises(KeyNotFoundError, match="no column 'seed'; a table of the benchmark is wanted"):
        scores(table.drop(columns="seed"), "mse")
    assert plt.get_fignums() == []
