"""The simulator as a whole: its shape, its truth, its moments, how strong the response is."""

import random

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from altercell.data import get_space
from altercell.datasets import simulate_response, true_mean
from altercell.errors import DataError, GroupError

SMALL = {"n_cells": 300, "n_genes": 60, "n_types": 3}


@pytest.fixture(scope="module")
def cells() -> anndata.AnnData:
    """Cells of the default settings."""
    return simulate_response()


@pytest.fixture(scope="module")
def many() -> anndata.AnnData:
    """Few groups of many cells, for moments."""
    return simulate_response(12_000, 80, 2, ("control", "a", "b"), n_batches=2, batch_spread=0.4, seed=3)


def log_data(adata: anndata.AnnData) -> np.ndarray:
    x = adata.X.toarray()
    return np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))


def of(adata: anndata.AnnData, kind: str, condition: str) -> np.ndarray:
    return ((adata.obs["cell_type"] == kind) & (adata.obs["condition"] == condition)).to_numpy()


def test_shape_and_columns(cells):
    assert cells.shape == (2_000, 500)
    assert list(cells.obs.columns) == ["condition", "cell_type", "batch", "library"]
    assert list(cells.var.columns) == ["base_mean", "dispersion", "marker_of", "shared_lfc_stimulated"]
    assert list(cells.obs["condition"].cat.categories) == ["control", "stimulated"]
    assert list(cells.obs["cell_type"].cat.categories) == [f"type_{i}" for i in range(5)]
    assert cells.obs_names.is_unique
    assert cells.var_names.is_unique
    assert not {name for name in cells.layers if name is not None}


def test_x_holds_whole_counts(cells):
    assert sparse.isspmatrix_csr(cells.X)
    assert cells.X.dtype == np.float32
    assert not np.mod(cells.X.data, 1).any()
    assert get_space(cells) == "counts"
    assert cells.uns["altercell"]["space"] == "counts"


def test_truth_has_its_shapes(many):
    truth = many.uns["truth"]
    assert truth["log_fold_change"].shape == (2, 3, 80)
    assert truth["profile"].shape == (2, 3, 80)
    assert truth["type_effect"].shape == (2, 80)
    assert truth["batch_effect"].shape == (2, 80)
    np.testing.assert_array_equal(truth["lineage_of"], [0, 1])
    assert list(truth["conditions"]) == ["control", "a", "b"]
    assert list(truth["genes"]) == list(many.var_names)
    np.testing.assert_allclose(truth["profile"].sum(axis=-1), 1.0)


def test_control_does_not_respond_and_the_others_differ(many):
    lfc = many.uns["truth"]["log_fold_change"]
    assert not lfc[:, 0].any()
    np.testing.assert_array_equal((lfc[:, 1:] != 0).sum(axis=-1), round(0.15 * 80))
    assert not np.array_equal(lfc[:, 1] != 0, lfc[:, 2] != 0)


def test_var_holds_what_all_types_share(cells):
    lfc = cells.uns["truth"]["log_fold_change"][:, 1]
    common = np.where((lfc == lfc[0]).all(axis=0), lfc[0], 0.0)
    np.testing.assert_array_equal(cells.var["shared_lfc_stimulated"], common)
    # 15 % of 500 genes, less the 35 % of them that are specific.
    assert np.count_nonzero(common) == 75 - 26


def test_profiles_follow_the_log_fold_changes_up_to_a_constant(many):
    simple = simulate_response(**SMALL, seed=5).uns["truth"]
    log_ratio = np.log(simple["profile"][:, 1] / simple["profile"][:, 0])
    offset = log_ratio - simple["log_fold_change"][:, 1]
    np.testing.assert_allclose(offset - offset[:, :1], 0.0, atol=1e-12)


def test_without_a_response_the_conditions_are_alike():
    truth = simulate_response(**SMALL, response_share=0.0).uns["truth"]
    np.testing.assert_allclose(truth["profile"][:, 1], truth["profile"][:, 0])


