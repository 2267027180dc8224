"""C6, what a verb is asked: a bad request is a clear error."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from altercell.models.base import ConditionalDecoding, GenerativeModel, LatentModel, ResponseModel
from altercell.testing._bad_values import GENE
from altercell.testing._data import BATCH_KEY, HELD_OUT, SOURCE, TARGET
from altercell.testing._expect import refuses
from altercell.testing._registry import NotApplicable, check
from altercell.testing._subject import Subject
from altercell.testing._verbs import decode_points, queries_of


def _refused(subject: Subject, what: str, *names: object, **request: Any) -> None:
    asked = {"source": SOURCE, "target": TARGET, **request}
    refuses(lambda: subject.trained.predict(**asked), what, *names)


@check("C6", needs=(ResponseModel,))
def unknown_condition(subject: Subject) -> None:
    """A condition that training has not seen is refused, with a list of those it has."""
    _refused(subject, "an unknown target", "target", "nowhere", SOURCE, TARGET, target="nowhere")
    _refused(subject, "an unknown source", "source", "nowhere", SOURCE, TARGET, source="nowhere")


@check("C6", needs=(ResponseModel,))
def same_condition(subject: Subject) -> None:
    """`source` equal to `target` is refused, naming it."""
    _refused(subject, "source == target", SOURCE, target=SOURCE)


@check("C6", needs=(ResponseModel,))
def unknown_label(subject: Subject) -> None:
    """A type without cells is refused by name, with a list of those that there are."""
    _refused(subject, "an unknown type", "nowhere", "type_0", labels="nowhere")
    _refused(subject, "an unknown type among known ones", "nowhere", labels=["type_0", "nowhere"])


@check("C6", needs=(ResponseModel,))
def no_label(subject: Subject) -> None:
    """An empty list of labels is refused."""
    _refused(subject, "no labels", "labels", labels=[])


@check("C6", needs=(ResponseModel,))
def empty_group(subject: Subject) -> None:
    """A combination without source cells is refused, naming the type and the condition."""
    _refused(subject, "a type without source cells", HELD_OUT, TARGET, source=TARGET, target=SOURCE, labels=HELD_OUT)


@check("C6", needs=(ResponseModel,))
def rows_out_of_range(subject: Subject) -> None:
    """Row numbers beyond the data, and negative ones, are refused."""
    for rows in ([0, 10_000], [-1]):
        _refused(subject, f"indices={rows}", "indices", rows[-1], indices=rows)


@check("C6", needs=(ResponseModel,))
def no_rows(subject: Subject) -> None:
    """An empty choice of rows is refused."""
    _refused(subject, "indices=[]", SOURCE, indices=[])


@check("C6", needs=(ResponseModel,))
def mask_of_wrong_length(subject: Subject) -> None:
    """A mask whose length is not the number of cells is refused."""
    _refused(subject, "a mask of 3 cells", "mask", 3, subject.adata().n_obs, indices=np.array([True, False, True]))


@check("C6")
def batch_size_of_zero(subject: Subject) -> None:
    """A batch size below 1 is refused."""
    for name, query in queries_of(subject).items():
        for size in (0, -1):
            call = functools.partial(query, subject.trained, None, batch_size=size)
            refuses(call, f"{name} with batch_size={size}", "batch_size", size)


@check("C6", needs=(ResponseModel,))
def bad_path(subject: Subject) -> None:
    """A file that exists, and one of another kind, is refused; nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        existing = Path(folder) / "there.h5ad"
        existing.write_text("mine")
        _refused(subject, "a path that exists", existing, path=existing)
        _refused(subject, "a path with another ending", "h5ad", path=existing.with_suffix(".txt"))
        assert existing.read_text() == "mine", "predict overwrote a file"
        assert list(Path(folder).iterdir()) == [existing], "a refused prediction left a file"


@check("C6")
def load_on_other_groups(subject: Subject) -> None:
    """A model is not loaded on cells of a condition that training has not seen: they are refused by name."""
    adata = subject.adata()
    adata.obs[BATCH_KEY] = pd.Categorical(["elsewhere"] * adata.n_obs)
    with tempfile.TemporaryDirectory() as folder:
        subject.trained.save(folder, overwrite=True)
        refuses(lambda: subject.Model.load(folder, adata), "load on cells of an unseen condition", "elsewhere")


@check("C6")
def load_on_other_genes(subject: Subject) -> None:
    """A model is not loaded on cells that lack its genes: they are refused, naming the genes."""
    adata = subject.adata()
    absent = adata.var_names[GENE]
    adata = adata[:, adata.var_names != absent].copy()
    with tempfile.TemporaryDirectory() as folder:
        subject.trained.save(folder, overwrite=True)
        refuses(lambda: subject.Model.load(folder, adata), "load on cells without a gene", absent)


@check("C6", needs=(LatentModel,))
def bad_latent_points(subject: Subject) -> None:
    """`decode` refuses points of another dimension, and points that are not finite."""
    model, n_latent = subject.trained, subject.trained.module.n_latent
    refuses(lambda: decode_points(model, np.zeros((2, n_latent + 1))), "points of another dimension", n_latent)
    refuses(lambda: decode_points(model, np.full((2, n_latent), np.nan)), "points of NaN", "NaN")


@check("C6", needs=(ConditionalDecoding,))
def decode_without_condition(subject: Subject) -> None:
    """`decode` under no condition, or one that training has not seen, is refused, with a list of those it has."""
    model = subject.trained
    points = np.zeros((2, model.module.n_latent))
    refuses(lambda: decode_points(model, points, condition=None), "no condition", "condition=", SOURCE, TARGET)
    refuses(
        lambda: decode_points(model, points, condition="nowhere"), "an unknown condition", "nowhere", SOURCE, TARGET
    )


@check("C6", needs=(GenerativeModel,))
def generate_nothing(subject: Subject) -> None:
    """`generate` refuses to make fewer than one cell."""
    for number in (0, -1):
        refuses(functools.partial(subject.trained.generate, number, seed=0), f"generate({number})", number)


@check("C6", needs=(GenerativeModel,))
def generate_unknown(subject: Subject) -> None:
    """`generate` refuses a type that training has not seen, naming it."""
    if not subject.takes("generate", "labels"):
        raise NotApplicable("generate takes no labels")
    refuses(lambda: subject.trained.generate(3, labels="nowhere", seed=0), "generate of an unknown type", "nowhere")
