"""Tests of what all shifts share: clipping and what they say of themselves."""

import numpy as np
import pytest

from altercell.models import MeanShift, PCAShift, RidgeShift

ASK = {"source": "control", "target": "ifn"}
NEGATIVE = "values can be negative where a gene goes down; clip=True sets them to 0 and moves the means"
every = pytest.mark.parametrize("cls", [MeanShift, PCAShift, RidgeShift])


@every
def test_values_are_not_clipped_unless_asked(cls, adata, fit, values):
    raw = fit(cls, adata.copy()).predict(labels="T", **ASK)
    clipped = fit(cls, adata.copy(), clip=True).predict(labels="T", **ASK)
    assert values(raw).min() < -0.05
    np.testing.assert_array_equal(values(clipped), np.maximum(values(raw), 0))
    assert NEGATIVE in list(raw.uns["altercell"]["trust"])
    assert NEGATIVE not in list(clipped.uns["altercell"]["trust"])


@every
def test_one_vector_is_added_to_every_cell_of_a_type(cls, adata, truth, fit, values):
    pred = fit(cls, adata).predict(**ASK)
    moved = values(pred) - truth.cells("control")
    for kind in ("B", "T"):
        own = moved[(pred.obs["cell_type"] == kind).to_numpy()]
        assert np.ptp(own, axis=0).max() < 1e-6
    first = moved[(pred.obs["cell_type"] == "B").to_numpy()][0]
    assert np.abs(first - moved[(pred.obs["cell_type"] == "T").to_numpy()][0]).max() > 0.01


@every
def test_there_and_back(cls, full, fit):
    model = fit(cls, full)
    codes = [model.schema.condition_code(name, "source") for name in ("control", "ifn")]
    there, back = model._delta(codes[0], codes[1], 0), model._delta(codes[1], codes[0], 0)
    if cls is not RidgeShift:  # which looks at other profiles on the way back
        np.testing.assert_allclose(there, -back, atol=1e-12)
    assert np.abs(there).max() > 0.1


@every
def test_counts_are_shifted_with_a_warning_in_the_answer(cls, adata, fit):
    adata.X = np.expm1(adata.X.toarray()).round()
    trust = list(fit(cls, adata).predict(labels="T", **ASK).uns["altercell"]["trust"])
    assert any("takes no account of a cell's total" in doubt for doubt in trust)


@every
def test_options_survive_the_model_file(cls, adata, fit, values, tmp_path):
    model = fit(cls, adata, clip=True)
    model.save(tmp_path)
    loaded = cls.load(tmp_path)
    assert loaded.clip
    np.testing.assert_array_equal(values(loaded.predict(adata, **ASK)), values(model.predict(**ASK)))


@every
def test_shifting_a_mean_is_the_mean_of_the_shifted(cls, adata, truth, fit, values):
    model = fit(cls, adata)
    kind = model.schema.label_code("T", "labels")
    delta = model._delta(*(model.schema.condition_code(ASK[name], name) for name in ("source", "target")), kind)
    got = values(model.predict(labels="T", **ASK)).mean(0)
    np.testing.assert_allclose(got, truth.mean("control", "T") + delta, atol=1e-6)


def test_equal_deltas_for_equal_types(adata, fit):
    model = fit(MeanShift, adata)
    np.testing.assert_array_equal(
        model._delta(0, 1, -1), model._delta(0, 1, 3)
    )  # T is not in ifn: nothing to leave out
