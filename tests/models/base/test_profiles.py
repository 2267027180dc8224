"""Tests of mean cells, their noise and their distances, against the equations in plain NumPy."""

import numpy as np
import pytest

from altercell.models.base._profiles import Profiles, similarity_weights, typical_distance

SIZES = np.array([12, 0, 3, 1, 30])
N_GENES = 7


@pytest.fixture
def groups() -> list[np.ndarray]:
    """Cells of five types; the second has none, the fourth one."""
    rng = np.random.default_rng(0)
    return [rng.normal(kind, 1 + kind / 2, size=(size, N_GENES)) for kind, size in enumerate(SIZES)]


@pytest.fixture
def profiles(groups) -> Profiles:
    return Profiles.of_sums(np.stack([x.sum(0) for x in groups]), np.stack([(x**2).sum(0) for x in groups]), SIZES)


def noise_of(groups: list[np.ndarray]) -> np.ndarray:
    """Return (n s^2 + 10 pooled s^2) / ((n + 10) n), cell by cell."""
    pooled = sum(((x - x.mean(0)) ** 2).sum(0) for x in groups if len(x)) / sum(len(x) - 1 for x in groups if len(x))
    rows = []
    for x in groups:
        n = len(x)
        own = x.var(0, ddof=1) if n > 1 else np.zeros(N_GENES)
        rows.append((n * own + 10 * pooled) / ((n + 10) * n) if n else np.zeros(N_GENES))
    return np.stack(rows)


def test_means_and_the_variance_of_means(groups, profiles):
    means = np.stack([x.mean(0) if len(x) else np.zeros(N_GENES) for x in groups])
    np.testing.assert_allclose(profiles.means, means, rtol=1e-12)
    np.testing.assert_array_equal(profiles.sizes, SIZES)
    np.testing.assert_allclose(profiles.noise, noise_of(groups), rtol=1e-9)
    # A type of one cell has a variance from the others, one without cells has none.
    assert (profiles.noise[3] > 0).all()
    assert not profiles.noise[1].any()


def test_cells_that_are_all_alike_have_no_variance():
    # Rounding must not make it negative.
    x = np.full((9, 2), 0.1)
    same = Profiles.of_sums(x.sum(0, keepdims=True), (x**2).sum(0, keepdims=True), np.array([9]))
    assert (same.noise >= 0).all()
    np.testing.assert_allclose(same.noise, 0, atol=1e-15)


def test_no_cells_at_all():
    none = Profiles.of_sums(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2, dtype=int))
    for values in (none.means, none.noise, none.distances()):
        assert not values.any()


def test_distances_are_what_noise_does_not_explain(profiles):
    want = np.zeros((5, 5))
    for k in range(5):
        for other in range(5):
            squared = ((profiles.means[k] - profiles.means[other]) ** 2).sum()
            noise = (profiles.noise[k] + profiles.noise[other]).sum()
            want[k, other] = max(0, squared - noise) if k != other else 0
    np.testing.assert_allclose(profiles.distances(), want, rtol=1e-10, atol=1e-12)
    assert (want[np.triu_indices(5, 1)] > 0).sum() >= 5


def test_two_samples_of_one_type_are_not_apart():
    # |a - b|^2 expects sum_g 2 var / n = 100 * 2 / 20 = 10; the rest's sd is about 1.5,
    # that of the mean of 200 draws .1; five of them are allowed.
    rng = np.random.default_rng(0)
    rests, naive = [], []
    for _ in range(200):
        x = rng.normal(size=(2, 20, 100))
        two = Profiles.of_sums(x.sum(1), (x**2).sum(1), np.array([20, 20]))
        squared = ((two.means[0] - two.means[1]) ** 2).sum()
        naive.append(squared)
        rests.append(squared - two.noise.sum())
        assert two.distances()[0, 1] == pytest.approx(max(rests[-1], 0), abs=1e-9)
    assert np.mean(naive) == pytest.approx(10, abs=0.5)
    assert abs(np.mean(rests)) < 0.5


def test_joined_at_and_emptied(profiles):
    both = profiles.joined(profiles.at(2))
    for name in ("means", "sizes", "noise"):
        mine = getattr(profiles, name)
        np.testing.assert_array_equal(getattr(both, name)[:5], mine)
        np.testing.assert_array_equal(getattr(both, name)[5:], mine[2:3])
        empty = getattr(profiles.emptied(), name)
        assert empty.shape == mine.shape
        assert not empty.any()
    assert both.distances()[2, 5] == 0


def test_the_typical_distance_is_the_median_between_the_types_that_are_meant():
    rng = np.random.default_rng(0)
    distances = rng.random((6, 6))
    distances += distances.T
    np.fill_diagonal(distances, 0)
    for types in ([0, 1, 2, 3, 4, 5], [0, 2, 5], [4, 1]):
        pairs = [distances[a, b] for a in types for b in types if a < b]
        assert typical_distance(distances, np.array(types)) == pytest.approx(np.median(pairs))


@pytest.mark.parametrize(
    ("between", "want"),
    [([0.0, 0.0, 0.0], 1.0), ([0.0, 0.0, 4.0], 4.0), ([0.0, 2.0, 4.0], 2.0)],
    ids=["none apart", "most not apart", "median"],
)
def test_the_typical_distance_is_never_zero(between, want):
    distances = np.zeros((3, 3))
    distances[np.triu_indices(3, 1)] = between
    distances += distances.T
    assert typical_distance(distances, np.arange(3)) == want
    assert typical_distance(distances, np.array([1])) == 1.0
    assert typical_distance(distances, np.array([], dtype=int)) == 1.0


def test_weights_fall_with_distance_and_with_noise():
    distances, cells = np.array([0.0, 1.0, 2.5]), np.array([[40, 8], [9, 300], [100, 100]])
    noise = 1 / cells[:, 0] + 1 / cells[:, 1]
    want = np.exp(-distances / 0.7) / (noise + 1 / 200)
    got = similarity_weights(distances, noise, 0.7)
    np.testing.assert_allclose(got, want / want.sum(), rtol=1e-12)
    # Of types as far and as large the weight is the same; a large one of the same distance has more.
    np.testing.assert_allclose(similarity_weights(np.ones(4), np.full(4, 0.1), 0.7), 0.25)
    assert similarity_weights(np.ones(2), np.array([0.1, 0.001]), 0.7)[1] > 0.9
    # Even a type of endless cells weighs no more than as its own variance lets it.
    limit = similarity_weights(np.zeros(2), np.array([0.0, 1 / 200]), 1.0)
    np.testing.assert_allclose(limit, [2 / 3, 1 / 3])


def test_weights_of_several_types_at_once():
    rng = np.random.default_rng(0)
    distances, noise = rng.random((2, 3, 4)), rng.random(4)
    got = similarity_weights(distances, noise, 0.2)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(got[index], similarity_weights(distances[index], noise, 0.2), rtol=1e-12)


def test_far_types_still_have_weights():
    # exp(-1e6) is 0 in float64, the ratio of two of them is not.
    got = similarity_weights(np.array([1e6, 1e6 + 1]), np.array([0.1, 0.1]), 1.0)
    np.testing.assert_allclose(got, np.array([np.e, 1]) / (np.e + 1), rtol=1e-9)
    assert similarity_weights(np.array([3.0]), np.array([0.1]), 1e-9) == 1
