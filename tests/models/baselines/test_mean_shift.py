"""Tests of the mean difference in gene space."""

import numpy as np
import pytest

from altercell.models import MeanShift

ASK = {"source": "control", "target": "ifn"}


def test_the_held_out_type_takes_the_mean_of_the_others_differences(adata, truth, fit, values):
    pred = values(fit(MeanShift, adata).predict(labels="T", **ASK))
    want = truth.cells("control", "T") + truth.delta("ifn", ("B", "Mono", "NK"))
    np.testing.assert_allclose(pred, want, atol=1e-6)


def test_the_own_type_never_takes_part(full, full_truth, fit, values):
    pred = values(fit(MeanShift, full.copy()).predict(labels="B", **ASK))
    want = full_truth.cells("control", "B") + full_truth.delta("ifn", ("Mono", "NK", "T"))
    np.testing.assert_allclose(pred, want, atol=1e-6)
    # Changing the own type's target cells changes nothing.
    other = full.copy()
    values_of = other.X.toarray()
    values_of[full_truth.rows("ifn", "B")] += 5
    other.X = values_of
    np.testing.assert_allclose(values(fit(MeanShift, other).predict(labels="B", **ASK)), pred, atol=1e-6)


def test_types_of_one_condition_do_not_take_part(adata, truth, fit, values):
    # T has control cells only: for B the others in both conditions are Mono and NK.
    pred = values(fit(MeanShift, adata).predict(labels="B", **ASK))
    want = truth.cells("control", "B") + truth.delta("ifn", ("Mono", "NK"))
    np.testing.assert_allclose(pred, want, atol=1e-6)


def test_unbalanced_counts_every_cell_alike(adata, truth, fit, values):
    pred = values(fit(MeanShift, adata, weights="unbalanced").predict(labels="T", **ASK))
    pooled = [np.concatenate([truth.cells(c, k) for k in ("B", "Mono", "NK")]).mean(0) for c in ("control", "ifn")]
    np.testing.assert_allclose(pred, truth.cells("control", "T") + pooled[1] - pooled[0], atol=1e-6)


def test_without_labels_it_is_the_difference_of_the_conditions(adata, truth, fit, values):
    for weights in ("balanced", "unbalanced"):
        pred = values(fit(MeanShift, adata.copy(), labels_key=None, weights=weights).predict(**ASK))
        want = truth.cells("control") + truth.mean("ifn") - truth.mean("control")
        np.testing.assert_allclose(pred, want, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), [("ifn", "control"), ("ifn", "lps"), ("lps", "ifn")])
def test_any_two_of_three_conditions(full, full_truth, fit, values, source, target):
    pred = values(fit(MeanShift, full).predict(source=source, target=target, labels="NK"))
    deltas = [full_truth.mean(target, kind) - full_truth.mean(source, kind) for kind in ("B", "Mono", "T")]
    np.testing.assert_allclose(pred, full_truth.cells(source, "NK") + np.mean(deltas, axis=0), atol=1e-6)


def test_several_types_in_one_call(full, full_truth, fit, values):
    pred = fit(MeanShift, full).predict(labels=["T", "Mono"], batch_size=6, **ASK)
    for own, others in (("T", ("B", "Mono", "NK")), ("Mono", ("B", "NK", "T"))):
        got = values(pred)[(pred.obs["cell_type"] == own).to_numpy()]
        want = full_truth.cells("control", own) + full_truth.delta("ifn", others)
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_an_unseen_type_takes_all_others(adata, truth, fit, values):
    model = fit(MeanShift, adata)
    other = adata[truth.rows("control", "B")].copy()
    other.obs["cell_type"] = "new"
    pred = model.predict(other, labels="new", **ASK)
    want = truth.cells("control", "B") + truth.delta("ifn", ("B", "Mono", "NK"))
    np.testing.assert_allclose(values(pred), want, atol=1e-6)
    assert any("of a type that training has not seen" in doubt for doubt in pred.uns["altercell"]["trust"])


def test_a_missing_column_of_types_leaves_nothing_out(adata, truth, fit, values):
    model = fit(MeanShift, adata)
    other = adata[truth.rows("control", "B")].copy()
    del other.obs["cell_type"]
    want = truth.cells("control", "B") + truth.delta("ifn", ("B", "Mono", "NK"))
    np.testing.assert_allclose(values(model.predict(other, **ASK)), want, atol=1e-6)


def test_a_common_response_is_recovered(full, full_truth, fit, values):
    x, shift = full_truth.x.copy(), np.linspace(-0.5, 1, full.n_vars)
    x[full_truth.rows("ifn")] = 0
    for kind in ("B", "Mono", "NK", "T"):
        x[full_truth.rows("ifn", kind)] = full_truth.mean("control", kind) + shift
    full.X = x.astype(np.float32)
    pred = values(fit(MeanShift, full).predict(labels="Mono", **ASK))
    np.testing.assert_allclose(pred - full_truth.cells("control", "Mono"), np.tile(shift, (len(pred), 1)), atol=1e-5)


def test_a_type_that_training_has_seen_may_take_its_own_difference():
    import altercell as ac

    cells = ac.data.normalize(
        ac.datasets.simulate_response(n_cells=300, n_genes=40, n_types=3, specific_share=1.0, seed=0)
    )
    train, _ = ac.data.hold_out(cells, batch="stimulated", labels="type_2")
    ac.MeanShift.setup_anndata(train, batch_key="condition", labels_key="cell_type")
    own, others = ac.MeanShift(train, own_type=True), ac.MeanShift(train)
    own.train()
    others.train()

    def moved(model, label):
        answer = model.predict(source="control", target="stimulated", labels=label)
        return np.asarray(answer.X - train[answer.obs_names].X).mean(0)

    def mean(condition):
        member = (train.obs["condition"] == condition) & (train.obs["cell_type"] == "type_0")
        return np.asarray(train[member].X.mean(0)).ravel()

    np.testing.assert_allclose(moved(own, "type_0"), mean("stimulated") - mean("control"), atol=1e-5)
    assert np.abs(moved(own, "type_0") - moved(others, "type_0")).max() > 0.01
    # One that it has not seen under the target is moved as ever.
    np.testing.assert_allclose(moved(own, "type_2"), moved(others, "type_2"), atol=1e-6)
