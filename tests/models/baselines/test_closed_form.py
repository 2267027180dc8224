"""Tests of what all closed forms share: training, files, the types that take part, and the forms of the data."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from altercell.errors import DataError, GroupError, NotTrainedError
from altercell.models import MeanShift, NoChange, PCAShift, RandomStimulated, RidgeShift, StimulatedMean

ALL = [NoChange, StimulatedMean, RandomStimulated, MeanShift, PCAShift, RidgeShift]
ASK = {"source": "control", "target": "ifn", "seed": 1}
everyone = pytest.mark.parametrize("cls", ALL)


@everyone
def test_a_prediction_keeps_the_cells_and_says_how_it_was_made(cls, adata, truth, fit):
    pred = fit(cls, adata).predict(labels="T", **ASK)
    source = adata[truth.rows("control", "T")]
    assert list(pred.obs_names) == list(source.obs_names)
    assert set(pred.obs["condition"]) == {"ifn"}
    assert list(pred.obs["donor"]) == list(source.obs["donor"])
    assert list(pred.var_names) == list(adata.var_names)
    assert pred.X.dtype == np.float32
    entry = pred.uns["altercell"]
    assert (entry["model"], entry["source"], entry["target"], list(entry["labels"])) == (
        cls.__name__,
        "control",
        "ifn",
        ["T"],
    )


@everyone
@pytest.mark.parametrize("kind", ["dense", "float64", "csc", "csr_array", "int", "layer"])
def test_the_form_of_the_data_does_not_matter(cls, kind, adata, fit, values):
    adata.X = sparse.csr_matrix(np.rint(adata.X.toarray() * 3).astype(np.float32))
    want = values(fit(cls, adata.copy()).predict(**ASK))
    make = {
        "dense": lambda x: x.toarray(),
        "float64": lambda x: x.astype(np.float64),
        "csc": sparse.csc_matrix,
        "csr_array": sparse.csr_array,
        "int": lambda x: x.astype(np.int32),
        "layer": lambda x: x,
    }[kind]
    other = adata.copy()
    other.X = make(adata.X)
    if kind != "layer":
        got = fit(cls, other).predict(**ASK)
    else:
        other.layers["log"], other.X = other.X, np.zeros(other.shape, dtype=np.float32)
        cls.setup_anndata(other, batch_key="condition", labels_key="cell_type", layer="log")
        model = cls(other)
        model.train()
        got = model.predict(**ASK)
    np.testing.assert_allclose(values(got), want, atol=2e-6)


@everyone
def test_cells_on_disk(cls, adata, fit, values, tmp_path):
    want = values(fit(cls, adata.copy()).predict(**ASK))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    model = fit(cls, backed)
    np.testing.assert_allclose(values(model.predict(**ASK)), want, atol=1e-6)
    written = model.predict(path=tmp_path / "pred.h5ad", **ASK)
    np.testing.assert_allclose(written.X[:], want, atol=1e-6)
    written.file.close()
    backed.file.close()


# mudata drops columns in a way that pandas now calls deprecated.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop")
@everyone
def test_a_modality_of_a_mudata(cls, adata, fit, values):
    want = values(fit(cls, adata.copy()).predict(**ASK))
    proteins = AnnData(
        np.ones((adata.n_obs, 2), dtype=np.float32), obs=adata.obs[[]], var=pd.DataFrame(index=["p1", "p2"])
    )
    mdata = MuData({"rna": adata, "adt": proteins})
    cls.setup_mudata(mdata, modality="rna", batch_key="condition", labels_key="cell_type")
    model = cls(mdata)
    model.train()
    np.testing.assert_allclose(values(model.predict(**ASK)), want, atol=1e-6)


@everyone
def test_save_and_load(cls, adata, fit, values, tmp_path):
    model = fit(cls, adata.copy())
    want = values(model.predict(**ASK))
    model.save(tmp_path)
    attached = cls.load(tmp_path, adata.copy())
    np.testing.assert_array_equal(values(attached.predict(**ASK)), want)
    if cls is not RandomStimulated:
        alone = cls.load(tmp_path)
        np.testing.assert_array_equal(values(alone.predict(adata, **ASK)), want)
        assert alone.is_trained_


@everyone
def test_a_refit_on_permuted_cells_gives_the_same(cls, adata, fit, values):
    model = fit(cls, adata.copy())
    order = np.random.default_rng(3).permutation(adata.n_obs)
    other = fit(cls, adata[order].copy(), batch_size=40)
    np.testing.assert_allclose(values(other.predict(adata, **ASK)), values(model.predict(adata, **ASK)), atol=1e-6)


@everyone
def test_a_subset_gives_the_subset(cls, adata, truth, fit, values):
    model = fit(cls, adata)
    whole = model.predict(**ASK)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(truth.rows("control")))[:13]
    part = model.predict(indices=rows, batch_size=4, **ASK)
    want = values(whole)[whole.obs_names.get_indexer(part.obs_names)]
    np.testing.assert_allclose(values(part), want, atol=1e-6)
    assert list(part.obs_names) == list(adata.obs_names[rows])


@everyone
def test_genes_are_aligned_by_name(cls, adata, fit, values):
    model = fit(cls, adata)
    shuffled = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    pred = model.predict(shuffled, **ASK)
    assert list(pred.var_names) == list(adata.var_names)
    np.testing.assert_allclose(values(pred), values(model.predict(**ASK)), atol=1e-6)


@everyone
def test_neither_the_cells_nor_the_generators_are_changed(cls, adata, fit):
    before, state = adata.X.toarray(), np.random.get_state()[1].copy()  # noqa: NPY002
    pred = fit(cls, adata).predict(**ASK)
    pred.X[:] = 7
    np.testing.assert_array_equal(adata.X.toarray(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@everyone
def test_an_unused_category_changes_nothing(cls, adata, fit, values):
    want = values(fit(cls, adata.copy()).predict(**ASK))
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories("A of none")
    np.testing.assert_allclose(values(fit(cls, adata).predict(**ASK)), want, atol=1e-6)


@everyone
def test_it_must_be_trained(cls, adata):
    cls.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    with pytest.raises(NotTrainedError, match=r"not trained; call train\(\) first"):
        cls(adata).predict(**ASK)


def test_training_needs_cells_and_a_batch(adata, fit, tmp_path):
    model = fit(MeanShift, adata)
    with pytest.raises(DataError, match="batch_size=0 must be at least 1"):
        model.train(batch_size=0)
    model.save(tmp_path)
    with pytest.raises(NotTrainedError, match="MeanShift has no AnnData to fit; load it with adata="):
        MeanShift.load(tmp_path).train()


def test_an_unknown_argument_of_predict_is_refused(adata, fit):
    with pytest.raises(TypeError, match=r"MeanShift\.predict\(\) has no argument 'clipp'"):
        fit(MeanShift, adata).predict(clipp=True, **ASK)


def test_an_unknown_weighting_is_refused(adata, fit):
    for cls in (StimulatedMean, RandomStimulated, MeanShift, PCAShift):
        with pytest.raises(DataError, match="weights='fair' is unknown; there are 'balanced', 'unbalanced'"):
            fit(cls, adata, weights="fair")


def test_group_sizes_are_counted(adata, truth, fit):
    model = fit(NoChange, adata)
    want = [[truth.rows(c, k).sum() for k in model.schema.labels] for c in model.schema.conditions]
    np.testing.assert_array_equal(model._group_sizes(), want)


@pytest.mark.parametrize("cls", [MeanShift, PCAShift, RidgeShift])
def test_no_other_type_in_both_conditions(cls, adata, fit):
    few = adata[adata.obs["cell_type"].isin(["B", "T"])].copy()
    model = fit(cls, few)
    message = (
        f"{cls.__name__}: no cell_type other than 'B' has training cells in 'control', 'ifn'; train with cells of more"
    )
    with pytest.raises(GroupError, match=message):
        model.predict(labels="B", **ASK)


@pytest.mark.parametrize("cls", [StimulatedMean, RandomStimulated])
def test_no_other_type_in_the_target(cls, adata, fit, tmp_path):
    few = adata[adata.obs["cell_type"].isin(["B", "T"])].copy()
    with pytest.raises(GroupError, match="no cell_type other than 'B' has training cells in 'ifn'"):
        fit(cls, few).predict(labels="B", path=tmp_path / "pred.h5ad", **ASK)
    assert not list(tmp_path.iterdir())


def test_no_type_in_both_conditions_for_an_unseen_type(adata, truth, fit):
    apart = adata[truth.rows("control", "T") | truth.rows("ifn", "B")].copy()
    asked = adata[truth.rows("control", "NK")].copy()
    with pytest.raises(
        GroupError, match="no cell_type has training cells in 'control', 'ifn'; train with cells of more"
    ):
        fit(MeanShift, apart).predict(asked, **ASK)


def test_an_empty_condition_that_is_a_category(adata, fit):
    adata.obs["condition"] = adata.obs["condition"].cat.add_categories("never")
    model = fit(MeanShift, adata)
    with pytest.raises(GroupError, match="'never'"):
        model.predict(source="control", target="never")
