from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from altercell.pl._labels import place_labels


def boxes(labels):
    labels[0].figure.draw_without_rendering()
    return [Text.get_window_extent(label) for label in labels]


@pytest.fixture
def crowd(ax):
    """Twelve points close together among 200."""
    rng = np.random.default_rng(0)
    xy = np.concatenate([0.5 + 0.02 * rng.normal(size=(12, 2)), rng.uniform(size=(188, 2))])
    ax.scatter(xy[:, 0], xy[:, 1])
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax, xy


def test_every_name_is_written_and_points_to_its_point(crowd):
    ax, xy = crowd
    labels = place_labels(ax, xy, [3, 100], ["ISG15", "MX1"])
    assert [label.get_text() for label in labels] == ["ISG15", "MX1"]
    np.testing.assert_array_equal([label.xy for label in labels], xy[[3, 100]])
    assert all(label.arrow_patch is not None for label in labels)


def test_names_of_crowded_points_do_not_overlap(crowd):
    ax, xy = crowd
    labels = place_labels(ax, xy, range(12), [f"GENE{i}" for i in range(12)])
    assert not any(a.overlaps(b) for a, b in combinations(boxes(labels), 2))


def test_names_stay_inside_the_axes_and_near_their_points(crowd):
    ax, xy = crowd
    corners = np.array([[0.01, 0.01], [0.99, 0.99], [0.01, 0.99], [0.99, 0.01]])
    labels = place_labels(ax, np.concatenate([corners, xy]), range(4), ["A LONG GENE NAME"] * 4)
    frame = ax.get_window_extent().padded(1)
    for box, corner in zip(boxes(labels), ax.transData.transform(corners), strict=True):
        assert frame.contains(box.x0, box.y0)
        assert frame.contains(box.x1, box.y1)
        assert np.linalg.norm(np.clip(corner, box.min, box.max) - corner) < 70


def test_a_lone_name_covers_no_point(ax):
    xy = np.stack(np.meshgrid(np.linspace(0, 0.5, 20), np.linspace(0, 1, 40)), axis=-1).reshape(-1, 2)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    right_edge = int(np.flatnonzero(xy[:, 0] == 0.5)[20])
    box = boxes(place_labels(ax, xy, [right_edge], ["MX1"]))[0]
    pixels = ax.transData.transform(xy)
    assert not ((pixels > box.min) & (pixels < box.max)).all(axis=1).any()


def test_obstacles_are_kept_clear(crowd):
    ax, xy = crowd
    block = ax.text(0.52, 0.5, "X" * 12, fontsize=14)
    labels = place_labels(ax, xy, range(4), list("ABCD"), obstacles=[block])
    assert not any(box.overlaps(block.get_window_extent()) for box in boxes(labels))


def test_the_other_named_points_are_kept_clear(ax):
    # Only to the right of the first point is there room, and in it lies the second.
    ax.set(xlim=(0, 1), ylim=(0, 1))
    first = ax.transData.transform((0.4, 0.5))
    grid = np.stack(np.meshgrid(*[np.arange(-160, 161, 4)] * 2), axis=-1).reshape(-1, 2)
    room = (grid[:, 0] > 5) & (np.abs(grid[:, 1]) < 12)
    pixels = first + np.concatenate([[[0, 0], [24, 0]], grid[~room]])
    xy = ax.transData.inverted().transform(pixels)
    alone = boxes(place_labels(ax, xy, [0], ["NAME"]))[0]
    assert alone.contains(*pixels[1])
    named = boxes(place_labels(ax, xy, [0, 1], ["NAME", "OTHER"]))[0]
    assert not named.contains(*pixels[1])


def test_names_have_a_rim_of_the_colour_of_the_axes(ax):
    ax.set_facecolor("black")
    (rim,) = place_labels(ax, np.array([[0.5, 0.5]]), [0], ["MX1"])[0].get_path_effects()
    assert rim._gc["foreground"] == ax.get_facecolor()


def test_a_line_is_avoided_where_there_is_room(ax):
    ax.set(xlim=(0, 1), ylim=(0, 1))
    line = np.column_stack([np.linspace(0, 1, 200)] * 2)
    box = boxes(place_labels(ax, np.array([[0.5, 0.5]]), [0], ["LONGNAME"], line=line))[0]
    pixels = ax.transData.transform(line)
    assert not ((pixels > box.min) & (pixels < box.max)).all(axis=1).any()


def test_places_stand_when_the_figure_is_laid_out_anew():
    ax = plt.subplots(layout="constrained")[1]
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="a label\nof two lines")
    labels = place_labels(ax, np.array([[0.5, 0.5], [0.52, 0.5]]), [0, 1], ["FIRST", "SECOND"])
    first = [box.bounds for box in boxes(labels)]
    np.testing.assert_allclose([box.bounds for box in boxes(labels)], first)
    assert not boxes(labels)[0].overlaps(boxes(labels)[1])


def test_a_figure_that_is_laid_out_is_not_drawn_again(crowd, monkeypatch):
    ax, xy = crowd
    expected = [label.get_position() for label in place_labels(ax, xy, [3, 4], ["ISG15", "MX1"])]
    monkeypatch.setattr(type(ax.figure), "draw_without_rendering", lambda self: pytest.fail("drawn again"))
    labels = place_labels(ax, xy, [3, 4], ["ISG15", "MX1"], laid_out=True)
    np.testing.assert_allclose([label.get_position() for label in labels], expected)


def test_no_names_are_no_annotations(crowd):
    ax, xy = crowd
    assert place_labels(ax, xy, [], []) == []
    assert list(ax.texts) == []
