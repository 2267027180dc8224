import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error, r2_score

from altercell.errors import DataError
from altercell.metrics import direction, mse, pearson_delta, pearson_r2, r2, top_overlap

RNG = np.random.default_rng(0)
PRED, REAL, CONTROL, OTHER = RNG.normal(size=(4, 60))
# Rounded, so that a vector is either constant or clearly not.
profiles = arrays(np.float64, 12, elements=st.floats(-50, 50).map(lambda value: round(value, 3)))


@given(profiles, profiles)
def test_pearson_r2_is_scipys_squared(x, y):
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(pearson_r2(x, y))
    else:
        assert pearson_r2(x, y) == pytest.approx(pearsonr(x, y).statistic ** 2, abs=1e-9)


@given(profiles, profiles)
def test_r2_and_mse_are_scikit_learns_with_real_as_truth(x, y):
    assert mse(x, y) == pytest.approx(mean_squared_error(y, x), rel=1e-9, abs=1e-12)
    if np.ptp(y) == 0:
        assert np.isnan(r2(x, y))
    else:
        assert r2(x, y) == pytest.approx(r2_score(y, x), rel=1e-9, abs=1e-9)


@given(profiles, profiles, st.floats(0.1, 10), st.floats(-5, 5))
def test_pearson_r2_is_symmetric_and_forgives_scale_and_offset(x, y, scale, offset):
    assert pearson_r2(x, y) == pytest.approx(pearson_r2(y, x), abs=1e-12, nan_ok=True)
    if np.ptp(x) > 0.01:
        assert pearson_r2(scale * x + offset, y) == pytest.approx(pearson_r2(x, y), abs=1e-6, nan_ok=True)


def test_r2_does_not_forgive_an_offset_and_takes_the_prediction_first():
    assert r2(REAL + 1, REAL) < 0.5
    assert r2(PRED * 0.1, REAL) != pytest.approx(r2(REAL, PRED * 0.1))


def test_perfect_prediction_of_the_means():
    assert pearson_r2(REAL, REAL) == pytest.approx(1)
    assert r2(REAL, REAL) == 1
    assert mse(REAL, REAL) == 0
    assert pearson_delta(REAL, REAL, CONTROL) == pytest.approx(1)
    assert direction(REAL, REAL, CONTROL) == 1
    assert top_overlap(REAL, REAL, CONTROL, k=10) == 1


def test_pearson_delta_is_scipys_of_the_differences():
    expected = pearsonr(PRED - CONTROL, REAL - OTHER).statistic
    assert pearson_delta(PRED, REAL, CONTROL, OTHER) == pytest.approx(expected)
    assert pearson_delta(PRED, REAL, CONTROL) == pytest.approx(pearsonr(PRED - CONTROL, REAL - CONTROL).statistic)
    assert pearson_delta(PRED, REAL, CONTROL) != pytest.approx(expected, abs=0.05)


def test_no_change_explains_nothing():
    for pred in (CONTROL, CONTROL.astype(np.float32), CONTROL * (1 + 1e-8 * OTHER)):
        assert pearson_delta(pred, REAL, CONTROL) == 0
        assert direction(pred, REAL, CONTROL) == 0
        assert top_overlap(pred, REAL, CONTROL, k=10) == 0
    assert pearson_delta(CONTROL + 1, REAL, CONTROL) == pytest.approx(0, abs=1e-6)


def test_no_true_change_is_undefined():
    assert np.isnan(pearson_delta(PRED, CONTROL, CONTROL))
    assert np.isnan(pearson_delta(CONTROL, CONTROL, CONTROL))
    assert np.isnan(direction(PRED, CONTROL, CONTROL))
    assert np.isnan(top_overlap(PRED, CONTROL, CONTROL, k=10))


def test_single_genes_and_constant_profiles_are_undefined():
    assert np.isnan(pearson_r2([1.0], [2.0]))
    assert np.isnan(pearson_r2(np.ones(5), np.arange(5)))
    assert np.isnan(r2(np.arange(5), np.ones(5)))


def test_direction_counts_changed_genes_alone():
    control = np.zeros(5)
    real = np.array([1.0, -1.0, 2.0, 0.0, -3.0])
    pred = np.array([0.5, 1.0, 0.0, 9.0, -0.1])  # right, wrong, no change, not counted, right
    assert direction(pred, real, control) == 0.5


def test_direction_uses_each_arms_own_control():
    assert direction(np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.zeros(2), np.array([0.0, 2.0])) == 0.5


def test_top_overlap_by_hand():
    control = np.zeros(6)
    real = np.array([5.0, -4.0, 3.0, 0.1, 0.2, 0.0])
    pred = np.array([-1.0, 0.0, 9.0, 8.0, 0.0, 0.0])
    assert top_overlap(pred, real, control, k=2) == 0.0
    assert top_overlap(pred, real, control, k=3) == pytest.approx(2 / 3)
    # Only five genes change in truth, three in the prediction: they are all that can be named.
    assert top_overlap(pred, real, control, k=5) == pytest.approx(3 / 5)
    assert np.isnan(top_overlap(pred, real, control, k=6))


@given(st.permutations(range(60)))
def test_the_order_of_genes_does_not_matter(order):
    profiles = [profile[list(order)] for profile in (PRED, REAL, CONTROL, OTHER)]
    assert pearson_delta(*profiles) == pytest.approx(pearson_delta(PRED, REAL, CONTROL, OTHER))
    assert direction(*profiles) == direction(PRED, REAL, CONTROL, OTHER)
    assert top_overlap(*profiles, k=7) == top_overlap(PRED, REAL, CONTROL, OTHER, k=7)


def test_tiny_profiles_do_not_underflow():
    assert pearson_r2(PRED * 1e-200, REAL * 1e-200) == pytest.approx(pearson_r2(PRED, REAL))


@pytest.mark.parametrize("metric", [mse, r2, pearson_r2])
def test_cells_are_no_profile(metric):
    cells = AnnData(np.ones((5, 3), dtype=np.float32))
    with pytest.raises(DataError, match="a mean profile .* is wanted, not an AnnData: give adata.X.mean"):
        metric(cells, cells)
