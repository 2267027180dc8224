"""Cells of several batches, of which a method may read all labels, or those of one half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.benchmark._integrators import PCS


@dataclass(frozen=True)
class BatchCells:
    """The cells of a split.

    Attributes
    ----------
    cells
        Chosen genes and ``obsm["X_pca"]``; obs has no labels.
    batches, labels
        Of the cells, text of shape ``(n_cells,)``.
    hide
        Whether half of the labels are hidden.
    n_neighbors
        Of the classifier of hidden labels.
    """

    cells: AnnData
    batches: np.ndarray
    labels: np.ndarray
    hide: bool
    n_neighbors: int

    def scored(self, seed: int) -> np.ndarray:
        """Return which cells are scored, a mask of shape ``(n_cells,)``: those whose labels are hidden, or all.

        Parameters
        ----------
        seed
            Which half is hidden.
        """
        if not self.hide:
            return np.ones(len(self.labels), dtype=bool)
        return random_half(self.batches, self.labels, seed)

    def given(self, seed: int) -> np.ndarray:
        """Return the labels that a method may read, shape ``(n_cells,)``: those of hidden cells are predicted.

        Parameters
        ----------
        seed
            Which half is hidden.
        """
        if not self.hide:
            return self.labels
        from sklearn.neighbors import KNeighborsClassifier

        hidden, points = self.scored(seed), self.cells.obsm[PCS]
        voters = KNeighborsClassifier(min(self.n_neighbors, int((~hidden).sum())))
        given = self.labels.copy()
        given[hidden] = voters.fit(points[~hidden], self.labels[~hidden]).predict(points[hidden])
        return given


def random_half(batches: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw half of the cells of every batch and label; of an odd number the half is rounded up or down at random.

    Parameters
    ----------
    batches, labels
        Of the cells, shape ``(n_cells,)``.
    seed
        Seed.

    Returns
    -------
    A mask, shape ``(n_cells,)``.
    """
    rng = np.random.default_rng(seed)
    drawn = np.zeros(len(labels), dtype=bool)
    for rows in pd.DataFrame({"batch": batches, "label": labels}).groupby(["batch", "label"]).indices.values():
        drawn[rng.permutation(rows)[: (len(rows) + rng.integers(2)) // 2]] = True
    return drawn
