"""Tests of the calibration of standard errors."""

import numpy as np
import pytest

from altercell.models.stack._error import calibrated


def simulated_errors(factor: float, n: int = 40_000, seed: int = 0):
    """Draw normal errors whose variances are `factor` times those that are said, beside the noise of measuring."""
    rng = np.random.default_rng(seed)
    variance, noise = rng.gamma(2, 1, n), rng.gamma(2, 0.05, n)
    return variance, rng.normal(0, np.sqrt(factor * variance + noise)), noise


def factor_of(standard_error: np.ndarray, variance: np.ndarray) -> float:
    """Return the one factor by which variances were scaled."""
    factors = standard_error**2 / variance
    np.testing.assert_allclose(factors, factors.flat[0], rtol=1e-9)
    return float(factors.flat[0])


@pytest.mark.parametrize("factor", [0.05, 0.6, 1.0, 9.0, 40.0])
def test_the_factor_is_found_and_the_bands_hold_as_often_as_they_say(factor):
    variance, error, noise = simulated_errors(factor)
    found = factor_of(calibrated(variance, error, variance, noise), variance)
    assert found == pytest.approx(factor, rel=0.08)
    fresh_variance, fresh_error, fresh_noise = simulated_errors(factor, seed=1)
    for band, limit in ((0.9, 1.6449), (0.5, 0.6745), (0.99, 2.5758)):
        inside = np.abs(fresh_error) <= limit * np.sqrt(found * fresh_variance + fresh_noise)
        assert inside.mean() == pytest.approx(band, abs=0.012)


def test_ninety_percent_of_the_known_errors_are_inside():
    """Errors that are not normal leave other bands wrong, but not this one."""
    rng = np.random.default_rng(0)
    variance, noise = rng.gamma(2, 1, 2_000), rng.gamma(2, 0.05, 2_000)
    error = rng.standard_t(2, 2_000) * np.sqrt(variance)
    factor = factor_of(calibrated(variance, error, variance, noise), variance)
    inside = np.abs(error) <= 1.6448536 * np.sqrt(factor * variance + noise)
    assert abs(inside.sum() - 1_800) <= 2


def test_what_is_scaled_may_have_another_shape_than_what_is_known():
    variance, error, noise = simulated_errors(2.0, n=3_000)
    own = np.array([[1.0, 4.0]])
    known = [values.reshape(3, 1_000) for values in (error, variance, noise)]
    standard_error = calibrated(own, *known)
    assert standard_error.shape == own.shape
    flat = calibrated(own, error, variance, noise)
    np.testing.assert_allclose(standard_error, flat, rtol=1e-12)
    assert factor_of(standard_error, own) == pytest.approx(2.0, rel=0.2)


def test_errors_that_noise_explains_give_the_smallest_factor():
    variance, noise = np.ones(500), np.full(500, 4.0)
    error = np.random.default_rng(0).normal(0, 0.5, 500)
    np.testing.assert_allclose(calibrated(variance, error, variance, noise), 0.1)


@pytest.mark.parametrize("known_variance", [1e-6, 0.0])
def test_errors_beyond_all_bounds_give_the_largest_factor(known_variance):
    known = np.full(500, known_variance)
    np.testing.assert_allclose(calibrated(np.ones(3), np.full(500, 10.0), known, np.zeros(500)), 10.0)


def test_without_a_known_error_the_variance_stands():
    nothing = np.empty((0, 2))
    np.testing.assert_array_equal(calibrated(np.array([4.0, 9.0]), nothing, nothing, nothing), [2.0, 3.0])
