"""Images: what was given, what a model made of them, and what it should look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.pl._columns import choose_by_label, choose_evenly
from altercell.pl._mosaic import Images, as_shape, draw_mosaic, read_images
from altercell.pl._style import new_axes

_DEFAULT_COLUMNS = 8
# Inches of one image in a new figure.
_SIZE = 0.7


def image_grid(
    source: Images,
    predicted: Images,
    real: Images | None = None,
    *,
    image_shape: Sequence[int] | np.ndarray,
    n_columns: int | None = None,
    labels_key: str | None = None,
    titles: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw source images, below each what a model made of it, and real ones: Figure 3 of :cite:p:`Lotfollahi2020`.

    A column is one source image and its prediction. The real image below is one of the same label, or, without labels,
    one at the same place: the very target of that source only where `real` has the same images in the same order.

    Parameters
    ----------
    source
        Images, a row each, or arrays in their own shape: (n_images, n_pixels). Not changed.
    predicted
        As many images, in the order of `source`; of two AnnData whose cells have the same names, the source images are
        found by name. Not changed.
    real
        Real images of the target condition: (n_real, n_pixels). Not changed.
    image_shape
        Height and width; or channels, height and width, with 1 (grey) or 3 (red, green, blue) channels, such as
        ``adata.uns["image_shape"]``. The pixels of a row are in this order, the last index fastest.
    n_columns
        How many source images to show, evenly spaced over all, or over those of each label in turn. None shows 8, or
        one of each label.
    labels_key
        Column of obs to choose by, such as the digit; needs AnnData.
    titles
        Names of the rows, from the top. None names source, predicted and real, with the conditions that the
        prediction recorded.
    limits
        Values drawn black and white, for all images alike. None takes the smallest and the largest of the measured
        images shown, so that a prediction can be seen to be too dark or too bright.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes, with all images in one picture. A place is blank where `real` has no image of the label.

    Raises
    ------
    KeyNotFoundError
        If `labels_key` is not in obs.
    GeneMismatchError
        If two AnnData do not have the same pixels by name.
    DataError
        If the pixels do not fill `image_shape`, the numbers of source and predicted images differ, there is no image,
        or values are NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import altercell as ac
    >>> images = np.random.default_rng(0).uniform(size=(20, 64))
    >>> ac.pl.image_grid(images, images**2, image_shape=(8, 8)).get_xlabel()
    '8 of 20 images, evenly spaced'
    """
    shape = as_shape(image_shape)
    source = _sources_of(predicted, source)
    given = {"source": source, "predicted": predicted} | ({} if real is None else {"real": real})
    _check(given, titles)
    if labels_key is None:
        columns = choose_evenly(given, _DEFAULT_COLUMNS if n_columns is None else n_columns)
    else:
        columns = choose_by_label(given, labels_key, n_columns)
    rows = {name: [column.real if name == "real" else column.source for column in columns] for name in given}
    pixels = source.var_names if isinstance(source, AnnData) else None
    images = {name: read_images(given[name], rows[name], shape, name, pixels) for name in given}

    size = (1.5 + _SIZE * len(columns), 0.8 + _SIZE * len(given) * shape[1] / shape[2])
    ax = new_axes(ax, size)
    x, y = draw_mosaic(ax, np.stack(list(images.values())), _limits(images) if limits is None else limits)
    ax.set_yticks(y, _titles(predicted, list(given)) if titles is None else list(titles), fontsize="small")
    middles = pd.Series(x).groupby([column.label for column in columns], sort=False).mean().drop("", errors="ignore")
    ax.set_xticks(middles, list(middles.index), fontsize="small")
    how = "evenly spaced" if labels_key is None else f"by {labels_key}"
    ax.set_xlabel(f"{len(columns)} of {source.shape[0]:,} images, {how}", fontsize="small")
    return ax


def _sources_of(predicted: Images, source: Images) -> Images:
    """Return the source images of a prediction: found by name where both have names, else as they are."""
    if not (isinstance(source, AnnData) and isinstance(predicted, AnnData)) or not source.obs_names.is_unique:
        return source
    rows = source.obs_names.get_indexer(predicted.obs_names)
    moved = len(rows) != source.n_obs or (rows != np.arange(source.n_obs)).any()
    return source[rows] if moved and (rows >= 0).all() else source


def _check(given: Mapping[str, Images], titles: Sequence[str] | None) -> None:
    empty = [name for name, images in given.items() if images.shape[0] == 0]
    if empty:
        raise DataError(f"{empty[0]} has no images")
    n_source, n_predicted = given["source"].shape[0], given["predicted"].shape[0]
    if n_source != n_predicted:
        raise DataError(
            f"there are {n_source} source and {n_predicted} predicted images: give the images that the prediction was "
            "made of, in its order"
        )
    if titles is not None and len(titles) != len(given):
        raise DataError(f"{len(given)} rows of images need as many titles; {len(titles)} were given")


def _limits(images: Mapping[str, np.ndarray]) -> tuple[float, float]:
    measured = np.concatenate([values.ravel() for name, values in images.items() if name != "predicted"])
    return float(np.nanmin(measured)), float(np.nanmax(measured))


def _titles(predicted: Images, names: list[str]) -> list[str]:
    record = predicted.uns.get("altercell") if isinstance(predicted, AnnData) else None
    if not (isinstance(record, Mapping) and "source" in record and "target" in record):
        return names
    return [f"{name}\n{record['source' if name == 'source' else 'target']}" for name in names]
