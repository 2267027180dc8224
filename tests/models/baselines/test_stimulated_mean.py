"""Tests of the mean of the other types' target cells."""

import numpy as np

from altercell.models import StimulatedMean

ASK = {"source": "control", "target": "ifn"}


def test_every_cell_is_the_mean_of_the_other_types_means(adata, truth, fit, values):
    pred = values(fit(StimulatedMean, adata).predict(labels="T", **ASK))
    want = np.mean([truth.mean("ifn", kind) for kind in ("B", "Mono", "NK")], axis=0)
    np.testing.assert_allclose(pred, np.tile(want, (len(pred), 1)), atol=1e-6)


def test_the_own_type_is_left_out_where_it_was_trained(full, full_truth, fit, values):
    pred = values(fit(StimulatedMean, full).predict(labels="B", **ASK))
    want = np.mean([full_truth.mean("ifn", kind) for kind in ("Mono", "NK", "T")], axis=0)
    np.testing.assert_allclose(pred[0], want, atol=1e-6)


def test_unbalanced_counts_every_cell_alike(adata, truth, fit, values):
    pred = values(fit(StimulatedMean, adata, weights="unbalanced").predict(labels="T", **ASK))
    np.testing.assert_allclose(pred[0], truth.mean("ifn"), atol=1e-6)  # no T cell is in ifn


def test_several_types_at_once_each_without_itself(full, full_truth, fit, values):
    pred = fit(StimulatedMean, full).predict(labels=["B", "NK"], batch_size=5, **ASK)
    for own, others in (("B", ("Mono", "NK", "T")), ("NK", ("B", "Mono", "T"))):
        want = np.mean([full_truth.mean("ifn", kind) for kind in others], axis=0)
        got = values(pred)[(pred.obs["cell_type"] == own).to_numpy()]
        np.testing.assert_allclose(got, np.tile(want, (len(got), 1)), atol=1e-6)


def test_any_two_conditions(adata, truth, fit, values):
    pred = values(fit(StimulatedMean, adata).predict(source="ifn", target="lps", labels="Mono"))
    want = np.mean([truth.mean("lps", kind) for kind in ("B", "NK", "T")], axis=0)
    np.testing.assert_allclose(pred[0], want, atol=1e-6)
    assert len(pred) == truth.rows("ifn", "Mono").sum()


def test_an_unseen_type_takes_all(adata, truth, fit, values):
    model = fit(StimulatedMean, adata)
    other = adata[truth.rows("control", "B")].copy()
    other.obs["cell_type"] = "new"
    want = np.mean([truth.mean("ifn", kind) for kind in ("B", "Mono", "NK")], axis=0)
    np.testing.assert_allclose(values(model.predict(other, **ASK))[0], want, atol=1e-6)


def test_without_labels_it_is_the_target_mean(adata, truth, fit, values):
    pred = values(fit(StimulatedMean, adata, labels_key=None).predict(**ASK))
    np.testing.assert_allclose(pred[0], truth.mean("ifn"), atol=1e-6)


def test_it_says_that_there_is_no_variance(adata, fit):
    trust = fit(StimulatedMean, adata).predict(labels="T", **ASK).uns["altercell"]["trust"]
    assert "all cells of a type are predicted alike: there is no variance" in list(trust)
