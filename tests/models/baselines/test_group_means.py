"""Tests of the means by condition and type."""

import numpy as np
import pytest
from scipy import sparse

from altercell.models.baselines import StimulatedMean
from altercell.models.baselines._group_means import group_sums


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_sums_are_numpys(adata, fit, form, batch_size):
    dense = adata.X.toarray()
    adata.X = form(dense)
    cells = fit(StimulatedMean, adata).cells()
    groups = np.random.default_rng(0).integers(0, 5, adata.n_obs)
    groups[groups == 3] = 4  # a group without cells
    want = np.stack([dense[groups == group].astype(np.float64).sum(0) for group in range(6)])
    got = group_sums(cells, groups, 6, batch_size)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-13)
    assert not got[3].any()


def test_sums_do_not_lose_small_values_beside_large_ones(fit, adata):
    # In float32 adding 1 to 2^24 changes nothing.
    values = np.ones((adata.n_obs, adata.n_vars), dtype=np.float32)
    values[0] = 2.0**24
    adata.X = values
    cells = fit(StimulatedMean, adata).cells()
    got = group_sums(cells, np.zeros(adata.n_obs, dtype=int), 1, 10)
    np.testing.assert_array_equal(got, np.full((1, adata.n_vars), 2.0**24 + adata.n_obs - 1))


def test_no_cells_give_zeros(fit, adata):
    model = fit(StimulatedMean, adata)
    none = model.cells(rows=np.array([], dtype=int))
    np.testing.assert_array_equal(group_sums(none, np.array([], dtype=int), 2, 10), np.zeros((2, adata.n_vars)))


def test_the_fitted_means_are_the_groups_means(adata, truth, fit):
    model = fit(StimulatedMean, adata)
    for code, condition in enumerate(model.schema.conditions):
        for kind, label in enumerate(model.schema.labels):
            got = model._type_means(code)[kind]
            want = truth.mean(condition, label) if truth.rows(condition, label).any() else np.zeros(adata.n_vars)
            np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_second_training_forgets_the_first(adata, truth, fit):
    model = fit(StimulatedMean, adata)
    before = model._type_means(0)
    model.train()
    np.testing.assert_allclose(model._type_means(0), before, atol=1e-7)
    assert model._group_sizes().sum() == adata.n_obs


def test_weights(adata, truth, fit):
    types = np.array([0, 2])  # B and NK
    balanced = fit(StimulatedMean, adata.copy())._mean(0, types)
    np.testing.assert_allclose(balanced, (truth.mean("control", "B") + truth.mean("control", "NK")) / 2, atol=1e-6)
    unbalanced = fit(StimulatedMean, adata.copy(), weighting="unbalanced")._mean(0, types)
    pooled = np.concatenate([truth.cells("control", "B"), truth.cells("control", "NK")]).mean(0)
    np.testing.assert_allclose(unbalanced, pooled, atol=1e-6)
    assert np.abs(balanced - unbalanced).max() > 1e-3
