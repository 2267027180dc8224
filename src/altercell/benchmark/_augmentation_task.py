"""The task of augmentation: a cell type that is made rare, found again by a classifier with generated cells' help."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from altercell._space import COUNTS, get_space
from altercell.benchmark._task import NO_SETTINGS, Task, let_go, registered, train_registered
from altercell.data import check_column, select_genes
from altercell.errors import DataError, GroupError, KeyNotFoundError, listing
from altercell.metrics._matrix import Matrix, as_matrix
from altercell.metrics._pcs import project_on_pcs
from altercell.models.base._generative import numbers_like
from altercell.presets import Candidate

#: Rows without a model: all training cells, those that are left, and these with copies of the rare ones.
WHOLE, CUT, UPSAMPLED = "not cut", "cut", "upsampled"
#: Fewer cells of a type than this cannot be learnt from: the share is rounded up to so many.
LEAST_LEFT = 2


@dataclass(frozen=True)
class Cut:
    """Cells to learn from, of which one type is rare, and cells that are kept back.

    Attributes
    ----------
    train, test
        The chosen genes, with counts in a layer.
    whole
        The training cells before the cut.
    seed
        Of models, copies and forest.
    """

    train: AnnData
    test: AnnData
    whole: AnnData
    seed: int


@dataclass(frozen=True)
class Added:
    """A trained generator and its cells, as log data like X of the measured ones."""

    model: Any
    cells: Matrix


@dataclass(frozen=True, kw_only=True)
class AugmentationTask(Task):
    """Find a rare type among cells that are kept back; see :func:`augmentation`.

    Attributes
    ----------
    labels_key, label
        Column of the cell types, and the rare one.
    shares
        Shares of its training cells that are kept.
    n_added
        How many cells are added.
    test_share
        Share of the cells that is kept back.
    n_genes
        Number of variable genes, chosen on the cut training cells; None keeps all.
    cuts
        Seeds: each keeps other cells back and cuts others.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of the candidates.
    n_trees
        Trees of the forest.
    """

    labels_key: str
    label: str
    shares: tuple[float, ...]
    n_added: int = 500
    test_share: float = 0.3
    n_genes: int | None = 2_000
    cuts: tuple[int, ...] = (0, 1, 2)
    train: Mapping[str, Any] = field(default_factory=dict)
    n_trees: int = 1_000

    name: ClassVar[str] = "augmentation"
    reference_names: ClassVar[tuple[str, ...]] = (WHOLE, CUT, UPSAMPLED)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the question, as plain data."""
        settings = ("labels_key", "label", "n_added", "test_share", "n_genes", "n_trees")
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
            There is no column `labels_key`, or no layer of counts.
        GroupError
            There are no cells of the label, or of no other, or too few to keep some back.
        DataError
            A share is out of range, or X holds counts.
        """
        check_column(self.cells.obs, self.labels_key, "labels_key")
        if "counts" not in self.cells.layers:
            raise KeyNotFoundError("layers['counts'] is missing; ac.data.normalize(adata) of counts keeps them there")
        if get_space(self.cells) == COUNTS:
            raise DataError("X holds counts; call ac.data.normalize(adata), which keeps them in layers['counts']")
        wrong = [share for share in self.shares if not 0 < share <= 1]
        if wrong or not self.shares or len(set(self.shares)) < len(self.shares):
            raise DataError(f"shares={list(self.shares)} must be numbers above 0 and at most 1 that differ")
        if not 0 < self.test_share < 1 or self.n_added < 1:
            raise DataError(f"test_share={self.test_share} must be between 0 and 1, and n_added={self.n_added} above 0")
        names = self.cells.obs[self.labels_key].astype(str)
        if self.label not in set(names):
            raise GroupError(f"label='{self.label}' is not in obs['{self.labels_key}']: {listing(sorted(set(names)))}")
        n = int((names == self.label).sum())
        kept = n - int(self.test_share * n)
        if n == len(names) or int(self.test_share * n) < 1 or kept < LEAST_LEFT:
            raise GroupError(
                f"label='{self.label}' has {n} of {len(names)} cells; some must be kept back and {LEAST_LEFT} be left, "
                "and there must be others"
            )

    def splits(self) -> list[str]:
        """Return the names of the splits, by seed and share."""
        return [self._name(share, cut) for cut in self.cuts for share in self.shares]

    def place(self, split: str) -> tuple[float, int]:
        """Return the share and the seed of a split.

        Parameters
        ----------
        split
            Its name.
        """
        return {self._name(share, cut): (share, cut) for cut in self.cuts for share in self.shares}[split]

    def _name(self, share: float, cut: int) -> str:
        return f"{100 * share:g} % of {self.label}, cut {cut}"

    def prepare(self, split: str) -> Cut:
        """Keep cells back, of every label in its share, cut the rare one, and choose genes on what is left.

        Parameters
        ----------
        split
            Its name.
        """
        share, seed = self.place(split)
        names = self.cells.obs[self.labels_key].astype(str).to_numpy()
        # A cell's place among those of its label: the first are kept back, and of the rare ones the last are kept.
        place = pd.Series(np.random.default_rng(seed).permutation(len(names))).groupby(names).rank().to_numpy() - 1
        n_test = (pd.Series(names).groupby(names).transform("size") * self.test_share).to_numpy().astype(int)
        test, rare = place < n_test, names == self.label
        n_left = max(LEAST_LEFT, round(share * int((rare & ~test).sum())))
        left = ~test & (~rare | (place >= rare.sum() - n_left))
        train = self.cells[left].copy()
        if self.n_genes is not None:
            train = select_genes(train, self.n_genes)
        genes = train.var_names
        return Cut(train, self.cells[test, genes].copy(), self.cells[~test, genes].copy(), seed)

    def answer(self, candidate: Candidate, data: Cut, seed: int) -> Added:
        """Train a generator on the cut cells, and let it add cells of the rare type.

        Parameters
        ----------
        candidate
            The model; ``predict`` are arguments of its ``augment``.
        data
            The split.
        seed
            Not used: the split has one.
        """
        if not hasattr(candidate.model, "augment"):
            raise DataError(f"'{candidate.name}' has no augment(), which adds generated cells to measured ones")
        asked: Any = {self.label: self.n_added}
        model = self._made(candidate, data.train, data.seed)
        if not isinstance(numbers_like(model, data.test, self.labels_key), dict):
            let_go(model)
            asked = self.n_added
            model = self._made(candidate, data.train[self._rare(data.train)], data.seed)
        try:
            train_registered(model, candidate, self.train)
            both = model.augment(asked, adata=data.train, seed=data.seed, **candidate.predict)
            return Added(model, as_matrix(both[both.obs["generated"].to_numpy(dtype=bool)].X))
        except BaseException:
            let_go(model)
            raise

    def _made(self, candidate: Candidate, cells: AnnData, seed: int) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*has fewer than 3 cells")  # as is asked here
            return registered(candidate, cells, seed, self.labels_key)

    def score(self, answer: Added, data: Cut, seed: int) -> pd.DataFrame:
        """Score the forest that has learnt from measured and generated cells.

        Parameters
        ----------
        answer
            The generated cells.
        data
            The split.
        seed
            Not used: the split has one.
        """
        return self._scores(data.train, answer.cells, data)

    def reference(self, name: str, data: Cut, seed: int) -> pd.DataFrame:
        """Score a forest without generated cells.

        Parameters
        ----------
        name
            ``"not cut"``, ``"cut"`` or ``"upsampled"``.
        data
            The split.
        seed
            Not used: the split has one.
        """
        if name == WHOLE:
            return self._scores(data.whole, None, data)
        if name == CUT:
            return self._scores(data.train, None, data)
        rows = np.random.default_rng(data.seed).choice(np.flatnonzero(self._rare(data.train)), self.n_added)
        return self._scores(data.train, as_matrix(data.train.X)[rows], data)

    def _rare(self, cells: AnnData) -> np.ndarray:
        return cells.obs[self.labels_key].astype(str).to_numpy() == self.label

    def _scores(self, measured: AnnData, added: Matrix | None, data: Cut) -> pd.DataFrame:
        """Return how well a forest finds the rare type in the cells kept back."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.metrics import average_precision_score, precision_recall_fscore_support

        cells, rare = sp.csr_matrix(as_matrix(measured.X)), self._rare(measured)
        if added is not None:
            cells = sp.vstack([cells, sp.csr_matrix(added)], format="csr")
            rare = np.append(rare, np.ones(added.shape[0], dtype=bool))
        # The components are those of the measured cells of this arm.
        points, test = project_on_pcs(cells, as_matrix(data.test.X), as_matrix(measured.X), seed=data.seed)
        forest = RandomForestClassifier(self.n_trees, class_weight="balanced", random_state=data.seed, n_jobs=1)
        forest.fit(points, rare)
        chance, truth = forest.predict_proba(test)[:, 1], self._rare(data.test)
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, chance > 0.5, average="binary", zero_division=0.0
        )
        found = {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "average_precision": average_precision_score(truth, chance),
        }
        rows = [{"metric": name, "value": float(value), "better": "higher"} for name, value in found.items()]
        return pd.DataFrame(rows).assign(label=self.label, genes="all", sd_cells=float("nan"))

    def release(self, answer: Added) -> None:
        """Let scvi-tools' class-wide store forget the cells.

        Parameters
        ----------
        answer
            The cells and their model.
        """
        let_go(answer.model)
