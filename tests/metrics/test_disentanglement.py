import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics import factor_gaps, factor_vae_score, mutual_information_gap, spearman, spearman_gap

QUICK = {"n_votes": 400, "n_test": 200}
# A rotation that gives every latent an equal share of every factor.
HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


@pytest.fixture(scope="module")
def factors() -> pd.DataFrame:
    """Four independent factors of 800 cells, each from -1 to 1 in 4 or more steps."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "path": rng.choice([-1, -0.33, 0.33, 1], 800),
        "step": rng.choice(np.linspace(-1, 1, 20), 800),
        "time": rng.uniform(-1, 1, 800),
        "size": rng.uniform(-1, 1, 800),
    })  # fmt: skip


@pytest.fixture(scope="module")
def codes(factors) -> np.ndarray:
    """Codes that are the factors, with a little noise, beside two latents that know nothing."""
    rng = np.random.default_rng(1)
    scale = factors.std().to_numpy()
    return np.column_stack([factors / scale + 0.02 * rng.normal(size=factors.shape), rng.normal(size=(800, 2))])


@pytest.fixture(scope="module")
def entangled(codes) -> np.ndarray:
    return codes[:, :4] @ HADAMARD


def test_correlations_are_scipys(codes, factors):
    table = spearman(codes, factors)
    for j in range(6):
        for name in factors:
            assert table.loc[f"z{j + 1}", name] == pytest.approx(spearmanr(codes[:, j], factors[name])[0], abs=1e-12)
    assert table.attrs["score"] == "Spearman correlation"


def test_categories_are_ranked_by_their_order_and_words_only_where_there_are_two():
    size = pd.Categorical(list("slmlsm"), categories=["s", "m", "l"], ordered=True)
    batch = pd.Series(["b", "a", "a", "a", "b", "b"])
    treated = [True, False, False, False, True, True]
    z = np.array([[1.0], [3.0], [2.0], [3.0], [1.0], [2.0]])
    table = spearman(z, {"size": size, "batch": batch, "treated": treated})
    assert table.loc["z1", "size"] == pytest.approx(1)
    assert table.loc["z1", "batch"] == pytest.approx(spearmanr(z[:, 0], treated)[0])
    assert table.loc["z1", "batch"] == table.loc["z1", "treated"]
    with pytest.raises(DataError, match="factor 'branch' has 3 values without an order"):
        spearman(z, {"branch": list("abcabc")})


def test_gaps_are_the_largest_size_less_the_second():
    table = pd.DataFrame({"a": [0.1, -0.9, 0.5], "b": [0.2, 0.2, 0.1], "c": [np.nan] * 3})
    gaps = factor_gaps(table)
    np.testing.assert_allclose(gaps[["a", "b"]], [0.4, 0.0], atol=1e-12)
    assert np.isnan(gaps["c"])
    assert factor_gaps(table.iloc[[1]])["a"] == 0.9
    with pytest.raises(DataError, match="the table has no latents"):
        factor_gaps(table.iloc[:0])


def test_codes_that_are_the_factors_score_near_one_on_all(codes, factors):
    assert spearman_gap(codes, factors) > 0.9
    assert mutual_information_gap(codes, factors, variances=np.full(codes.shape, 1e-3)) > 0.75
    # Levels apart from each other are known wholly.
    levels = pd.DataFrame({"batch": np.tile([0, 1], 400), "step": np.repeat(np.arange(4), 200)})
    assert mutual_information_gap(5.0 * levels, levels, variances=np.full((800, 2), 0.05)) > 0.97
    assert mutual_information_gap(5.0 * levels, levels) > 0.95
    assert factor_vae_score(codes, factors, **QUICK) == 1


def test_rotated_codes_score_near_zero_or_chance(entangled, factors):
    assert spearman_gap(entangled, factors) < 0.1
    assert mutual_information_gap(entangled, factors, variances=np.full(entangled.shape, 0.05)) < 0.1
    assert mutual_information_gap(entangled, factors) < 0.1
    assert factor_vae_score(entangled, factors, **QUICK) < 0.45


def test_codes_that_know_nothing_score_near_zero_or_chance(factors):
    noise = np.random.default_rng(2).normal(size=(800, 6))
    assert spearman_gap(noise, factors) < 0.05
    assert mutual_information_gap(noise, factors, variances=np.ones((800, 6))) < 0.05
    assert factor_vae_score(noise, factors, **QUICK) < 0.4


@pytest.mark.parametrize("score", [
    spearman_gap,
    lambda z, v: mutual_information_gap(z, v, method="bins"),
    lambda z, v: factor_vae_score(z, v, **QUICK),
])  # fmt: skip
def test_order_sign_and_units_of_latents_do_not_matter(codes, factors, score):
    mixed = codes[:, :4] + 0.9 * codes[:, [1, 2, 3, 0]]
    expected = score(mixed, factors)
    assert 0.02 < expected < 0.98
    assert score(mixed[:, ::-1], factors) == pytest.approx(expected)
    assert score(mixed * [1, 50, 0.01, 3] + 9, factors) == pytest.approx(expected)
    assert score(-mixed, factors) == pytest.approx(expected, abs=0.02)
    assert score(mixed, factors[["size", "path", "time", "step"]]) == pytest.approx(expected, abs=0.1)


def test_the_spearman_gap_is_that_of_the_equation(codes, factors):
    mixed, gaps = codes[:, :4] + 0.9 * codes[:, [1, 2, 3, 0]], []
    for name in factors:
        size = [abs(spearmanr(z, factors[name])[0]) for z in mixed.T]
        best = int(np.argmax(size))
        gaps.append(size[best] - max(size[:best] + size[best + 1 :]))
    assert spearman_gap(mixed, factors) == pytest.approx(np.mean(gaps))


def votes(codes: np.ndarray, levels: list[np.ndarray], n: int, n_cells: int, rng) -> list[tuple[int, int]]:
    answer = []
    for _ in range(n):
        k = int(rng.integers(len(levels)))
        alike = np.flatnonzero(levels[k] == levels[k][rng.integers(len(codes))])
        chosen = codes[rng.choice(alike, n_cells)] / codes.std(axis=0)
        answer.append((int(chosen.var(axis=0).argmin()), k))
    return answer


def test_the_factor_vae_score_is_that_of_its_words(codes, factors):
    mixed = codes[:, :4] + 0.9 * codes[:, [1, 2, 3, 0]]
    levels = [pd.qcut(factors[name], 4, labels=False, duplicates="drop").to_numpy() for name in factors]
    rng = np.random.default_rng(5)
    train, test = votes(mixed, levels, 1_500, 20, rng), votes(mixed, levels, 1_500, 20, rng)
    table = np.zeros((4, 4))
    for z, k in train:
        table[z, k] += 1
    expected = np.mean([table[z].argmax() == k for z, k in test])
    found = [factor_vae_score(mixed, factors, n_cells=20, seed=seed) for seed in range(3)]
    assert 0.4 < expected < 0.95
    assert np.mean(found) == pytest.approx(expected, abs=0.04)


def test_votes_repeat_with_their_seed_and_leave_the_global_generator(codes, factors):
    mixed = codes[:, :4] + codes[:, [1, 2, 3, 0]]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    scores = [factor_vae_score(mixed, factors, seed=seed, **QUICK) for seed in (0, 0, 1, 2)]
    assert scores[0] == scores[1]
    assert len(set(scores)) > 1
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_levels_of_one_cell_and_latents_that_do_not_vary_enough_do_not_vote():
    batch = np.array(["a", "b"] * 20 + [f"alone {i}" for i in range(20)])
    path = np.arange(60) // 10 % 2
    codes = np.column_stack([10.0 * path, np.full(60, 0.1), np.searchsorted(["a", "b"], batch)])
    codes[:, 2] = np.where(batch == "b", 10.0, codes[:, 2])
    codes += 0.01 * np.random.default_rng(0).normal(size=codes.shape) * [1, 0, 1]
    assert factor_vae_score(codes, {"batch": batch, "path": path}, **QUICK) == 1
    assert np.isnan(factor_vae_score(codes * 1e-3, {"batch": batch}, min_std=0.1, **QUICK))


def test_what_does_not_vary_counts_in_no_mean(codes, factors):
    more = factors.assign(one="x", same=3)
    assert spearman(codes, more)[["one", "same"]].isna().all(axis=None)
    assert spearman_gap(codes, more) == spearman_gap(codes, factors)
    assert mutual_information_gap(codes, more) == pytest.approx(mutual_information_gap(codes, factors))
    assert factor_vae_score(codes, more, **QUICK) == factor_vae_score(codes, factors, **QUICK)
    dead = np.column_stack([codes[:, :4], np.full(800, 0.1)])
    assert (spearman(dead, factors).loc["z5"] == 0).all()
    assert spearman_gap(dead, factors) == pytest.approx(spearman_gap(codes[:, :4], factors))
    none = more[["one", "same"]]
    assert np.isnan([spearman_gap(codes, none), mutual_information_gap(codes, none)]).all()
    assert np.isnan([factor_vae_score(codes, none), factor_vae_score(dead[:, [4]], factors)]).all()
    assert (spearman_gap(dead[:, [4]], factors), mutual_information_gap(dead[:, [4]], factors)) == (0, 0)


def test_errors_name_what_is_wrong(codes, factors):
    for score in (spearman, spearman_gap, mutual_information_gap, factor_vae_score):
        with pytest.raises(DataError, match="codes of 799 cells but factors of 800"):
            score(codes[1:], factors)
        with pytest.raises(DataError, match="codes hold NaN or infinite values, in 1 of 800 cells"):
            score(np.where(codes == codes.max(), np.nan, codes), factors)
        with pytest.raises(DataError, match="factor 'time' is missing in 1 of 800 cells"):
            score(codes, factors.assign(time=factors["time"].where(factors.index != 3)))
    for score in (mutual_information_gap, factor_vae_score):
        with pytest.raises(KeyNotFoundError, match="continuous='age' is no factor; there are 'path', 'step'"):
            score(codes, factors, continuous=["age"])
    with pytest.raises(DataError, match="n_votes=0 and n_test=5 must be 1 or more, and n_cells=40 2 or more"):
        factor_vae_score(codes, factors, n_votes=0, n_test=5)
