"""Images as pictures: read from rows of pixels, and set side by side in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.metrics._matrix import genes_of

type Images = AnnData | np.ndarray


def as_shape(image_shape: Sequence[int] | np.ndarray) -> tuple[int, int, int]:
    """Return channels, height and width of images whose channels may go unsaid.

    Parameters
    ----------
    image_shape
        Height and width; or channels, height and width.

    Raises
    ------
    DataError
        If it is neither, or there are not 1 or 3 channels.
    """
    lengths = tuple(int(length) for length in image_shape)
    shape = (1, *lengths) if len(lengths) == 2 else lengths
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise DataError(
            f"image_shape={lengths} must be (height, width), or (channels, height, width) of 1 or 3 channels"
        )
    return shape


def read_images(
    images: Images, rows: Sequence[int | None], shape: tuple[int, int, int], name: str, pixels: Any = None
) -> np.ndarray:
    """Return some images, the channels last, NaN where the row is None.

    Parameters
    ----------
    images
        Images: (n_images, n_pixels), or an array (n_images, ...) of as many values.
    rows
        Which: (n_chosen,).
    shape
        Channels, height and width.
    name
        What to call `images` in an error.
    pixels
        Names of the pixels of an AnnData, in order; None takes them as they stand.

    Returns
    -------
    Float64: (n_chosen, height, width, channels).

    Raises
    ------
    GeneMismatchError
        If an AnnData lacks pixels.
    DataError
        If the pixels do not fill the shape, or values are NaN or infinite.
    """
    there = [row for row in rows if row is not None]
    answer = np.full((len(rows), *shape), np.nan)
    if there:
        values = _values(images, there, name, pixels)
        if values.shape[1] != np.prod(shape):
            raise DataError(
                f"{name} has {values.shape[1]} pixels an image; channels, height, width {shape} make {np.prod(shape)}"
            )
        answer[[row is not None for row in rows]] = values.reshape(-1, *shape)
    return np.moveaxis(answer, 1, -1)


def _values(images: Images, rows: Sequence[int], name: str, pixels: Any) -> np.ndarray:
    if isinstance(images, AnnData):
        chosen: Any = genes_of(images[rows], images.var_names if pixels is None else pixels, name)
    else:
        chosen = images[rows]
    values = np.asarray(chosen.toarray() if sp.issparse(chosen) else chosen, dtype=np.float64).reshape(len(rows), -1)
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values")
    return values


def draw_mosaic(ax: Axes, images: np.ndarray, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Draw images as one picture, clear between them and where they are NaN.

    Parameters
    ----------
    ax
        Axes to draw on.
    images
        The images: (n_rows, n_columns, height, width, channels).
    limits
        Values drawn black and white.

    Returns
    -------
    The middles of the columns along x: (n_columns,); and of the rows along y: (n_rows,).
    """
    n_rows, n_columns, height, width, channels = images.shape
    gap = max(1, height // 12)
    picture = np.full((n_rows, height + gap, n_columns, width + gap, channels), np.nan)
    picture[:, :height, :, :width] = images.transpose(0, 2, 1, 3, 4)
    picture = picture.reshape(n_rows * (height + gap), n_columns * (width + gap), channels)[:-gap, :-gap]
    if channels == 1:
        ax.imshow(picture[..., 0], cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    else:
        shades = np.clip((picture - limits[0]) / max(limits[1] - limits[0], 1e-12), 0, 1)
        opacity = np.isfinite(shades[..., :1])
        ax.imshow(np.concatenate([np.nan_to_num(shades), opacity], axis=-1), interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    x, y = np.arange(n_columns) * (width + gap), np.arange(n_rows) * (height + gap)
    return x + (width - 1) / 2, y + (height - 1) / 2
