import numpy as np
import pytest
from scipy.stats import multivariate_normal

from altercell.errors import DataError
from altercell.metrics import _posterior, latent_entropy, latent_entropy_gap


@pytest.fixture
def posteriors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(25, 3)), rng.uniform(0.05, 2, size=(25, 3))


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(14, 3))


def test_the_entropy_is_that_of_the_equation(posteriors, codes):
    means, variances = posteriors
    logs = []
    for z in codes:
        q = [multivariate_normal.pdf(z, mean, np.diag(var)) for mean, var in zip(means, variances, strict=True)]
        logs.append(np.log(np.mean(q)))
    assert latent_entropy(codes, means, variances) == pytest.approx(-np.mean(logs), rel=1e-12)


def test_blocks_do_not_change_it(posteriors, codes, monkeypatch):
    whole = latent_entropy(codes, *posteriors)
    monkeypatch.setattr(_posterior, "BLOCK", 60)
    assert latent_entropy(codes, *posteriors) == pytest.approx(whole, rel=1e-13)


def test_points_that_no_cell_could_have_given_are_finite(posteriors):
    assert 1e7 < latent_entropy(np.full((1, 3), 1e4), *posteriors) < np.inf


def test_the_gap_is_the_difference_and_does_not_change_with_order_or_units(posteriors, codes):
    means, variances = posteriors
    fake, real = codes[:5] + 1, codes[5:]
    gap = latent_entropy_gap(fake, real, means, variances)
    assert gap == latent_entropy(fake, means, variances) - latent_entropy(real, means, variances)
    assert gap == -latent_entropy_gap(real, fake, means, variances)
    assert latent_entropy_gap(real, real, means, variances) == 0
    turned = [values[:, [2, 0, 1]] for values in (fake, real, means, variances)]
    assert latent_entropy_gap(*turned) == pytest.approx(gap)
    assert latent_entropy_gap(fake[::-1], real, means[::-1], variances[::-1]) == pytest.approx(gap)
    scaled = latent_entropy_gap(7 * fake - 2, 7 * real - 2, 7 * means - 2, 49 * variances)
    assert scaled == pytest.approx(gap)


def draw(rng: np.random.Generator, means: np.ndarray, width: float) -> np.ndarray:
    return means + np.sqrt(width) * rng.normal(size=means.shape)


def test_it_rises_with_the_distance_of_the_prediction_and_falls_with_its_spread():
    rng = np.random.default_rng(2)
    reference, real, fake = (rng.normal(size=(400, 2)) for _ in range(3))
    variances = np.full((400, 2), 0.2)
    gaps = [latent_entropy_gap(fake + shift, real, reference, variances) for shift in (0, 1, 2, 4)]
    assert abs(gaps[0]) < 0.15
    assert gaps[0] < gaps[1] < gaps[2] < gaps[3]
    assert latent_entropy_gap(0.3 * fake, real, reference, variances) < -0.5


def test_codes_of_the_reference_cells_themselves_have_an_advantage_that_third_cells_do_not_give():
    rng = np.random.default_rng(3)
    means, others = rng.normal(size=(2, 300, 4))
    narrow = np.full((300, 4), 1e-4)
    own, perfect = draw(rng, means, 1e-4), draw(rng, others, 1e-4)
    # Their entropy is that of one posterior plus log n: a draw gives its cell away.
    of_one = 2 * np.log(2 * np.pi * np.e * 1e-4)
    assert latent_entropy(own, means, narrow) == pytest.approx(of_one + np.log(300), abs=0.2)
    assert latent_entropy_gap(perfect, own, means, narrow) > 100
    third = rng.normal(size=(300, 4))
    wide = np.full((300, 4), 0.3)
    assert abs(latent_entropy_gap(draw(rng, others, 0.3), draw(rng, means, 0.3), third, wide)) < 0.3


def test_errors_name_what_is_wrong(posteriors, codes):
    means, variances = posteriors
    with pytest.raises(DataError, match="codes have 2 latents and the posteriors 3"):
        latent_entropy(codes[:, :2], means, variances)
    with pytest.raises(DataError, match=r"variances have shape \(24, 3\) and the means of the same posteriors \(25, 3"):
        latent_entropy(codes, means, variances[1:])
    with pytest.raises(DataError, match="variances are not above 0 in 25 of 25 cells"):
        latent_entropy_gap(codes, codes, means, 0 * variances)
    with pytest.raises(DataError, match="codes hold NaN or infinite values, in 1 of 14 cells"):
        latent_entropy(np.where(codes == codes.max(), np.nan, codes), means, variances)
    with pytest.raises(DataError, match="means are wanted as an array"):
        latent_entropy(codes, means[:0], variances[:0])
