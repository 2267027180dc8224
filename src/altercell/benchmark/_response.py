"""The task of response prediction: held-out cells, predicted and scored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import pandas as pd
from anndata import AnnData

from altercell import metrics
from altercell.benchmark._split import HeldOut, Keys, Question, Split, make_split
from altercell.benchmark._task import NO_SETTINGS, QUIET, Task, let_go, trained
from altercell.models.base import TrainingMixin
from altercell.presets import Candidate

CEILING = "real against real"


@dataclass(frozen=True)
class Prediction:
    """A trained model and its predicted cells.

    Attributes
    ----------
    model
        The model.
    cells
        Its prediction of each question of the split.
    """

    model: Any
    cells: tuple[AnnData, ...]


@dataclass(frozen=True, kw_only=True)
class ResponseTask(Task):
    """Predict held-out cells of one condition from those of another.

    Attributes
    ----------
    keys
        Where the groups stand in obs.
    held_out
        What each split holds out.
    n_genes
        Number of variable genes, chosen on the training cells of each split; None keeps all.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of the candidates.
    evaluate
        Arguments of :func:`altercell.metrics.evaluate`.
    subsamples
        Random subsamples of cells for the spread ``sd_cells``; 0 for none.
    """

    keys: Keys
    held_out: Sequence[HeldOut]
    n_genes: int | None = 2_000
    train: Mapping[str, Any] = field(default_factory=dict)
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    subsamples: int = 100

    name: ClassVar[str] = "response"
    reference_names: ClassVar[tuple[str, ...]] = (CEILING,)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the question, as plain data."""
        conditions, labels = self.keys.columns(self.cells)
        groups = hashlib.blake2b("\n".join([*conditions, *labels]).encode(), digest_size=8).hexdigest()
        return {
            **super().describe(),
            **asdict(self.keys),
            "groups": groups,
            "n_genes": self.n_genes,
            "train": {name: value for name, value in self.train.items() if name not in NO_SETTINGS},
            "evaluate": {name: value for name, value in self.evaluate.items() if name != "n_jobs"},
            "subsamples": self.subsamples,
        }

    def define(self, split: str) -> dict[str, Any]:
        """Return what a split holds out, and of which types.

        Parameters
        ----------
        split
            Its name.
        """
        held_out = next(one for one in self.held_out if one.name == split)
        if held_out.groups is None:
            return asdict(held_out)
        column = self.cells.obs[held_out.groups[0]].astype(str)
        member = hashlib.blake2b("\n".join(column).encode(), digest_size=8).hexdigest()
        return {**asdict(held_out), "column": member}

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return [held_out.name for held_out in self.held_out]

    def prepare(self, split: str) -> Split:
        """Hold the cells of a split out, and choose genes on the others.

        Parameters
        ----------
        split
            Its name.
        """
        held_out = next(one for one in self.held_out if one.name == split)
        return make_split(self.cells, held_out, self.keys, self.n_genes)

    def answer(self, candidate: Candidate, data: Split, seed: int) -> Prediction:
        """Train a model on the training cells and predict the held-out ones.

        Parameters
        ----------
        candidate
            The model; it is given a copy of the cells.
        data
            The split.
        seed
            Seed of the weights, the training and the prediction.
        """
        learns = issubclass(candidate.model, TrainingMixin)
        cells = data.train.copy()
        extra = {"layer": "counts", "size_factor_key": "size_factor"} if candidate.counts else {}
        setup = {"batch_key": self.keys.batch_key, "labels_key": self.keys.labels_key}
        candidate.model.setup_anndata(cells, **setup, **extra)  # type: ignore[attr-defined]
        knows = {} if candidate.source_argument is None else {candidate.source_argument: self.keys.source}
        model = candidate.model(cells, **{"seed": seed, **knows, **candidate.arguments})
        more: dict[str, Any] = {}
        if learns:
            stop = {} if data.validation is None else {"validation_indices": data.validation}
            more = {**self.train, **stop}
        try:
            trained(model, **{**(QUIET if learns else {}), **candidate.train, **more})
            return Prediction(model, tuple(_predicted(model, question, seed, candidate) for question in data.questions))
        except BaseException:
            let_go(model)
            raise

    def score(self, answer: Prediction, data: Split, seed: int) -> pd.DataFrame:
        """Score the predicted cells of every question against the real ones.

        Parameters
        ----------
        answer
            The prediction.
        data
            The split.
        seed
            Seed of the control halves and of the draws.
        """
        rows = []
        for cells, question in zip(answer.cells, data.questions, strict=True):
            scores = metrics.evaluate(cells, question.real, question.control, seed=seed, **self.evaluate)
            if self.subsamples:
                spread = metrics.subsample_spread(
                    cells, question.real, question.control, n=self.subsamples, seed=seed, metrics=scores.index
                )
                scores["sd_cells"] = spread["std"].reindex(scores.index)
            rows.append(_with_label(scores, question))
        return pd.concat(rows, ignore_index=True)

    def reference(self, name: str, data: Split, seed: int) -> pd.DataFrame:
        """Score one half of the held-out cells against the other: the ceiling.

        Parameters
        ----------
        name
            Its name.
        data
            The split.
        seed
            Seed of the halves.
        """
        return pd.concat(
            [
                _with_label(metrics.ceiling(question.real, question.control, seed=seed, **self.evaluate), question)
                for question in data.questions
            ],
            ignore_index=True,
        )

    def release(self, answer: Prediction) -> None:
        """Let scvi-tools' class-wide store forget the cells, which it would keep for every piece.

        Parameters
        ----------
        answer
            The prediction.
        """
        let_go(answer.model)


def _predicted(model: Any, question: Question, seed: int, candidate: Candidate) -> AnnData:
    given = () if question.cells is None else (question.cells,)
    return model.predict(
        *given, source=question.source, target=question.target, labels=question.label, seed=seed, **candidate.predict
    )


def _with_label(scores: pd.DataFrame, question: Question) -> pd.DataFrame:
    found = scores.reset_index(names="metric").assign(label=question.label)
    return found if "sd_cells" in found else found.assign(sd_cells=float("nan"))
