"""Tests of the random numbers that belong to a cell and a gene."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from altercell.models.base._keyed_draws import MANY, KeyedDraws, hashed, uniform_by_name

CELLS, GENES = (np.array([f"{kind}_{n}" for n in range(size)], dtype=object) for kind, size in (("c", 250), ("g", 160)))
WRAP, GOLDEN = 2**64, 0x9E3779B97F4A7C15


@pytest.fixture(scope="module")
def draws() -> KeyedDraws:
    return KeyedDraws(CELLS, GENES, 0)


def mixed(key: int) -> int:
    """Finish a key as SplitMix64 does, in Python's whole numbers."""
    key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9 % WRAP
    key = (key ^ (key >> 27)) * 0x94D049BB133111EB % WRAP
    return key ^ (key >> 31)


def key_of(cell: object, gene: object, seed: int, stream: int) -> int:
    cell, gene = (int(hashed(np.array([name], dtype=object), seed)[0]) for name in (cell, gene))
    return mixed((cell + (stream + 1) * GOLDEN) % WRAP) ^ gene


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (7, 3), (10**16 + 1, 1)])
def test_the_numbers_are_those_of_the_hash(seed, stream):
    got = KeyedDraws(CELLS[:3], GENES[:4], seed).uniform(stream)
    want = [[(mixed(key_of(cell, gene, seed, stream)) >> 11) * 2.0**-53 for gene in GENES[:4]] for cell in CELLS[:3]]
    np.testing.assert_array_equal(got, want)


def test_the_finaliser_is_splitmix64s():
    # The first numbers of the published generator from the state 1234567.
    state, published = 1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [mixed((state + n * GOLDEN) % WRAP) for n in (1, 2, 3)] == published


def test_the_hash_is_by_name_and_seed():
    names = pd.Index(["a", "b", "a"])
    first, second, again = hashed(names, 0)
    assert first == again
    assert first != second
    assert hashed(names, 1)[0] != first
    np.testing.assert_array_equal(hashed(np.array([3, 20]), 0), hashed(np.array(["3", "20"]), 0))
    assert hashed(names, 0).dtype == np.uint64
    assert len(np.unique(hashed(np.arange(10_000), 0))) == 10_000


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_numbers_are_uniform(seed):
    # 40,000 numbers; a p below 1e-3 would come once in a thousand seeds.
    numbers = KeyedDraws(CELLS, GENES, seed).uniform(0)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    # Every cell's numbers and every gene's too: 410 tests, of which the least p is above 1e-3 / 410.
    p = [stats.kstest(row, "uniform").pvalue for row in (*numbers, *numbers.T)]
    assert min(p) > 1e-3 / len(p)
    assert stats.kstest(p, "uniform").pvalue > 1e-4


def test_streams_seeds_cells_and_genes_are_independent(draws):
    first = draws.uniform(0)
    others = [draws.uniform(1), draws.uniform(4), KeyedDraws(CELLS, GENES, 1).uniform(0)]
    pairs = [(first, other) for other in others] + [(first[1:], first[:-1]), (first[:, 1:], first[:, :-1])]
    for one, other in pairs:
        # A correlation of n independent pairs has the standard deviation 1 / sqrt(n).
        r = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        assert abs(r) * np.sqrt(one.size) < 4
    # All pairs of cells, and all of genes: their largest |r| sqrt(n), of 31,000 pairs, stays below 5.
    for table in (first, first.T):
        r = np.corrcoef(table)[np.triu_indices(len(table), 1)]
        assert np.abs(r).max() * np.sqrt(table.shape[1]) < 5
        assert r.var() * table.shape[1] == pytest.approx(1, abs=0.1)


def test_a_pair_draws_the_same_wherever_it_stands(draws):
    rows, columns = np.random.default_rng(0).permutation(250)[:40], np.array([9, 3, 120])
    some = KeyedDraws(pd.Index(CELLS[rows]), pd.Index(GENES[columns]), 0)
    np.testing.assert_array_equal(some.uniform(2), draws.uniform(2)[np.ix_(rows, columns)])
    np.testing.assert_array_equal(draws.uniform(2, columns), draws.uniform(2)[:, columns])
    counts, keep = np.random.default_rng(1).poisson(3, (250, 160)), np.linspace(0, 1, 160)
    part = some.thinned(counts[np.ix_(rows, columns)], keep[columns], 1)
    np.testing.assert_array_equal(part, draws.thinned(counts, keep, 1)[np.ix_(rows, columns)])
    mean, theta = np.abs(np.random.default_rng(2).normal(2, 1, (250, 160))), np.linspace(0.1, 5, 160)
    part = some.negative_binomial(mean[np.ix_(rows, columns)], theta[columns], 3)
    np.testing.assert_array_equal(part, draws.negative_binomial(mean, theta, 3)[np.ix_(rows, columns)])
    np.testing.assert_array_equal(
        draws.negative_binomial(mean[:, columns], theta[columns], 3, columns),
        draws.negative_binomial(mean, theta, 3)[:, columns],
    )


