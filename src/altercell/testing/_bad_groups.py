"""C6, names and groups at registration: bad ones give the right answer, or a clear error before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import AltercellError
from altercell.models.base import ResponseModel
from altercell.testing._bad_values import CELL, lives_or_refuses
from altercell.testing._data import BATCH_KEY, LABELS_KEY, SOURCE, TARGET
from altercell.testing._expect import finite, refuses, says
from altercell.testing._registry import check
from altercell.testing._subject import Subject


@check("C6", needs=(ResponseModel,))
def one_condition(subject: Subject) -> None:
    """Data with one condition only are refused, naming it."""
    adata = subject.adata()
    adata = adata[(adata.obs[BATCH_KEY] == SOURCE).to_numpy()].copy()
    refuses(lambda: subject.make(adata), "data with one condition", BATCH_KEY, SOURCE)


@check("C6", needs=(ResponseModel,))
def no_condition_key(subject: Subject) -> None:
    """Registration without `batch_key` is refused, naming the argument."""
    refuses(lambda: subject.make(batch_key=None), "no batch_key", "batch_key")


@check("C6")
def rare_group(subject: Subject) -> None:
    """A type with a single cell in a condition gives finite answers, or is refused by name."""
    adata = subject.adata()
    rare = ((adata.obs[BATCH_KEY] == TARGET) & (adata.obs[LABELS_KEY] == "type_0")).to_numpy()
    keep = ~rare
    keep[np.flatnonzero(rare)[0]] = True
    lives_or_refuses(subject, adata[keep].copy(), "a type with one target cell", "type_0")


@check("C6")
def missing_category(subject: Subject) -> None:
    """Cells without a condition, or without a label, are refused, naming the column and a cell."""
    for key in (BATCH_KEY, LABELS_KEY):
        adata = subject.adata()
        adata.obs.loc[adata.obs_names[CELL], key] = np.nan
        _refused(subject, adata, f"NaN in obs['{key}']", key, adata.obs_names[CELL])


@check("C6")
def missing_key(subject: Subject) -> None:
    """A column that is not there is refused, naming it and the argument."""
    for argument in ("batch_key", "labels_key", "size_factor_key"):
        _refused(subject, subject.adata(), f"an absent {argument}", argument, "nowhere", setup={argument: "nowhere"})


@check("C6")
def missing_layer(subject: Subject) -> None:
    """A layer that is not there is refused, naming it and those that are there."""
    _refused(subject, subject.adata(), "an absent layer", "nowhere", "counts", setup={"layer": "nowhere"})


@check("C6")
def duplicate_genes(subject: Subject) -> None:
    """A gene name that stands twice is refused, naming it."""
    adata = subject.adata()
    adata.var_names = ["twice", "twice", *adata.var_names[2:]]
    _refused(subject, adata, "a gene name twice", "twice")


@check("C6")
def duplicate_cells(subject: Subject) -> None:
    """Cell names that stand twice give finite answers, or are refused by name."""
    adata = subject.adata()
    adata.obs_names = ["twice", "twice", *adata.obs_names[2:]]
    lives_or_refuses(subject, adata, "a cell name twice", "twice")


@check("C6")
def no_cells(subject: Subject) -> None:
    """0 cells are refused, and 1 cell is."""
    for number in (0, 1):
        _refused(subject, subject.adata()[:number].copy(), f"{number} cells", number, "cell")


@check("C6")
def no_genes(subject: Subject) -> None:
    """0 genes are refused."""
    _refused(subject, subject.adata()[:, :0].copy(), "0 genes", "0 genes")


@check("C6", needs=(ResponseModel,))
def integer_categories(subject: Subject) -> None:
    """Conditions and labels that are numbers work as those that are text do."""
    adata = subject.adata()
    adata.obs[BATCH_KEY] = (adata.obs[BATCH_KEY] == TARGET).astype(int)
    adata.obs[LABELS_KEY] = adata.obs[LABELS_KEY].cat.codes.astype(int) + 1
    predicted = subject.renamed({SOURCE: 0, TARGET: 1}).fit(adata, 1).predict(source=0, target=1, labels=[4], seed=0)
    finite(predicted, "a prediction with integer categories")
    assert (predicted.obs[BATCH_KEY].astype(int) == 1).all(), f"obs['{BATCH_KEY}'] is not the target 1"
    expected = adata.obs_names[((adata.obs[BATCH_KEY] == 0) & (adata.obs[LABELS_KEY] == 4)).to_numpy()]
    assert list(predicted.obs_names) == list(expected), "the cells are not those of condition 0 and label 4"


@check("C6", needs=(ResponseModel,))
def unused_category(subject: Subject) -> None:
    """A category without cells is no condition to predict: it is refused by name."""
    adata = subject.adata()
    adata.obs[BATCH_KEY] = adata.obs[BATCH_KEY].cat.add_categories("ghost")
    try:
        model = subject.fit(adata, 1)
    except AltercellError as error:
        says(error, "a category without cells", "ghost")
    else:
        refuses(lambda: model.predict(source=SOURCE, target="ghost"), "a target without cells", "ghost")


@check("C6")
def not_an_anndata(subject: Subject) -> None:
    """A DataFrame in place of an AnnData is refused, naming its type."""
    frame = pd.DataFrame(np.ones((3, 2)))
    refuses(lambda: subject.Model.setup_anndata(frame, batch_key=BATCH_KEY), "a DataFrame", "DataFrame")


def _refused(subject: Subject, adata: AnnData, what: str, *names: object, setup: dict[str, Any] | None = None) -> None:
    refuses(lambda: subject.make(adata, **(setup or {})), what, *names)