def test_mean_counts_meet_the_truth_in_every_group(many):
    alpha = many.var["dispersion"].to_numpy()
    for kind in many.obs["cell_type"].cat.categories:
        for condition in many.obs["condition"].cat.categories:
            group = many[of(many, kind, condition)]
            library = group.obs["library"].to_numpy()
            mean = np.asarray(group.X.sum(axis=0)).ravel()
            # Batches are the same size, so that their average profile holds for the group.
            expected = true_mean(many, kind, condition, target_sum=1.0)
            variance = library.sum() * expected + (alpha + 0.4**2) * (library**2).sum() * expected**2
            z = (mean - library.sum() * expected) / np.sqrt(variance)
            assert np.abs(z).max() < 5
            assert z.std() < 1.5


def test_variance_is_that_of_the_negative_binomial():
    one = simulate_response(20_000, 40, 1, library_spread=0.0, response_share=0.0, dispersion=0.4, seed=2)
    mean = 1_500.0 * true_mean(one, "type_0", "control", target_sum=1.0)
    variance = mean + one.var["dispersion"].to_numpy() * mean**2
    x = one.X.toarray().astype(float)
    frequent = mean > 1
    assert frequent.sum() > 20
    np.testing.assert_allclose(x.var(axis=0)[frequent], variance[frequent], rtol=0.25)
    np.testing.assert_allclose(np.mean(x.var(axis=0)[frequent] / variance[frequent]), 1.0, atol=0.03)


def test_library_is_the_expected_total(many):
    library, total = many.obs["library"].to_numpy(), np.asarray(many.X.sum(axis=1)).ravel()
    assert (total / library).mean() == pytest.approx(1.0, abs=0.02)
    assert np.median(library) == pytest.approx(1_500, rel=0.03)
    assert np.log(library).std() == pytest.approx(0.45, rel=0.03)


def test_batches_shift_genes_as_the_truth_says(many):
    control = many[(many.obs["condition"] == "control").to_numpy()]
    sums = [
        np.asarray(control[(control.obs["batch"] == b).to_numpy()].X.sum(axis=0)).ravel()
        for b in ("batch_0", "batch_1")
    ]
    frequent = np.minimum(*sums) > 500
    effect = many.uns["truth"]["batch_effect"]
    assert np.corrcoef(np.log(sums[1] / sums[0])[frequent], (effect[1] - effect[0])[frequent])[0, 1] > 0.95


def test_one_batch_has_no_effect(cells):
    assert not cells.uns["truth"]["batch_effect"].any()
    assert list(cells.obs["batch"].cat.categories) == ["batch_0"]


def test_cells_are_spread_as_asked():
    adata = simulate_response(1_000, 20, 2, n_batches=5, type_shares=[3, 1], seed=1)
    table = pd.crosstab(adata.obs["cell_type"], [adata.obs["condition"], adata.obs["batch"]])
    assert (table.loc["type_0"].between(74, 76)).all()
    assert (table.loc["type_1"].between(24, 26)).all()


def test_the_same_seed_gives_the_same_cells():
    first, second = simulate_response(**SMALL, seed=4), simulate_response(**SMALL, seed=4)
    assert (first.X != second.X).nnz == 0
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert (simulate_response(**SMALL, seed=5).X != first.X).nnz > 0


def test_no_seed_gives_other_cells_each_time():
    assert (simulate_response(**SMALL, seed=None).X != simulate_response(**SMALL, seed=None).X).nnz > 0


def test_more_cells_or_batches_leave_genes_and_response_alone():
    first = simulate_response(**SMALL, seed=4)
    more = simulate_response(**{**SMALL, "n_cells": 700}, n_batches=3, seed=4)
    np.testing.assert_array_equal(first.uns["truth"]["log_fold_change"], more.uns["truth"]["log_fold_change"])
    pd.testing.assert_frame_equal(first.var, more.var)


def test_another_condition_leaves_the_first_ones_alone():
    first = simulate_response(**SMALL)
    more = simulate_response(**SMALL, conditions=("control", "stimulated", "third"))
    np.testing.assert_array_equal(first.uns["truth"]["log_fold_change"], more.uns["truth"]["log_fold_change"][:, :2])


