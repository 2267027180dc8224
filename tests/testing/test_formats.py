"""C1, formats: a model that looks at the form of its data is caught in every form."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError
from altercell.testing._formats import _bare, _unless_refused

from .suite import Net, Shift, assert_caught, broken_ids, outcome_of


def _usual(model):
    """Whether the data have the form that every model knows."""
    if isinstance(model.adata, MuData) or model.schema.layer is not None:
        return False
    X, column = model.adata.X, model.adata.obs["condition"]
    known = isinstance(X, np.ndarray) and X.dtype == np.float32 and X.flags["C_CONTIGUOUS"]
    return known and isinstance(column.dtype, pd.CategoricalDtype)


class LooksAtTheForm(Shift):
    """Its answer depends on how the values are stored."""

    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block if _usual(self) else block + 0.01


class DenseOnly(Shift):
    """It fails, with an error of its own, on what is not a NumPy array."""

    def train(self):
        if not isinstance(self.adata.X, np.ndarray):
            raise RuntimeError("dense values only")
        super().train()


class RefusesViewsWithoutAWord(Shift):
    @classmethod
    def _check(cls, adata, arguments, source):
        if adata.is_view:
            raise DataError("no")
        return super()._check(adata, arguments, source)


LOG_FORMS = [
    "csr",
    "csc",
    "csr-array",
    "float64",
    "float64-csr",
    "fortran-order",
    "layer",
    "mudata",
    "text-columns",
    "backed-dense",
    "backed-csr",
    "zarr-dense",
    "zarr-csr",
    "dask-csr",
]
BROKEN = [(f"C1-{form}", LooksAtTheForm, "predict with .* X differ in 100.0%") for form in LOG_FORMS]
BROKEN += [(f"C1-{form}", DenseOnly, "RuntimeError: dense values only") for form in ("csr", "csr-array", "backed-csc")]
BROKEN += [("C1-view", RefusesViewsWithoutAWord, r"a view: the error does not name 'copy\(\)'")]
BROKEN_COUNTS = [
    ("C1-integers", LooksAtTheForm, "predict with int64 counts: X differ"),
    ("C1-small-integers", LooksAtTheForm, "predict with uint16 CSR counts: X differ"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    if "dask" in check_id:
        pytest.importorskip("dask")
    assert_caught(check_id, Model, pattern)


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN_COUNTS, ids=broken_ids(BROKEN_COUNTS))
def test_a_broken_count_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern, data="counts")


def test_dask_is_asked_for_only_where_it_is_installed(monkeypatch):
    monkeypatch.setattr("altercell.testing._formats.importlib.util.find_spec", lambda name: None)
    outcome = outcome_of("C1-dask-csr", Shift)
    assert (outcome.status, outcome.reason) == ("not applicable", "dask is not installed")


def test_the_dense_reference_is_trained_once():
    class Counted(Net):
        trainings = 0

        def train(self, *args, **kwargs):
            type(self).trainings += 1
            super().train(*args, **kwargs)

    from altercell.testing._formats import csc, csr

    from .suite import subject_of

    subject = subject_of(Counted)
    csr(subject)
    csc(subject)
    assert Counted.trainings == 3


def test_a_refusal_is_an_error_of_ours():
    def refuse(error):
        raise error

    _unless_refused(lambda: refuse(DataError("not in this form")))
    with pytest.raises(RuntimeError, match="broken"):
        _unless_refused(lambda: refuse(RuntimeError("broken")))


def test_answers_are_compared_without_the_callers_tables():
    answer = AnnData(np.ones((2, 2)), obs=pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), obsm={"m": np.ones((2, 1))})
    bare = _bare(answer)
    assert list(bare.obs.columns) == []
    assert len(bare.obsm) == 0
    assert list(bare.obs_names) == ["x", "y"]
    assert _bare(3) == 3
