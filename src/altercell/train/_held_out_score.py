"""Callback: during training, a held-out response is predicted and scored."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from lightning.pytorch import Callback, LightningModule, Trainer

from altercell.errors import DataError, GroupError, listing
from altercell.metrics import evaluate
from altercell.metrics._evaluate import chosen_metrics
from altercell.train._callbacks import BestWeights
from altercell.train._plan import TrainingPlan


class HeldOutScore(Callback):
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
        if every < 1:
            raise DataError(f"every={every} must be at least 1")
        self.model, self.every, self.name, self.n_top, self.seed = model, every, name, n_top, seed
        self.metrics = chosen_metrics(metrics, n_top)
        self.asked = {"source": source, "target": target, **(predict_options or {})}
        for argument, cells in (("target", real), ("source", control)):
            _check_condition(model, cells, self.asked[argument], argument)
        self.groups = _by_label(model, real, control)
        _check_held_out(model, [group.label for group in self.groups], target)
        self._epoch = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the epochs of an earlier training, and look at who waits for the scores.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.

        Raises
        ------
        DataError
            Early stopping watches a score, and would stop before the second one.
        """
        self._epoch = -1
        stop = trainer.early_stopping_callback
        watched = stop is not None and stop.monitor in map(self._named, self.metrics)
        if stop is not None and watched and stop.patience < self.every:
            raise DataError(
                f"early stopping watches '{stop.monitor}' with a patience of {stop.patience} epochs, and it is scored "
                f"every={self.every} epochs; give early_stopping_patience= several times every="
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last scores again where a killed training is taken up between two of them.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if self._epoch < 0:
            plan = _plan(pl_module)
            names = [self._named(metric) for metric in self.metrics]
            plan.show({name: record[name] for record in plan.records for name in names if name in record})

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the weights so far.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if not trainer.sanity_checking and trainer.current_epoch % self.every == 0:
            self._epoch = trainer.current_epoch
            _plan(pl_module).note(self.score())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the weights so far in an epoch without validation.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        if self._epoch != trainer.current_epoch:
            self.on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the score of the weights that are kept where a search reads it.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        plan = _plan(pl_module)
        best = next((one for one in trainer.callbacks if isinstance(one, BestWeights) and one.weights), None)  # type: ignore[attr-defined]
        epoch = len(plan.records) - 1 if best is None else best.epoch
        record = plan.records[epoch] if plan.records else {}
        names = [self._named(metric) for metric in self.metrics]
        scores = {name: record[name] for name in names if name in record}
        if len(scores) < len(names):
            with contextlib.nullcontext() if best is None else best.in_place(pl_module):
                scores = self.score()
        plan.show(scores)

    def score(self) -> dict[str, float]:
        """Predict the held-out cells with the model's weights as they are, and score the answer.

        Returns
        -------
        The scores by name, each a mean over the labels.
        """
        with self.model.as_trained():
            values = [self._evaluate(group) for group in self.groups]
        means = np.mean(values, axis=0)
        return {self._named(metric): float(value) for metric, value in zip(self.metrics, means, strict=True)}

    def _evaluate(self, group: _Group) -> np.ndarray:
        options = self.asked if group.label is None else {**self.asked, "labels": group.label}
        pred = self.model.predict(group.control, seed=self.seed, **options)
        table = evaluate(pred, group.real, group.control, metrics=self.metrics, n_top=self.n_top, seed=self.seed)
        return table["value"].loc[self.metrics].to_numpy()

    def _named(self, metric: str) -> str:
        return f"{self.name}_{metric}"


class _Group(NamedTuple):
    label: object
    real: AnnData
    control: AnnData


def _plan(pl_module: LightningModule) -> TrainingPlan:
    if not isinstance(pl_module, TrainingPlan):
        raise DataError(f"HeldOutScore works in altercell's training plans, and this is a {type(pl_module).__name__}")
    return pl_module


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
