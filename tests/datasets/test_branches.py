"""Branching trajectories: the tree, continuity, and counts that meet the truth."""

import random

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import altercell as ac
from altercell.datasets import simulate_branches, true_mean
from altercell.errors import DataError

SMALL = {"n_cells": 200, "n_genes": 40, "n_steps": 10}


@pytest.fixture(scope="module")
def many() -> anndata.AnnData:
    """Few steps of many cells, for moments."""
    return simulate_branches(24_000, 60, n_steps=4, library_spread=0.3, seed=3)


def test_shape_and_columns():
    adata = simulate_branches(**SMALL)
    assert adata.shape == (200, 40)
    assert list(adata.obs.columns) == ["branch", "time", "scale", "library"]
    assert list(adata.obs["branch"].cat.categories) == ["branch_0", "branch_1", "branch_2"]
    assert adata.obs["time"].dtype == np.int64
    assert list(adata.var.columns) == ["base_mean", "alpha", "beta"]
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    assert not np.mod(adata.X.data, 1).any()
    assert adata.uns["altercell"]["space"] == "counts"


@pytest.mark.parametrize(("n_cells", "n_branches", "each"), [(10_500, 3, 70), (10_800, 4, 54), (11_000, 5, 44)])
def test_the_papers_numbers_of_cells_fill_every_step_alike(n_cells, n_branches, each):
    obs = simulate_branches(n_cells, 5, n_branches=n_branches).obs
    table = obs.groupby(["branch", "time"], observed=True).size()
    assert len(table) == n_branches * 50
    assert (table == each).all()


def test_truth_has_its_shapes():
    truth = simulate_branches(**SMALL, n_branches=5).uns["truth"]
    n_programs = 5 * 2 + 11
    assert truth["mean"].shape == (5, 10, 40)
    assert truth["programs"].shape == (5, 10, n_programs)
    assert truth["coefficients"].shape == (n_programs, 40)
    assert truth["parent"].tolist() == [-1, 0, 0, 1, 1]
    assert truth["start"].tolist() == [0, 10, 10, 20, 20]
    assert list(truth["branches"]) == [f"branch_{i}" for i in range(5)]
    assert list(truth["genes"]) == [f"gene_{i}" for i in range(40)]


def test_expression_is_continuous_at_the_branch_points_and_parts_there():
    truth = simulate_branches(**SMALL, n_branches=5).uns["truth"]
    for child, parent in enumerate(truth["parent"]):
        if parent >= 0:
            np.testing.assert_allclose(truth["mean"][child, 0], truth["mean"][parent, -1])
    log = np.log(truth["mean"])
    jumps = np.abs(np.diff(log, axis=1)).max(axis=(0, 1))
    apart = np.abs(log[1, -1] - log[2, -1])
    assert apart.max() > 3 * np.median(jumps)


def test_the_mean_is_made_of_programmes():
    adata = simulate_branches(**SMALL)
    truth = adata.uns["truth"]
    root = adata.var["base_mean"].to_numpy() * np.exp(truth["programs"][0] @ truth["coefficients"])
    np.testing.assert_allclose(truth["mean"][0], root)
    child = truth["mean"][0, -1] * np.exp(truth["programs"][2] @ truth["coefficients"])
    np.testing.assert_allclose(truth["mean"][2], child)


def test_time_belongs_to_the_branch():
    adata = simulate_branches(**SMALL, topology=[(0, 1), (1, 2), (1, 3)])
    span = adata.obs.groupby("branch", observed=True)["time"].agg(["min", "max"])
    assert span["min"].tolist() == [0, 10, 20, 20]
    assert span["max"].tolist() == [9, 19, 29, 29]


def test_counts_meet_the_truth_at_every_step(many):
    truth = many.uns["truth"]
    alpha, beta = many.var["alpha"].to_numpy(), many.var["beta"].to_numpy()
    branch = many.obs["branch"].cat.codes.to_numpy()
    step = many.obs["time"].to_numpy() - truth["start"][branch]
    for b, t in np.ndindex(3, 4):
        cells = (branch == b) & (step == t)
        mean = many.obs["scale"].to_numpy()[cells, None] * truth["mean"][b, t]
        variance = (alpha * mean**2 + beta * mean).sum(axis=0)
        z = (np.asarray(many[cells].X.sum(axis=0)).ravel() - mean.sum(axis=0)) / np.sqrt(variance)
        assert np.abs(z).max() < 5
        assert 0.6 < z.std() < 1.4