@pytest.mark.parametrize("count", [1, 6, 40, MANY, MANY + 1, 2_000])
@pytest.mark.parametrize("keep", [0.05, 0.7])
def test_thinning_is_binomial(draws, count, keep):
    few = KeyedDraws(CELLS[:60], GENES, 0) if count > 40 else draws  # a molecule is a draw
    kept = few.thinned(np.full((len(few.cells), 160), count), np.array(keep), 0).ravel()
    size, mean, variance = kept.size, count * keep, count * keep * (1 - keep)
    # Four standard errors: of a mean, and of a variance with the binomial's kurtosis.
    assert kept.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / size))
    kurtosis = (1 - 6 * keep * (1 - keep)) / variance
    assert kept.var() == pytest.approx(variance, rel=4 * np.sqrt((2 + kurtosis) / size))


@pytest.mark.parametrize("count", [6, 300])
def test_thinning_has_the_binomials_distribution(draws, count):
    kept = draws.thinned(np.full((250, 160), count), np.array(0.4), 0).ravel()
    seen = np.bincount(kept, minlength=count + 1)
    expected = stats.binom.pmf(np.arange(count + 1), count, 0.4) * kept.size
    enough = expected > 5
    assert enough.sum() > 5
    # 5 or some 60 classes: the statistic stays within 5 standard deviations of its mean, the number of classes.
    distance = ((seen - expected)[enough] ** 2 / expected[enough]).sum()
    assert distance < enough.sum() + 5 * np.sqrt(2 * enough.sum())


def test_with_a_larger_keep_a_superset_is_kept():
    draws = KeyedDraws(CELLS[:50], GENES, 0)
    counts = np.random.default_rng(0).choice([0, 1, 3, 50, MANY, MANY + 40, 1_500], (50, 160))
    last = np.zeros_like(counts)
    for keep in (0.0, 1e-3, 0.2, 0.21, 0.9, 1.0):
        kept = draws.thinned(counts, np.array(keep), 0)
        assert (kept >= last).all()
        assert (kept <= counts).all()
        last = kept
    np.testing.assert_array_equal(last, counts)
    assert not draws.thinned(counts, np.array(0.0), 0).any()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_thinning_keeps_shape_and_type_and_the_argument(draws, dtype):
    counts = np.random.default_rng(0).poisson(3, (250, 160)).astype(dtype)
    before = counts.copy()
    for keep in (np.full(160, 0.3), np.full((250, 1), 0.3), np.full((250, 160), 0.3)):
        kept = draws.thinned(counts, keep, 0)
        assert kept.dtype == dtype
        np.testing.assert_array_equal(kept, draws.thinned(counts, np.array(0.3), 0))
    np.testing.assert_array_equal(counts, before)
    assert not draws.thinned(np.zeros((250, 160), dtype=dtype), np.array(0.5), 0).any()


def test_two_thinnings_are_one(draws):
    # Of other streams, so that they are independent: binomial(n, .5) of binomial(n, .4) is binomial(n, .2).
    counts = np.full((250, 160), 30)
    twice = draws.thinned(draws.thinned(counts, np.array(0.4), 0), np.array(0.5), 1).ravel()
    assert twice.mean() == pytest.approx(6, abs=4 * np.sqrt(30 * 0.2 * 0.8 / twice.size))
    assert twice.var() == pytest.approx(30 * 0.2 * 0.8, rel=0.04)


def test_negative_binomials_are_scipys_quantiles(draws):
    rng = np.random.default_rng(0)
    theta, mean = rng.gamma(1, 3, 160) + 0.05, rng.gamma(0.5, 8, (250, 160))
    got = draws.negative_binomial(mean, theta, 2)
    want = stats.nbinom.ppf(draws.uniform(2), theta, theta / (theta + mean))
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("theta", [0.05, 0.8, 50.0])
@pytest.mark.parametrize("mean", [0.02, 1.5, 60.0])
def test_negative_binomials_have_their_mean_and_variance(draws, mean, theta):
    counts = draws.negative_binomial(np.full((250, 160), mean), np.full(160, theta), 0).ravel()
    variance = mean + mean**2 / theta
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / counts.size))
    kurtosis = 6 / theta + 1 / variance
    assert counts.var() == pytest.approx(variance, rel=4 * np.sqrt((2 + kurtosis) / counts.size))


def test_a_larger_mean_never_draws_a_smaller_count(draws):
    theta, last = np.geomspace(0.05, 50, 160), np.zeros((250, 160), dtype=int)
    for mean in (0.0, 1e-6, 0.1, 0.11, 3.0, 100.0):
        counts = draws.negative_binomial(np.full((250, 160), mean), theta, 0)
        assert (counts >= last).all()
        last = counts
    assert not draws.negative_binomial(np.zeros((250, 160)), theta, 0).any()
    assert not draws.negative_binomial(np.zeros((250, 0)), np.zeros(0), 0, np.array([], dtype=int)).size


def test_uniform_by_name():
    names = pd.Index([f"cell{i}" for i in range(20_000)])
    first, second = uniform_by_name(names, 0, 0), uniform_by_name(names, 0, 1)
    assert first.min() >= 0
    assert first.max() < 1
    np.testing.assert_allclose(np.quantile(first, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.015)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first, uniform_by_name(names, 1, 0))[0, 1]) < 0.03
    np.testing.assert_array_equal(uniform_by_name(names[5:9], 0, 0), first[5:9])


def test_uniform_by_name_takes_large_seeds_and_other_names():
    assert 0 <= uniform_by_name(pd.Index([1, 2]), 2**62, 0)[0] < 1
    np.testing.assert_array_equal(uniform_by_name(pd.Index(["é"]), 5, 0), uniform_by_name(pd.Index(["é"]), 5, 0))
