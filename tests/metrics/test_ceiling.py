import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics import ceiling, evaluate, subsample_spread

FAST = {"n_top": 20, "n_trees": 10}


def test_ceiling_is_above_a_prediction_and_has_its_form(arms):
    best = ceiling(arms.real, arms.control, **FAST)
    none = evaluate(arms.control, arms.real, arms.control, **FAST)
    pd.testing.assert_frame_equal(best.drop(columns="value"), none.drop(columns="value"))
    value = best["value"]
    assert value["pearson_delta"] > 0.8
    assert abs(value["edistance"]) < 0.2 < none["value"]["edistance"]
    assert value["genes_differ"] == 0
    assert value["forest_auc"] < 0.7 < none["value"]["forest_auc"]


def test_halves_are_disjoint_and_random(arms):
    # If a cell were on both sides the means would be closer than those of independent halves.
    errors = [ceiling(arms.real, arms.control, metrics="mse", seed=seed)["value"].item() for seed in range(30)]
    variance = np.asarray(arms.real.X.toarray(), dtype=np.float64).var(axis=0, ddof=1).mean()
    assert np.mean(errors) == pytest.approx(variance * (1 / 50 + 1 / 50), rel=0.1)
    assert len(set(errors)) == 30
    assert errors[0] == ceiling(arms.real, arms.control, metrics="mse", seed=0)["value"].item()


def test_names_shared_with_the_control_do_not_make_it_a_prediction(arms):
    real = arms.real.copy()
    real.obs_names = arms.control.obs_names[: real.n_obs]
    for metric in ("pearson_delta", "top_overlap"):
        expected, renamed = (
            ceiling(adata, arms.control, metrics=metric, n_top=20)["value"].item() for adata in (arms.real, real)
        )
        assert renamed == expected


def test_ceiling_of_too_few_cells_and_of_unknown_metrics(arms):
    with pytest.raises(DataError, match="two halves of the real cells need 4 cells or more; there are 3"):
        ceiling(arms.real[:3], arms.control)
    with pytest.raises(KeyNotFoundError, match="no such metric: 'accuracy'"):
        ceiling(arms.real, arms.control, metrics=["accuracy"])


def test_spread_over_subsamples_surrounds_the_score(arms):
    spread = subsample_spread(*arms, n=40, size=60, seed=1)
    assert list(spread.index) == [
        "pearson_r2",
        "r2",
        "mse",
        "pearson_delta",
        "variance_log_ratio",
        "variance_pearson_r2",
    ]
    assert list(spread.columns) == ["mean", "std"]
    whole = evaluate(*arms, metrics=list(spread.index))["value"]
    assert (spread["std"] > 0).all()
    for name in ("pearson_r2", "r2", "pearson_delta"):
        assert spread["mean"][name] == pytest.approx(whole[name], abs=0.1)
        assert spread["mean"][name] < whole[name]  # fewer cells, noisier means
    pd.testing.assert_frame_equal(spread, subsample_spread(*arms, n=40, size=60, seed=1))


def test_larger_subsamples_spread_less(arms):
    small, large = (subsample_spread(*arms, n=30, size=size)["std"]["mse"] for size in (10, 90))
    assert large < small / 2


def test_half_of_each_arm_is_the_default_and_all_cells_the_most(arms):
    half = subsample_spread(*arms, n=10)
    assert half["std"]["mse"] > 0
    every = subsample_spread(*arms, n=3, size=10_000)
    assert every["std"]["mse"] == pytest.approx(0, abs=1e-15)
    assert every["std"]["pearson_delta"] > 0  # the control cells are split anew


def test_spread_of_real_cells_against_themselves_uses_the_given_truth_control(arms):
    spread = subsample_spread(arms.real, arms.real, arms.control, truth_control=arms.control, n=3, size=10_000)
    assert spread["mean"]["pearson_delta"] == pytest.approx(1)


def test_error_bars_shrink_as_the_means_of_more_cells_do(arms):
    # The error of two means of n cells each is about 2 v / n, so its average falls as 1 / n.
    halves = [arms.real[:50], arms.real[50:], arms.control]
    small, large = (subsample_spread(*halves, n=60, size=size)["mean"]["mse"] for size in (8, 32))
    noise = [2 * np.var(arms.real.X.toarray(), axis=0, ddof=1).mean() * (1 / size - 1 / 50) for size in (8, 32)]
    assert small - large == pytest.approx(noise[0] - noise[1], rel=0.15)


def test_more_real_cells_raise_the_ceiling(arms):
    few, many = (ceiling(arms.real[:n], arms.control, metrics=["mse", "pearson_delta"])["value"] for n in (12, 100))
    assert many["mse"] < few["mse"]
    assert many["pearson_delta"] > few["pearson_delta"]


def test_ceiling_passes_its_options_on(arms):
    table = ceiling(arms.real, arms.control, n_top=7, metrics="mse_top7", n_cells=10, n_trees=5)
    assert list(table.index) == ["mse_top7"]
    shared = ceiling(arms.real, arms.control[:10], truth_control=arms.control[:10], metrics="pearson_delta")
    split = ceiling(arms.real, arms.control[:10], metrics="pearson_delta")
    assert shared["value"].item() > split["value"].item()
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_forests'"):
        ceiling(arms.real, arms.control, n_forests=3)
