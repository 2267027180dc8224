"""The two-sample test by a random forest: whether it can tell predicted cells from real ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from altercell.metrics._matrix import Matrix, as_matrices
from altercell.metrics._pcs import project_on_pcs


def forest_auc(
    x: Matrix,
    y: Matrix,
    basis: Matrix | None = None,
    *,
    n_trees: int = 1_000,
    n_folds: int = 5,
    n_pcs: int = 50,
    n_cells: int | None = None,
    seed: int = 0,
    n_jobs: int | None = 1,
) -> float:
    """Area under the ROC curve of a random forest that tells predicted from real cells :cite:p:`Marouf2020`.

    Equal numbers of both are drawn and projected on principal components of the real cells. Every cell is scored by a
    forest trained on the other folds (stratified, shuffled), and the scores of all folds make one curve. 0.5: not told
    apart (best); 1: always told apart. Lower is better. With few real cells the components fit their noise, so that
    even fresh real cells score above 0.5: compare with the real-against-real row.

    Parameters
    ----------
    x
        Predicted cells, dense or sparse: (n_cells, n_genes).
    y
        Real cells: (n_cells, n_genes).
    basis
        Cells on which the components are fitted. None takes all of `y`, before equal numbers are drawn.
    n_trees
        Trees of each forest.
    n_folds
        Folds; fewer where an arm has fewer cells.
    n_pcs
        Number of components; fewer where the cells or genes do not have as many.
    n_cells
        At most so many cells an arm; None draws as many as the smaller arm has.
    seed
        Of the draw, the folds, the components and the forests.
    n_jobs
        Threads that grow the trees; the answer does not depend on it.

    Returns
    -------
    The area; nan where an arm has fewer than 2 cells or the basis has no variance.
    """
    scores = forest_scores(
        x, y, basis, n_trees=n_trees, n_folds=n_folds, n_pcs=n_pcs, n_cells=n_cells, seed=seed, n_jobs=n_jobs
    )
    return scores.area()


def random_forest_error(
    x: Matrix,
    y: Matrix,
    basis: Matrix | None = None,
    *,
    n_trees: int = 1_000,
    n_folds: int = 5,
    n_pcs: int = 50,
    n_cells: int | None = 3_000,
    seed: int = 0,
    n_jobs: int | None = 1,
) -> float:
    """Share of cells that a random forest takes for the wrong kind, generated or real :cite:p:`Yu2021`.

    The forest and its folds are those of :func:`forest_auc`; the components are those of the drawn cells of **both**
    kinds together, as the paper's text has it. 0.5: not told apart (best); 0: always told apart. Higher is better.

    Parameters
    ----------
    x
        Generated cells, dense or sparse: (n_cells, n_genes).
    y
        Real cells: (n_cells, n_genes).
    basis
        Cells on which the components are fitted. None takes the drawn cells of `x` and `y`; the paper's code gives the
        training cells.
    n_trees
        Trees of each forest.
    n_folds
        Folds; fewer where there are fewer cells of a kind.
    n_pcs
        Number of components; fewer where the cells or genes do not have as many.
    n_cells
        Cells of each kind, at most; fewer where there are fewer of one.
    seed
        Of the draw, the folds, the components and the forests.
    n_jobs
        Threads that grow the trees; the answer does not depend on it.

    Returns
    -------
    The share over all folds, which is the mean over folds where they are of one size; nan where there are fewer than 2
    cells of a kind or the basis has no variance.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(40, 3))
    >>> random_forest_error(x, x + 9, n_trees=10) < 0.1 < random_forest_error(x, x[::-1] + 0.1, n_trees=10)
    True
    """
    x, y = as_matrices(x, y)
    x_rows, y_rows = equal_numbers(x.shape[0], y.shape[0], n_cells, seed)
    x, y = x[x_rows], y[y_rows]
    x_pcs, y_pcs = project_on_pcs(x, y, _stack(x, y) if basis is None else basis, n_pcs=n_pcs, seed=seed)
    return classifier_scores(x_pcs, y_pcs, n_trees=n_trees, n_folds=n_folds, seed=seed, n_jobs=n_jobs).error()


def _stack(x: Matrix, y: Matrix) -> Matrix:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return np.concatenate([x, y])
    return sp.csr_array(sp.vstack([sp.csr_array(x), sp.csr_array(y)]))


class ForestScores(NamedTuple):
    """What forests say of cells that they were not trained on; empty where they cannot be trained.

    Attributes
    ----------
    is_real
        1 for real cells, 0 for predicted ones: (n_cells,).
    scores
        The share of trees, averaged over them, that call a cell real: (n_cells,).
    """

    is_real: np.ndarray
    scores: np.ndarray

    def area(self) -> float:
        """Area under the ROC curve; nan where there are no scores."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self.is_real, self.scores)) if len(self.scores) else float("nan")

    def error(self) -> float:
        """Share of cells on the wrong side of one half; nan where there are no scores."""
        return float(((self.scores > 0.5) != self.is_real).mean()) if len(self.scores) else float("nan")


def forest_scores(
    x: Matrix,
    y: Matrix,
    basis: Matrix | None = None,
    *,
    n_trees: int = 1_000,
    n_folds: int = 5,
    n_pcs: int = 50,
    n_cells: int | None = None,
    seed: int = 0,
    n_jobs: int | None = 1,
) -> ForestScores:
    """Score equal numbers of predicted and real cells on principal components; see `forest_auc`."""
    x, y = as_matrices(x, y)
    x_pcs, y_pcs = project_on_pcs(x, y, basis, n_pcs=n_pcs, seed=seed)
    x_rows, y_rows = equal_numbers(len(x_pcs), len(y_pcs), n_cells, seed)
    return classifier_scores(x_pcs[x_rows], y_pcs[y_rows], n_trees=n_trees, n_folds=n_folds, seed=seed, n_jobs=n_jobs)


def equal_numbers(n_x: int, n_y: int, n_cells: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows of equal numbers of two arms without replacement, at most `n_cells` of each; sorted.

    What is drawn from an arm depends on its own size, the number drawn and the seed, so that predictions of one size
    meet the same real cells.
    """
    size = min(n_x, n_y) if n_cells is None else min(n_x, n_y, n_cells)
    first, second = (np.random.default_rng([seed, arm]).permutation(n)[:size] for arm, n in enumerate((n_x, n_y)))
    return np.sort(first), np.sort(second)


def classifier_auc(
    x: np.ndarray, y: np.ndarray, *, n_trees: int = 1_000, n_folds: int = 5, seed: int = 0, n_jobs: int | None = 1
) -> float:
    """Out-of-fold area under the ROC curve of a random forest on features (n_cells, n_features); see `forest_auc`."""
    return classifier_scores(x, y, n_trees=n_trees, n_folds=n_folds, seed=seed, n_jobs=n_jobs).area()


def classifier_scores(
    x: np.ndarray, y: np.ndarray, *, n_trees: int = 1_000, n_folds: int = 5, seed: int = 0, n_jobs: int | None = 1
) -> ForestScores:
    """Out-of-fold scores of a random forest on features (n_cells, n_features), first those of `x`."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = min(n_folds, len(x), len(y))
    if folds < 2 or x.shape[1] == 0:
        return ForestScores(np.zeros(0, dtype=int), np.zeros(0))
    features = np.concatenate([x, y])
    is_real = np.repeat([0, 1], [len(x), len(y)])
    forest = RandomForestClassifier(n_trees, random_state=seed, n_jobs=n_jobs)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(forest, features, is_real, cv=split, method="predict_proba")[:, 1]
    return ForestScores(is_real, scores)
