"""What the metrics of one prediction share: means, variances, top genes and components, each computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from altercell.metrics._forest import equal_numbers
from altercell.metrics._genes import rank_genes
from altercell.metrics._matrix import Matrix, gene_means, gene_variances
from altercell.metrics._pcs import project_on_pcs

Profiles = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted, real and control cells with the same genes, and what is derived from them on demand.

    Parameters
    ----------
    pred, real, control, truth_control, basis
        Cells, dense or CSR: (n_cells, n_genes).
    pred_names
        Names of the control cells that `pred` was made from: (n_pred,). None where it was not, or they are not known.
    control_names
        Names of the control cells: (n_control,). None: their places.
    n_top, n_cells, n_trees, n_jobs, seed
        As in :func:`evaluate`.
    """

    pred: Matrix
    real: Matrix
    control: Matrix
    truth_control: Matrix | None = None
    pred_names: np.ndarray | None = None
    control_names: np.ndarray | None = None
    basis: Matrix | None = None
    n_top: int = 100
    n_cells: int | None = 1_000
    n_trees: int = 1_000
    n_jobs: int | None = 1
    seed: int = 0

    @cached_property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Means of predicted and of real cells: twice (n_genes,)."""
        return gene_means(self.pred), gene_means(self.real)

    @cached_property
    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Variances of predicted and of real cells: twice (n_genes,)."""
        return gene_variances(self.pred), gene_variances(self.real)

    @cached_property
    def top(self) -> np.ndarray:
        """Columns of the truth's top differential genes: (n_top,)."""
        return rank_genes(self.real, self.control, self.n_top)

    def on_top(self, vectors: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Restrict vectors over genes, of predicted and of real cells, to the top differential genes: (n_top,)."""
        return vectors[0][self.top], vectors[1][self.top]

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of equal numbers of predicted and of real cells."""
        return equal_numbers(self.pred.shape[0], self.real.shape[0], self.n_cells, self.seed)

    @cached_property
    def cells(self) -> tuple[Matrix, Matrix]:
        """Equal numbers of predicted and of real cells: twice (n_cells, n_genes)."""
        return self.pred[self.rows[0]], self.real[self.rows[1]]

    @cached_property
    def pcs(self) -> tuple[np.ndarray, np.ndarray]:
        """The same cells on principal components of the real cells: twice (n_cells, n_components)."""
        basis = self.real if self.basis is None else self.basis
        return project_on_pcs(*self.cells, basis, seed=self.seed)

    @cached_property
    def responses(self) -> list[Profiles]:
        """Means of predicted, real, control and the truth's control cells, for each way to split the control cells.

        No cell of a prediction's control is one of its truth's control, unless the caller gave such a truth control.
        """
        real_mean = self.means[1]
        if self.truth_control is not None:
            source = self._sources(np.ones(self.control.shape[0], dtype=bool))
            return [(self.means[0], real_mean, gene_means(self.control[source]), gene_means(self.truth_control))]
        first = self._first_half()
        splits = []
        for side in (first, ~first):
            pred, source = self._made_from(side), self._sources(side)
            if pred.any() and not side.all():
                pred_mean, control_mean = gene_means(self.pred[pred]), gene_means(self.control[source])
                splits.append((pred_mean, real_mean, control_mean, gene_means(self.control[~side])))
        return splits

    def over_responses(self, metric: Callable[..., float], genes: np.ndarray | None = None) -> float:
        """Average a metric of four profiles over the splits of the control cells.

        Parameters
        ----------
        metric
            Function of the means of predicted, real, control and the truth's control cells.
        genes
            Columns to restrict the profiles to; None keeps all.
        """
        chosen: np.ndarray | slice = slice(None) if genes is None else genes
        scores = [metric(*(profile[chosen] for profile in profiles)) for profiles in self.responses]
        return float(np.mean(scores)) if scores else float("nan")

    def _first_half(self) -> np.ndarray:
        """Mask of a random half of the control cells, half of those that were sources and half of the others."""
        names = np.arange(self.control.shape[0]) if self.control_names is None else self.control_names
        order = np.random.default_rng([self.seed, 2]).permutation(np.unique(names))
        if self.pred_names is not None:
            order = np.concatenate([order[np.isin(order, self.pred_names)], order[~np.isin(order, self.pred_names)]])
        return np.isin(names, order[::2])

    def _made_from(self, side: np.ndarray) -> np.ndarray:
        """Mask of the predicted cells whose source is on this side; all of them where sources are not known."""
        if self.pred_names is None or self.control_names is None:
            return np.ones(self.pred.shape[0], dtype=bool)
        return np.isin(self.pred_names, self.control_names[side])

    def _sources(self, side: np.ndarray) -> np.ndarray:
        """Mask of the control cells of this side that a prediction was made from; all of it where that is not known."""
        if self.pred_names is None or self.control_names is None:
            return side
        return side & np.isin(self.control_names, self.pred_names)
