"""Hyper-parameters are searched on an inner held-out type, which is none of the test's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace, new_class
from typing import Any

from anndata import AnnData
from lightning.pytorch import Callback

from altercell.data import hold_out
from altercell.errors import DataError
from altercell.models.base import ResponseModel, Schema, TrainingMixin
from altercell.train import HeldOutScore


def hold_out_inner(
    model: type,
    adata: AnnData,
    *,
    source: object,
    target: object,
    labels: object | Iterable[object],
    batch_key: str = "condition",
    labels_key: str = "cell_type",
    setup: Mapping[str, Any] | None = None,
    **score: Any,
) -> tuple[type, AnnData]:
    """Hold an inner type out of the training cells, for a search of hyper-parameters by how well it is predicted.

    What is returned goes into ``scvi.autotune.run_autotune``, which trains a model for each setting that it tries. The
    class is the model's, and scores itself on the inner type while it trains, by a
    :class:`~altercell.train.HeldOutScore`; the metric has the name ``"inner_mse"``, or ``inner_<metric>``.

    A setting that was chosen by a type's score has seen that type. So there are two levels: the cells of the test are
    held out first (:func:`altercell.data.hold_out`), and `adata` are the others. The chosen setting is then trained on
    all of `adata` and scored on the test's cells, once.

    Parameters
    ----------
    model
        Class of a model that predicts responses and learns by gradient descent, such as :class:`altercell.ScGen`.
    adata
        Cells without those of the test; not changed.
    source, target
        The conditions to predict from and to predict.
    labels
        Inner type or types, whose cells of `target` are held out. With several, all are held out at once and the score
        is their mean.
    batch_key, labels_key
        Columns of obs with the conditions and with the cell types.
    setup
        Further arguments of the model's ``setup_anndata``, such as ``{"layer": "counts"}``.
    **score
        Of :class:`altercell.train.HeldOutScore`: `metrics`, `every`, `name`, `n_top`, `seed`, `predict_options`.

    Returns
    -------
    A class of the same name, and the cells to train on, a copy that is set up with it.

    Raises
    ------
    DataError
        `model` does not predict responses, or is not trained by epochs.
    GroupError
        An unknown condition or type, or a type without cells of both conditions.
    KeyNotFoundError
        An unknown metric, or a missing column.

    Examples
    --------
    >>> from altercell import ScGen
    >>> from altercell.data import normalize
    >>> from altercell.datasets import simulate_response
    >>> adata = normalize(simulate_response(n_cells=200, n_genes=50))
    >>> scored, inner = hold_out_inner(ScGen, adata, source="control", target="stimulated", labels="type_1")
    >>> model = scored(inner, n_hidden=16, n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.history["inner_mse"].shape
    (2, 1)
    """
    if not (issubclass(model, ResponseModel) and issubclass(model, TrainingMixin)):
        raise DataError(
            f"{model.__name__} has no training by epochs with a response to score; a baseline has no epochs"
        )
    columns = {"batch_key": batch_key, "labels_key": labels_key}
    inner, real = hold_out(adata, batch=target, labels=labels, **columns)
    control = hold_out(adata, batch=source, labels=labels, **columns)[1]
    arguments = {"source": source, "target": target, **score}
    scored = _scored(model, real, control, arguments)
    scored.setup_anndata(inner, **columns, **(setup or {}))
    manager = scored._get_most_recent_anndata_manager(inner, required=True)
    # A wrong name is told here, and not by every trial.
    HeldOutScore(
        SimpleNamespace(schema=Schema.from_registry(manager.registry), adata=inner), real, control, **arguments
    )
    return scored, inner


def _scored(model: type[Any], real: AnnData, control: AnnData, arguments: Mapping[str, Any]) -> type[Any]:
    """Return a subclass whose training is scored; scvi-tools' autotune makes its models itself, from a class."""

    def train(self: Any, *args: Any, callbacks: Iterable[Callback] = (), **kwargs: Any) -> None:
        # First, so that a callback that reports a score finds it.
        score = HeldOutScore(self, real, control, **arguments)
        model.train(self, *args, callbacks=[score, *callbacks], **kwargs)

    train.__doc__ = model.train.__doc__
    body = {"train": train, "__doc__": model.__doc__, "__module__": model.__module__}
    return new_class(model.__name__, (model,), exec_body=lambda namespace: namespace.update(body))
