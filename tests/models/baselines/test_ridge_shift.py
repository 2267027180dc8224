"""Tests of the ridge regression of differences on source profiles."""

import anndata as ad
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from altercell import data
from altercell.errors import DataError
from altercell.models import MeanShift, NoChange, RidgeShift
from altercell.models.baselines._ridge_shift import ridge_delta

ASK = {"source": "control", "target": "ifn"}


def oracle(truth, profile, kinds, n_components=5, penalty=0.2, source="control", target="ifn"):
    """State the regression with scikit-learn: PCA scores of unit variance, ridge with an intercept."""
    profiles = np.stack([truth.mean(source, kind) for kind in kinds])
    deltas = np.stack([truth.mean(target, kind) for kind in kinds]) - profiles
    n = min(n_components, len(kinds) - 1)
    pca = PCA(n, svd_solver="full").fit(profiles)
    scale = pca.transform(profiles).std(0)
    ridge = Ridge(alpha=penalty * len(kinds)).fit(pca.transform(profiles) / scale, deltas)
    return ridge.predict(pca.transform(profile[None]) / scale)[0]


def test_the_held_out_type_is_regressed_on_its_profile(adata, truth, fit, values):
    pred = values(fit(RidgeShift, adata).predict(labels="T", **ASK))
    delta = oracle(truth, truth.mean("control", "T"), ("B", "Mono", "NK"))
    np.testing.assert_allclose(pred, truth.cells("control", "T") + delta, atol=5e-6)
    assert np.abs(delta - truth.delta("ifn", ("B", "Mono", "NK"))).max() > 0.05


@pytest.mark.parametrize(("n_components", "penalty"), [(1, 0.2), (2, 0.0), (5, 3.0)])
def test_its_arguments(full, full_truth, fit, values, n_components, penalty):
    model = fit(RidgeShift, full, n_components=n_components, penalty=penalty)
    pred = values(model.predict(labels="NK", **ASK))
    delta = oracle(full_truth, full_truth.mean("control", "NK"), ("B", "Mono", "T"), n_components, penalty)
    np.testing.assert_allclose(pred, full_truth.cells("control", "NK") + delta, atol=1e-5)


def test_the_own_type_never_takes_part(full, full_truth, fit, values):
    want = values(fit(RidgeShift, full.copy()).predict(labels="B", **ASK))
    x = full.X.toarray()
    x[full_truth.rows("ifn", "B")] += 5
    full.X = x
    np.testing.assert_allclose(values(fit(RidgeShift, full).predict(labels="B", **ASK)), want, atol=2e-6)


def test_any_two_conditions(full, full_truth, fit, values):
    pred = values(fit(RidgeShift, full).predict(source="lps", target="ifn", labels="Mono"))
    delta = oracle(full_truth, full_truth.mean("lps", "Mono"), ("B", "NK", "T"), source="lps", target="ifn")
    np.testing.assert_allclose(pred, full_truth.cells("lps", "Mono") + delta, atol=1e-5)


def test_unseen_types_are_told_apart_and_bring_their_own_profile(adata, truth, fit, values):
    model = fit(RidgeShift, adata)
    other = adata[truth.rows("control", "B") | truth.rows("control", "T")].copy()
    other.obs["cell_type"] = other.obs["cell_type"].cat.rename_categories({"B": "new B", "T": "new T"})
    pred = model.predict(other, batch_size=7, **ASK)
    for name, kind in (("new B", "B"), ("new T", "T")):
        delta = oracle(truth, truth.mean("control", kind), ("B", "Mono", "NK"))
        got = values(pred)[(pred.obs["cell_type"] == name).to_numpy()]
        np.testing.assert_allclose(got, truth.cells("control", kind) + delta, atol=1e-5)
    assert any("mean of the cells asked together" in doubt for doubt in pred.uns["altercell"]["trust"])


def test_unseen_and_seen_types_in_one_call(adata, truth, fit, values):
    model = fit(RidgeShift, adata)
    alone = values(model.predict(labels="T", **ASK))
    other = adata[truth.rows("control")].copy()
    other.obs["cell_type"] = other.obs["cell_type"].cat.rename_categories({"B": "new"})
    pred = model.predict(other, **ASK)
    np.testing.assert_allclose(values(pred)[(pred.obs["cell_type"] == "T").to_numpy()], alone, atol=1e-6)


