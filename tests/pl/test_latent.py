import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from altercell.errors import DataError
from altercell.pl import _latent, latent_umap
from altercell.pl._style import CONTROL, KINDS

CONDITIONS = np.array(["stimulated", "control"] * 40)


@pytest.fixture
def points():
    """Two conditions far apart, in 80 cells and 5 dimensions."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 5)) + 15 * (CONDITIONS == "control")[:, None]


@pytest.fixture
def flat(monkeypatch):
    """The first two dimensions instead of UMAP's, so that points can be told."""
    monkeypatch.setattr(_latent, "lay_out", lambda values, *_: values[:, :2])


def of_colour(ax, colour):
    """Coordinates of the points of a colour, as a set."""
    points, faces = np.asarray(ax.collections[0].get_offsets()), ax.collections[0].get_facecolor()[:, :3]
    return {tuple(point) for point in points[(faces == to_rgb(colour)).all(axis=1)].tolist()}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_each_cell_is_a_point_in_the_colour_of_its_label(points, flat, ax, figures_stay):
    before = points.copy()
    assert latent_umap(points, CONDITIONS, ax=ax) is ax
    for name, colour in (("control", CONTROL), ("stimulated", KINDS[0])):
        assert of_colour(ax, colour) == {tuple(point) for point in points[name == CONDITIONS, :2].tolist()}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP 1", "UMAP 2")
    assert legend(ax) == ["control (n = 40)", "stimulated (n = 40)"]
    np.testing.assert_array_equal(points, before)


def test_conditions_that_are_apart_are_drawn_apart(points):
    ax = latent_umap(points, CONDITIONS, n_neighbors=10)
    parts = [np.array(sorted(of_colour(ax, colour))) for colour in (CONTROL, KINDS[0])]
    gap = np.linalg.norm(parts[0].mean(axis=0) - parts[1].mean(axis=0))
    assert gap > 2 * max(part.std(axis=0).max() for part in parts)


def test_the_same_seed_draws_the_same_and_another_seed_another(points):
    drawn = [np.asarray(latent_umap(points, CONDITIONS, seed=s).collections[0].get_offsets()) for s in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_points_are_drawn_in_random_order(points, flat):
    labels = np.repeat(["a", "b"], 40)
    faces = latent_umap(points, labels).collections[0].get_facecolor()
    assert (np.diff(faces, axis=0) != 0).any(axis=1).sum() > 20


def test_several_representations_show_the_same_cells_in_the_same_colours(points, flat):
    wide = np.column_stack([-points, points])
    axes = latent_umap({"TrVAE": points, "CVAE": wide}, CONDITIONS, n_cells=30)
    assert axes.shape == (2,)
    assert [ax.get_title() for ax in axes] == ["TrVAE", "CVAE"]
    assert axes[0].figure is axes[1].figure
    for colour in (CONTROL, KINDS[0]):
        left = of_colour(axes[0], colour)
        assert len(left) > 5
        assert {(-x, -y) for x, y in left} == of_colour(axes[1], colour)


def test_the_legend_stands_beside_the_last_panel_alone(points, flat):
    axes = latent_umap({"a": points, "b": points}, pd.Series(CONDITIONS, name="condition"))
    assert axes[0].get_legend() is None
    assert axes[1].get_legend().get_title().get_text() == "condition"


def test_representations_are_drawn_on_given_axes(points, flat):
    given = plt.subplots(1, 2)[1]
    assert list(latent_umap({"a": points, "b": points}, CONDITIONS, ax=given)) == list(given)
    assert plt.get_fignums() == [given[0].figure.number]
    assert latent_umap({"a": points}, CONDITIONS).shape == (1,)


def test_two_calls_draw_two_representations_side_by_side(points, flat):
    left, right = plt.subplots(1, 2)[1]
    left.set_title("kept")
    assert latent_umap(points, CONDITIONS, n_cells=20, ax=left) is left
    assert latent_umap(-points, CONDITIONS, n_cells=20, ax=right) is right
    assert {(-x, -y) for x, y in of_colour(left, CONTROL)} == of_colour(right, CONTROL)
    assert left.get_title() == "kept"


def test_at_most_n_cells_are_drawn_of_those_with_a_label(points, flat):
    labels = pd.Series(CONDITIONS).where(np.arange(80) >= 30)
    ax = latent_umap(points, labels, n_cells=None)
    assert of_colour(ax, CONTROL) | of_colour(ax, KINDS[0]) == {tuple(point) for point in points[30:, :2].tolist()}
    assert len(latent_umap(points, labels, n_cells=20).collections[0].get_offsets()) == 20


def test_categories_keep_their_order_and_colours_whoever_is_there(points, flat):
    names = ["thin", "normal", "thick"]
    everything = pd.Categorical(np.resize(names, 80), categories=names)
    ax = latent_umap(points, everything)
    assert legend(ax) == ["thin (n = 27)", "normal (n = 27)", "thick (n = 26)"]
    part = everything[everything != "thin"]
    ax = latent_umap(points[everything != "thin"], part)
    assert legend(ax) == ["normal (n = 27)", "thick (n = 26)"]
    assert [handle.get_color() for handle in ax.get_legend().legend_handles] == list(KINDS[1:3])


def test_whole_numbers_are_labels_in_their_order(points, flat):
    assert legend(latent_umap(points, np.resize([10, 9, 2], 80)))[0] == "2 (n = 26)"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p, c: (p[:, 0], c), r"points are wanted as an array \(n_cells, n_dims\); the shape is \(80,\)"),
        (lambda p, c: (p[:, :0], c), r"the shape is \(80, 0\)"),
        (lambda p, c: (np.where(p == p[3, 2], np.nan, p), c), "NaN or infinite values, in 1 of 80 cells"),
        (lambda p, c: (p, c[:79]), "points have 80 cells but there are 79 labels"),
        (lambda p, c: ({"a": p, "b": p[:50]}, c), "b have 50 cells but there are 80 labels"),
        (lambda p, c: ({}, c), "no representation to draw"),
        (lambda p, c: (p, np.arange(80)), "color has 80 different labels; 1 to 60"),
        (lambda p, c: (p, [None] * 80), "color has 0 different labels"),
        (lambda p, c: (p[:12], c[:12]), "12 cells are too few for a graph of n_neighbors=15"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_opens_no_figure(points, change, text):
    with pytest.raises(DataError, match=text):
        latent_umap(*change(points, CONDITIONS))
    assert plt.get_fignums() == []


def test_axes_must_be_as_many_as_representations(points, flat, ax):
    with pytest.raises(DataError, match="2 representations need as many axes; 1 were given"):
        latent_umap({"a": points, "b": points}, CONDITIONS, ax=ax)
