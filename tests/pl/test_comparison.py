import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics import pearson_r2, variance_pearson_r2
from altercell.pl._comparison import (
    MEAN,
    VARIANCE,
    Comparison,
    check_enough,
    draw_genes,
    limits_of,
    name_genes,
    rows_to_name,
)


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0, 4, size=30) for name in ("pred", "real", "control")}


def test_points_have_real_along_x_and_predicted_along_y(numbers):
    comparison = Comparison(MEAN, **numbers)
    np.testing.assert_array_equal(comparison.xy, np.column_stack([numbers["real"], numbers["pred"]]))


@pytest.mark.parametrize(("statistic", "score"), [(MEAN, pearson_r2), (VARIANCE, variance_pearson_r2)])
def test_scores_are_over_all_genes_or_some_beside_no_change(numbers, statistic, score):
    pred, real, control = numbers.values()
    comparison, some = Comparison(statistic, **numbers), np.array([3, 1, 20, 7])
    assert comparison.score() == f"{score(pred, real):.3f} (no change: {score(control, real):.3f})"
    expected = f"{score(pred[some], real[some]):.3f} (no change: {score(control[some], real[some]):.3f})"
    assert comparison.score(some) == expected
    assert Comparison(statistic, pred, real).score() == f"{score(pred, real):.3f}"


def test_cells_that_are_too_few_are_named(make):
    assert check_enough(MEAN, {"pred": make(0, n_cells=1)}) is None
    with pytest.raises(DataError, match="pred has 0 cells; a mean needs 1"):
        check_enough(MEAN, {"real": make(0), "pred": make(0)[:0]})
    with pytest.raises(DataError, match="ScGen has 1 cells; a variance needs 2"):
        check_enough(VARIANCE, {"real": make(0), "ScGen": make(0)[:1]})


def test_names_are_those_asked_for_or_the_top_or_the_worst(numbers, make):
    adata, pred = make(0), numbers["real"].copy()
    pred[[4, 9]] += [1, -2]
    numbers["pred"] = pred
    comparison = Comparison(MEAN, **numbers, top=np.array([8, 2, 5]))
    assert rows_to_name(comparison, adata, ["gene9", "MX1"]).tolist() == [9, 2]
    assert rows_to_name(comparison, adata, "MX1").tolist() == [2]
    assert rows_to_name(comparison, adata, 2).tolist() == [8, 2]
    assert rows_to_name(comparison._replace(top=None), adata, 2).tolist() == [9, 4]
    assert len(rows_to_name(comparison, adata, 0)) == 0
    with pytest.raises(KeyNotFoundError, match="ScGen has no gene 'IFI16'; near names: 'IFI6'"):
        rows_to_name(comparison, adata, ["IFI16"], "ScGen")


def test_limits_reach_over_all_comparisons_with_room_above(numbers):
    first = Comparison(MEAN, **numbers)
    second = first._replace(pred=first.pred + 3)
    limits = limits_of([first, second])
    assert limits[0] < min(0, first.xy.min())
    assert limits[1] > second.xy.max() + 0.15 * np.ptp(second.xy)
    same = first._replace(pred=np.zeros(30), real=np.zeros(30))
    assert np.diff(limits_of([same])) > 0


def test_genes_are_points_over_the_line_of_identity_and_the_top_ones_again(numbers, ax):
    top = np.array([8, 2, 5])
    comparison = Comparison(MEAN, **numbers, top=top)
    draw_genes(ax, comparison, np.array([-1.0, 5.0]))
    everything, chosen = ax.collections
    np.testing.assert_array_equal(everything.get_offsets(), comparison.xy)
    np.testing.assert_array_equal(chosen.get_offsets(), comparison.xy[top])
    np.testing.assert_array_equal(ax.lines[0].get_data(), [[-1, 5], [-1, 5]])
    assert ax.get_xlim() == ax.get_ylim() == (-1, 5)
    labels = [points.get_label() for points in ax.collections]
    assert labels == [
        f"all 30 genes: {comparison.score()}",
        f"top 3 differential genes: {comparison.score(top)}",
    ]


def test_without_top_genes_all_are_drawn_once(numbers, ax):
    draw_genes(ax, Comparison(MEAN, **numbers), np.array([-1.0, 5.0]))
    assert len(ax.collections) == 1


def test_names_are_written_clear_of_the_line(numbers):
    ax = plt.subplots()[1]
    comparison = Comparison(MEAN, np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    draw_genes(ax, comparison, np.array([0.0, 3.0]))
    name_genes(ax, comparison, np.array([1]), pd.Index(["ISG15", "MX1"]))
    (text,) = ax.texts
    assert text.get_text() == "MX1"
    assert text.xy == (2, 2)
    line = ax.transData.transform(np.repeat(np.linspace(0, 3, 200)[:, None], 2, axis=1))
    from matplotlib.text import Text

    box = Text.get_window_extent(text)
    assert not ((line > box.min) & (line < box.max)).all(axis=1).any()