def test_a_type_seen_in_the_target_only_brings_its_own_profile(full, full_truth, fit, values):
    lacking = full[~full_truth.rows("control", "B")].copy()
    model = fit(RidgeShift, lacking)
    pred = values(model.predict(full[full_truth.rows("control", "B")].copy(), **ASK))
    delta = oracle(full_truth, full_truth.mean("control", "B"), ("Mono", "NK", "T"))
    np.testing.assert_allclose(pred, full_truth.cells("control", "B") + delta, atol=1e-5)


def test_a_missing_column_of_types_is_one_unseen_type(adata, truth, fit, values):
    model = fit(RidgeShift, adata)
    other = adata[truth.rows("control", "B")].copy()
    del other.obs["cell_type"]
    delta = oracle(truth, truth.mean("control", "B"), ("B", "Mono", "NK"))
    np.testing.assert_allclose(values(model.predict(other, **ASK)), truth.cells("control", "B") + delta, atol=1e-5)


def test_without_labels_and_with_one_other_type_it_is_the_mean_shift(adata, fit, values):
    for cells, labels_key in ((adata, None), (adata[adata.obs["cell_type"].isin(["B", "T"])], "cell_type")):
        models = [fit(cls, cells.copy(), labels_key=labels_key) for cls in (RidgeShift, MeanShift)]
        labels = None if labels_key is None else "T"
        ridge, shift = (values(model.predict(labels=labels, **ASK)) for model in models)
        np.testing.assert_allclose(ridge, shift, atol=1e-6)


def test_a_large_penalty_is_the_mean_shift(adata, fit, values):
    ridge = fit(RidgeShift, adata.copy(), penalty=1e9).predict(labels="T", **ASK)
    np.testing.assert_allclose(values(ridge), values(fit(MeanShift, adata).predict(labels="T", **ASK)), atol=1e-6)


def test_a_linear_response_is_recovered_without_penalty():
    rng = np.random.default_rng(0)
    base, directions = rng.normal(size=12), rng.normal(size=(2, 12))
    profiles = base + rng.normal(size=(6, 2)) @ directions
    slope = rng.normal(size=(12, 12))
    asked = base + np.array([0.3, -0.8]) @ directions
    got = ridge_delta(profiles, profiles @ slope, asked, n_components=5, penalty=0.0)
    np.testing.assert_allclose(got, asked @ slope, atol=1e-8)


def test_equal_profiles_give_the_mean():
    deltas = np.arange(6.0).reshape(3, 2)
    got = ridge_delta(np.ones((3, 2)), deltas, np.array([2.0, 5.0]), n_components=2, penalty=0.2)
    np.testing.assert_allclose(got, deltas.mean(0))


@pytest.mark.parametrize("arguments", [{"n_components": 0}, {"penalty": -1.0}])
def test_arguments_out_of_range(adata, fit, arguments):
    with pytest.raises(DataError, match=r"must be at least 1, and penalty=.* not negative"):
        fit(RidgeShift, adata, **arguments)


@pytest.mark.real
def test_monocytes_of_real_data_respond_as_their_profile_says(real_data, fit):
    train, real = data.hold_out(
        ad.read_h5ad(real_data / "kang_pbmc.h5ad"), batch="stimulated", labels="CD14+ Monocytes"
    )
    train = data.select_genes(data.normalize(train), 2_000)
    want = np.asarray(data.normalize(real)[:, train.var_names].X.mean(0)).ravel()
    ask = {"source": "control", "target": "stimulated", "labels": "CD14+ Monocytes"}
    errors = {}
    for cls in (NoChange, MeanShift, RidgeShift):
        got = np.asarray(fit(cls, train.copy(), batch_size=1024).predict(**ask).X.mean(0)).ravel()
        errors[cls] = np.square(got - want).mean()
    assert errors[RidgeShift] < 0.6 * errors[MeanShift] < 0.5 * errors[NoChange]
