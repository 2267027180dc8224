"""C12: a pipeline, or a model, that looks at held-out cells is caught."""

import numpy as np
import pytest

from altercell.data import hold_out
from altercell.testing import _leak
from altercell.testing._data import HELD_OUT, SOURCE, TARGET, simulated
from altercell.testing._leak import _changed, _held

from .suite import Net, Shift, assert_caught, outcome_of, subject_of


class Constant(Shift):
    def _predicted(self, cells, request):
        yield np.ones((len(cells), cells.n_genes), dtype=np.float32)


class ReadsTheTarget(Shift):
    """It looks for target cells among those that it is given."""

    def _delta(self, source, target, own):
        return self.found if self.found is not None else super()._delta(source, target, own)

    def predict(self, adata=None, *, source, target, labels=None, **kwargs):
        self.found = None
        if adata is not None:
            there = ((adata.obs["condition"] == target) & (adata.obs["cell_type"] == labels)).to_numpy()
            self.found = adata.X[there].mean(axis=0)
        return super().predict(adata, source=source, target=target, labels=labels, **kwargs)


def test_a_split_that_holds_nothing_out_is_caught(monkeypatch):
    monkeypatch.setattr(_leak, "hold_out", lambda adata, **kwargs: (adata.copy(), hold_out(adata, **kwargs)[1]))
    assert_caught("C12-held-out-values", Net, "the prediction after change 0 of the held-out cells: .* differ")


def test_genes_chosen_with_the_held_out_cells_in_view_are_caught(monkeypatch):
    seen = {}

    def split(adata, **kwargs):
        seen["all"] = adata
        return hold_out(adata, **kwargs)

    def select(train, n_top):
        order = np.argsort(-seen["all"].X.var(axis=0), kind="stable")[:n_top]
        return train[:, np.sort(order)].copy()

    monkeypatch.setattr(_leak, "hold_out", split)
    monkeypatch.setattr(_leak, "select_genes", select)
    assert_caught("C12-held-out-values", Shift, "(var_names|X) differ")


def test_a_constant_prediction_cannot_show_a_leak():
    assert_caught(
        "C12-training-values-count", Constant, "predictions from other training cells: the answers are the same"
    )


def test_a_model_that_reads_given_target_cells_is_caught():
    assert_caught("C12-target-cells-given", ReadsTheTarget, "predict after change 0 of given target cells: X differ")


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("data", ["log", "counts"])
def test_only_the_held_out_values_are_changed(data, number):
    before, after = simulated(data), _changed(subject_of(Shift, data=data), number)
    held = _held(before)
    assert held.sum() == 28
    assert set(before.obs.loc[held, "cell_type"]) == {HELD_OUT}
    assert set(before.obs.loc[held, "condition"]) == {TARGET}
    np.testing.assert_array_equal(before.X[~held], after.X[~held])
    assert (before.X[held] != after.X[held]).any(axis=1).mean() > 0.9
    assert (before.obs["condition"] == SOURCE).any()


@pytest.mark.parametrize("check_id", ["C12-held-out-values", "C12-training-values-count", "C12-target-cells-given"])
def test_a_sound_model_passes(check_id):
    assert outcome_of(check_id, Shift).status == "passed"
