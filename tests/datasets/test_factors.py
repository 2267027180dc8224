"""Four factors: each is found again in the counts as the truth says, and none enters another."""

import random

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import altercell as ac
from altercell.datasets import simulate_factors, simulate_response, true_mean
from altercell.errors import DataError

SMALL = {"n_cells": 240, "n_genes": 40, "n_steps": 5}


@pytest.fixture(scope="module")
def many() -> anndata.AnnData:
    """Few genes and groups, many cells, for moments."""
    return simulate_factors(24_000, 60, n_steps=3, batch_scale=0.3, library_size=3_000, seed=3)


def shares(adata: anndata.AnnData, cells: pd.Series | np.ndarray) -> np.ndarray:
    """Summed counts of some cells, divided by their summed expected totals."""
    part = adata[np.asarray(cells)]
    return np.asarray(part.X.sum(axis=0)).ravel() / part.obs["library"].sum()


def test_shape_and_columns():
    adata = simulate_factors(**SMALL)
    assert adata.shape == (240, 40)
    assert list(adata.obs.columns) == ["batch", "path", "step", "library"]
    assert list(adata.obs["batch"].cat.categories) == ["batch_0", "batch_1"]
    assert list(adata.obs["path"].cat.categories) == ["path_0", "path_1"]
    assert adata.obs["step"].dtype == np.int64
    assert sorted(adata.obs["step"].unique()) == [0, 1, 2, 3, 4]
    assert list(adata.var.columns) == ["base_mean", "bcv_scale"]
    assert adata.var["base_mean"].sum() == pytest.approx(1e4)
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    assert not np.mod(adata.X.data, 1).any()
    assert adata.uns["altercell"]["space"] == "counts"


def test_the_defaults_are_those_of_the_paper():
    adata = simulate_factors()
    assert adata.shape == (10_000, 2_000)
    table = adata.obs.groupby(["batch", "path", "step"], observed=False).size()
    assert (len(table), table.min(), table.max()) == (80, 125, 125)


def test_truth_has_its_shapes_and_parts():
    truth = simulate_factors(**SMALL, n_batches=3).uns["truth"]
    assert truth["profile"].shape == (3, 2, 5, 40)
    assert truth["batch_factor"].shape == (3, 40)
    assert truth["path_factor"].shape == (2, 5, 40)
    assert list(truth["batches"]) == ["batch_0", "batch_1", "batch_2"]
    assert list(truth["paths"]) == ["path_0", "path_1"]
    assert len(truth["genes"]) == 40
    np.testing.assert_allclose(truth["profile"].sum(axis=-1), 1.0)


def test_the_profile_is_base_times_batch_times_path():
    adata = simulate_factors(**SMALL, step="nonlinear")
    truth = adata.uns["truth"]
    product = adata.var["base_mean"].to_numpy() * truth["batch_factor"][:, None, None] * truth["path_factor"]
    np.testing.assert_allclose(truth["profile"], product / product.sum(axis=-1, keepdims=True))


def test_a_linear_step_is_linear_and_a_nonlinear_one_is_not():
    linear, curved = (
        simulate_factors(**SMALL, step=step).uns["truth"]["path_factor"] for step in ("linear", "nonlinear")
    )
    bend = {name: np.abs(np.diff(f, n=2, axis=1)).max(axis=1) for name, f in [("linear", linear), ("curved", curved)]}
    assert bend["linear"].max() < 1e-12
    assert (bend["curved"] > 1e-3).mean() > 0.95
    # The two differ in the way alone: they begin and end alike.
    np.testing.assert_allclose(linear[:, [0, -1]], curved[:, [0, -1]])
    np.testing.assert_array_equal(linear[:, 0], 1.0)


def test_the_share_of_curved_genes_is_an_argument():
    factor = simulate_factors(400, 2_000, n_steps=5, step="nonlinear", curved_share=0.1).uns["truth"]["path_factor"]
    curved = np.abs(np.diff(factor, n=2, axis=1)).max(axis=1) > 1e-9
    assert curved.mean() == pytest.approx(0.1, abs=0.02)


