import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from altercell.errors import DataError
from altercell.pl._points import choose_rows, draw_points, lay_out, name_kinds

COLOUR = {"a": "#d55e00", "b": "#0072b2"}


@pytest.fixture
def two_groups():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(40, 6)), rng.normal(size=(40, 6)) + 12])


def test_rows_are_drawn_without_replacement_in_rising_order_by_the_generator():
    rows = choose_rows(100, 30, np.random.default_rng(1))
    assert len(set(rows)) == 30
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == choose_rows(100, 30, np.random.default_rng(1)).tolist()
    assert rows.tolist() != choose_rows(100, 30, np.random.default_rng(2)).tolist()


@pytest.mark.parametrize("n_cells", [None, 10, 11])
def test_all_rows_are_taken_where_there_are_no_more_and_the_generator_is_left(n_cells):
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    assert choose_rows(10, n_cells, rng).tolist() == list(range(10))
    assert rng.integers(1 << 30) == same.integers(1 << 30)


def test_the_layout_keeps_groups_apart_and_leaves_the_points(two_groups):
    before = two_groups.copy()
    xy = lay_out(two_groups, 10, 0.5, 0)
    assert xy.shape == (80, 2)
    np.testing.assert_array_equal(two_groups, before)
    gap = np.linalg.norm(xy[:40].mean(axis=0) - xy[40:].mean(axis=0))
    assert gap > 2 * max(xy[:40].std(axis=0).max(), xy[40:].std(axis=0).max())


def test_the_layout_is_that_of_the_seed_and_global_generators_stay(two_groups):
    states = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first, again, other = (lay_out(two_groups, 10, 0.5, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert random.getstate() == states[1]


def test_neighbours_are_those_of_the_points_themselves(two_groups, monkeypatch):
    import scanpy as sc

    seen = {}
    monkeypatch.setattr(sc.pp, "neighbors", lambda joint, **kwargs: seen.update(kwargs, points=joint.obsm))
    monkeypatch.setattr(sc.tl, "umap", lambda joint, **kwargs: joint.obsm.update(X_umap=joint.obsm["X_points"][:, :2]))
    xy = lay_out(two_groups, 7, 0.5, 2)
    assert (seen["use_rep"], seen["n_neighbors"], seen["random_state"]) == ("X_points", 7, 2)
    np.testing.assert_array_equal(seen["points"]["X_points"], two_groups)
    np.testing.assert_array_equal(xy, two_groups[:, :2])


def test_too_few_points_make_no_graph():
    with pytest.raises(DataError, match="15 cells are too few for a graph of n_neighbors=15"):
        lay_out(np.zeros((15, 3)), 15, 0.5, 0)


def test_points_are_drawn_in_the_order_given_in_their_colours(ax):
    xy = np.arange(8.0).reshape(4, 2)
    draw_points(ax, xy, np.array(["a", "b", "b", "a"]), COLOUR, np.array([2, 0, 3, 1]))
    (points,) = ax.collections
    np.testing.assert_array_equal(points.get_offsets(), xy[[2, 0, 3, 1]])
    expected = [to_rgb(COLOUR[name]) for name in "baab"]
    np.testing.assert_allclose(points.get_facecolor()[:, :3], expected)
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []


def test_many_points_are_smaller(ax):
    sizes = []
    for n in (50, 3_000, 40_000):
        draw_points(ax, np.zeros((n, 2)), np.repeat("a", n), COLOUR, np.arange(n))
        sizes.append(float(ax.collections[-1].get_sizes()[0]))
    assert sizes == [14, 4, 2]


def test_the_legend_names_kinds_with_their_numbers(ax):
    name_kinds(ax, {"a": 1_200, "b": 3}, COLOUR, "condition")
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a (n = 1,200)", "b (n = 3)"]
    assert legend.get_title().get_text() == "condition"
    assert [handle.get_color() for handle in legend.legend_handles] == list(COLOUR.values())


def test_a_long_legend_fits_the_height_of_its_figure():
    counts = {f"kind {i}": i for i in range(40)}
    ax = plt.subplots(figsize=(8, 4.2), layout="constrained")[1]
    name_kinds(ax, counts, dict.fromkeys(counts, "black"))
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    assert box.y0 > 0
    assert box.y1 < ax.figure.bbox.y1
