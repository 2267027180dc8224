"""Callback: during training, a held-out response is predicted and scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import GroupError, listing
from altercell.metrics import evaluate
from altercell.metrics._evaluate import chosen_metrics
from altercell.train._score_callback import ScoreCallback


class HeldOutScore(ScoreCallback):
    """Predict held-out cells every few epochs with the weights so far, and score the answer against the real ones.

    The scores are in ``model.history`` and in ``trainer.callback_metrics``, as ``<name>_<metric>`` (``"inner_mse"``),
    where early stopping (``train(early_stopping_monitor="inner_mse")``) and a hyper-parameter search find them. They
    are taken when an epoch's validation ends, or at the end of the epoch where there is none. When training ends,
    ``trainer.callback_metrics`` holds the score of the weights that are kept: those of the best epoch with early
    stopping, else the last ones.

    Nothing of it reaches the training: with the callback and without it the weights are the same to the bit. (A
    `datamodule` of your own is read from its start at each score; whether that changes its order is up to it.) A score
    costs a pass over the training cells, as the end of training does, and a prediction.

    What has chosen weights or settings is no test: hold the cells of the test out first, and these of what is left.

    Parameters
    ----------
    model
        The model in training, one that can ``predict``. It must not have been set up with cells of the groups of
        ``real``.
    real
        Measured cells of condition ``target``: (n_real, n_genes). With several labels, the score is the mean of those
        of each.
    control
        Cells of condition ``source`` of the same labels, to predict from: (n_control, n_genes).
    source, target
        The two conditions.
    metrics
        Name or names of the scores, of :func:`altercell.metrics.metric_names`.
    every
        Epochs between two scores; the first is of the first epoch.
    name
        Start of the scores' names. With ``"validation"`` in it, scvi-tools' autotune reads them after each epoch.
    n_top
        Number of top genes, as in :func:`altercell.metrics.evaluate`.
    seed
        Of the predictions and of the scores' draws, so that epochs are compared by the same draws.
    predict_options
        Further arguments of the model's ``predict``.

    Raises
    ------
    GroupError
        An unknown condition, cells of others than the two conditions, labels without control cells, or training cells
        of the held-out groups.
    KeyNotFoundError
        An unknown metric, or a missing column.
    DataError
        ``every`` is below 1.
    """

    def __init__(
        self,
        model: Any,
        real: AnnData,
        control: AnnData,
        *,
        source: object,
        target: object,
        metrics: str | Iterable[str] = "mse",
        every: int = 1,
        name: str = "inner",
        n_top: int = 100,
        seed: int = 0,
        predict_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, chosen_metrics(metrics, n_top), every, name)
        self.n_top, self.seed = n_top, seed
        self.asked = {"source": source, "target": target, **(predict_options or {})}
        for argument, cells in (("target", real), ("source", control)):
            _check_condition(model, cells, self.asked[argument], argument)
        self.groups = _by_label(model, real, control)
        _check_held_out(model, [group.label for group in self.groups], target)

    def _values(self) -> Sequence[float]:
        means = np.mean([self._evaluate(group) for group in self.groups], axis=0)
        return [float(value) for value in means]  # over the labels

    def _evaluate(self, group: _Group) -> np.ndarray:
        options = self.asked if group.label is None else {**self.asked, "labels": group.label}
        pred = self.model.predict(group.control, seed=self.seed, **options)
        table = evaluate(pred, group.real, group.control, metrics=self.metrics, n_top=self.n_top, seed=self.seed)
        return table["value"].loc[self.metrics].to_numpy()


class _Group(NamedTuple):
    label: object
    real: AnnData
    control: AnnData


def _check_condition(model: Any, cells: AnnData, condition: object, argument: str) -> None:
    model.schema.condition_code(condition, argument)
    found = pd.unique(model.schema.column(cells, model.schema.batch_key, "batch_key"))
    if list(found) != [condition]:
        held = "real" if argument == "target" else "control"
        raise GroupError(f"{held} must hold cells of {argument}='{condition}' alone; it holds {listing(found)}")


def _by_label(model: Any, real: AnnData, control: AnnData) -> list[_Group]:
    """Return the cells of each label of `real`; all of them as one group for a model without labels."""
    key = model.schema.labels_key
    if key is None:
        return [_Group(None, real, control)]
    there, sources = (model.schema.column(cells, key, "labels_key") for cells in (real, control))
    labels = pd.unique(there)
    without = [label for label in labels if not (sources == label).any()]
    if without:
        raise GroupError(f"control has no cell of {listing(without)}, which real has; there are {listing(sources)}")
    return [
        _Group(label, real[(there == label).to_numpy()].copy(), control[(sources == label).to_numpy()].copy())
        for label in labels
    ]


def _check_held_out(model: Any, labels: list[object], target: object) -> None:
    """Raise where the training cells hold cells of the groups that are to be predicted."""
    schema = model.schema
    if schema.labels_key is None or model.adata is None:
        return
    conditions = schema.column(model.adata, schema.batch_key, "batch_key")
    types = schema.column(model.adata, schema.labels_key, "labels_key")
    seen = [label for label in labels if ((conditions == target) & (types == label)).any()]
    if seen:
        raise GroupError(
            f"the model was set up with cells of {listing(seen)} under '{target}', which are to be held out; set it up "
            "with the first part of altercell.data.hold_out(...)"
        )
