"""Callback: during training, generated cells are compared with real ones that training does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell import metrics as scores
from altercell._space import COUNTS
from altercell.data import check_column
from altercell.data._normalize import log_of_counts
from altercell.errors import DataError, GroupError, check_choice, listing
from altercell.metrics._pcs import project_on_pcs
from altercell.train._score_callback import ScoreCallback

Score = Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]
#: Training cells that the principal components are of, at most; and cells of either kind that are compared.
BASIS_CELLS, COMPARED_CELLS = 5_000, 1_000
#: Cells that are read at once.
READ = 512


def _forest(made: np.ndarray, real: np.ndarray, basis: np.ndarray, seed: int) -> float:
    return scores.forest_auc(made, real, basis, n_trees=200, seed=seed)


def _edistance(made: np.ndarray, real: np.ndarray, basis: np.ndarray, seed: int) -> float:
    return scores.edistance(*project_on_pcs(made, real, basis, seed=seed))


def _mmd(made: np.ndarray, real: np.ndarray, basis: np.ndarray, seed: int) -> float:
    return scores.neighbour_mmd(made, real, basis, seed=seed)


#: What can be scored; less is better of each.
SCORES: Mapping[str, Score] = {"neighbour_mmd": _mmd, "forest_auc": _forest, "edistance_pcs": _edistance}


class GeneratedScore(ScoreCallback):
    """Generate cells every few epochs with the weights so far, and compare them with real cells that were held out.

    A game has no loss that falls, so that this tells how training goes, and when to stop:
    ``train(early_stopping=True, early_stopping_monitor="generated_neighbour_mmd", callbacks=[GeneratedScore(...)])``
    keeps the weights of the epoch with the best score. The scores are in ``model.history`` and change nothing of the
    training; see :class:`HeldOutScore`. They are taken on the principal components of training cells (of ``real``,
    where a data module brings the training cells). Counts are compared with counts, as log1p of counts per 10,000 of
    the model's genes.

    What has chosen weights is no test: keep cells for the test out first, and these of what is left.

    Parameters
    ----------
    model
        The model in training, one that can ``generate``. It must not have been set up with these cells.
    real
        Measured cells, with the model's genes, layer and space: (n_real, n_genes). Of more than 1,000 some are drawn.
        As many cells of each of their labels are generated, where the model knows labels.
    metrics
        Name or names of the scores: ``"neighbour_mmd"``, ``"forest_auc"`` (slower) or ``"edistance_pcs"``; less is
        better of each.
    every
        Epochs between two scores; the first is of the first epoch. A score costs a pass over the training cells.
    name
        Start of the scores' names.
    seed
        Of the generated cells and of the scores' draws, so that epochs are compared by the same draws.
    generate_options
        Further arguments of the model's ``generate``, beside ``{"output": "counts"}`` where it makes counts.

    Raises
    ------
    DataError
        ``every`` is below 1, there are fewer than 10 cells, the model does not generate, or a metric is unknown.
    GroupError
        The model was set up with some of these cells, known by name and values, or has no such label.
    KeyNotFoundError
        The column of labels is missing.
    """

    def __init__(
        self,
        model: Any,
        real: AnnData,
        *,
        metrics: str | Iterable[str] = "neighbour_mmd",
        every: int = 10,
        name: str = "generated",
        seed: int = 0,
        generate_options: Mapping[str, Any] | None = None,
    ) -> None:
        from altercell.models.base._generative import GenerativeModel, numbers_like

        asked = [metrics] if isinstance(metrics, str) else list(metrics)
        for metric in asked:
            check_choice("metrics", metric, list(SCORES))
        super().__init__(model, asked, every, name)
        if not issubclass(type(model), GenerativeModel):
            raise DataError(f"{type(model).__name__} does not generate cells")
        if real.n_obs < 10:
            raise DataError(f"real has {real.n_obs} cells; at least 10 are needed")
        self.seed = int(seed)
        rng = np.random.default_rng(self.seed)
        rows = np.sort(rng.choice(real.n_obs, min(real.n_obs, COMPARED_CELLS), replace=False))
        self.options = {**getattr(model, "_beside_measured", {}), **(generate_options or {})}
        self.counts = model.space == COUNTS
        key = model.schema.labels_key
        if key is not None and getattr(model, "classes", "labels") in ("labels", "both"):
            check_column(real.obs, key, "labels_key")
            for label in pd.unique(real.obs[key]):
                model.schema.label_code(label, "labels of `real`")
        self.numbers = numbers_like(model, real[rows], key)
        self.real = self._values_of(model.cells(real, rows))
        self.basis = np.empty((0, self.real.shape[1]), dtype=np.float32)
        if model.adata is not None:
            known = model.cells()
            _check_unseen(known, model.cells(real))
            self.basis = self._values_of(known.at(np.sort(rng.permutation(len(known))[:BASIS_CELLS])))

    def _values_of(self, cells: Any) -> np.ndarray:
        """Return cells as they are compared, shape (n_cells, n_genes)."""
        values = cells.read(slice(None))
        return np.asarray(log_of_counts(values)) if self.counts else values

    def _values(self) -> Sequence[float]:
        made = self.model.generate(self.numbers, seed=self.seed, **self.options)
        if made.uns["altercell"]["space"] != self.model.space:
            raise DataError(
                f"generated cells are {made.uns['altercell']['space']}, and the real ones {self.model.space}: leave "
                "`output` out of generate_options, so that like is compared with like"
            )
        values = made.X.toarray() if hasattr(made.X, "toarray") else np.asarray(made.X)
        values = np.asarray(log_of_counts(values)) if self.counts else values
        basis = self.basis if len(self.basis) else self.real  # a data module has no cells to look at
        return [SCORES[metric](values, self.real, basis, self.seed) for metric in self.metrics]


def _check_unseen(known: Any, real: Any) -> None:
    """Raise where real cells are among the registered ones: those of the same name and values."""
    place = known.adata.obs_names.get_indexer(real.adata.obs_names)
    named = np.flatnonzero(place >= 0)
    seen: list[str] = []
    for start in range(0, len(named), READ):
        rows = named[start : start + READ]
        same = (known.read(place[rows]) == real.read(rows)).all(axis=1)
        seen += real.adata.obs_names[rows[same]].tolist()
    if seen:
        raise GroupError(
            f"the model was set up with cells of `real`, {listing(seen)}; keep them out of its AnnData, which is what "
            "makes the score one of new cells"
        )