def test_global_generators_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    simulate_response(**SMALL)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_types_are_nearer_within_a_lineage():
    profile = np.log(simulate_response(n_types=4, n_cells=400, seed=2).uns["truth"]["profile"][:, 0])
    apart = np.abs(profile[:, None] - profile[None]).mean(axis=-1)
    assert max(apart[0, 2], apart[1, 3]) < 0.7 * min(apart[0, 1], apart[0, 3], apart[1, 2], apart[2, 3])


def test_one_lineage_shares_nothing_more():
    lfc = simulate_response(400, 200, 4, n_lineages=1, specific_share=1.0).uns["truth"]["log_fold_change"][:, 1]
    alike = (lfc[:, None] == lfc[None]) & (lfc != 0)
    np.testing.assert_array_equal(alike.sum(axis=-1), 30 * np.eye(4))


def test_one_type_is_its_own_lineage():
    assert list(simulate_response(50, 20, 1).uns["truth"]["lineage_of"]) == [0]


def test_types_are_separable(cells):
    control = cells[(cells.obs["condition"] == "control").to_numpy()]
    forest = RandomForestClassifier(100, random_state=0)
    accuracy = cross_val_score(forest, log_data(control), control.obs["cell_type"].astype(str), cv=3).mean()
    assert accuracy > 0.85


def test_strength_of_the_response_is_as_documented(cells):
    """No change is poor; the mean difference of the other types is good, and not perfect."""
    x = log_data(cells)
    types = list(cells.obs["cell_type"].cat.categories)
    mean = {(t, c): x[of(cells, t, c)].mean(axis=0) for t in types for c in ("control", "stimulated")}
    delta = {t: mean[t, "stimulated"] - mean[t, "control"] for t in types}
    others = {t: np.mean([delta[u] for u in types if u != t], axis=0) for t in types}
    no_change = np.mean([(delta[t] ** 2).mean() for t in types])
    mean_delta = np.mean([((delta[t] - others[t]) ** 2).mean() for t in types])
    pearson = np.mean([np.corrcoef(delta[t], others[t])[0, 1] for t in types])
    assert 0.1 < no_change < 0.3
    assert 0.25 < mean_delta / no_change < 0.65
    assert 0.65 < pearson < 0.9


def test_cells_come_back_from_a_file(tmp_path):
    adata = simulate_response(**SMALL, conditions=("control", "1/2 dose"), n_batches=2)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert (back.X != adata.X).nnz == 0
    pd.testing.assert_frame_equal(back.obs, adata.obs, check_dtype=False, check_categorical=False)
    assert "shared_lfc_1_2 dose" in back.var
    np.testing.assert_array_equal(true_mean(back, "type_1", "1/2 dose"), true_mean(adata, "type_1", "1/2 dose"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_cells": 0}, "n_cells must be a whole number"),
        ({"n_genes": 2.5}, "n_genes must be a whole number"),
        ({"n_batches": 0}, "n_batches must be a whole number"),
        ({"n_lineages": 0}, "n_lineages must be a whole number"),
        ({"library_size": 0.0}, "library_size must be a finite number larger than 0"),
        ({"dispersion": -1.0}, "dispersion must be a finite number larger than 0"),
        ({"response_size": -0.1}, "response_size must be a finite number 0 or larger"),
        ({"low_bias": float("nan")}, "low_bias must be a finite number"),
        ({"specific_share": 1.2}, "specific_share must lie between 0 and 1"),
        ({"lineage_similarity": -0.2}, "lineage_similarity must lie between 0 and 1"),
        ({"marker_share": 0.6}, "marker_share=0.6 gives each of"),
        ({"type_shares": [1, 2]}, "type_shares must be 3 positive numbers"),
        ({"n_cells": 5}, r"n_cells=5 leaves type_\d without a cell in condition"),
        ({"type_shares": [1, 1, 1e-4]}, "leaves type_2 without a cell in condition"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(DataError, match=message):
        simulate_response(**{**SMALL, **change})


@pytest.mark.parametrize("conditions", [("control",), ("a", "a"), "control"])
def test_bad_conditions_are_named(conditions):
    with pytest.raises(GroupError, match="conditions must be"):
        simulate_response(**SMALL, conditions=conditions)
