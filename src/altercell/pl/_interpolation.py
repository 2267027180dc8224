"""Genes along the line between two states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import KeyNotFoundError, listing
from altercell.metrics._matrix import genes_of
from altercell.pl._populations import as_names, values_of, with_space
from altercell.pl._style import CYCLE, REAL, new_axes


def interpolation(path: AnnData, genes: int | str | Sequence[str] = 5, *, ax: Axes | None = None) -> Axes:
    """Draw genes along the cells that a model's `interpolate` answers, Supplemental Note 6 of :cite:p:`Lotfollahi2019`.

    Parameters
    ----------
    path
        Cells with ``obs["fraction"]``, 0 at the source and 1 at the target: (n_steps, n_genes). Not changed.
    genes
        Names of genes; or how many of those that change most between the two ends.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes, a line a gene; the legend has them in the order in which they end.

    Raises
    ------
    KeyNotFoundError
        If ``obs["fraction"]`` or a gene is not there.
    """
    if "fraction" not in path.obs:
        raise KeyNotFoundError(
            f"path has no obs['fraction'], which `interpolate` writes; its columns are {listing(path.obs.columns)}"
        )
    order = np.argsort(path.obs["fraction"].to_numpy(), kind="stable")
    fraction = path.obs["fraction"].to_numpy()[order]
    names = _most_changed(path, order, genes) if isinstance(genes, int) else as_names(genes)
    values = values_of(path, names, "path")[order]
    ax = new_axes(ax, (5.6, 3.6))
    # Genes beyond the sixth take the colours again, in another style of line.
    looks = [(colour, style) for style in ("-", "--", ":", "-.") for colour in (REAL, *CYCLE)]
    for column, (colour, style) in zip(np.argsort(-values[-1], kind="stable"), cycle(looks), strict=False):
        ax.plot(fraction, values[:, column], color=colour, linestyle=style, linewidth=1.8, label=names[column])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    ax.set_xlim(fraction[0], fraction[-1])
    ax.set_xlabel(_way(path))
    ax.set_ylabel(with_space("expression", [path]))
    return ax


def _most_changed(path: AnnData, order: np.ndarray, n: int) -> list[str]:
    ends = genes_of(path[order[[0, -1]]], path.var_names, "path")
    ends = ends if isinstance(ends, np.ndarray) else ends.toarray()
    return as_names(path.var_names[np.argsort(-np.abs(ends[1] - ends[0]), kind="stable")[:n]])


def _way(path: AnnData) -> str:
    record = path.uns.get("altercell")
    if isinstance(record, Mapping) and "source" in record and "target" in record:
        return f"fraction of the way from {record['source']} to {record['target']}"
    return "fraction of the way"
