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


def test_several_metrics_make_a_panel_each_with_the_names_beside_the_first(table):
    axes = scores(table, ["mse", "pearson_delta"])
    assert axes.shape == (2,)
    assert len({ax.figure for ax in axes}) == 1
    assert [ax.get_xlabel().split("\n")[0] for ax in axes] == ["mse", "pearson_delta"]
    assert [ticks(ax) for ax in axes] == [MODELS, ["", ""]]
    for ax, metric in zip(axes, ("mse", "pearson_delta"), strict=True):
        for i, model in enumerate(MODELS):
            mean = of(table, model, metric).groupby("label")["value"].mean().mean()
            assert ax.containers[i].lines[0].get_xdata()[0] == pytest.approx(mean)
    assert scores(table, ["mse"]).shape == (1,)


def test_several_metrics_are_drawn_on_given_axes(table, ax):
    given = plt.subplots(1, 2)[1]
    before = plt.get_fignums()
    assert list(scores(table, ["pearson_delta", "mse"], ax=given)) == list(given)
    assert plt.get_fignums() == before
    with pytest.raises(DataError, match="2 metrics need as many axes; 1 were given"):
        scores(table, ["pearson_delta", "mse"], ax=ax)


def test_a_model_without_a_metric_keeps_its_row_in_the_other_panels(table):
    table = table[(table["model"] != "ScGen") | (table["metric"] != "mse")]
    left, right = scores(table, ["mse", "pearson_delta"])
    assert ticks(left) == ["ScGen (0 of 3 labels)", "NoChange"]
    assert (len(left.containers), len(right.containers)) == (1, 2)
    assert left.containers[0].lines[0].get_ydata()[0] == right.containers[1].lines[0].get_ydata()[0]


def test_missed_labels_are_told_beside_the_panel_that_misses_them(table):
    table.loc[(table["model"] == "NoChange") & (table["label"] == "NK") & (table["metric"] == "mse"), "value"] = np.nan
    left, right = scores(table, ["pearson_delta", "mse"])
    assert ticks(left) == MODELS
    assert ticks(right) == ["", "(2 of 3 labels)"]


def test_the_summary_of_a_benchmark_is_drawn_without_single_labels(table):
    from altercell.benchmark import summary

    means = summary(table.assign(better="lower"))
    before = means.copy()
    for ax, metric in zip(scores(means, ["mse", "pearson_delta"]), ("mse", "pearson_delta"), strict=True):
        assert ax.get_xlabel() == f"{metric}\n(mean ± SD over seeds)"
        for i, model in enumerate(MODELS):
            centre, _, bars = ax.containers[i].lines
            mean, spread = means.loc[model, (metric, "mean")], means.loc[model, (metric, "sd")]
            assert centre.get_xdata()[0] == pytest.approx(mean)
            np.testing.assert_allclose(bars[0].get_segments()[0][:, 0], [mean - spread, mean + spread])
            whole = scores(table, metric).containers[i].lines[0].get_xdata()[0]
            assert centre.get_xdata()[0] == pytest.approx(whole)
    pd.testing.assert_frame_equal(means, before)
    assert ticks(scores(means, "mse")) == MODELS


def test_a_summary_of_one_seed_has_no_spread(table):
    from altercell.benchmark import summary

    ax = scores(summary(table[table["seed"] == 0].assign(better="lower")), "mse")
    ends = ax.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert ends[0] == ends[1]


def test_a_summary_without_the_metric_says_which_it_has(table):
    from altercell.benchmark import summary

    means = summary(table.assign(better="lower"))
    with pytest.raises(KeyNotFoundError, match="no value of metric 'mmd'; its metrics are 'mse', 'pearson_delta'"):
        scores(means, ["mse", "mmd"])
    with pytest.raises(DataError, match="the table has 2 metrics; name one of 'mse', 'pearson_delta'"):
        scores(means)


def test_errors_name_metrics_and_columns(table):
    with pytest.raises(DataError, match="the table has 2 metrics; name one of 'mse', 'pearson_delta'"):
        scores(table)
    with pytest.raises(KeyNotFoundError, match="no value of metric 'mmd'; its metrics are 'mse', 'pearson_delta'"):
        scores(table, "mmd")
    with pytest.raises(KeyNotFoundError, match="no column 'seed'; a table of the benchmark is wanted"):
        scores(table.drop(columns="seed"), "mse")
    with pytest.raises(DataError, match="no metric to draw: name at least one of 'mse', 'pearson_delta'"):
        scores(table, [])
    assert plt.get_fignums() == []
