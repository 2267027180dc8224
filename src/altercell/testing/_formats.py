"""C1: the same cells in another form give the same answers."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import zarr
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from altercell.errors import AltercellError
from altercell.testing._data import as_mudata, dense, with_values
from altercell.testing._expect import same, says
from altercell.testing._registry import NotApplicable, check
from altercell.testing._subject import Subject
from altercell.testing._verbs import answers

# The same batches arrive in every form, so a single epoch shows whether they do.
EPOCHS = 1


def _same_as_dense(
    subject: Subject, data: AnnData | MuData, what: str, without: tuple[str, ...] = (), **setup: Any
) -> None:
    first = subject.once("answers on dense", lambda: answers(subject, subject.fit(None, EPOCHS)))
    second = answers(subject, subject.fit(data, EPOCHS, **setup), without=without)
    for name in [name for name in first if name not in without]:
        same(_bare(second[name]), _bare(first[name]), f"{name} with {what}")


def _bare(answer: Any) -> Any:
    # Other obsm are the caller's own, and a file or a modality may have them in another form.
    return AnnData(dense(answer.X), obs=answer.obs[[]], var=answer.var[[]]) if isinstance(answer, AnnData) else answer


def _form(subject: Subject, change: Callable[[np.ndarray], Any], what: str) -> None:
    adata = subject.adata()
    _same_as_dense(subject, with_values(adata, change(adata.X)), what)


@check("C1")
def csr(subject: Subject) -> None:
    """CSR values give the same answers as dense ones."""
    _form(subject, sparse.csr_matrix, "CSR values")


@check("C1")
def csc(subject: Subject) -> None:
    """CSC values give the same answers as dense ones."""
    _form(subject, sparse.csc_matrix, "CSC values")


@check("C1")
def csr_array(subject: Subject) -> None:
    """A sparse array (not matrix) gives the same answers, or a clear error."""
    _unless_refused(lambda: _form(subject, sparse.csr_array, "a csr_array"))


@check("C1")
def float64(subject: Subject) -> None:
    """Values of 64 bits give the same answers as 32-bit ones."""
    _form(subject, lambda values: values.astype(np.float64), "float64 values")


@check("C1")
def float64_csr(subject: Subject) -> None:
    """CSR values of 64 bits give the same answers as 32-bit ones."""
    _form(subject, lambda values: sparse.csr_matrix(values.astype(np.float64)), "float64 CSR values")


@check("C1", data="counts")
def integers(subject: Subject) -> None:
    """Counts as 64-bit integers give the same answers as floats."""
    _form(subject, lambda values: values.astype(np.int64), "int64 counts")


@check("C1", data="counts")
def small_integers(subject: Subject) -> None:
    """Counts as unsigned 16-bit integers, sparse, give the same answers as floats."""
    _form(subject, lambda values: sparse.csr_matrix(values.astype(np.uint16)), "uint16 CSR counts")


@check("C1")
def fortran_order(subject: Subject) -> None:
    """Dense values stored by columns give the same answers."""
    _form(subject, np.asfortranarray, "values in Fortran order")


@check("C1")
def layer(subject: Subject) -> None:
    """Values in a layer give the same answers, whatever X holds."""
    adata = subject.adata()
    adata.layers["values"] = adata.X.copy()
    adata.X = np.zeros_like(adata.X)
    # What X holds is on record for X alone.
    adata.uns.pop("altercell")
    # The study's cells, which this verb is given, have no such layer.
    _same_as_dense(subject, adata, "values in a layer", without=("predict_study",), layer="values")


@check("C1")
def mudata(subject: Subject) -> None:
    """A modality of a MuData gives the same answers."""
    _same_as_dense(subject, as_mudata(subject.adata()), "a MuData")


@check("C1")
def text_columns(subject: Subject) -> None:
    """Conditions and labels as text, not categories, give the same answers."""
    adata = subject.adata()
    for name in ("condition", "cell_type"):
        adata.obs[name] = adata.obs[name].astype(str).astype(object)
    _same_as_dense(subject, adata, "text columns")


@check("C1")
def view(subject: Subject) -> None:
    """A view of an AnnData gives the same answers, or a clear error that says copy()."""
    adata = subject.adata()
    try:
        _same_as_dense(subject, adata[np.arange(adata.n_obs)], "a view")
    except AltercellError as error:
        says(error, "a view", "copy()")


@check("C1")
def backed_dense(subject: Subject) -> None:
    """A backed h5ad with dense values gives the same answers."""
    with _backed(subject.adata()) as adata:
        _same_as_dense(subject, adata, "a backed dense file")


@check("C1")
def backed_csr(subject: Subject) -> None:
    """A backed h5ad with CSR values gives the same answers."""
    adata = subject.adata()
    with _backed(with_values(adata, sparse.csr_matrix(adata.X))) as adata:
        _same_as_dense(subject, adata, "a backed CSR file")


@check("C1")
def backed_csc(subject: Subject) -> None:
    """A backed h5ad with CSC values gives the same answers, or a clear error."""
    adata = subject.adata()
    with _backed(with_values(adata, sparse.csc_matrix(adata.X))) as adata:
        _unless_refused(lambda: _same_as_dense(subject, adata, "a backed CSC file"))


@check("C1")
def zarr_dense(subject: Subject) -> None:
    """Dense values in a zarr store give the same answers."""
    with _zarr(subject.adata().X) as group:
        _form(subject, lambda values: group["X"], "a dense zarr array")


@check("C1")
def zarr_csr(subject: Subject) -> None:
    """CSR values in a zarr store give the same answers."""
    with _zarr(sparse.csr_matrix(subject.adata().X)) as group:
        _form(subject, lambda values: ad.io.sparse_dataset(group["X"]), "a CSR zarr array")


@check("C1")
def dask_csr(subject: Subject) -> None:
    """CSR values in a dask array give the same answers."""
    if importlib.util.find_spec("dask") is None:
        raise NotApplicable("dask is not installed")
    with _zarr(sparse.csr_matrix(subject.adata().X)) as group:
        _form(subject, lambda values: ad.experimental.read_elem_lazy(group["X"]), "a CSR dask array")


@contextlib.contextmanager
def _zarr(values: Any) -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w")
        ad.io.write_elem(group, "X", values)
        yield group


def _unless_refused(call: Callable[[], None]) -> None:
    # An error of ours is clear; any other is a failure.
    with contextlib.suppress(AltercellError):
        call()


@contextlib.contextmanager
def _backed(adata: AnnData) -> Iterator[AnnData]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        adata.write_h5ad(path)
        held = ad.read_h5ad(path, backed="r")
        try:
            yield held
        finally:
            held.file.close()
