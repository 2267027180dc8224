"""C9: the caller's data are as they were."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from altercell.models.base import ResponseModel
from altercell.testing._data import BATCH_KEY, SOURCE, TARGET
from altercell.testing._registry import check
from altercell.testing._subject import Subject
from altercell.testing._verbs import control_cells, queries_of, verbs_of

#: What scvi-tools adds to the object that is registered: columns of obs and entries of uns.
REGISTRATION = "_scvi_"


def snapshot(adata: AnnData) -> dict[str, Any]:
    """Copy all that an AnnData holds, but for what scvi-tools registers in it.

    Parameters
    ----------
    adata
        The data, in memory.

    Returns
    -------
    Deep copies by place.
    """
    places: dict[str, Any] = {"X": adata.X, "obs": _own(adata.obs), "var": adata.var}
    for name in ("obsm", "varm", "obsp", "varp", "layers"):
        places |= {f"{name}[{key!r}]": value for key, value in getattr(adata, name).items() if key is not None}
    places["uns"] = {key: value for key, value in adata.uns.items() if not str(key).startswith(REGISTRATION)}
    return copy.deepcopy(places)


def _own(obs: pd.DataFrame) -> pd.DataFrame:
    return obs[[name for name in obs.columns if not str(name).startswith(REGISTRATION)]]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the places in which two snapshots differ.

    Parameters
    ----------
    before, after
        Of :func:`snapshot`.
    """
    gone = [f"{place} is gone" for place in before if place not in after]
    new = [f"{place} is new" for place in after if place not in before]
    return (
        gone
        + new
        + [f"{place} differs" for place in before if place in after and not _equal(before[place], after[place])]
    )


def _equal(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, pd.DataFrame):
        orders = [[list(column.array.categories) for column in _categorical(table)] for table in (first, second)]
        return first.equals(second) and first.dtypes.equals(second.dtypes) and orders[0] == orders[1]
    if sparse.issparse(first):
        return all(
            np.array_equal(getattr(first, part), getattr(second, part)) for part in ("data", "indices", "indptr")
        )
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    return bool(np.all(first == second))


def _categorical(table: pd.DataFrame) -> list[pd.Series]:
    # Two categorical types are equal to pandas whatever the order of their categories.
    return [table[name] for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)]


def _unchanged(before: Mapping[str, Any], adata: AnnData, what: str) -> None:
    found = changes(before, snapshot(adata))
    assert not found, f"{what} changes the caller's data: {'; '.join(found)}"


@check("C9")
def registration(subject: Subject) -> None:
    """Registration and construction leave the data as they were, but for scvi-tools' own columns."""
    adata = subject.adata()
    before = snapshot(adata)
    subject.make(adata)
    _unchanged(before, adata, "registration")


@check("C9")
def training(subject: Subject) -> None:
    """Training leaves the data as they were."""
    adata = subject.adata()
    before = snapshot(adata)
    subject.fit(adata, 1)
    _unchanged(before, adata, "training")


@check("C9")
def every_verb(subject: Subject) -> None:
    """Every verb leaves the registered data as they were."""
    adata = subject.trained.adata
    before = snapshot(adata)
    for name, verb in verbs_of(subject).items():
        verb.call(subject.trained, 0)
        _unchanged(before, adata, name)


@check("C9")
def given_cells(subject: Subject) -> None:
    """Verbs leave cells that they are given as they were, without any registration."""
    for name, query in queries_of(subject).items():
        cells = control_cells(subject)
        before, keys = snapshot(cells), {*cells.obs, *cells.uns}
        query(subject.trained, cells)
        _unchanged(before, cells, name)
        assert {*cells.obs, *cells.uns} == keys, f"{name} registers cells that it is given"


@check("C9")
def saving_and_loading(subject: Subject) -> None:
    """`save` leaves the registered data as they were, and `load` those that it is given."""
    model, given = subject.fit(epochs=1), subject.adata()
    before, registered = snapshot(given), snapshot(model.adata)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder, save_anndata=True)
        _unchanged(registered, model.adata, "save")
        subject.Model.load(folder, given, accelerator="cpu")
    _unchanged(before, given, "load")


@check("C9")
def failed_registration(subject: Subject) -> None:
    """A registration that fails changes nothing at all: no column, no entry of uns."""
    for what, setup in (("an absent column", {"batch_key": "nowhere"}), ("an absent layer", {"layer": "nowhere"})):
        _fails_untouched(subject, subject.adata(), what, **setup)
    adata = subject.adata()
    adata.X[0, 0] = np.nan
    _fails_untouched(subject, adata, "NaN in X")


def _fails_untouched(subject: Subject, adata: AnnData, what: str, **setup: Any) -> None:
    before, keys = snapshot(adata), {*adata.obs, *adata.uns}
    try:
        subject.make(adata, **setup)
    except Exception:  # noqa: BLE001 - which error it is, is another check's business
        _unchanged(before, adata, f"a registration that failed for {what}")
        assert {*adata.obs, *adata.uns} == keys, f"a registration that failed for {what} leaves its columns behind"
        return
    raise AssertionError(f"a registration with {what} did not fail")


@check("C9", needs=(ResponseModel,))
def failed_prediction(subject: Subject) -> None:
    """A prediction that fails changes neither the data nor the model."""
    model = subject.trained
    before = snapshot(model.adata)
    weights = {name: value.clone() for name, value in model.module.state_dict().items()}
    try:
        model.predict(source=SOURCE, target="nowhere")
    except Exception:  # noqa: BLE001
        _unchanged(before, model.adata, "a prediction that failed")
    for name, value in model.module.state_dict().items():
        assert bool((value == weights[name]).all()), f"a prediction that failed changes '{name}' of the model"


@check("C9", needs=(ResponseModel,))
def answer_is_its_own(subject: Subject) -> None:
    """Writing into a prediction changes neither the caller's data nor the next prediction."""
    cells = control_cells(subject)
    before = snapshot(cells)
    ask = {"source": SOURCE, "target": TARGET, "seed": 0}
    first = subject.trained.predict(cells, **ask)
    kept = snapshot(first)
    values = first.X.data if sparse.issparse(first.X) else first.X
    values[...] = -1
    first.obs[BATCH_KEY] = "mine"
    first.var["mine"] = 1
    _unchanged(before, cells, "writing into a prediction")
    again = snapshot(subject.trained.predict(cells, **ask))
    found = changes(kept, again)
    assert not found, f"writing into a prediction changes the next one: {'; '.join(found)}"


@check("C9")
def one_copy_does_not_end_another(subject: Subject) -> None:
    """Registering a copy of the data for a second model leaves the first model usable."""
    adata = subject.adata()
    first = subject.fit(adata, 1)
    subject.make(adata.copy())
    for name, query in queries_of(subject).items():
        query(first, None)
        assert name
