"""Handwritten digits with measured strokes: trVAE's first example of a response, here as cells."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell._space import UNKNOWN
from altercell.errors import DataError, KeyNotFoundError, listing

CONDITIONS = ("normal", "thin", "thick")
ORIGIN = "the folder datasets/morphomnist of github.com/biomedia-mira/causal-gen"


def morpho_mnist(folder: str | Path, *, n_images: int | None = None, part: str = "t10k") -> AnnData:
    """Read Morpho-MNIST :cite:p:`Castro2019`: digits are the cells, pixels their genes.

    The condition is made of the measured thickness of the stroke: the thinnest third of the file's images is thin, the
    thickest third is thick, and the others are normal. So, unlike in trVAE's paper, whose thin and thick digits are
    transformed normal ones, no digit is there in two conditions, and conditions differ in what goes with thickness. In
    the file named below, thick strokes are brighter too.

    Pixels are divided by 255: a sum of squared errors is then in units of white pixels, and a ReLU at the decoder's
    end can give every value.

    Parameters
    ----------
    folder
        Where ``t10k-images-idx3-ubyte.gz``, ``t10k-labels-idx1-ubyte.gz`` and ``t10k-morpho.csv`` are, as in the
        repository biomedia-mira/causal-gen, ``datasets/morphomnist``.
    n_images
        How many images, the first of the file; None for all. The thirds are those of all.
    part
        What the names of the files begin with: ``"t10k"``, or ``"train"`` where that part is there.

    Returns
    -------
    `X`: brightness from 0 to 1, float32, ``(n_images, n_pixels)``. `obs`: ``digit``, ``condition`` (``"normal"``,
    ``"thin"``, ``"thick"``), and what was measured, ``thickness`` in pixels among it. `var`: ``row`` and ``column`` of
    each pixel, named ``pixel_row_column``. `uns`: ``image_shape``, (channels, height, width), and ``thirds``, the two
    thicknesses that part the conditions.

    Raises
    ------
    DataError
        A file is missing, damaged, or does not fit the others.
    KeyNotFoundError
        The table has no column ``thickness``.

    Examples
    --------
    >>> adata = morpho_mnist("data/morphomnist")  # doctest: +SKIP
    >>> train, real = ac.data.hold_out(
    ...     adata, control="normal", labels=[d for d in "0123456789" if d not in "1367"], labels_key="digit"
    ... )  # doctest: +SKIP
    """
    folder = Path(folder)
    names = [f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz", f"{part}-morpho.csv"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(f"'{folder}' has no {listing(missing)}; the files are those of {ORIGIN}")
    images, digits = _read_idx(folder / names[0], n_axes=3), _read_idx(folder / names[1], n_axes=1)
    measured = _read_table(folder / names[2])
    if not len(images) == len(digits) == len(measured):
        raise DataError(
            f"'{folder}' has {len(images)} images, {len(digits)} labels and {len(measured)} measurements; they must be "
            f"of one part of the data, as in {ORIGIN}"
        )
    n_total = len(images)
    if n_images is not None and not 1 <= n_images <= n_total:
        raise DataError(f"n_images={n_images} must be from 1 to {n_total}, the number of images there")
    thirds = np.quantile(measured["thickness"], [1 / 3, 2 / 3])
    obs = measured.assign(digit=pd.Categorical(digits.astype(str)), condition=_conditions(measured, thirds))
    obs.index = pd.Index([f"{part}_{number}" for number in range(n_total)])
    _, height, width = images.shape
    adata = AnnData(
        images[:n_images].reshape(-1, height * width).astype(np.float32) / 255,
        obs=obs.iloc[:n_images].copy(),
        var=_pixels(height, width),
    )
    # Without a record, small fractions would be taken for logarithms of counts.
    adata.uns = {"altercell": {"space": UNKNOWN}, "image_shape": np.array([1, height, width]), "thirds": thirds}
    return adata


def _read_idx(path: Path, n_axes: int) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, a type of 8, the number of axes, their lengths, the values."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' is damaged ({error}); take it anew from {ORIGIN}") from error
    head = 4 + 4 * n_axes
    shape = tuple(int(length) for length in np.frombuffer(raw[4:head], dtype=">u4")) if len(raw) >= head else ()
    if raw[:4] != bytes([0, 0, 8, n_axes]) or len(raw) - head != int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"'{path}' is no whole IDX file of bytes with {n_axes} axes; take it anew from {ORIGIN}")
    return np.frombuffer(raw, dtype=np.uint8, offset=head).reshape(shape)


def _read_table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    if "thickness" not in table:
        raise KeyNotFoundError(f"'{path}' has no column 'thickness'; there are {listing(table.columns)}")
    if "index" in table and (table.pop("index") != np.arange(len(table))).any():
        raise DataError(f"the rows of '{path}' are not in the order of the images; sort them by 'index'")
    if not np.isfinite(table["thickness"]).all():
        raise DataError(f"'{path}' has images without a finite thickness; take it anew from {ORIGIN}")
    return table


def _conditions(measured: pd.DataFrame, thirds: np.ndarray) -> pd.Categorical:
    thickness = measured["thickness"].to_numpy()
    names = np.select([thickness <= thirds[0], thickness > thirds[1]], ["thin", "thick"], default="normal")
    return pd.Categorical(names, categories=CONDITIONS)


def _pixels(height: int, width: int) -> pd.DataFrame:
    row, column = (axis.ravel() for axis in np.indices((height, width)))
    names = [f"pixel_{r}_{c}" for r, c in zip(row, column, strict=True)]
    return pd.DataFrame({"row": row, "column": column}, index=names)
