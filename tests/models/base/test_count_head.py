"""Tests of the counts that are drawn around profiles, against plain loops and against data of known make."""

import numpy as np
import pytest

from altercell.models.base import ClassCounts, CountHead
from altercell.models.base._count_head import zero_chance

N_GENES = 6


@pytest.fixture
def cells():
    """Negative binomial counts of two classes, 3,000 and 1,000 cells, with their profiles, totals and classes."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], [3_000, 1_000])
    rates = rng.dirichlet(np.ones(N_GENES) * 5, 2)
    profiles = rng.dirichlet(np.ones(N_GENES) * 3, len(classes)) * rates[classes]
    profiles /= profiles.sum(axis=1, keepdims=True)
    totals = rng.lognormal(3, 0.3, len(classes))
    dispersion = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 3.0])
    mu = totals[:, None] * profiles
    gamma = rng.gamma(1 / np.maximum(dispersion, 1e-6), np.maximum(dispersion, 1e-6), mu.shape)
    return rng.poisson(mu * gamma).astype(float), profiles, totals, classes, dispersion


def counted(counts, classes) -> ClassCounts:
    measured = ClassCounts(2, N_GENES)
    for start in range(0, len(counts), 700):
        measured.add(counts[start : start + 700], classes[start : start + 700])
    return measured


def test_sums_are_those_of_a_loop(cells):
    counts, _, _, classes, _ = cells
    measured = counted(counts, classes)
    for number in (0, 1):
        mine = counts[classes == number]
        np.testing.assert_allclose(measured.sums[number], sum(mine))
        np.testing.assert_array_equal(measured.zeros[number], [(mine[:, g] == 0).sum() for g in range(N_GENES)])
        assert measured.totals[number] == mine.sum()
        assert measured.sizes[number] == len(mine)


def test_rates_are_drawn_towards_those_of_all_cells_as_by_two_cells():
    measured = ClassCounts(3, 2)
    measured.add(np.array([[8.0, 2.0], [4.0, 6.0], [1.0, 9.0]]), np.array([0, 0, 1]))
    whole, cell = np.array([13, 17]) / 30, 10  # rates and total of a cell, over all
    wanted = [(np.array([12, 8]) + 2 * cell * whole) / 40, (np.array([1, 9]) + 2 * cell * whole) / 30, whole]
    np.testing.assert_allclose(measured.rates(), wanted)


@pytest.mark.parametrize("dispersion", [0.0, 0.3, 2.0])
def test_the_chance_of_zero_is_that_of_the_draws(dispersion):
    rng, mu = np.random.default_rng(0), 1.7
    rate = mu * rng.gamma(1 / dispersion, dispersion, 200_000) if dispersion else np.full(200_000, mu)
    assert float(zero_chance(np.array(mu), dispersion)) == pytest.approx((rng.poisson(rate) == 0).mean(), abs=0.005)


def test_true_profiles_need_no_factor_and_give_the_dispersion_back(cells):
    counts, profiles, totals, classes, dispersion = cells
    head = CountHead.fit(profiles, totals, classes, counted(counts, classes))
    np.testing.assert_allclose(head.factors, 1, atol=0.15)
    np.testing.assert_allclose(head.dispersion, dispersion, atol=0.35)
    assert head.dispersion[0] < 0.1


def test_wrong_profiles_get_the_rates_of_their_class_and_the_zeros_of_the_data(cells):
    counts, profiles, totals, classes, _ = cells
    measured = counted(counts, classes)
    wrong = profiles * np.array([0.5, 2.0, 1.0, 1.5, 0.7, 1.0])
    wrong /= wrong.sum(axis=1, keepdims=True)
    head = CountHead.fit(wrong, totals, classes, measured)
    mu = head.means(wrong, totals, classes)
    for number in (0, 1):
        mine = classes == number
        np.testing.assert_allclose(mu[mine].sum(axis=0) / totals[mine].sum(), measured.rates()[number], rtol=1e-3)
    np.testing.assert_allclose(mu.sum(axis=1), totals, rtol=1e-9)
    zeros = np.stack([zero_chance(mu[:, g], phi).mean() for g, phi in enumerate(head.dispersion)])
    measured_zeros, spread = (counts == 0).mean(axis=0), head.dispersion > 0
    assert spread.sum() >= 4
    np.testing.assert_allclose(zeros[spread], measured_zeros[spread], atol=0.002)
    # Profiles that vary more than they should have more zeros than were measured, without any dispersion.
    assert (zeros[~spread] >= measured_zeros[~spread]).all()


def test_cells_that_are_made_of_one_class_count_as_often_as_the_class_is_there(cells):
    counts, profiles, totals, classes, _ = cells
    measured = counted(counts, classes)
    some = np.r_[0:500, 3_000:3_500]  # as many of either class, three to one in the data
    every, half = (CountHead.fit(profiles[r], totals[r], classes[r], measured) for r in (slice(None), some))
    np.testing.assert_allclose(half.dispersion, every.dispersion, atol=0.25)


def test_a_gene_of_few_counts_has_little_dispersion():
    rng = np.random.default_rng(0)
    counts = np.stack([rng.poisson(20, 2_000), (rng.random(2_000) < 0.002) * 60], axis=1).astype(float)
    profiles, totals = np.full((2_000, 2), 0.5), np.full(2_000, 20.0)
    measured = ClassCounts(1, 2)
    measured.add(counts, np.zeros(2_000, dtype=int))
    assert counts[:, 1].mean() < 0.2
    head = CountHead.fit(profiles, totals, np.zeros(2_000, dtype=int), measured)
    assert head.dispersion[1] <= 0.2


def test_factors_stay_within_ten(cells):
    counts, profiles, totals, classes, _ = cells
    nothing = profiles.copy()
    nothing[:, 2] = 1e-9
    head = CountHead.fit(nothing, totals, classes, counted(counts, classes))
    np.testing.assert_allclose(head.factors[:, 2], 10)
    assert np.isfinite(head.dispersion).all()
