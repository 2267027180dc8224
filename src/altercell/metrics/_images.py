"""Measurements on images of handwritten digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy import ndimage

from altercell.errors import DataError


def stroke_thickness(images: Any, *, image_shape: Sequence[int] | None = None, enlarge: int = 4) -> np.ndarray:
    r"""Mean thickness of the strokes of digits: the area of a stroke over the length of its skeleton.

    An image is enlarged (linearly) and cut at half of its brightest pixel, so that brightness does not matter. With
    its area :math:`A` and the length :math:`L` of its skeleton, the thickness :math:`w` solves

    .. math:: A = L\,w + \frac{\pi}{4} w^2,

    the area of a stroke with round ends. For long strokes this is :math:`A / L`, for a dot the diameter. Lengths are
    in pixels of the given images.

    Parameters
    ----------
    images
        Digits, bright on dark: ``(n_images, height, width)``, or flattened, dense or sparse: ``(n_images, n_pixels)``.
    image_shape
        (height, width) or (1, height, width) of flattened images. None: they are square.
    enlarge
        How many times an image is enlarged. 1 is faster and coarser.

    Returns
    -------
    Thickness in pixels, shape ``(n_images,)``; nan for an image without a bright pixel.

    Raises
    ------
    DataError
        The shape does not fit, or values are NaN or infinite.
    ModuleNotFoundError
        scikit-image is not installed; it comes with the extra ``images``.

    Examples
    --------
    >>> bar = np.zeros((1, 28, 28))
    >>> bar[:, 12:16, 4:24] = 1.0
    >>> stroke_thickness(bar).round(1)
    array([4.1])
    """
    skeletonize = _skeletonize()
    if int(enlarge) != enlarge or enlarge < 1:
        raise DataError(f"enlarge={enlarge} must be a whole number, at least 1")
    return np.array([_thickness(image, int(enlarge), skeletonize) for image in _as_images(images, image_shape)])


def _skeletonize() -> Callable[[np.ndarray], np.ndarray]:
    try:
        from skimage.morphology import skeletonize
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "stroke_thickness needs scikit-image: python -m pip install 'altercell[images]'", name="skimage"
        ) from error
    return skeletonize


def _as_images(images: Any, image_shape: Sequence[int] | None) -> np.ndarray:
    values = np.asarray(images.toarray() if sp.issparse(images) else images, dtype=np.float32)
    if values.ndim == 2:
        values = values.reshape(-1, *_sides(values.shape[1], image_shape))
    if values.ndim != 3:
        raise DataError(
            f"images are wanted as (n_images, height, width) or (n_images, n_pixels); the shape is {values.shape}"
        )
    if not np.isfinite(values).all():
        raise DataError("the images hold NaN or infinite values")
    return values


def _sides(n_pixels: int, image_shape: Sequence[int] | None) -> tuple[int, int]:
    side = round(n_pixels**0.5)
    shape = (side, side) if image_shape is None else tuple(int(length) for length in image_shape)
    plane = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if len(plane) != 2 or plane[0] * plane[1] != n_pixels:
        raise DataError(f"{n_pixels} pixels are no grey images of image_shape={shape}; give (height, width)")
    return plane[0], plane[1]


def _thickness(image: np.ndarray, enlarge: int, skeletonize: Callable[[np.ndarray], np.ndarray]) -> float:
    if image.max() <= 0:
        return float("nan")
    if enlarge > 1:
        image = ndimage.zoom(image, enlarge, order=1, grid_mode=True, mode="grid-constant")
    stroke = image >= image.max() / 2
    area, length = stroke.sum() / enlarge**2, _length(skeletonize(stroke)) / enlarge
    return float(2 / np.pi * (np.sqrt(length**2 + np.pi * area) - length))


def _length(skeleton: np.ndarray) -> float:
    """Return the length of the lines that join the skeleton's neighbouring pixels, diagonals being longer."""
    above, below = skeleton[:-1], skeleton[1:]
    straight = (skeleton[:, 1:] & skeleton[:, :-1]).sum() + (above & below).sum()
    corners = above[:, :-1], above[:, 1:], below[:, :-1], below[:, 1:]
    upper_left, upper_right, lower_left, lower_right = corners
    # Two pixels that touch at a corner are joined across it only where no third one joins them already.
    falling = upper_left & lower_right & ~upper_right & ~lower_left
    rising = upper_right & lower_left & ~upper_left & ~lower_right
    return float(straight + np.sqrt(2) * (falling.sum() + rising.sum()))
