"""Whether a forest can tell generated cells from real ones."""

from __future__ import annotations

from typing import Any

from anndata import AnnData
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.metrics._ceiling import halves
from altercell.metrics._forest import ForestScores, forest_scores
from altercell.pl._populations import same_genes
from altercell.pl._style import CONTROL, CYCLE, REAL, new_axes


def roc_curve(
    generated: AnnData,
    real: AnnData,
    *,
    basis: AnnData | None = None,
    ceiling: bool = True,
    n_trees: int = 1_000,
    n_folds: int = 5,
    n_pcs: int = 50,
    n_cells: int | None = None,
    seed: int = 0,
    n_jobs: int | None = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw the ROC curve of a random forest that tells generated from real cells, as in :cite:p:`Marouf2020`.

    The forest and its scores are those of :func:`~altercell.metrics.forest_auc`: equal numbers, principal components,
    and every cell scored by a forest that was trained on the other folds. A curve on the diagonal is best.

    Parameters
    ----------
    generated
        Generated cells: (n_generated, n_genes). Not changed.
    real
        Real cells, best those that training has not seen: (n_real, n_genes). The same genes by name, in any order, and
        values in the same space.
    basis
        Cells on which the components are fitted, such as the training cells: (n_basis, n_genes). None takes `real`,
        whose noise they then fit, so that fresh real cells too would be told from them.
    ceiling
        Whether to draw the curve of one random half of `real` against the other as well, on the same components: the
        best that can be expected. A half has half as many cells, so that its curve is somewhat rougher.
    n_trees, n_folds, n_pcs, n_cells, n_jobs
        As in :func:`~altercell.metrics.forest_auc`.
    seed
        Of the halves, the draw, the folds, the components and the forests.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: the curve, that of real against real, and the diagonal; the area under each is in the legend.

    Raises
    ------
    GeneMismatchError
        If genes are not the same.
    SpaceMismatchError
        If values are in different spaces.
    DataError
        If there are fewer than 2 cells of either (with the ceiling, fewer than 4 real ones), or those of the basis are
        all the same.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=120, n_genes=30, seed=0))
    >>> ax = ac.pl.roc_curve(adata[::2], adata[1::2], n_trees=10)
    >>> len(ax.get_legend().get_texts())
    3
    """
    cells = same_genes({"generated": generated, "real": real, "basis": basis})
    known, space = cells["real"], cells.get("basis", cells["real"])
    options: dict[str, Any] = {
        "n_trees": n_trees, "n_folds": n_folds, "n_pcs": n_pcs, "n_cells": n_cells, "seed": seed, "n_jobs": n_jobs,
    }  # fmt: skip
    curves = {}
    if ceiling:
        first, second = halves(real.n_obs, seed)
        curves["real against real (ceiling)"] = forest_scores(known[first], known[second], space, **options), REAL, "-."
    curves["generated against real"] = forest_scores(cells["generated"], known, space, **options), CYCLE[0], "-"
    _check(curves["generated against real"][0], generated, real, "real" if basis is None else "basis")

    ax = new_axes(ax, (4.2, 4.2))
    ax.plot([0, 1], [0, 1], linestyle="--", linewidth=1, color=CONTROL, label="not told apart, AUC 0.5")
    for name, (scores, colour, style) in curves.items():
        _draw(ax, name, scores, color=colour, linestyle=style)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(
        xlabel=f"share of generated cells called real\n({n_trees:,} trees)", ylabel="share of real cells called real"
    )
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize="x-small", loc="lower right")
    return ax


def _draw(ax: Axes, name: str, scores: ForestScores, **look: Any) -> None:
    from sklearn.metrics import roc_curve as curve

    wrong, right, _ = curve(scores.is_real, scores.scores)
    ax.plot(wrong, right, linewidth=1.8, label=f"{name}, AUC {scores.area():.3f}", **look)


def _check(scores: ForestScores, generated: AnnData, real: AnnData, basis: str) -> None:
    if len(scores.scores):
        return
    if min(generated.n_obs, real.n_obs) < 2:
        raise DataError(
            f"a forest needs two generated and two real cells or more; there are {generated.n_obs} and {real.n_obs}"
        )
    raise DataError(
        f"the cells of {basis} are all the same, so they have no principal components; or n_folds is below 2"
    )
