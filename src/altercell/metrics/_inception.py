"""The inception score: whether generated cells are clearly of one type each, and of all types together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from altercell.errors import DataError, GroupError
from altercell.metrics._forest import equal_numbers
from altercell.metrics._matrix import Matrix, as_matrices
from altercell.metrics._pcs import project_on_pcs


def inception_score(
    x: Matrix,
    y: Matrix,
    labels: Sequence[object] | np.ndarray | pd.Series,
    *,
    n_cells: int | None = 3_000,
    n_pcs: int | None = None,
    n_trees: int = 1_000,
    seed: int = 0,
    n_jobs: int | None = 1,
) -> float:
    r"""Inception score of generated cells, by a random forest that knows the cell types :cite:p:`Salimans2016,Yu2021`.

    .. math:: \exp\left( \mathbb{E}_x \, \mathrm{KL}\left( p(t | x) \,\|\, p(t) \right) \right), \qquad
              p(t) = \mathbb{E}_x \, p(t | x)

    with p(t | x) the forest's probability that the generated cell x is of type t. From 1, where cells are of no type or
    all alike, to the number of types, where each is clearly of one and all types are equally frequent; higher is
    better. It does not know the real frequencies, nor whether cells of one type differ: one cell a type, copied, scores
    best. Compare with real cells that the forest has not seen, given as `x`: where genes are noisy the forest is never
    sure, and they do not reach the number of types either.

    Parameters
    ----------
    x
        Generated cells, dense or sparse: (n_generated, n_genes).
    y
        Real cells: (n_real, n_genes).
    labels
        Types of the real cells: (n_real,).
    n_cells
        Real cells that the forest is trained on, at most, drawn at random; None takes all.
    n_pcs
        Number of principal components of the real cells that the forest reads; None: the genes, as the paper's code.
    n_trees
        Trees of the forest.
    seed
        Of the draw, the components and the forest.
    n_jobs
        Threads that grow the trees; the answer does not depend on it.

    Raises
    ------
    DataError
        There are not as many labels as real cells, or labels are missing.
    GroupError
        The real cells that were drawn are of one type.
    GeneMismatchError
        The numbers of genes differ.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([[0.0, 5.0], [5.0, 0.0]], 20, axis=0)
    >>> round(inception_score(y, y, ["a"] * 20 + ["b"] * 20, n_trees=10), 2), inception_score(y[:20], y, y[:, 0] > 1)
    (2.0, 1.0)
    """
    from scipy.special import rel_entr
    from sklearn.ensemble import RandomForestClassifier

    x, y = as_matrices(x, y)
    types = _types(labels, y.shape[0])
    rows = equal_numbers(y.shape[0], y.shape[0], n_cells, seed)[1]
    if len(np.unique(types[rows])) < 2:
        raise GroupError(f"all {len(rows)} real cells that were drawn have one label; the score compares two or more")
    made, known = (x, y) if n_pcs is None else project_on_pcs(x, y, n_pcs=n_pcs, seed=seed)
    forest = RandomForestClassifier(n_trees, random_state=seed, n_jobs=n_jobs).fit(known[rows], types[rows])
    of_cell = forest.predict_proba(made)
    return float(np.exp(rel_entr(of_cell, of_cell.mean(axis=0)).sum(axis=1).mean()))


def _types(labels: Sequence[object] | np.ndarray | pd.Series, n_real: int) -> np.ndarray:
    """Return the labels as numbers, without holes."""
    if isinstance(labels, str):
        raise DataError("labels are wanted cell by cell, such as real.obs['cell_type'], not as the name of a column")
    codes = pd.factorize(np.asarray(labels, dtype=object), sort=False)[0]
    if codes.shape != (n_real,):
        raise DataError(f"there are {len(codes)} labels for {n_real} real cells: give one a cell")
    if (codes < 0).any():
        raise DataError(f"labels are missing in {int((codes < 0).sum())} of {n_real} real cells: leave them out")
    return codes