def test_counts_meet_the_truth_in_every_group(many):
    truth = many.uns["truth"]
    codes = many.obs["batch"].cat.codes, many.obs["path"].cat.codes, many.obs["step"]
    for group in np.ndindex(2, 2, 3):
        cells = np.logical_and.reduce([code == level for code, level in zip(codes, group, strict=True)])
        library = many.obs["library"].to_numpy()[cells]
        expected = library.sum() * truth["profile"][group]
        mean = library[:, None] * truth["profile"][group]
        spread = many.var["bcv_scale"].to_numpy() * (truth["bcv"] + 1 / np.sqrt(mean))
        variance = (mean + (spread * mean) ** 2).sum(axis=0)
        z = (np.asarray(many[cells].X.sum(axis=0)).ravel() - expected) / np.sqrt(variance)
        assert np.abs(z).max() < 5
        assert 0.6 < z.std() < 1.4


def test_log_ratios_of_batches_are_the_batch_effect(many):
    batch = many.obs["batch"]
    observed = np.log(shares(many, batch == "batch_1") / shares(many, batch == "batch_0"))
    factor = np.log(many.uns["truth"]["batch_factor"])
    true = factor[1] - factor[0]
    frequent = (many.var["base_mean"] > 50).to_numpy()
    assert frequent.sum() > 15
    # Profiles sum to one, so that all log ratios are off by one constant.
    difference = (observed - true)[frequent]
    assert np.corrcoef(observed[frequent], true[frequent])[0, 1] > 0.98
    assert difference.std() < 0.1 * true[frequent].std()


def test_log_ratios_along_a_path_are_the_path_effect(many):
    last, first = many.obs["step"] == 2, many.obs["step"] == 0
    frequent = (many.var["base_mean"] > 50).to_numpy()
    for number, path in enumerate(many.obs["path"].cat.categories):
        here = many.obs["path"] == path
        observed = np.log(shares(many, here & last) / shares(many, here & first))[frequent]
        true = np.log(many.uns["truth"]["path_factor"][number, -1])[frequent]
        assert np.corrcoef(observed, true)[0, 1] > 0.97


def test_paths_are_one_at_the_origin_and_apart_at_the_end(many):
    profile = many.uns["truth"]["profile"]
    np.testing.assert_allclose(profile[:, 0, 0], profile[:, 1, 0])
    assert np.abs(np.log(profile[:, 0, -1] / profile[:, 1, -1])).mean() > 0.1


def test_library_is_log_normal_and_the_expected_total(many):
    library = many.obs["library"].to_numpy()
    assert np.median(library) == pytest.approx(3_000, rel=0.01)
    assert np.log(library).std() == pytest.approx(0.2, rel=0.03)
    total = np.asarray(many.X.sum(axis=1)).ravel()
    assert (total / library).mean() == pytest.approx(1.0, abs=0.01)
    assert np.corrcoef(total, library)[0, 1] > 0.3


def test_the_factors_are_independent(many):
    table = pd.crosstab(many.obs["batch"], [many.obs["path"], many.obs["step"]])
    assert (table == 2_000).all(axis=None)
    by = many.obs.groupby(["batch", "path", "step"], observed=True)["library"].mean()
    assert by.max() / by.min() < 1.05


def test_the_variation_is_found_again():
    plain = {"n_batches": 1, "factor_share": 0.0, "n_steps": 2, "bcv_freedom": 1e6, "outlier_share": 0.0}
    low, high = (simulate_factors(6_000, 100, **plain, bcv=bcv, library_size=20_000) for bcv in (0.1, 0.5))
    found = [simulate_factors(**SMALL, like=adata, bcv=None).uns["truth"]["bcv"] for adata in (low, high)]
    assert found == pytest.approx([0.1, 0.5], abs=0.05)


