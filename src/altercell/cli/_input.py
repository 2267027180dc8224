"""What the commands read: a file of counts or log data."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
from anndata import AnnData
from rich.console import Console

from altercell.data import get_space, normalize
from altercell.errors import DataError, KeyNotFoundError, listing


def read_log_data(data: Path, layer: str | None, console: Console) -> AnnData:
    """Read a file as log data; counts are normalised, and that is said.

    Parameters
    ----------
    data
        An ``.h5ad`` file.
    layer
        Layer to read; None for X.
    console
        Where to say it.

    Raises
    ------
    DataError
        There is no such file, it is no h5ad, or its values are neither counts nor log data.
    KeyNotFoundError
        There is no such layer.
    """
    if not data.is_file():
        raise DataError(f"there is no file '{data}'")
    try:
        adata = ad.read_h5ad(data)
    except Exception as error:
        raise DataError(f"'{data}' cannot be read as an .h5ad file: {error}") from error
    if layer is not None and layer not in adata.layers:
        raise KeyNotFoundError(
            f"--layer '{layer}' is not in the file; there are {listing(name for name in adata.layers if name)}"
        )
    adata.obs_names_make_unique()
    space = get_space(adata, layer)
    if space == "counts":
        console.print(
            f"{'X' if layer is None else layer} holds counts: they are scaled to 10,000 a cell and log1p is taken"
        )
        return normalize(adata, layer=layer)
    if not space.startswith("log1p"):
        raise DataError(
            f"'{data}': {'X' if layer is None else layer} holds neither counts nor log data; give raw counts"
        )
    if layer is not None:
        adata.X = adata.layers[layer].copy()
        adata.uns["altercell"] = {**dict(adata.uns.get("altercell", {})), "space": space}
    return adata


def as_text(adata: AnnData, *keys: str | None) -> None:
    """Turn columns of groups into text, as they are named on the command line.

    Parameters
    ----------
    adata
        Cells, changed in place.
    *keys
        Columns; those that are not there, and None, are left for a later check. Missing values stay missing.
    """
    for key in keys:
        if key is not None and key in adata.obs:
            there = adata.obs[key].notna()
            adata.obs[key] = adata.obs[key].astype(str).where(there).astype("category")
