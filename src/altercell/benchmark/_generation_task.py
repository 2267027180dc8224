"""The task of generation: cells that were never measured, scored beside cells that no model has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from altercell import metrics
from altercell._space import COUNTS, check_space, get_space
from altercell.benchmark._response import CEILING
from altercell.benchmark._task import NO_SETTINGS, Task, let_go, registered, train_registered
from altercell.data import check_column, select_genes
from altercell.data._normalize import log_of_counts
from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.metrics._forest import classifier_auc, equal_numbers
from altercell.metrics._matrix import Matrix, as_matrix
from altercell.metrics._pcs import project_on_pcs
from altercell.models.base import as_dense
from altercell.models.base._generative import numbers_like
from altercell.presets import Candidate

#: What is better of each score.
BETTER = {
    "forest_auc": "lower",
    "forest_auc_all_pcs": "lower",
    "forest_auc_genes": "lower",
    "edistance_pcs": "lower",
    "neighbour_mmd": "lower",
    "mean_distance": "lower",
    "precision": "higher",
    "coverage": "higher",
    "variable_gene_overlap": "higher",
    "zeros_difference": "zero",
    "nearest_ratio": "higher",
    "nearer_share": "lower",
    "marker_correlation": "lower",
    "class_recall": "higher",
    "class_forest_auc": "lower",
    "class_forest_auc_genes": "lower",
    "class_edistance_pcs": "lower",
}
#: A class with fewer cells of either kind is not told apart by itself.
CLASS_CELLS = 20


@dataclass(frozen=True)
class GeneratedSplit:
    """Cells to learn from, and cells that are kept back.

    Attributes
    ----------
    train, test
        The chosen genes, with counts in a layer.
    """

    train: AnnData
    test: AnnData


@dataclass(frozen=True)
class Generated:
    """A trained generator and its cells.

    Attributes
    ----------
    model
        The model.
    cells
        As many as there are test cells, of the same classes where the model knows classes.
    """

    model: Any
    cells: AnnData


@dataclass(frozen=True, kw_only=True)
class GenerationTask(Task):
    """Generate as many cells as are kept back; see :func:`generation`.

    Attributes
    ----------
    labels_key
        Column of the cell types; None for none.
    n_splits
        How many times cells are kept back at random, each time others.
    test_share
        Share of the cells that is kept back.
    n_genes
        Number of variable genes, chosen on the training cells; None keeps all.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of the candidates.
    n_trees, n_cells
        Of the forests: trees, and cells of either kind at most.
    marker_genes
        Genes whose correlations are compared; None for none.
    """

    labels_key: str | None = None
    n_splits: int = 1
    test_share: float = 0.25
    n_genes: int | None = 2_000
    train: Mapping[str, Any] = field(default_factory=dict)
    n_trees: int = 1_000
    n_cells: int | None = None
    marker_genes: tuple[str, ...] | None = None

    name: ClassVar[str] = "generation"
    reference_names: ClassVar[tuple[str, ...]] = (CEILING,)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the question, as plain data."""
        settings = ("labels_key", "test_share", "n_genes", "n_trees", "n_cells", "marker_genes")
        return {
            **super().describe(),
            **{name: getattr(self, name) for name in settings},
            "train": {name: value for name, value in self.train.items() if name not in NO_SETTINGS},
        }

    def check(self) -> None:
        """Check the cells before anything is run.

        Raises
        ------
        KeyNotFoundError
            There is no column `labels_key`, no layer of counts, or no such marker gene.
        DataError
            The share or the number of splits is out of range, too few cells would be left, or X holds counts.
        """
        if self.labels_key is not None:
            check_column(self.cells.obs, self.labels_key, "labels_key")
        if "counts" not in self.cells.layers:
            raise KeyNotFoundError("layers['counts'] is missing; ac.data.normalize(adata) of counts keeps them there")
        if not 0 < self.test_share < 1 or self.n_splits < 1:
            raise DataError(
                f"test_share={self.test_share} must be between 0 and 1, and n_splits={self.n_splits} above 0"
            )
        n_test = round(self.test_share * self.cells.n_obs)
        if min(n_test, self.cells.n_obs - n_test) < 10:
            raise DataError(f"of {self.cells.n_obs} cells, {n_test} would be kept back; at least 10 are needed of both")
        if get_space(self.cells) == COUNTS:
            raise DataError("X holds counts; call ac.data.normalize(adata), which keeps them in layers['counts']")
        if self.n_genes is None and "size_factor" not in self.cells.obs:
            raise KeyNotFoundError(
                "obs['size_factor'] is missing, the cells' totals; ac.data.normalize(adata) writes it"
            )
        missing = [name for name in self.marker_genes or () if name not in self.cells.var_names]
        if missing:
            raise KeyNotFoundError(f"marker_genes={listing(missing)} are not in adata.var_names")

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return [f"split {number}" for number in range(self.n_splits)]

    def prepare(self, split: str) -> GeneratedSplit:
        """Keep cells back, of every label in its share, and choose genes on the others.

        Parameters
        ----------
        split
            Its name.
        """
        cells, seed = self.cells, self.splits().index(split)
        place = np.random.default_rng(seed).permutation(cells.n_obs)
        if self.labels_key is None:
            kept = place < round(self.test_share * cells.n_obs)
        else:
            order = pd.Series(place).groupby(cells.obs[self.labels_key].to_numpy(), observed=True).rank(pct=True)
            kept = (order <= self.test_share).to_numpy()
        train = cells[~kept].copy()
        if self.n_genes is not None:
            chosen = select_genes(train, self.n_genes)
            train = train[:, train.var_names.isin([*chosen.var_names, *(self.marker_genes or ())])].copy()
            train.obs, train.uns = chosen.obs, chosen.uns
        return GeneratedSplit(train, cells[kept, train.var_names].copy())

    def answer(self, candidate: Candidate, data: GeneratedSplit, seed: int) -> Generated:
        """Train a generator, and let it generate as many cells as were kept back.

        Parameters
        ----------
        candidate
            The model; ``predict`` are arguments of its ``generate``.
        data
            The split.
        seed
            Seed of the weights, the training and the noise.
        """
        if not hasattr(candidate.model, "generate"):
            raise DataError(f"'{candidate.name}' does not generate cells")
        model = registered(candidate, data.train, seed, self.labels_key)
        try:
            train_registered(model, candidate, self.train)
            made = model.generate(numbers_like(model, data.test, self.labels_key), seed=seed, **candidate.predict)
            space = made.uns["altercell"]["space"]
            if space != COUNTS:
                check_space(data.train, space, name=f"what '{candidate.name}' is compared with")
            return Generated(model, made)
        except BaseException:
            let_go(model)
            raise

    def score(self, answer: Generated, data: GeneratedSplit, seed: int) -> pd.DataFrame:
        """Score generated cells beside those that were kept back.

        Counts are compared with counts, both as log1p of counts per 10,000 of the chosen genes; log data with log data.

        Parameters
        ----------
        answer
            The cells.
        data
            The split.
        seed
            Of the draws, the folds and the forests.
        """
        cells, counts = answer.cells, answer.cells.uns["altercell"]["space"] == COUNTS
        train, test = (
            log_of_counts(as_matrix(part.layers["counts"])) if counts else as_matrix(part.X)
            for part in (data.train, data.test)
        )
        made = log_of_counts(as_matrix(cells.X)) if counts else as_matrix(cells.X)
        known = self.labels_key is not None and self.labels_key in cells.obs
        classes = self._classes(cells), self._classes(data.test)
        return self._scores(made, test, train, seed, classes if known else None, list(data.train.var_names))

    def reference(self, name: str, data: GeneratedSplit, seed: int) -> pd.DataFrame:
        """Score one half of the cells that were kept back beside the other: the ceiling.

        Parameters
        ----------
        name
            Its name.
        data
            The split.
        seed
            Of the halves and of the scores.
        """
        test, train = (log_of_counts(as_matrix(part.layers["counts"])) for part in (data.test, data.train))
        order = np.random.default_rng(seed).permutation(data.test.n_obs)
        first, second = (np.sort(part) for part in np.array_split(order, 2))
        classes = None
        if self.labels_key is not None:
            names = self._classes(data.test)
            first = first[np.isin(names[first], names[second])]  # a label of a single cell has no other half
            classes = names[first], names[second]
        return self._scores(test[first], test[second], train, seed, classes, list(data.train.var_names))

    def _classes(self, cells: AnnData) -> np.ndarray:
        """Return the label of each cell, as text; none where there are none."""
        if self.labels_key is None or self.labels_key not in cells.obs:
            return np.array([], dtype=str)
        return cells.obs[self.labels_key].astype(str).to_numpy()

    def _scores(
        self,
        made: Matrix,
        test: Matrix,
        train: Matrix,
        seed: int,
        classes: tuple[np.ndarray, np.ndarray] | None,
        genes: list[str],
    ) -> pd.DataFrame:
        """Return the scores of all cells and, where their classes are known, of each class."""
        forest: dict[str, Any] = {"n_trees": self.n_trees, "n_cells": self.n_cells, "seed": seed}
        pcs = project_on_pcs(made, test, train, seed=seed)
        every = slice(None), slice(None)
        real = sp.vstack([sp.csr_matrix(part) for part in (test, train)])
        whole = {
            **self._told_apart(pcs, (made, test), every, seed),
            "forest_auc_all_pcs": metrics.forest_auc(made, test, real, **forest),
            "neighbour_mmd": metrics.neighbour_mmd(made, test, train, seed=seed),
            "mean_distance": metrics.mean_distance(made, test),
            **metrics.precision_coverage(made, test, train, seed=seed),
            "variable_gene_overlap": metrics.variable_gene_overlap(made, test),
            "zeros_difference": metrics.zero_share(made) - metrics.zero_share(test),
            **metrics.copying(made, train, test, seed=seed),
        }
        if self.marker_genes is not None:
            var = pd.DataFrame(index=genes)
            named = [AnnData(part, var=var) for part in (made, test)]
            whole["marker_correlation"] = metrics.marker_correlation(named[0], named[1], list(self.marker_genes))
        tables = [_table(whole)]
        if classes is not None:
            asked, known = classes
            recall = metrics.class_recall(made, asked, test, known, seed=seed)
            for name, share in recall.items():
                rows = np.flatnonzero(asked == name), np.flatnonzero(known == name)
                of_class = {"class_recall": share}
                if min(len(part) for part in rows) >= CLASS_CELLS:
                    found = self._told_apart(pcs, (made, test), rows, seed)
                    of_class |= {f"class_{metric}": value for metric, value in found.items()}
                tables.append(_table(of_class, str(name)))
        return pd.concat(tables, ignore_index=True)

    def _told_apart(
        self, pcs: tuple[np.ndarray, np.ndarray], cells: tuple[Matrix, Matrix], rows: tuple[Any, Any], seed: int
    ) -> dict[str, float]:
        """Return how well made cells are told from real ones, by rows of principal components and of genes."""
        points = [part[row] for part, row in zip(pcs, rows, strict=True)]
        values = [part[row] for part, row in zip(cells, rows, strict=True)]
        drawn = equal_numbers(len(points[0]), len(points[1]), self.n_cells, seed)
        forest: dict[str, Any] = {"n_trees": self.n_trees, "seed": seed}
        genes = [as_dense(part[row]) for part, row in zip(values, drawn, strict=True)]
        return {
            "forest_auc": classifier_auc(*(part[row] for part, row in zip(points, drawn, strict=True)), **forest),
            "forest_auc_genes": classifier_auc(*genes, **forest),
            "edistance_pcs": metrics.edistance(*points),
        }

    def release(self, answer: Generated) -> None:
        """Let scvi-tools' class-wide store forget the cells.

        Parameters
        ----------
        answer
            The cells and their model.
        """
        let_go(answer.model)


def _table(scores: Mapping[str, float], label: str = "") -> pd.DataFrame:
    rows = [{"metric": name, "value": value, "better": BETTER[name]} for name, value in scores.items()]
    return pd.DataFrame(rows).assign(label=label, genes="all", sd_cells=float("nan"))