def test_the_variance_is_that_of_prosstt():
    one = simulate_branches(20_000, 40, n_branches=1, n_steps=2, start_speed=0.0, library_spread=0.0, beta=3.0)
    mean = one.var["base_mean"].to_numpy()
    expected = one.var["alpha"] * mean**2 + one.var["beta"] * mean
    x = one.X.toarray().astype(float)
    ratio = x.var(axis=0) / expected.to_numpy()
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert np.median(one.var["beta"]) == pytest.approx(3.0, rel=0.2)


def test_parameters_have_their_medians_and_spreads():
    var = simulate_branches(150, 20_000, n_steps=2, n_programs=2).var
    assert np.median(var["alpha"]) == pytest.approx(0.2, rel=0.02)
    assert np.log(var["alpha"]).std() == pytest.approx(0.405, rel=0.02)
    assert np.median(var["beta"]) == pytest.approx(2.0, rel=0.02)
    assert np.log(var["beta"] - 1).std() == pytest.approx(0.405, rel=0.02)
    assert np.log(var["base_mean"]).mean() == pytest.approx(0.8, abs=0.03)


def test_scale_and_library(many):
    scale, library = many.obs["scale"].to_numpy(), many.obs["library"].to_numpy()
    assert np.median(scale) == pytest.approx(1.0, rel=0.01)
    assert np.log(scale).std() == pytest.approx(0.3, rel=0.02)
    total = np.asarray(many.X.sum(axis=1)).ravel()
    at = [many.obs["branch"], many.obs["time"]]
    ratio = pd.Series(total / library, index=many.obs_names).groupby(at, observed=True).mean()
    np.testing.assert_allclose(ratio, 1.0, atol=0.02)
    assert np.ptp(many.uns["truth"]["mean"].sum(axis=-1)) > 0.1 * many.uns["truth"]["mean"].sum(axis=-1).mean()
    by = many.obs.groupby(["branch", "time"], observed=True)["scale"].mean()
    assert by.max() / by.min() < 1.05


def test_the_same_seed_gives_the_same_cells():
    first, second = (simulate_branches(**SMALL, seed=4) for _ in range(2))
    assert (first.X != second.X).nnz == 0
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert (simulate_branches(**SMALL, seed=5).X != first.X).nnz > 0
    assert (simulate_branches(**SMALL, seed=None).X != simulate_branches(**SMALL, seed=None).X).nnz > 0


def test_more_cells_leave_the_tree_alone():
    first, more = simulate_branches(**SMALL), simulate_branches(**{**SMALL, "n_cells": 900})
    np.testing.assert_array_equal(first.uns["truth"]["mean"], more.uns["truth"]["mean"])
    pd.testing.assert_frame_equal(first.var, more.var)


def test_global_generators_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    simulate_branches(**SMALL)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_it_goes_through_normalize_and_a_file(tmp_path):
    adata = simulate_branches(**SMALL)
    log = ac.data.normalize(adata)
    assert log.uns["altercell"]["space"] == "log1p of counts per 10,000"
    log.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert (back.layers["counts"] != adata.X).nnz == 0
    np.testing.assert_array_equal(back.uns["truth"]["parent"], adata.uns["truth"]["parent"])


def test_it_has_no_response_to_read():
    with pytest.raises(DataError, match="no simulated truth of cell types under conditions"):
        true_mean(simulate_branches(**SMALL), "type_0", "control")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_cells": 29}, "n_cells=29 is too few: n_branches=3 x n_steps=10 make 30 groups"),
        ({"n_genes": 0}, "n_genes must be a whole number"),
        ({"n_branches": 0}, "n_branches must be a whole number"),
        ({"n_steps": 1}, "n_steps=1 leaves no room to move along a branch"),
        ({"n_programs": 0}, "n_programs must be a whole number"),
        ({"topology": [(1, 0)]}, "topology must name the parent of each branch"),
        ({"coefficient_shape": 0.0}, "coefficient_shape must be a finite number larger than 0"),
        ({"start_speed": -0.1}, "start_speed must be a finite number 0 or larger"),
        ({"base_location": float("inf")}, "base_location must be a finite number, not inf"),
        ({"base_highest": 0.0}, "base_highest must be a finite number larger than 0"),
        ({"alpha": 0.0}, "alpha must be a finite number larger than 0"),
        ({"beta": 0.9}, "beta must be a finite number of at least 1, not 0.9"),
        ({"library_spread": -1.0}, "library_spread must be a finite number 0 or larger"),
        ({"max_log_change": 1e-9}, r"branch_0 rose above max_log_change=1e-09"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(DataError, match=message):
        simulate_branches(**{**SMALL, **change})
