import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from altercell.pl._style import CONTROL, CYCLE, KINDS, LINE, REAL, colours, new_axes, new_grid, new_row

# Linear RGB to what a deuteranope and a protanope see (Vienot, Brettel and Mollon, 1999).
BLIND = {
    "deuteranope": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
    "protanope": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
}


def seen(colour, matrix):
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(matrix @ linear, 0, 1) ** (1 / 2.4)


def test_new_axes_returns_the_given_axes_and_makes_no_figure(ax):
    before = plt.get_fignums()
    assert new_axes(ax, (3, 3)) is ax
    assert plt.get_fignums() == before


def test_new_axes_makes_one_figure_of_the_size_that_keeps_labels_inside():
    before = len(plt.get_fignums())
    made = new_axes(None, (3, 2))
    assert len(plt.get_fignums()) == before + 1
    assert made.figure.get_size_inches().tolist() == [3, 2]
    assert made.figure.get_layout_engine() is not None


def test_a_new_figure_grows_with_the_letters():
    with plt.rc_context({"font.size": 15}):
        assert new_axes(None, (3, 2)).figure.get_size_inches().tolist() == [4.5, 3]


def test_new_row_has_panels_side_by_side():
    row = new_row(3, (6, 2))
    assert row.shape == (3,)
    assert len({panel.figure for panel in row}) == 1


def test_new_grid_has_panels_down_and_across():
    grid = new_grid(2, 3, (6, 4))
    assert grid.shape == (2, 3)
    assert grid[0, 0].figure is grid[1, 2].figure
    assert grid[0, 0].figure.get_size_inches().tolist() == [6, 4]
    assert new_grid(1, 1, (2, 2)).shape == (1, 1)


def test_control_and_real_keep_their_colours_whatever_the_order():
    first, second = colours(["control", "real", "ScGen"]), colours(["ScGen", "real", "control"])
    assert (first["control"], first["real"], first["ScGen"]) == (CONTROL, REAL, CYCLE[0])
    assert {name: second[name] for name in first} == first


@pytest.mark.parametrize("n", [1, len(CYCLE), len(CYCLE) + 1, 12])
def test_any_number_of_populations_have_colours_of_their_own(n):
    names = ["control", "real", *(f"model {i}" for i in range(n))]
    assert len({colours(names)[name] for name in names}) == n + 2


@pytest.mark.parametrize("n", [1, len(KINDS) - 1, len(KINDS), len(KINDS) + 1, 30])
@pytest.mark.parametrize("fixed", [[], ["control"], ["real"], ["control", "real"]])
def test_any_number_of_kinds_have_colours_of_their_own(n, fixed):
    names = [*fixed, *(f"kind {i}" for i in range(n))]
    assert len({colours(names, KINDS)[name] for name in names}) == len(names)


def test_control_and_the_first_two_kinds_differ_without_colour():
    shades = sorted(np.array(to_rgb(colour)) @ [0.299, 0.587, 0.114] for colour in (CONTROL, *KINDS[:2]))
    assert min(np.diff(shades)) > 0.15
    assert min(np.diff(sorted(np.array(to_rgb(colour)) @ [0.299, 0.587, 0.114] for colour in KINDS[:3]))) > 0.1


@pytest.mark.parametrize("eye", BLIND)
def test_control_real_and_the_first_prediction_differ_for_colour_blind_readers(eye):
    shown = [seen(colour, BLIND[eye]) for colour in (CONTROL, REAL, CYCLE[0], LINE)]
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(shown) for b in shown[:i]]
    assert min(gaps) > 0.25
