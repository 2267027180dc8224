"""The honest table: every model, every baseline and the ceiling, on cells that nothing has seen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from altercell import metrics
from altercell.benchmark._candidates import Candidate, unique_names
from altercell.benchmark._split import Split, labels_to_hold_out, make_split

logger = logging.getLogger(__name__)

CEILING = "real against real"
COLUMNS = ["model", "label", "seed", "metric", "value", "genes", "better", "seconds", "error"]


@dataclass(frozen=True)
class Piece:
    """One model on one split with one seed.

    Attributes
    ----------
    candidate, split, seed
        What was run.
    model, pred
        The trained model and its predicted cells.
    seconds
        Of training and prediction.
    """

    candidate: Candidate
    split: Split
    seed: int
    model: Any
    pred: AnnData
    seconds: float


def run_piece(
    candidate: Candidate,
    split: Split,
    seed: int,
    *,
    batch_key: str,
    labels_key: str,
    train: dict[str, Any] | None = None,
) -> Piece:
    """Train a candidate on a split and predict its held-out cells.

    Parameters
    ----------
    candidate
        The model.
    split
        The cells; the model is given a copy of the training cells.
    seed
        Seed of the weights, the training and the prediction.
    batch_key, labels_key
        Columns of the conditions and of the labels.
    train
        Further arguments of ``train``, for models that are trained by gradient descent.
    """
    start = time.perf_counter()
    cells = split.train.copy()
    extra = {"layer": "counts", "size_factor_key": "size_factor"} if candidate.counts else {}
    candidate.model.setup_anndata(cells, batch_key=batch_key, labels_key=labels_key, **extra)  # type: ignore[attr-defined]
    model = candidate.model(cells, **{"seed": seed, **candidate.arguments})
    model.train(**{**({} if candidate.baseline else (train or {})), **candidate.train})
    pred = model.predict(source=split.source, target=split.target, labels=split.label, seed=seed, **candidate.predict)
    return Piece(candidate, split, seed, model, pred, time.perf_counter() - start)


def score_piece(pred: AnnData, split: Split, seed: int, **options: Any) -> pd.DataFrame:
    """Score predicted cells against a split's held-out cells.

    Parameters
    ----------
    pred
        Predicted cells.
    split
        The split.
    seed
        Seed of the control halves and of the draws.
    **options
        Of :func:`altercell.metrics.evaluate`.
    """
    return metrics.evaluate(pred, split.real, split.control, seed=seed, **options)


def holdout(
    adata: AnnData,
    models: Sequence[Candidate],
    *,
    batch_key: str,
    labels_key: str,
    source: str,
    target: str,
    hold_out: str | Sequence[str] = "each",
    seeds: int | Iterable[int] = 1,
    n_genes: int | None = 2_000,
    min_cells: int = 20,
    path: str | Path | None = None,
    train: dict[str, Any] | None = None,
    on_piece: Callable[[Piece], None] | None = None,
    on_step: Callable[[str], None] | None = None,
    **evaluate: Any,
) -> pd.DataFrame:
    """Hold out each label's target cells in turn, predict them with every model, and score the predictions.

    Nothing of the held-out cells is seen: not by the choice of genes, not by the training, not by the delta. The table
    always has the row ``"real against real"``: one half of the held-out cells scored against the other, the ceiling.

    Parameters
    ----------
    adata
        All cells, log data (see :func:`altercell.data.normalize`, which also keeps the counts for count models).
    models
        What to compare: see :func:`altercell.benchmark.baselines` and :class:`altercell.benchmark.Candidate`.
    batch_key, labels_key
        Columns of the conditions and of the labels.
    source, target
        Condition to predict from, and condition to predict.
    hold_out
        ``"each"``, or the labels to hold out.
    seeds
        How many seeds (0, 1, ...), or which.
    n_genes
        Number of variable genes, chosen on the training cells of each split; None keeps all.
    min_cells
        Least number of cells in each condition for a label to be held out by ``"each"``.
    path
        A CSV file that each piece's rows are added to as it ends. Pieces that are in it already are not run again.
    train
        Arguments of ``train`` for the models that are trained by gradient descent.
    on_piece, on_step
        Called with each finished piece, and with the name of what is done next.
    **evaluate
        Arguments of :func:`altercell.metrics.evaluate`, such as ``n_cells`` or ``n_trees``.

    Returns
    -------
    One row a (model, label, seed, metric): ``value``, ``genes``, ``better``, ``seconds``; a model that failed has one
    row with its ``error``.
    """
    unique_names(models)
    keys = {"batch_key": batch_key, "labels_key": labels_key}
    ends = {"source": source, "target": target}
    labels = labels_to_hold_out(adata, **keys, **ends, wanted=hold_out, min_cells=min_cells)
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    store = _Store(path)
    for label in labels:
        wanted = [(name, label, seed) for seed in numbers for name in [*(m.name for m in models), CEILING]]
        if all(store.has(*key) for key in wanted):
            continue
        split = make_split(adata, label, **keys, **ends, n_genes=n_genes)
        for seed in numbers:
            if not store.has(CEILING, label, seed):
                store.add(CEILING, label, seed, metrics.ceiling(split.real, split.control, seed=seed, **evaluate), 0.0)
            for candidate in models:
                if store.has(candidate.name, label, seed):
                    continue
                if on_step is not None:
                    on_step(f"{candidate.name}: {label}, seed {seed}")
                try:
                    piece = run_piece(candidate, split, seed, **keys, train=train)
                    store.add(
                        candidate.name, label, seed, score_piece(piece.pred, split, seed, **evaluate), piece.seconds
                    )
                except Exception as error:  # noqa: BLE001 - one model of many must not end the run
                    logger.warning("%s failed on '%s', seed %d: %s", candidate.name, label, seed, error)
                    store.fail(candidate.name, label, seed, error)
                    continue
                if on_piece is not None:
                    on_piece(piece)
                # scvi-tools' class-wide store would keep the cells of every piece in memory.
                piece.model.deregister_manager(piece.model.adata)
    return store.table()


def read_results(path: str | Path) -> pd.DataFrame:
    """Read the rows that :func:`holdout` wrote, without those of models that failed: they are tried again.

    Parameters
    ----------
    path
        The CSV file.
    """
    # A label may read "NA"; only numbers can be missing.
    rows = pd.read_csv(path, dtype={"label": str}, keep_default_na=False, na_values={"value": [""], "seconds": [""]})
    return rows[rows["error"] == ""].reset_index(drop=True)


class _Store:
    """Rows of the table, kept in a CSV file as they come where a path is given."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        there = self.path is not None and self.path.exists()
        self.rows = read_results(self.path) if self.path is not None and there else pd.DataFrame(columns=COLUMNS)
        self.keys = set(zip(self.rows["model"], self.rows["label"], self.rows["seed"], strict=True))

    def has(self, name: str, label: str, seed: int) -> bool:
        """Return whether a piece is there.

        Parameters
        ----------
        name, label, seed
            Which piece.
        """
        return (name, label, seed) in self.keys

    def add(self, name: str, label: str, seed: int, scores: pd.DataFrame, seconds: float) -> None:
        """Add the scores of a piece.

        Parameters
        ----------
        name, label, seed
            Which piece.
        scores, seconds
            What :func:`altercell.metrics.evaluate` returned, and how long the piece took.
        """
        rows = scores.reset_index(names="metric").assign(model=name, label=label, seed=seed, seconds=seconds, error="")
        self._append(rows[COLUMNS], (name, label, seed))

    def fail(self, name: str, label: str, seed: int, error: Exception) -> None:
        """Add a piece that failed.

        Parameters
        ----------
        name, label, seed
            Which piece.
        error
            Why.
        """
        row = dict.fromkeys(COLUMNS, "") | {
            "model": name,
            "label": label,
            "seed": seed,
            "value": float("nan"),
            "error": str(error),
        }
        self._append(pd.DataFrame([row])[COLUMNS], (name, label, seed))

    def _append(self, rows: pd.DataFrame, key: tuple[str, str, int]) -> None:
        self.rows = rows if self.rows.empty else pd.concat([self.rows, rows], ignore_index=True)
        self.keys.add(key)
        if self.path is not None:
            rows.to_csv(self.path, mode="a", header=not self.path.exists(), index=False)

    def table(self) -> pd.DataFrame:
        """Return all rows."""
        return self.rows.copy()
