"""C12: the values of held-out cells reach nothing: no training, no choice of genes, no delta, no choice of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from altercell.data import hold_out, select_genes
from altercell.models.base import ResponseModel
from altercell.testing._data import BATCH_KEY, HELD_OUT, LABELS_KEY, SOURCE, TARGET, dense, set_totals, simulated
from altercell.testing._expect import differ, same
from altercell.testing._registry import check
from altercell.testing._subject import Subject

N_GENES = 30


def _held(adata: AnnData) -> np.ndarray:
    return ((adata.obs[BATCH_KEY] == TARGET) & (adata.obs[LABELS_KEY] == HELD_OUT)).to_numpy()


def _pipeline(subject: Subject, adata: AnnData) -> AnnData:
    train, _ = hold_out(adata, batch=TARGET, labels=HELD_OUT)
    # The totals over all genes are known, so that a count model need not take them from the chosen ones.
    totals = {"size_factor_key": "size_factor"} if subject.data == "counts" else {}
    model = subject.fit(select_genes(train, N_GENES), 1, **totals)
    return model.predict(source=SOURCE, target=TARGET, labels=HELD_OUT, seed=0)


def _changed(subject: Subject, number: int) -> AnnData:
    """Return the data with other values in the held-out cells: zeros, large ones, random ones, other cells'."""
    adata = simulated(subject.data).copy()
    rows, rng = np.flatnonzero(_held(adata)), np.random.default_rng(number)
    shape = (len(rows), adata.n_vars)
    values = (
        np.zeros(shape),
        np.full(shape, 9.0),
        np.rint(rng.gamma(1.0, 3.0, shape)),
        adata.X[rng.permutation(adata.n_obs)[: len(rows)]],
    )
    adata.X[rows] = values[number % len(values)]
    return adata


@check("C12", needs=(ResponseModel,))
def held_out_values(subject: Subject) -> None:
    """Whatever the held-out cells hold, the whole pipeline predicts the same, bit for bit."""
    expected = subject.once("pipeline", lambda: _pipeline(subject, simulated(subject.data)))
    for number in range(4):
        again = _pipeline(subject, _changed(subject, number))
        same(again, expected, f"the prediction after change {number} of the held-out cells", tolerance=0)


@check("C12", needs=(ResponseModel,))
def training_values_count(subject: Subject) -> None:
    """The values of the cells that are not held out do reach the prediction, so that the check above can fail."""
    adata = simulated(subject.data).copy()
    rows = np.flatnonzero((adata.obs[LABELS_KEY] == "type_0").to_numpy())
    adata.X[rows] = np.rint(adata.X[rows] * 0.5) if subject.data == "counts" else adata.X[rows] * 0.5
    own = np.flatnonzero((adata.obs[BATCH_KEY] == SOURCE) & (adata.obs[LABELS_KEY] == HELD_OUT))
    adata.X[own] = adata.X[own][::-1]
    set_totals(adata, subject.data)
    expected = subject.once("pipeline", lambda: _pipeline(subject, simulated(subject.data)))
    differ(dense(_pipeline(subject, adata).X), dense(expected.X), "predictions from other training cells")


@check("C12", needs=(ResponseModel,))
def target_cells_given(subject: Subject) -> None:
    """Target cells among the cells that `predict` is given are not read: their values change nothing."""

    def _ask(adata: Any) -> AnnData:
        return subject.trained.predict(adata, source=SOURCE, target=TARGET, labels=HELD_OUT, seed=0)

    expected = _ask(simulated(subject.data).copy())
    for number in range(4):
        same(
            _ask(_changed(subject, number)),
            expected,
            f"predict after change {number} of given target cells",
            tolerance=0,
        )
