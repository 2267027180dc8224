"""Dot plot of genes and cell types, for control, real and predicted cells one below the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import GroupError, KeyNotFoundError, listing
from altercell.pl._populations import as_names, check_populations, values_of, with_space
from altercell.pl._style import LINE, SEQUENTIAL, new_axes

_LEGEND_SHARES = (0.25, 0.5, 0.75, 1.0)


def dots(
    genes: str | Sequence[str],
    populations: Mapping[str, AnnData],
    *,
    labels_key: str = "cell_type",
    labels: Sequence[str] | None = None,
    threshold: float = 0.5,
    ax: Axes | None = None,
) -> Axes:
    """Draw mean expression (colour) and share of expressing cells (size) of genes in every type and population.

    A decoded mean is hardly ever exactly zero, so a cell counts as expressing above `threshold`, not above 0. The
    default is half a count; in log1p of counts per 10,000 it is less than one molecule of a cell of 15,000 or fewer.

    Parameters
    ----------
    genes
        Names of the genes, from left to right.
    populations
        Cells by the name to show, for example ``{"control": ..., "real": ..., "ScGen": pred}``. Not changed.
    labels_key
        Column of obs with the cell types.
    labels
        Cell types to show, in order; None shows all that occur, sorted.
    threshold
        A cell with more than this expresses the gene, in the units of the data.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a column a gene; for every type a row with its name and below it a row a population that has such cells. A
    colour bar stands beside, the legend of sizes above.

    Raises
    ------
    KeyNotFoundError
        If a population lacks a gene or `labels_key`.
    GroupError
        If no population has cells of one of the `labels`.
    SpaceMismatchError
        If the populations are in different spaces.
    """
    genes = as_names(genes)
    check_populations(populations)
    means, shares = _summaries(genes, populations, labels_key, threshold)
    known = sorted(means.index.get_level_values("label").unique())
    chosen = known if labels is None else [str(label) for label in labels]
    if set(chosen) - set(known):
        raise GroupError(f"no cells of type {listing(sorted(set(chosen) - set(known)))}; there are {listing(known)}")
    rows: list[tuple[str, str | None]] = []
    for label in chosen:
        rows += [(label, None), *((label, name) for name in populations if (label, name) in means.index)]
    ax = new_axes(ax, (max(4.4, 2.9 + 0.3 * len(genes)), max(3.2, 1.6 + 0.24 * len(rows))))
    _draw(ax, genes, rows, means, shares, with_space("mean expression", populations.values()), threshold)
    return ax


def _summaries(
    genes: list[str], populations: Mapping[str, AnnData], labels_key: str, threshold: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return mean and share of expressing cells: a row a (label, population), a column a gene."""
    means, shares = {}, {}
    for name, adata in populations.items():
        if labels_key not in adata.obs:
            raise KeyNotFoundError(f"{name} has no obs['{labels_key}']; its columns are {listing(adata.obs.columns)}")
        values, types = values_of(adata, genes, name), adata.obs[labels_key]
        for label in pd.unique(types[types.notna()]):
            cells = values[(types == label).to_numpy()]
            means[str(label), name], shares[str(label), name] = cells.mean(axis=0), (cells > threshold).mean(axis=0)
    names = ["label", "population"]
    first, second = (pd.DataFrame(table, index=genes).T.rename_axis(names) for table in (means, shares))
    return first, second


def _draw(
    ax: Axes,
    genes: list[str],
    rows: list[tuple[str, str | None]],
    means: pd.DataFrame,
    shares: pd.DataFrame,
    colour_label: str,
    threshold: float,
) -> None:
    places = [place for place, row in enumerate(rows) if row[1] is not None]
    keys = [rows[place] for place in places]
    x, y = np.meshgrid(np.arange(len(genes)), places)
    colour = means.loc[keys].to_numpy()
    points = ax.scatter(x, y, c=colour, cmap=SEQUENTIAL, vmin=min(0, colour.min()), edgecolors=LINE, linewidths=0.5)
    ax.set(xlim=(-0.6, len(genes) - 0.4), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xticks(range(len(genes)), genes, rotation=90, fontstyle="italic", fontsize="small")
    ax.set_yticks(range(len(rows)), [name or label for label, name in rows], fontsize="small")
    for tick, (_, name) in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("normal" if name else "bold")
    ax.tick_params(length=0)
    ax.spines[["top", "right"]].set_visible(False)
    bar = ax.figure.colorbar(points, ax=ax, shrink=min(1.0, 9 / len(rows)), aspect=14, pad=0.03, anchor=(0, 1))
    bar.set_label(colour_label, fontsize="small")
    largest = _largest_dot(ax, len(genes), len(rows))
    points.set_sizes(largest * shares.loc[keys].to_numpy().ravel())
    _size_legend(ax, largest, threshold)


def _largest_dot(ax: Axes, n_columns: int, n_rows: int) -> float:
    """Return the area, in square points, of a dot that leaves a gap to its neighbours."""
    figure: Any = ax.figure.canvas.figure
    figure.draw_without_rendering()
    frame = ax.get_window_extent()
    return (0.8 * min(frame.width / n_columns, frame.height / n_rows, figure.dpi * 0.24) * 72 / figure.dpi) ** 2


def _size_legend(ax: Axes, largest: float, threshold: float) -> None:
    look: dict[str, Any] = {"color": "0.6", "edgecolors": LINE, "linewidths": 0.5}
    handles = [ax.scatter([], [], s=largest * share, **look) for share in _LEGEND_SHARES]
    ax.legend(
        handles, [f"{share:.0%}" for share in _LEGEND_SHARES], title=f"share of cells above {threshold:g}",
        title_fontsize="small", fontsize="small", ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False,
        columnspacing=1, handletextpad=0.2, alignment="left",
    )  # fmt: skip
