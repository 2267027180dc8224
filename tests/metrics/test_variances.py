import numpy as np
import pytest

from altercell.metrics import pearson_r2, variance_log_ratio, variance_pearson_r2

RNG = np.random.default_rng(0)
REAL = RNG.gamma(1.0, size=80)


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_log_ratio_of_a_common_factor(factor):
    assert variance_log_ratio(factor * REAL, REAL, eps=1e-12) == pytest.approx(np.log(factor))


def test_log_ratio_is_antisymmetric():
    pred = RNG.gamma(2.0, size=80)
    assert variance_log_ratio(pred, REAL) == pytest.approx(-variance_log_ratio(REAL, pred))


def test_silent_genes_add_nothing_and_eps_bounds_the_rest():
    assert variance_log_ratio([0.0, 0.0], [0.0, 0.0]) == 0
    assert variance_log_ratio([0.0], [1.0]) == pytest.approx(np.log(1e-3 / 1.001))
    assert variance_log_ratio([0.0], [1.0], eps=1.0) == pytest.approx(np.log(0.5))


def test_pearson_r2_of_variances_does_not_see_a_common_factor():
    pred = REAL + RNG.normal(size=80) * 0.1
    assert variance_pearson_r2(pred, REAL) == pearson_r2(pred, REAL)
    assert variance_pearson_r2(0.1 * REAL, REAL) == pytest.approx(1)
    assert np.isnan(variance_pearson_r2(np.ones(80), REAL))
