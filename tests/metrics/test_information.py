import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics import _posterior, mutual_information


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Posteriors of 3 latents and 3 factors: the first latent knows the batch, the second some of the step."""
    rng = np.random.default_rng(0)
    batch, step, size = rng.choice(["a", "b"], 240, p=[0.3, 0.7]), rng.integers(5, size=240), rng.normal(size=240)
    means = rng.normal(size=(240, 3))
    means[:, 0] += 2.5 * (batch == "b")
    means[:, 1] += step + 0.5 * size
    return means, rng.uniform(0.05, 1.5, size=(240, 3)), {"batch": batch, "step": step, "size": size}


def entropy(levels) -> float:
    p = pd.Series(levels).value_counts(normalize=True).to_numpy()
    return float(-(p * np.log(p)).sum())


def integral(means: np.ndarray, variances: np.ndarray, levels: np.ndarray) -> float:
    """The sum over levels of the integral of p(v) q(z | v) log(q(z | v) / q(z)), on a grid."""
    grid = np.linspace(-12, 16, 6_000)
    density = norm.pdf(grid[:, None], means, np.sqrt(variances))
    whole, total = density.mean(axis=1), 0.0
    for level in np.unique(levels):
        own = density[:, levels == level].mean(axis=1)
        inside = np.where(own > 0, own * np.log(np.where(own > 0, own, 1) / np.where(whole > 0, whole, 1)), 0)
        total += (levels == level).mean() * np.trapezoid(inside, grid)
    return total


def test_the_posterior_estimate_is_that_of_the_equation_at_its_draws(cells):
    means, variances, factors = cells
    table = mutual_information(means, factors, variances=variances, n_cells=None, seed=3)
    noise = np.random.default_rng(3).standard_normal((240, 1))
    draws = means + np.sqrt(variances) * noise
    levels = {**factors, "size": pd.qcut(factors["size"], 4, labels=False)}
    for j in range(3):
        density = norm.pdf(draws[:, j][:, None], means[:, j], np.sqrt(variances[:, j]))
        for name, level in levels.items():
            logs = [np.log(q[level == own].mean() / q.mean()) for q, own in zip(density, level, strict=True)]
            assert table.loc[f"z{j + 1}", name] == pytest.approx(max(np.mean(logs), 0), abs=1e-12)


def test_and_nears_the_integral(cells):
    means, variances, factors = cells
    tables = [mutual_information(means, factors, variances=variances, seed=seed) for seed in range(12)]
    found = sum(tables) / 12
    levels = {**factors, "size": pd.qcut(factors["size"], 4, labels=False)}
    for j, name in ((0, "batch"), (1, "step"), (1, "size")):
        expected = integral(means[:, j], variances[:, j], levels[name])
        assert found.loc[f"z{j + 1}", name] == pytest.approx(expected, abs=0.02)  # 3 standard errors
    assert found.loc["z1", "batch"] > 0.25
    assert found.loc["z3"].max() < 0.05


@pytest.mark.parametrize("method", ["posterior", "knn", "bins"])
def test_from_zero_to_the_entropy_of_the_factor(cells, method):
    means, variances, factors = cells
    table = mutual_information(means, factors, variances=variances, method=method, n_bins=8)
    levels = {**factors, "size": pd.qcut(factors["size"], 4, labels=False)}
    assert (table >= 0).all(axis=None)
    share = mutual_information(means, factors, variances=variances, method=method, n_bins=8, normalised=True)
    assert (share <= 1).all(axis=None)
    for name, level in levels.items():
        np.testing.assert_allclose(share[name] * entropy(level), table[name])
    assert (table.attrs["score"], share.attrs["score"]) == (
        "mutual information (nats)",
        "normalised mutual information",
    )


@pytest.mark.parametrize("options", [{"variances": 0.05}, {"method": "knn"}, {"method": "bins"}])
def test_codes_that_are_the_factors_know_all_of_their_own_and_nothing_of_others(options):
    batch, step = np.tile([0, 1], 200), np.repeat(np.arange(4), 100)
    codes = np.column_stack([step, batch]) * 10.0 + np.random.default_rng(0).normal(size=(400, 2))
    if "variances" in options:
        options = {"variances": np.full((400, 2), options["variances"])}
    table = mutual_information(codes, {"batch": batch, "step": step}, normalised=True, **options)
    np.testing.assert_allclose(np.diag(table.loc[["z2", "z1"]]), 1, atol=0.02)
    assert max(table.loc["z1", "batch"], table.loc["z2", "step"]) < 0.1


@pytest.mark.parametrize("method", ["posterior", "knn", "bins"])
def test_order_of_latents_and_of_cells_names_of_levels_and_units_do_not_matter(cells, method):
    means, variances, factors = cells
    options = {"method": method, "n_cells": None}
    table = mutual_information(means, factors, variances=variances, **options)
    turned = mutual_information(means[:, [2, 0, 1]], factors, variances=variances[:, [2, 0, 1]], **options)
    np.testing.assert_allclose(turned, table.iloc[[2, 0, 1]], atol=1e-9)
    scaled = mutual_information(5 * means - 2, factors, variances=25 * variances, **options)
    np.testing.assert_allclose(scaled, table, atol=1e-2 if method == "knn" else 1e-9)
    renamed = {**factors, "batch": np.where(factors["batch"] == "a", "z", "y"), "step": 7 - factors["step"]}
    np.testing.assert_allclose(mutual_information(means, renamed, variances=variances, **options), table, atol=1e-9)
    order = np.random.default_rng(1).permutation(240)
    moved = {name: values[order] for name, values in factors.items()}
    other = mutual_information(means[order], moved, variances=variances[order], **options)
    np.testing.assert_allclose(other, table, atol=0.12)  # other draws


def test_narrow_posteriors_give_every_cell_away_but_neighbours_and_bins_are_not_deceived():
    rng = np.random.default_rng(0)
    codes, batch = rng.normal(size=(300, 2)), np.tile([0, 1], 150)
    narrow = np.full((300, 2), 1e-12)
    table = mutual_information(codes, {"batch": batch}, variances=narrow, normalised=True)
    assert (table > 0.99).all(axis=None)
    for method in ("knn", "bins"):
        table = mutual_information(codes, {"batch": batch}, variances=narrow, normalised=True, method=method)
        assert (table < 0.15).all(axis=None)


def test_the_three_estimates_agree_where_posteriors_are_wide():
    rng = np.random.default_rng(0)
    batch = np.tile([0, 1], 1_000)
    means, variances = 2.0 * batch[:, None] + 0.1 * rng.normal(size=(2_000, 1)), np.ones((2_000, 1))
    found = [
        float(mutual_information(means, {"batch": batch}, variances=variances, method=method).iloc[0, 0])
        for method in ("posterior", "knn", "bins")
    ]
    expected = integral(means[:, 0], variances[:, 0], batch)
    np.testing.assert_allclose(found, expected, atol=0.04)
    assert 0.25 < expected < 0.45


def test_bins_are_the_plug_in_estimate_with_its_stated_bias():
    rng = np.random.default_rng(0)
    codes, step = rng.normal(size=(4_000, 5)), rng.integers(4, size=4_000)
    table = mutual_information(codes, {"step": step}, method="bins", n_bins=20)
    for j in range(5):
        joint = pd.crosstab(pd.qcut(codes[:, j], 20, labels=False), step).to_numpy() / 4_000
        product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        assert table.iloc[j, 0] == pytest.approx((joint * np.log(joint / product)).sum())
    assert table["step"].mean() == pytest.approx(19 * 3 / 8_000, rel=0.2)


def test_neighbours_take_a_continuous_factor_as_it_is():
    rng = np.random.default_rng(0)
    size = rng.normal(size=3_000)
    codes = np.column_stack([0.8 * size + 0.6 * rng.normal(size=3_000), rng.normal(size=3_000)])
    found = mutual_information(codes, {"size": size}, n_quantiles=None)["size"]
    assert found["z1"] == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=0.05)
    assert found["z2"] < 0.03
    exact = mutual_information(codes[:, [0, 0]], {"size": codes[:, 0]}, n_quantiles=None)["size"]
    assert exact.min() > np.log(4)  # more than four levels can hold


def test_a_sample_of_the_draws_has_nearly_the_same_mean(cells):
    means, variances, factors = cells
    whole = mutual_information(means, factors, variances=variances)
    part = mutual_information(means, factors, variances=variances, n_cells=120)
    assert 0 < np.abs(whole - part).max(axis=None) < 0.1
    same = mutual_information(means, factors, variances=variances, n_cells=240)
    pd.testing.assert_frame_equal(same, whole)


def test_blocks_do_not_change_it_and_the_seed_does(cells, monkeypatch):
    means, variances, factors = cells
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    whole = mutual_information(means, factors, variances=variances)
    monkeypatch.setattr(_posterior, "BLOCK", 1_000)
    np.testing.assert_allclose(mutual_information(means, factors, variances=variances), whole, atol=1e-12)
    assert not np.allclose(mutual_information(means, factors, variances=variances, seed=1), whole)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("method", ["posterior", "knn", "bins"])
def test_what_does_not_vary_tells_nothing(cells, method):
    means, variances, factors = cells
    means, variances = means.copy(), variances.copy()
    means[:, 2], variances[:, 2] = 0.1, 0.5
    variances = variances if method == "posterior" else None
    factors = {"batch": factors["batch"], "one": np.full(240, "x"), "same": np.ones(240)}
    table = mutual_information(means, factors, variances=variances, method=method)
    np.testing.assert_allclose(table.loc["z3"], 0, atol=1e-12)
    assert (table[["one", "same"]] == 0).all(axis=None)
    share = mutual_information(means, factors, variances=variances, method=method, normalised=True)
    assert share[["one", "same"]].isna().all(axis=None)
    assert share["batch"].notna().all()


def test_a_table_of_obs_is_taken_with_its_names(cells):
    means, _, factors = cells
    obs = pd.DataFrame(factors, index=[f"cell{i}" for i in range(240)])
    codes = pd.DataFrame(means, index=obs.index, columns=["one", "two", "three"])
    table = mutual_information(codes, obs.astype({"batch": "category"}))
    assert (table.index.tolist(), table.columns.tolist()) == (["one", "two", "three"], ["batch", "step", "size"])
    np.testing.assert_array_equal(table, mutual_information(means, factors))


def test_errors_name_what_is_wrong(cells):
    means, variances, factors = cells
    with pytest.raises(DataError, match="method='posterior' needs variances="):
        mutual_information(means, factors, method="posterior")
    with pytest.raises(DataError, match="method='kde' is unknown; there are 'posterior', 'knn', 'bins'"):
        mutual_information(means, factors, method="kde")
    for options in ({"variances": variances}, {"method": "bins"}, {"normalised": True}):
        with pytest.raises(DataError, match="n_quantiles=None leaves continuous factors as they are"):
            mutual_information(means, factors, n_quantiles=None, **options)
    with pytest.raises(KeyNotFoundError, match="continuous='time' is no factor"):
        mutual_information(means, factors, continuous=["time"])
    with pytest.raises(DataError, match="factor 'size' has 240 levels in 240 cells"):
        mutual_information(means, factors, continuous=[])
    with pytest.raises(DataError, match="n_bins=1 must be 2 or more"):
        mutual_information(means, factors, method="bins", n_bins=1)
    with pytest.raises(DataError, match="n_cells=0 must be 1 or more"):
        mutual_information(means, factors, variances=variances, n_cells=0)
    with pytest.raises(DataError, match=r"variances have shape \(239, 3\)"):
        mutual_information(means, factors, variances=variances[1:])
