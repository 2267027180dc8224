"""How marker genes go together, in real and in generated cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.metrics._generation import correlations, mean_difference
from altercell.pl._populations import check_populations
from altercell.pl._style import DIVERGING, new_axes


def marker_correlations(generated: AnnData, real: AnnData, genes: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw the correlations between marker genes, of real and of generated cells :cite:p:`Marouf2020`.

    Pearson's correlation over cells, as in :func:`~altercell.metrics.marker_correlation`. Where the generated cells are
    right, the two triangles mirror each other.

    Parameters
    ----------
    generated, real
        Cells, in the same space: (n_generated, n_genes) and (n_real, n_genes). Not changed.
    genes
        Two marker genes or more, in the order to show; those of one type beside each other read best.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: real cells above the diagonal, generated ones below it, blue for -1, white for 0 and orange for 1, with a
    bar of these colours. The title is the mean absolute difference over the pairs of genes, which is
    :func:`~altercell.metrics.marker_correlation`. A gene without variance is correlated with none.

    Raises
    ------
    KeyNotFoundError
        If a gene is not in both.
    SpaceMismatchError
        If values are in different spaces.
    DataError
        If there are fewer than two genes or cells, values are NaN or infinite, or cells are not given as AnnData.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=100, n_genes=20, seed=0))
    >>> ax = ac.pl.marker_correlations(adata[::2], adata[1::2], adata.var_names[:5])
    >>> ax.get_xlabel()
    'below: generated'
    """
    for name, adata in (("generated", generated), ("real", real)):
        if isinstance(adata, AnnData) and adata.n_obs < 2:
            raise DataError(f"{name} has {adata.n_obs} cells; a correlation over cells needs two or more")
    names, made, known = correlations(generated, real, genes)
    check_populations({"generated": generated, "real": real})
    shown = np.where(np.tri(len(names), dtype=bool), made, known)
    np.fill_diagonal(shown, np.nan)

    side = float(np.clip(0.21 * len(names), 2.6, 9.0))
    ax = new_axes(ax, (side + 1.9, side + 1.4))
    image = ax.imshow(np.ma.masked_invalid(shown), cmap=DIVERGING.reversed(), vmin=-1, vmax=1)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.03, aspect=24, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("Pearson correlation over cells", fontsize="small")
    size = "small" if len(names) <= 40 else "xx-small"
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    ax.set_yticks(range(len(names)), names, fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(f"above: real\nmean absolute difference {mean_difference(made, known):.3f}", fontsize="medium")
    ax.set_xlabel("below: generated")
    return ax
