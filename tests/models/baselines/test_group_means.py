"""Tests of the means by condition and type."""

import numpy as np

from altercell.models.baselines import StimulatedMean


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
    unbalanced = fit(StimulatedMean, adata.copy(), weights="unbalanced")._mean(0, types)
    pooled = np.concatenate([truth.cells("control", "B"), truth.cells("control", "NK")]).mean(0)
    np.testing.assert_allclose(unbalanced, pooled, atol=1e-6)
    assert np.abs(balanced - unbalanced).max() > 1e-3
