"""Tests of the arithmetic on principal components."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from altercell.errors import DataError
from altercell.models import MeanShift, PCAShift
from altercell.models.baselines._pca_shift import principal_components

ASK = {"source": "control", "target": "ifn"}


def axes_of(x: np.ndarray, n: int) -> np.ndarray:
    """Return principal axes by a singular value decomposition in float64."""
    return np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:n]


@pytest.mark.parametrize("n_components", [1, 5, 12])
def test_the_difference_passes_through_the_components(adata, truth, fit, values, n_components):
    pred = values(fit(PCAShift, adata, n_components=n_components).predict(labels="T", **ASK))
    axes, delta = axes_of(truth.x, n_components), truth.delta("ifn", ("B", "Mono", "NK"))
    np.testing.assert_allclose(pred, truth.cells("control", "T") + axes.T @ (axes @ delta), atol=2e-6)


def test_reconstruct_decodes_the_cell_from_the_components(adata, truth, fit, values):
    pred = values(fit(PCAShift, adata, n_components=6, reconstruct=True).predict(labels="T", **ASK))
    oracle = PCA(6, svd_solver="full").fit(truth.x)
    delta = truth.delta("ifn", ("B", "Mono", "NK")) @ oracle.components_.T
    want = oracle.inverse_transform(oracle.transform(truth.cells("control", "T")) + delta)
    np.testing.assert_allclose(pred, want, atol=5e-6)


def test_the_papers_form_keeps_the_residual(adata, truth, fit, values):
    kept = values(fit(PCAShift, adata.copy(), n_components=3).predict(labels="T", **ASK))
    decoded = values(fit(PCAShift, adata.copy(), n_components=3, reconstruct=True).predict(labels="T", **ASK))
    np.testing.assert_allclose(kept.var(0), truth.cells("control", "T").var(0), atol=1e-5)
    assert decoded.var(0).sum() < 0.5 * kept.var(0).sum()


def test_as_many_components_as_genes_are_the_mean_shift(adata, fit, values):
    for options in ({}, {"reconstruct": True}):
        pred = values(fit(PCAShift, adata.copy(), **options).predict(labels="T", **ASK))  # 100 asked, 30 genes
        np.testing.assert_allclose(pred, values(fit(MeanShift, adata.copy()).predict(labels="T", **ASK)), atol=5e-6)


def test_weighting_is_that_of_the_mean_shift(adata, truth, fit, values):
    pred = values(fit(PCAShift, adata, n_components=4, weights="unbalanced").predict(labels="T", **ASK))
    pooled = [np.concatenate([truth.cells(c, k) for k in ("B", "Mono", "NK")]).mean(0) for c in ("control", "ifn")]
    axes = axes_of(truth.x, 4)
    want = truth.cells("control", "T") + axes.T @ (axes @ (pooled[1] - pooled[0]))
    np.testing.assert_allclose(pred, want, atol=2e-6)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_components_are_scikit_learns(adata, truth, fit, form):
    adata.X = form(adata.X.toarray())
    axes = principal_components(fit(MeanShift, adata).cells(), 7, 19)
    oracle = PCA(7, svd_solver="full").fit(truth.x).components_
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->i", axes, oracle)), np.ones(7), atol=1e-8)
    np.testing.assert_allclose(axes @ axes.T, np.eye(7), atol=1e-10)


def test_few_components_of_many_genes_are_the_same(adata, truth, fit):
    # One of 30 genes is found by Lanczos, two by a full reduction.
    cells = fit(MeanShift, adata).cells()
    one, two = principal_components(cells, 1, 50), principal_components(cells, 2, 50)
    np.testing.assert_allclose(np.abs(one[0] @ two[0]), 1, atol=1e-10)
    np.testing.assert_array_equal(one, principal_components(cells, 1, 50))
    np.testing.assert_allclose(np.abs(one[0] @ axes_of(truth.x, 1)[0]), 1, atol=1e-10)


def test_rows_beyond_the_rank_are_zero(adata, truth, fit):
    rows = [np.flatnonzero(truth.rows(*group))[:3] for group in (("control", "B"), ("ifn", "NK"))]
    few = adata[np.concatenate(rows)].copy()
    axes = principal_components(fit(MeanShift, few).cells(), 10, 50)
    assert (np.linalg.norm(axes, axis=1) > 0.5).sum() == 5
    assert not axes[5:].any()


def test_constant_data_have_no_components(adata, fit, values):
    adata.X = np.full(adata.shape, 0.7, dtype=np.float32)
    model = fit(PCAShift, adata, n_components=5)
    np.testing.assert_allclose(values(model.predict(labels="T", **ASK)), 0.7, atol=1e-6)


def test_a_number_of_components_is_needed(adata, fit):
    with pytest.raises(DataError, match="n_components=0 must be at least 1"):
        fit(PCAShift, adata, n_components=0)


def test_the_file_fits_cells_of_another_number(adata, truth, fit, values, tmp_path):
    fit(PCAShift, adata).save(tmp_path)
    few = adata[truth.rows("control")].copy()
    loaded = PCAShift.load(tmp_path, few)
    assert loaded.n_components == adata.n_vars
    assert values(loaded.predict(**ASK)).shape == (few.n_obs, few.n_vars)
