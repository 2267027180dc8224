"""Which images to show: evenly spaced over all, or over those of each label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._mosaic import Images


class Column(NamedTuple):
    """A source image with its prediction, and a real image to show below it."""

    label: str
    source: int
    real: int | None


def choose_evenly(given: Mapping[str, Images], n_columns: int) -> list[Column]:
    """Choose images evenly spaced over all, from the first to the last.

    Parameters
    ----------
    given
        Images by name: ``"source"`` and perhaps ``"real"``.
    n_columns
        How many to show, at most.

    Returns
    -------
    The columns, without a label; `real` is None where there are fewer real images.

    Raises
    ------
    DataError
        If `n_columns` is below 1.
    """
    everything = {name: np.arange(images.shape[0]) for name, images in given.items()}
    return _columns("", everything, _at_least_one(n_columns))


def choose_by_label(given: Mapping[str, Images], labels_key: str, n_columns: int | None) -> list[Column]:
    """Choose source images of each label in turn, and real ones of the same label.

    Parameters
    ----------
    given
        Images by name: ``"source"`` and perhaps ``"real"``; the labels of others are not read.
    labels_key
        Column of obs with the labels; a category that no source image has is passed over.
    n_columns
        How many to show, at most, shared out among the labels: the first get one more where it does not go round. None
        shows one a label.

    Returns
    -------
    The columns; `real` is None where there are fewer real images of the label.

    Raises
    ------
    KeyNotFoundError
        If `labels_key` is not in obs.
    DataError
        If images are not AnnData, have no label at all, or `n_columns` is below 1.
    """
    labels = {name: _labels(given[name], labels_key, name) for name in ("source", "real") if name in given}
    kinds = [kind for kind in labels["source"].categories if (labels["source"] == kind).any()]
    if not kinds:
        raise DataError(f"no source image has a label in obs['{labels_key}']")
    n, more = divmod(len(kinds) if n_columns is None else _at_least_one(n_columns), len(kinds))
    columns = []
    for place, kind in enumerate(kinds):
        rows = {name: np.flatnonzero(values == kind) for name, values in labels.items()}
        columns += _columns(str(kind), rows, n + (place < more))
    return columns


def _columns(label: str, rows: Mapping[str, np.ndarray], n: int) -> list[Column]:
    sources = _spread(rows["source"], n)
    reals: list[int | None] = [int(row) for row in _spread(rows["real"], len(sources))] if "real" in rows else []
    reals += [None] * (len(sources) - len(reals))
    return [Column(label, int(row), other) for row, other in zip(sources, reals, strict=True)]


def _spread(rows: np.ndarray, n: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int)]


def _at_least_one(n_columns: int) -> int:
    if n_columns < 1:
        raise DataError(f"n_columns={n_columns} must be at least 1")
    return n_columns


def _labels(images: Images, labels_key: str, name: str) -> pd.Categorical:
    if not isinstance(images, AnnData):
        raise DataError(f"labels_key='{labels_key}' needs AnnData with that column of obs; {name} is an array")
    if labels_key not in images.obs:
        raise KeyNotFoundError(f"{name} has no obs['{labels_key}']; its columns are {listing(images.obs.columns)}")
    return pd.Categorical(images.obs[labels_key])
