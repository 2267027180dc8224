"""The data of the checks: what they hold, and that nobody's change reaches the next."""

import numpy as np
import pytest
from scipy import sparse

from altercell.data import get_space
from altercell.testing._data import (
    HELD_OUT,
    SOURCE,
    TARGET,
    THIRD,
    as_mudata,
    dense,
    learnable,
    set_totals,
    simulated,
    tiny,
    with_values,
)


@pytest.mark.parametrize(("data", "space"), [("log", "log1p of counts per 10,000"), ("counts", "counts")])
def test_the_training_cells(data, space):
    adata = tiny(data)
    assert adata.shape == (200, 50)
    assert adata.X.dtype == np.float32
    assert isinstance(adata.X, np.ndarray)
    assert get_space(adata) == space
    del adata.uns["altercell"]
    assert get_space(adata) == space


@pytest.mark.parametrize("data", ["log", "counts"])
def test_a_combination_is_held_out(data):
    groups = set(zip(tiny(data).obs["condition"], tiny(data).obs["cell_type"], strict=True))
    assert len(groups) == 7
    assert (TARGET, HELD_OUT) not in groups
    assert (SOURCE, HELD_OUT) in groups
    real = simulated(data)[~simulated(data).obs_names.isin(tiny(data).obs_names)].copy()
    assert real.n_obs == 28
    assert set(real.obs["condition"]) == {TARGET}
    assert set(real.obs["cell_type"]) == {HELD_OUT}


def test_log_and_counts_are_the_same_cells():
    log, counts = tiny("log"), tiny("counts")
    np.testing.assert_array_equal(log.layers["counts"].toarray(), counts.X)
    expected = np.log1p(counts.X / counts.X.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(log.X, expected, rtol=1e-5)
    np.testing.assert_allclose(counts.obs["size_factor"], counts.X.sum(axis=1))


def test_a_third_condition_can_be_asked_for():
    assert set(simulated("log", (SOURCE, TARGET, THIRD)).obs["condition"]) == {SOURCE, TARGET, THIRD}


def test_changes_do_not_reach_the_next_copy():
    first = tiny("log")
    first.X[:] = -1
    first.uns["note"]["list"].append(3)
    assert (tiny("log").X >= 0).all()
    assert tiny("log").uns["note"]["list"] == [1, 2]


def test_there_is_something_to_leave_untouched():
    adata = tiny("log")
    assert "counts" in adata.layers
    assert "X_note" in adata.obsm
    assert {"donor", "size_factor"} <= set(adata.obs)
    assert "note" in adata.uns


def test_the_learnable_cells():
    adata = learnable("log")
    assert adata.shape == (1_000, 100)
    assert learnable("log") is adata


def test_other_values_leave_the_first_as_they_were():
    adata = tiny("log")
    changed = with_values(adata, sparse.csr_matrix(adata.X))
    assert sparse.issparse(changed.X)
    assert isinstance(adata.X, np.ndarray)
    np.testing.assert_array_equal(dense(changed.X), adata.X)


def test_a_mudata_of_the_same_cells():
    adata = tiny("log")
    mdata = as_mudata(adata)
    assert set(mdata.mod) == {"rna", "protein"}
    assert list(mdata.obs_names) == list(adata.obs_names)
    assert mdata["rna"].X is not adata.X
    assert mdata["protein"].n_vars == 2


def test_totals_follow_changed_counts_only():
    for data, expected in (("counts", 50.0), ("log", None)):
        adata = tiny(data)
        before = adata.obs["size_factor"].to_numpy(copy=True)
        adata.X[:] = 1
        set_totals(adata, data)
        np.testing.assert_array_equal(adata.obs["size_factor"], before if expected is None else expected)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_values_of_any_form_become_dense(form):
    values = np.array([[0.0, 1.0], [2.0, 0.0]])
    assert isinstance(dense(form(values)), np.ndarray)
    np.testing.assert_array_equal(dense(form(values)), values)
