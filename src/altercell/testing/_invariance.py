"""C8: the answer for a cell depends on this cell, and on neither order nor company."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
from anndata import AnnData

from altercell.models.base import LatentModel, ResponseModel, TrainingMixin
from altercell.testing._data import BATCH_KEY, HELD_OUT, LABELS_KEY, SOURCE, TARGET, dense
from altercell.testing._expect import finite, same
from altercell.testing._registry import check
from altercell.testing._subject import Subject
from altercell.testing._verbs import answers, control_cells, decode_points, queries_of


def _order(n: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(n)


def _rows(answer: Any, rows: np.ndarray) -> Any:
    return answer[rows].copy() if isinstance(answer, AnnData) else answer[rows]


def _given(subject: Subject, change: Callable[[AnnData], AnnData], expect: Callable[[Any], Any], what: str) -> None:
    """Assert that verbs answer for changed cells as `expect` makes of the answer for unchanged ones."""
    queries = queries_of(subject)
    cells = control_cells(subject)
    changed = change(cells)
    for name, query in queries.items():
        same(query(subject.trained, changed), expect(query(subject.trained, cells)), f"{name} of {what}")


@check("C8")
def order_of_cells(subject: Subject) -> None:
    """Cells in another order get the same answers."""
    order = _order(control_cells(subject).n_obs)
    _given(subject, lambda cells: cells[order].copy(), lambda answer: _rows(answer, order), "cells in another order")


@check("C8")
def order_of_genes(subject: Subject) -> None:
    """Genes in another order are matched by name: the same answers, in the model's order."""
    order = _order(subject.adata().n_vars)
    _given(subject, lambda cells: cells[:, order].copy(), lambda answer: answer, "genes in another order")


@check("C8")
def more_genes(subject: Subject) -> None:
    """Genes that the model does not know are left aside."""

    def _change(cells: AnnData) -> AnnData:
        other = AnnData(np.full((cells.n_obs, 3), 1.0, dtype=np.float32), obs=cells.obs[[]])
        other.var_names = [f"unknown_{number}" for number in range(3)]
        for name in cells.layers:
            other.layers[name] = np.ones_like(other.X)
        wider = ad.concat([other, cells], axis=1, merge="first")
        wider.obs, wider.uns["altercell"] = cells.obs.copy(), cells.uns["altercell"]
        return wider

    _given(subject, _change, lambda answer: answer, "cells with more genes")


@check("C8")
def subset(subject: Subject) -> None:
    """The answers for some cells are those cells' answers among all."""
    rows = np.sort(_order(control_cells(subject).n_obs)[:11])
    _given(subject, lambda cells: cells[rows].copy(), lambda answer: _rows(answer, rows), "a subset of the cells")


@check("C8", needs=(ResponseModel,))
def subset_by_labels(subject: Subject) -> None:
    """`predict` of one type equals this type's part of `predict` of all."""
    model = subject.trained
    together = model.predict(source=SOURCE, target=TARGET, seed=0)
    part = together[(together.obs[LABELS_KEY] == HELD_OUT).to_numpy()].copy()
    same(model.predict(source=SOURCE, target=TARGET, labels=HELD_OUT, seed=0), part, "predict of one type")


@check("C8", needs=(ResponseModel,))
def subset_by_indices(subject: Subject) -> None:
    """`predict` with `indices`, as row numbers or as a mask, equals that part of `predict` of all."""
    model, adata = subject.trained, subject.adata()
    source = np.flatnonzero(adata.obs[BATCH_KEY] == SOURCE)
    together, some = model.predict(source=SOURCE, target=TARGET, seed=0), np.arange(0, len(source), 3)
    mask = np.isin(np.arange(adata.n_obs), source[some])
    for name, indices in (("row numbers", source[some]), ("a mask", mask)):
        part = model.predict(source=SOURCE, target=TARGET, indices=indices, seed=0)
        same(part, together[some].copy(), f"predict with indices as {name}")


@check("C8")
def batch_size(subject: Subject) -> None:
    """The answers do not depend on the batch size, a last batch of one cell included."""
    cells = control_cells(subject)
    for name, query in queries_of(subject).items():
        expected = query(subject.trained, cells)
        for size in (1, 7, cells.n_obs - 1, cells.n_obs):
            same(query(subject.trained, cells, batch_size=size), expected, f"{name} with batch_size={size}")


@check("C8", needs=(TrainingMixin,))
def last_training_batch_of_one(subject: Subject) -> None:
    """Training works where the last batch would hold one cell."""
    # 193 cells are three batches of 64 and one cell.
    model = subject.make(subject.adata()[:193].copy())
    subject.train(model, epochs=1, train_size=1.0, batch_size=64)
    for name, answer in answers(subject, model).items():
        finite(answer, f"{name} after a last batch of one")


@check("C8", needs=(TrainingMixin,))
def one_validation_cell(subject: Subject) -> None:
    """Training works with a single validation cell."""
    model = subject.make()
    subject.train(model, epochs=1, train_size=0.995)
    assert len(model.validation_indices_) == 1, f"there are {len(model.validation_indices_)} validation cells, not 1"
    for name, frame in model.history_.items():
        finite(frame, f"history['{name}'] with one validation cell")


@check("C8")
def unused_category(subject: Subject) -> None:
    """A category without cells, in training or in given cells, changes no answer."""
    adata, cells = subject.adata(), control_cells(subject)
    for table in (adata.obs, cells.obs):
        table[LABELS_KEY] = table[LABELS_KEY].cat.add_categories("ghost")
    for name, query in queries_of(subject).items():
        same(
            query(subject.trained, cells),
            query(subject.trained, control_cells(subject)),
            f"{name} of cells with an unused category",
        )
    expected = subject.fit(epochs=1)
    model = subject.fit(adata, 1)
    for name, query in queries_of(subject).items():
        same(query(model, None), query(expected, None), f"{name} after training with an unused category")


@check("C8")
def order_of_categories(subject: Subject) -> None:
    """Given cells whose categories stand in another order get the same answers."""

    def _change(cells: AnnData) -> AnnData:
        cells = cells.copy()
        for key in (BATCH_KEY, LABELS_KEY):
            cells.obs[key] = cells.obs[key].cat.reorder_categories(cells.obs[key].cat.categories[::-1])
        return cells

    _given(subject, _change, lambda answer: answer, "cells with categories in another order")


@check("C8", needs=(LatentModel,))
def decode_rows(subject: Subject) -> None:
    """`decode` of some points equals that part of `decode` of all."""
    model = subject.trained
    points = np.random.default_rng(0).standard_normal((9, model.module.n_latent))
    together = decode_points(model, points)
    same(decode_points(model, points[:1]), together[:1], "decode of one point")
    same(decode_points(model, points, batch_size=2), together, "decode with batch_size=2")


@check("C8", without=(TrainingMixin,))
def refit_on_other_order(subject: Subject) -> None:
    """A model that is fitted in closed form gives the same answers after a fit on cells and genes in another order."""
    adata = subject.adata()
    cells, genes = _order(adata.n_obs), _order(adata.n_vars)
    given = control_cells(subject)
    back = np.argsort(genes)
    for what, data, columns in (
        ("cells", adata[cells].copy(), slice(None)),
        ("genes", adata[:, genes].copy(), back),
    ):
        model = subject.fit(data)
        for name, query in queries_of(subject).items():
            answer = query(model, given)
            values = dense(answer.X)[:, columns] if isinstance(answer, AnnData) else answer
            expected = query(subject.trained, given)
            expected = dense(expected.X) if isinstance(expected, AnnData) else expected
            same(values, expected, f"{name} after a fit on {what} in another order")
