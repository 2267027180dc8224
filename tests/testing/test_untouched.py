"""C9: a model that leaves its traces in the caller's data is caught, wherever they are."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from altercell.testing._data import tiny
from altercell.testing._untouched import changes, snapshot

from .suite import Shift, assert_caught, broken_ids


class MarksAtRegistration(Shift):
    @classmethod
    def setup_anndata(cls, adata, **kwargs):
        adata.obs["mine"] = 1
        super().setup_anndata(adata, **kwargs)


class TrainsInPlace(Shift):
    def train(self):
        self.adata.X += 1
        super().train()


class MarksAtPrediction(Shift):
    def predict(self, *args, **kwargs):
        self.adata.uns["asked"] = True
        return super().predict(*args, **kwargs)


class ChangesGivenCells(Shift):
    def predict(self, adata=None, **kwargs):
        if adata is not None:
            adata.X[0, 0] += 1
        return super().predict(adata, **kwargs)


class RegistersGivenCells(Shift):
    def predict(self, adata=None, **kwargs):
        if adata is not None:
            adata.obs["_scvi_batch"] = 0
        return super().predict(adata, **kwargs)


class MarksAtSaving(Shift):
    def save(self, *args, **kwargs):
        self.adata.uns["saved"] = "now"
        super().save(*args, **kwargs)


class MarksAtLoading(Shift):
    @classmethod
    def load(cls, folder, adata=None, **kwargs):
        adata.var["loaded"] = True
        return super().load(folder, adata, **kwargs)


class MarksWhenItFails(Shift):
    @classmethod
    def setup_anndata(cls, adata, **kwargs):
        try:
            super().setup_anndata(adata, **kwargs)
        except Exception:
            adata.obs["_scvi_failed"] = True
            raise


class TakesAbsentColumns(Shift):
    @classmethod
    def setup_anndata(cls, adata, *, batch_key, **kwargs):
        key = batch_key if batch_key in adata.obs else "condition"
        super().setup_anndata(adata, batch_key=key, **kwargs)


class SpoilsItselfWhenAsked(Shift):
    def predict(self, *args, target, **kwargs):
        if target == "nowhere":
            self.module.group_means.fill_(0)
        return super().predict(*args, target=target, **kwargs)


class GivesItsOwn(Shift):
    """It hands out the same object twice."""

    kept = None

    def predict(self, *args, **kwargs):
        self.kept = self.kept or super().predict(*args, **kwargs)
        return self.kept


class OneAtATime(Shift):
    """A second registration ends the first model."""

    newest = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        type(self).newest = self

    def predict(self, *args, **kwargs):
        if type(self).newest is not self:
            raise ValueError("Input AnnData not setup with scvi-tools")
        return super().predict(*args, **kwargs)


BROKEN = [
    ("C9-registration", MarksAtRegistration, "registration changes the caller's data: obs differs"),
    ("C9-training", TrainsInPlace, "training changes the caller's data: X differs"),
    ("C9-every-verb", MarksAtPrediction, "predict changes the caller's data: uns differs"),
    ("C9-given-cells", ChangesGivenCells, "predict changes the caller's data: X differs"),
    ("C9-given-cells", RegistersGivenCells, "predict registers cells that it is given"),
    ("C9-saving-and-loading", MarksAtSaving, "save changes the caller's data: uns differs"),
    ("C9-saving-and-loading", MarksAtLoading, "load changes the caller's data: var differs"),
    ("C9-failed-registration", MarksWhenItFails, "a registration that failed for an absent column leaves its columns"),
    ("C9-failed-registration", TakesAbsentColumns, "a registration with an absent column did not fail"),
    ("C9-failed-prediction", SpoilsItselfWhenAsked, "a prediction that failed changes 'group_means' of the model"),
    ("C9-answer-is-its-own", GivesItsOwn, "writing into a prediction changes the next one: X differs; obs differs"),
    ("C9-one-copy-does-not-end-another", OneAtATime, "ValueError: Input AnnData not setup"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


def _change_values(adata):
    adata.X[0, 0] += 1


def _reorder_categories(adata):
    column = adata.obs["condition"]
    adata.obs["condition"] = column.cat.reorder_categories(column.cat.categories[::-1])


def _change_type(adata):
    adata.obs["library"] = adata.obs["library"].astype(np.float32).astype(object)


def _rename(adata):
    adata.obs_names = [f"x{name}" for name in adata.obs_names]


def _change_layer(adata):
    adata.layers["counts"].data[0] += 1


def _drop_layer(adata):
    del adata.layers["counts"]


def _add_obsm(adata):
    adata.obsm["X_new"] = np.zeros((adata.n_obs, 1))


def _change_nested(adata):
    adata.uns["note"]["list"].append(3)


def _densify(adata):
    adata.layers["counts"] = adata.layers["counts"].toarray()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_change_values, ["X differs"]),
        (_reorder_categories, ["obs differs"]),
        (_change_type, ["obs differs"]),
        (_rename, ["obs differs", "var differs"]),
        (_change_layer, ["layers['counts'] differs"]),
        (_drop_layer, ["layers['counts'] is gone"]),
        (_add_obsm, ["obsm['X_new'] is new"]),
        (_change_nested, ["uns differs"]),
        (_densify, ["layers['counts'] differs"]),
    ],
)
def test_every_change_is_found(change, found):
    adata = tiny("log")
    before = snapshot(adata)
    assert changes(before, snapshot(adata)) == []
    change(adata)
    assert set(changes(before, snapshot(adata))) <= set(found)
    assert changes(before, snapshot(adata))[0] == found[0]


def test_the_columns_of_scvi_tools_are_no_change():
    adata = tiny("log")
    before = snapshot(adata)
    Shift.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    assert {name for name in adata.obs if name.startswith("_scvi")}
    assert changes(before, snapshot(adata)) == []


def test_snapshots_are_deep():
    adata = AnnData(
        sparse.csr_matrix(np.eye(3)), obs=pd.DataFrame({"a": [1, 2, 3]}, index=list("xyz")), uns={"deep": {"er": [1]}}
    )
    before = snapshot(adata)
    adata.X.data[:] = 5
    adata.obs.loc["x", "a"] = 9
    adata.uns["deep"]["er"][0] = 2
    assert changes(before, snapshot(adata)) == ["X differs", "obs differs", "uns differs"]


def test_nan_equals_nan():
    adata = tiny("log")
    adata.X[0, 0] = np.nan
    assert changes(snapshot(adata), snapshot(adata.copy())) == []
