"""Tests of the shares of genes inside the bands, on types whose response is known."""

import numpy as np
import pytest
from scipy.stats import norm

from altercell.errors import DataError, GroupError
from altercell.models.stack._error import shares_inside

ASK = {"source": "control", "target": "stimulated"}


def test_shares_of_normal_errors_are_those_of_the_bands():
    rng, levels = np.random.default_rng(0), np.array([0.1, 0.5, 0.9])
    variance = rng.gamma(2, 1, (3, 40_000))
    error = rng.normal(0, np.sqrt(variance)) * np.array([[1], [1], [2]])
    found = shares_inside(error, variance, levels)
    np.testing.assert_allclose(found[:2], [levels] * 2, atol=0.01)
    # Errors twice as large as was said.
    np.testing.assert_allclose(found[2], 2 * norm.cdf(norm.ppf((1 + levels) / 2) / 2) - 1, atol=0.01)


def test_a_type_is_measured_against_what_is_said_of_it_without_its_own_response(fit, simulated, dense):
    model = fit(simulated.copy())
    table = model.get_calibration(**ASK, levels=[0.5, 0.9])
    assert table["label"].tolist() == np.repeat(["type_0", "type_1", "type_2", "type_3"], 2).tolist()
    assert table["level"].tolist() == [0.5, 0.9] * 4
    said = model.get_mean(**ASK, label="type_2")
    real = dense(simulated[(simulated.obs["condition"] == "stimulated") & (simulated.obs["cell_type"] == "type_2")].X)
    # The variance of a mean is drawn a little towards that of all types, so the noise is near that of the cells alone.
    width = np.sqrt(said["standard_error"] ** 2 + real.var(axis=0, ddof=1) / len(real))
    want = (np.abs(said["mean"] - real.mean(axis=0)) <= 1.6448536 * width).mean()
    got = table[(table["label"] == "type_2") & (table["level"] == 0.9)]["share"].item()
    assert got == pytest.approx(want, abs=0.03)
    assert 0.7 <= table[table["level"] == 0.9]["share"].mean() <= 1


def test_one_level_may_be_a_number_and_must_be_a_share(stack):
    assert stack.get_calibration(**ASK, levels=0.9)["level"].unique().tolist() == [0.9]
    for wrong in ([90], [], 1.0, [0.5, 0.0]):
        with pytest.raises(DataError, match="must be shares between 0 and 1"):
            stack.get_calibration(**ASK, levels=wrong)


def test_what_cannot_be_tested_is_refused(fit, simulated):
    with pytest.raises(GroupError, match="needs own_type=False.*; own_type=True, and there is 'type_0'"):
        fit(simulated.copy(), own_type=True).get_calibration(**ASK)
    few = simulated[(simulated.obs["cell_type"] == "type_0") | (simulated.obs["condition"] == "control")].copy()
    with pytest.raises(GroupError, match="two types or more with 20 cells in both conditions; .* there is 'type_0'"):
        fit(few).get_calibration(**ASK)
