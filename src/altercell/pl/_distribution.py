"""One gene's distribution over cells, in every population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from altercell.pl._populations import check_populations, values_of, with_space
from altercell.pl._style import LINE, colours, new_axes


def gene_distribution(gene: str, populations: Mapping[str, AnnData], *, ax: Axes | None = None) -> Axes:
    """Draw violins of one gene's expression in control, real and any number of predicted populations.

    A violin is a Gaussian kernel density (Scott's width) between the smallest and the largest value, all of the same
    greatest width; the dot is the mean, the bar reaches from the first to the third quartile.

    Parameters
    ----------
    gene
        Name of the gene.
    populations
        Cells by the name to show, in order, for example ``{"control": ..., "real": ..., "ScGen": pred}``. The names
        ``"control"`` and ``"real"`` have their own colours. Not changed.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes; population i stands at x = i.

    Raises
    ------
    KeyNotFoundError
        If a population does not have the gene; the message lists names near to it.
    SpaceMismatchError
        If the populations are in different spaces.
    DataError
        If there is no population, or one has no cells.
    """
    check_populations(populations)
    values = [values_of(adata, [gene], name)[:, 0] for name, adata in populations.items()]
    ax = new_axes(ax, (1.6 + 0.9 * len(values), 3.6))
    places = np.arange(len(values))
    violins = ax.violinplot(values, positions=places, widths=0.8, showextrema=False)
    colour = colours(populations)
    for body, name in zip(cast("list[PolyCollection]", violins["bodies"]), populations, strict=True):
        body.set(facecolor=colour[name], edgecolor=LINE, linewidth=0.6, alpha=0.75)
    quartiles = np.array([np.quantile(cells, [0.25, 0.75]) for cells in values])
    ax.vlines(places, *quartiles.T, color=LINE, linewidth=4)
    ax.scatter(places, [cells.mean() for cells in values], s=22, color="white", edgecolors=LINE, zorder=3)
    ticks = [f"{name}\nn = {len(cells):,}" for name, cells in zip(populations, values, strict=True)]
    ax.set_xticks(places, ticks, fontsize="small")
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.set_title(gene, fontstyle="italic")
    ax.set_ylabel(with_space("expression", populations.values()), fontsize="small")
    return ax