def test_like_gives_genes_means_and_library():
    like = simulate_response(2_000, 300, library_size=4_000, library_spread=0.6, seed=9)
    like.var_names = [f"G{i}" for i in range(300)]
    adata = simulate_factors(1_000, like=like, n_steps=5)
    assert adata.var_names.tolist() == like.var_names.tolist()
    measured = np.asarray(like.X.sum(axis=0)).ravel()
    np.testing.assert_allclose(adata.var["base_mean"], 1e4 * measured / measured.sum(), rtol=1e-6)
    assert np.median(adata.obs["library"]) == pytest.approx(4_000, rel=0.08)
    assert np.log(adata.obs["library"]).std() == pytest.approx(0.6, rel=0.1)
    assert adata.uns["truth"]["bcv"] == 0.1
    given = simulate_factors(1_000, 50, like=like, n_steps=5, library_size=900, library_spread=0.0)
    assert given.n_vars == 50
    np.testing.assert_allclose(given.obs["library"], 900)


def test_the_same_seed_gives_the_same_cells():
    first, second = (simulate_factors(**SMALL, step="nonlinear", seed=4) for _ in range(2))
    assert (first.X != second.X).nnz == 0
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert (simulate_factors(**SMALL, step="nonlinear", seed=5).X != first.X).nnz > 0
    assert (simulate_factors(**SMALL, seed=None).X != simulate_factors(**SMALL, seed=None).X).nnz > 0


def test_more_cells_batches_or_paths_leave_genes_and_effects_alone():
    first = simulate_factors(**SMALL, seed=4)
    more = simulate_factors(**{**SMALL, "n_cells": 700}, n_batches=3, n_paths=3, seed=4)
    pd.testing.assert_frame_equal(first.var, more.var)
    np.testing.assert_array_equal(first.uns["truth"]["batch_factor"], more.uns["truth"]["batch_factor"][:2])
    np.testing.assert_array_equal(first.uns["truth"]["path_factor"], more.uns["truth"]["path_factor"][:2])


def test_one_batch_has_no_effect():
    adata = simulate_factors(**SMALL, n_batches=1)
    np.testing.assert_array_equal(adata.uns["truth"]["batch_factor"], 1.0)


def test_global_generators_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    simulate_factors(**SMALL, step="nonlinear")
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_it_goes_through_normalize_and_a_file(tmp_path):
    adata = simulate_factors(**SMALL)
    log = ac.data.normalize(adata)
    assert log.uns["altercell"]["space"] == "log1p of counts per 10,000"
    log.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert (back.layers["counts"] != adata.X).nnz == 0
    np.testing.assert_array_equal(back.uns["truth"]["profile"], adata.uns["truth"]["profile"])


def test_it_has_no_response_to_read():
    with pytest.raises(DataError, match="no simulated truth of cell types under conditions"):
        true_mean(simulate_factors(**SMALL), "type_0", "control")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_cells": 0}, "n_cells must be a whole number"),
        ({"n_genes": 1.5}, "n_genes must be a whole number"),
        ({"n_paths": 0}, "n_paths must be a whole number"),
        ({"n_steps": 1}, "n_steps=1 leaves every path at its origin"),
        ({"n_cells": 19}, "n_cells=19 is too few: n_batches=2 x n_paths=2 x n_steps=5 make 20 groups"),
        ({"step": "cubic"}, "step='cubic' is unknown; there are 'linear', 'nonlinear'"),
        ({"factor_share": 1.5}, "factor_share must lie between 0 and 1"),
        ({"curved_share": -0.1}, "curved_share must lie between 0 and 1"),
        ({"factor_scale": -1.0}, "factor_scale must be a finite number 0 or larger"),
        ({"batch_location": float("nan")}, "batch_location must be a finite number"),
        ({"bcv": -0.1}, "bcv must be a finite number 0 or larger"),
        ({"bcv": None}, "bcv=None estimates the variation from measured counts"),
        ({"bcv_freedom": 0.0}, "bcv_freedom must be a finite number larger than 0"),
        ({"library_size": 0.0}, "library_size must be a finite number larger than 0"),
        ({"library_spread": -0.5}, "library_spread must be a finite number 0 or larger"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(DataError, match=message):
        simulate_factors(**{**SMALL, **change})


def test_as_many_cells_as_groups_fill_each():
    assert simulate_factors(20, 10, n_steps=5).obs.groupby(["batch", "path", "step"], observed=False).size().eq(1).all()
