"""C6, cells that a verb is given: bad ones give the right answer, or a clear error; never a silent wrong one."""

from __future__ import annotations

import functools

import numpy as np
from anndata import AnnData

from altercell.models.base import ResponseModel
from altercell.testing._bad_values import CELL, GENE
from altercell.testing._data import BATCH_KEY, LABELS_KEY, SOURCE, TARGET
from altercell.testing._expect import answers_or_refuses, refuses
from altercell.testing._registry import check
from altercell.testing._subject import Subject
from altercell.testing._verbs import control_cells, queries_of


def _refused(subject: Subject, cells: AnnData, what: str, *names: object) -> None:
    """Assert that every verb that takes cells refuses these."""
    for name, query in queries_of(subject).items():
        refuses(functools.partial(query, subject.trained, cells), f"{name} of {what}", *names)


def _answered_or_refused(subject: Subject, cells: AnnData, what: str, *names: object) -> None:
    """Assert that every verb that takes cells answers for these with finite numbers, or refuses them."""
    for name, query in queries_of(subject).items():
        answers_or_refuses(functools.partial(query, subject.trained, cells), f"{name} of {what}", *names)


@check("C6")
def missing_genes(subject: Subject) -> None:
    """Cells that lack genes of the model are refused, naming the genes."""
    cells = control_cells(subject)
    absent = cells.var_names[GENE]
    _refused(subject, cells[:, cells.var_names != absent].copy(), "cells without a gene", absent)


@check("C6")
def repeated_genes(subject: Subject) -> None:
    """Cells with a gene name twice are refused, naming the gene."""
    cells = control_cells(subject)
    cells.var_names = [cells.var_names[1], *cells.var_names[1:]]
    _refused(subject, cells, "cells with a gene twice", cells.var_names[1])


@check("C6")
def nan_in_given_cells(subject: Subject) -> None:
    """NaN in given cells is refused, naming the gene and the cell, or has no part in the answer."""
    cells = control_cells(subject)
    cells.X[CELL, GENE] = np.nan
    _answered_or_refused(subject, cells, "a cell with NaN", cells.obs_names[CELL], cells.var_names[GENE])


@check("C6")
def infinite_given_cells(subject: Subject) -> None:
    """An infinite value in given cells is refused, naming the gene and the cell, or has no part in the answer."""
    cells = control_cells(subject)
    cells.X[CELL, GENE] = np.inf
    _answered_or_refused(subject, cells, "an infinite value", cells.obs_names[CELL], cells.var_names[GENE])


@check("C6")
def empty_given_cell(subject: Subject) -> None:
    """A given cell whose values are all zero gives finite answers, or is refused by name."""
    cells = control_cells(subject)
    cells.X[CELL] = 0
    _answered_or_refused(subject, cells, "a cell of zeros", cells.obs_names[CELL])


@check("C6", data="log")
def counts_given_to_log(subject: Subject) -> None:
    """Counts given to a verb of a log model are refused, naming the space."""
    cells = control_cells(subject)
    cells.X = cells.layers["counts"].toarray()
    cells.uns.pop("altercell")
    _refused(subject, cells, "counts, by a log model", "counts")


@check("C6", data="counts")
def log_given_to_counts(subject: Subject) -> None:
    """Log data given to a verb of a count model are refused, naming the space."""
    cells = control_cells(subject)
    cells.X = np.log1p(cells.X)
    cells.uns.pop("altercell")
    _refused(subject, cells, "log data, by a count model", "counts")


@check("C6", needs=(ResponseModel,))
def no_condition_column(subject: Subject) -> None:
    """Cells without the column of conditions are refused, naming it."""
    cells = control_cells(subject)
    del cells.obs[BATCH_KEY]
    refuses(lambda: subject.trained.predict(cells, source=SOURCE, target=TARGET), "no column of conditions", BATCH_KEY)


@check("C6", needs=(ResponseModel,))
def missing_condition(subject: Subject) -> None:
    """A given cell without a condition is left out or refused, and never predicted."""
    cells = control_cells(subject)
    lost = cells.obs_names[CELL]
    cells.obs.loc[lost, BATCH_KEY] = np.nan
    predicted = answers_or_refuses(
        lambda: subject.trained.predict(cells, source=SOURCE, target=TARGET, seed=0), "a cell without condition", lost
    )
    assert predicted is None or lost not in predicted.obs_names, "a cell without a condition was predicted"


@check("C6", needs=(ResponseModel,))
def unseen_number(subject: Subject) -> None:
    """Where conditions and labels are numbers, an unseen 0 is not taken for another."""
    adata = _numbered(subject.adata())
    model = subject.renamed({SOURCE: 1, TARGET: 2}).fit(adata.copy(), 1)
    refuses(lambda: model.predict(source=0, target=2), "an unseen source 0", "source=0")
    cells = adata[(adata.obs[BATCH_KEY] == 1).to_numpy()].copy()
    cells.obs[LABELS_KEY] = 0
    predicted = answers_or_refuses(lambda: model.predict(cells, source=1, target=2, seed=0), "an unseen label 0", "0")
    if predicted is not None:
        trust = " ".join(predicted.uns["altercell"]["trust"])
        assert "not seen" in trust, f"predict of the unseen label 0 says nothing of it in trust: {trust!r}"


def _numbered(adata: AnnData) -> AnnData:
    """Return cells whose conditions and labels are numbers from 1."""
    adata.obs[BATCH_KEY] = (adata.obs[BATCH_KEY] == TARGET).astype(int) + 1
    adata.obs[LABELS_KEY] = adata.obs[LABELS_KEY].cat.codes.astype(int) + 1
    return adata
