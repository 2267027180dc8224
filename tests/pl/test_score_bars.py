import matplotlib.colors as mcolors
import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl import score_bars
from altercell.pl._score_bars import KIND_COLOURS


@pytest.fixture
def table():
    rows = []
    for model, kind, values in (
        ("real", "reference", [0.1, 0.1, 0.1, 0.1]),
        ("net", "model", [1.0, 2.0, 3.0, 6.0]),
        ("shift", "baseline", [0.5, 0.5, 0.5, 0.5]),
    ):
        for (label, seed), value in zip([("B", 0), ("T", 0), ("B", 1), ("T", 1)], values, strict=True):
            rows.append((model, kind, label, seed, value, 0.3 if label == "B" else 0.4))
    table = pd.DataFrame(rows, columns=["model", "kind", "label", "seed", "value", "sd_cells"])
    return table.assign(metric="mse", better="lower")


def names(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def widths(ax):
    return {segment[1, 0] - segment[0, 0] for bar in ax.containers for segment in errors(bar)}


def errors(container):
    return [s for line in getattr(container, "lines", (0, 0, ()))[2] for s in line.get_segments()]


def test_the_best_is_on_top_and_references_at_the_bottom(table, ax, figures_stay):
    before = table.copy()
    assert score_bars(table, "mse", ax=ax) is ax
    assert names(ax) == ["shift", "net", "real"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlabel() == "mse (lower is better)"
    pd.testing.assert_frame_equal(table, before)


def test_the_highest_is_on_top_where_higher_is_better(table):
    assert names(score_bars(table.assign(better="higher"), "mse")) == ["net", "shift", "real"]


def test_of_two_that_are_off_by_their_sign_the_smaller_is_better(table):
    ax = score_bars(table.assign(value=-table["value"], better="zero"), "mse")
    assert names(ax) == ["shift", "net", "real"]
    assert ax.get_xlabel() == "mse (nearer to 0 is better)"


def test_bars_are_means_in_the_colour_of_their_kind(table):
    ax = score_bars(table, "mse")
    for patch, mean, kind in zip(ax.patches, [0.5, 3.0, 0.1], ["baseline", "model", "reference"], strict=True):
        assert patch.get_width() == pytest.approx(mean)
        assert mcolors.to_hex(patch.get_facecolor()) == KIND_COLOURS[kind]
    assert [text.get_text() for text in ax.texts] == ["0.5", "3", "0.1"]


def test_both_spreads_are_drawn(table):
    ax = score_bars(table[table["model"] == "net"], "mse")
    cells, seeds = np.sqrt((0.3**2 + 0.4**2) / 2), np.std([1.5, 4.5], ddof=1)
    np.testing.assert_allclose(sorted(widths(ax)), sorted([2 * cells, 2 * seeds]))
    points = np.asarray(ax.collections[-1].get_offsets())[:, 0]
    np.testing.assert_allclose(sorted(points), [2.0, 4.0])


def test_without_seeds_and_cells_there_is_no_line(table):
    ax = score_bars(table[table["seed"] == 0].drop(columns=["sd_cells", "kind"]), "mse")
    assert widths(ax) == set()


def test_a_model_that_misses_sets_says_so(table):
    ax = score_bars(table[(table["model"] != "net") | (table["label"] == "B")], "mse")
    assert "net (1 of 2)" in names(ax)


def test_errors_name_metrics_columns_and_directions(table):
    with pytest.raises(KeyNotFoundError, match="no value of metric 'mmd'; its metrics are 'mse'"):
        score_bars(table, "mmd")
    with pytest.raises(KeyNotFoundError, match="no column 'better'; a table of the benchmark is wanted"):
        score_bars(table.drop(columns="better"), "mse")
    with pytest.raises(DataError, match="better='half' is none of"):
        score_bars(table.assign(better="half"), "mse")
