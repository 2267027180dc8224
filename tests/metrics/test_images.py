"""The thickness of strokes: figures whose thickness is known."""

import builtins

import numpy as np
import pytest
import scipy.sparse as sp

from altercell.errors import DataError
from altercell.metrics import stroke_thickness
from altercell.metrics._images import _length

SIDE = 40
ROWS, COLUMNS = np.indices((SIDE, SIDE))


def bar(width: int, length: int = 28, brightness: float = 1.0) -> np.ndarray:
    image = np.zeros((SIDE, SIDE))
    image[16 : 16 + width, 6 : 6 + length] = brightness
    return image


def stroke(width: float, angle: float, length: float = 24.0) -> np.ndarray:
    """A straight stroke with round ends through the middle, at an angle, with soft edges."""
    along, across = np.cos(angle), np.sin(angle)
    x, y = COLUMNS - SIDE / 2, ROWS - SIDE / 2
    nearest = np.clip(x * along + y * across, -length / 2, length / 2)
    distance = np.hypot(x - nearest * along, y - nearest * across)
    return np.clip(width / 2 + 0.5 - distance, 0, 1)


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6])
def test_bars(width):
    assert stroke_thickness(bar(width)[None])[0] == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("angle", [0.0, np.pi / 8, np.pi / 4, 1.0, np.pi / 2])
@pytest.mark.parametrize("width", [2.0, 3.5, 5.0])
def test_round_ended_strokes_at_any_angle(width, angle):
    assert stroke_thickness(stroke(width, angle)[None])[0] == pytest.approx(width, rel=0.1)


def test_a_ring():
    radius = np.hypot(ROWS - SIDE / 2, COLUMNS - SIDE / 2)
    ring = np.clip(2.0 + 0.5 - np.abs(radius - 12), 0, 1)
    assert stroke_thickness(ring[None])[0] == pytest.approx(4, rel=0.1)


def test_a_dot_has_its_diameter():
    dot = np.clip(5.5 - np.hypot(ROWS - SIDE / 2, COLUMNS - SIDE / 2), 0, 1)
    assert stroke_thickness(dot[None])[0] == pytest.approx(10, rel=0.1)


def test_brightness_does_not_matter():
    images = np.stack([bar(4), bar(4, brightness=0.2), bar(4, brightness=180)])
    assert len(np.unique(stroke_thickness(images))) == 1


def test_the_area_and_length_are_those_of_the_formula():
    image = bar(1, length=21)
    width = stroke_thickness(image[None], enlarge=1)[0]
    # A line of 21 pixels is its own skeleton, 20 steps long.
    assert 20 * width + np.pi / 4 * width**2 == pytest.approx(21, rel=1e-12)


def test_a_coarse_answer_is_near_the_fine_one():
    image = bar(4)[None]
    assert stroke_thickness(image, enlarge=1)[0] == pytest.approx(stroke_thickness(image)[0], rel=0.2)


def test_flat_sparse_and_stacked_images_are_the_same():
    images = np.stack([bar(2), bar(5)])
    wanted = stroke_thickness(images)
    flat = images.reshape(2, -1)
    for given, shape in ((flat, None), (flat, (SIDE, SIDE)), (flat, (1, SIDE, SIDE)), (sp.csr_matrix(flat), None)):
        np.testing.assert_array_equal(stroke_thickness(given, image_shape=shape), wanted)


def test_images_that_are_not_square():
    image = bar(3)[10:30]
    flat = image.reshape(1, -1)
    assert stroke_thickness(flat, image_shape=(20, SIDE)) == stroke_thickness(image[None])


def test_an_image_of_nothing_has_no_thickness():
    found = stroke_thickness(np.stack([np.zeros((SIDE, SIDE)), bar(3), -bar(3)]))
    assert list(np.isnan(found)) == [True, False, True]


def test_no_images():
    assert stroke_thickness(np.zeros((0, 28, 28))).shape == (0,)


def test_length_of_lines():
    line = np.eye(5, dtype=bool)
    assert _length(line) == pytest.approx(4 * np.sqrt(2))
    assert _length(line[::-1]) == pytest.approx(4 * np.sqrt(2))
    corner = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)  # three steps, no short cut across a corner
    assert _length(corner) == 3
    assert _length(np.array([[True]])) == 0


@pytest.mark.parametrize("shape", [(28,), (3, 16, 16), (1, 28, 29), (28, 29)])
def test_pixels_that_are_no_such_images(shape):
    with pytest.raises(DataError, match=r"784 pixels are no grey images of image_shape=\("):
        stroke_thickness(np.zeros((2, 784)), image_shape=shape)


def test_pixels_that_are_no_square():
    with pytest.raises(DataError, match="785 pixels are no grey images"):
        stroke_thickness(np.zeros((2, 785)))


def test_bad_values():
    with pytest.raises(DataError, match=r"the shape is \(28,\)"):
        stroke_thickness(np.zeros(28))
    with pytest.raises(DataError, match="NaN or infinite"):
        stroke_thickness(np.full((1, 4, 4), np.nan))
    for enlarge in (0, 1.5):
        with pytest.raises(DataError, match=f"enlarge={enlarge} must be a whole number"):
            stroke_thickness(np.zeros((1, 4, 4)), enlarge=enlarge)


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("skimage"):
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'altercell\[images\]'"):
        stroke_thickness(np.zeros((1, 4, 4)))
