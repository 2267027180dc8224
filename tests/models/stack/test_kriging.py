"""Tests of kriging against Gaussian conditioning, stated matrix by matrix in NumPy float64."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from altercell.models.stack import Kriging
from altercell.models.stack._kriging import ROUNDS, Grid, _responsibilities, posteriors


def psd(kernel: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(kernel)
    return vectors @ np.diag(np.maximum(values, 0)) @ vectors.T


def prior(evidence, point, types: np.ndarray, gene: int) -> np.ndarray:
    """Return the covariance of the types' measured responses of a gene, with a point (a, b, l, o) of the grid."""
    a, b, length, o = point
    c = evidence.source.means[types, gene]
    alike = psd(np.exp(-evidence.distances[np.ix_(types, types)] / (length * evidence.scale)))
    noise = evidence.source.noise[types, gene] + evidence.target.noise[types, gene]
    jitter = 1e-8 * (2.0 + 0.1 * (c**2).max())
    return a + b * alike + o * np.outer(c, c) + np.diag(noise + jitter)


def conditioned(evidence, point, gene: int, asked: int):
    """Return log-likelihood, mean and variance of an asked type's response, by inversion of the whole matrix."""
    a, b, length, o = point
    types, c = evidence.types, evidence.source.means[:, gene]
    d = evidence.target.means[types, gene] - c[types]
    sigma = prior(evidence, point, types, gene)
    near = np.exp(-evidence.distances[asked, types] / (length * evidence.scale))
    cross = a + b * near + o * c[asked] * c[types]
    inverse = np.linalg.inv(sigma)
    likelihood = multivariate_normal(np.zeros(len(types)), sigma).logpdf(d) + len(types) / 2 * np.log(2 * np.pi)
    variance = a + b + o * c[asked] ** 2 - cross @ inverse @ cross
    return likelihood, cross @ inverse @ d, variance


def left_out(evidence, point, gene: int, kind: int):
    """Return the same for a type that is taken out of the types, solved anew from the others."""
    types = evidence.types
    keep = np.flatnonzero(types != kind)
    out = int(np.flatnonzero(types == kind)[0])
    d = evidence.target.means[types, gene] - evidence.source.means[types, gene]
    sigma = prior(evidence, point, types, gene)
    rest, cross = sigma[np.ix_(keep, keep)], sigma[out, keep]
    likelihood = multivariate_normal(np.zeros(len(keep)), rest).logpdf(d[keep]) + len(keep) / 2 * np.log(2 * np.pi)
    own_noise = sigma[out, out] - (prior_without_noise(evidence, point, kind, gene))
    variance = sigma[out, out] - own_noise - cross @ np.linalg.solve(rest, cross)
    return likelihood, cross @ np.linalg.solve(rest, d[keep]), variance


def prior_without_noise(evidence, point, kind: int, gene: int) -> float:
    a, b, length, o = point
    types = evidence.types
    alike = psd(np.exp(-evidence.distances[np.ix_(types, types)] / (length * evidence.scale)))
    at = int(np.flatnonzero(types == kind)[0])
    return a + b * alike[at, at] + o * evidence.source.means[kind, gene] ** 2


GRID = Grid(*np.array(list(product((0.0, 0.1, 2.0), (0.0, 0.3, 1.0), (0.2, 1.0), (0.0, 0.1)))).T)


def points(grid: Grid) -> np.ndarray:
    return np.stack([grid.shared, grid.alike, grid.length, grid.proportional], axis=1)


@pytest.fixture
def small(make_evidence):
    """Evidence on five types, one of them too small to be an inner one, and two that are asked."""
    return make_evidence(n_types=5, n_genes=4, n_asked=2, sizes=(40, 12, 40, 40, 40, 40, 40), noise=0.01)


def test_asked_types_are_conditioned_at_every_point_of_the_grid(small):
    found = posteriors(small, GRID)
    for row, asked in enumerate((5, 6)):
        for gene, (at, point) in product(range(4), enumerate(points(GRID))):
            got = [getattr(found, part)[row, gene, at] for part in ("log_likelihood", "mean", "variance")]
            np.testing.assert_allclose(got, conditioned(small, point, gene, asked), rtol=1e-4, atol=2e-5)


def test_inner_types_are_as_if_solved_anew_without_them(small):
    found = posteriors(small, GRID)
    assert small.inner_types.tolist() == [0, 2, 3, 4]
    for row, kind in enumerate((0, 2, 3, 4), start=2):
        for gene, (at, point) in product(range(4), enumerate(points(GRID))):
            got = [getattr(found, part)[row, gene, at] for part in ("log_likelihood", "mean", "variance")]
            np.testing.assert_allclose(got, left_out(small, point, gene, kind), rtol=1e-4, atol=2e-5)


def test_a_type_whose_own_response_is_read_is_smoothed(make_evidence):
    evidence = make_evidence(n_types=4, n_genes=3, asked=(2,), noise=0.05)
    found = posteriors(evidence, GRID)
    for gene, (at, point) in product(range(3), enumerate(points(GRID))):
        got = [getattr(found, part)[0, gene, at] for part in ("log_likelihood", "mean", "variance")]
        np.testing.assert_allclose(got, conditioned(evidence, point, gene, 2), rtol=1e-4, atol=2e-5)


def test_blocks_of_genes_do_not_matter(small, monkeypatch):
    whole = posteriors(small, GRID)
    monkeypatch.setattr("altercell.models.stack._kriging.BLOCK", len(GRID.shared))
    single = posteriors(small, GRID)
    for part in ("log_likelihood", "mean", "variance"):
        np.testing.assert_allclose(getattr(single, part), getattr(whole, part), rtol=1e-5, atol=1e-6)


def loop(log_likelihood: np.ndarray) -> np.ndarray:
    """Expectation-maximisation for the grid's weights, gene by gene and point by point."""
    n_genes, n_points = log_likelihood.shape
    prior = [1 / n_points] * n_points
    for step in range(ROUNDS + 1):
        rows = []
        for gene in range(n_genes):
            values = [prior[p] * np.exp(log_likelihood[gene, p] - log_likelihood[gene].max()) for p in range(n_points)]
            rows.append([value / sum(values) for value in values])
        if step < ROUNDS:
            prior = [sum(row[p] for row in rows) / n_genes for p in range(n_points)]
    return np.array(rows)


def test_the_grids_weights_are_those_of_a_plain_loop():
    log_likelihood = np.random.default_rng(0).normal(0, 6, (12, 7))
    found = _responsibilities(log_likelihood)
    np.testing.assert_allclose(found, loop(log_likelihood), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1)


def test_genes_lend_each_other_their_weights():
    # The last gene does not know; the others are sure of the second point.
    log_likelihood = np.array([[0.0, 9.0, 0.0]] * 5 + [[1.0, 1.0, 1.0]])
    assert _responsibilities(log_likelihood)[-1, 1] > 0.99


def test_log_likelihoods_beyond_the_range_of_numbers():
    log_likelihood = np.array([[-1e5, -1e5 - 1], [3e4, -3e4]], dtype=np.float32)
    found = _responsibilities(log_likelihood)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], [1, 0], atol=1e-6)


def test_the_answer_is_the_mixture_over_the_grid(small):
    means, variances = Kriging().solve(small)
    grid = Grid.usual()
    for row, asked in enumerate((5, 6)):
        parts = np.array([[conditioned(small, point, gene, asked) for point in points(grid)] for gene in range(4)])
        weight = loop(parts[..., 0])
        mean = (weight * parts[..., 1]).sum(1)
        want = (weight * (parts[..., 2] + (parts[..., 1] - mean[:, None]) ** 2)).sum(1)
        np.testing.assert_allclose(means[row] - small.bases[row], mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(variances[row], want, rtol=5e-3, atol=1e-4)


def test_the_usual_grid_has_every_combination_once():
    found = points(Grid.usual())
    assert len(np.unique(found, axis=0)) == len(found) == 4 * 2 * (1 + 4 * 3)
    assert [0, 0, 0] in found[:, [0, 1, 3]].tolist()  # no response at all


def test_a_kernel_that_is_none_is_made_one():
    # The noise taken off distances leaves two types apart that are both at no distance from a third.
    distances = np.array([[0, 0, 0.0], [0, 0, 5.0], [0, 5.0, 0]])
    assert np.linalg.eigvalsh(np.exp(-distances)).min() < -0.1
    grid = Grid(*(np.array([value]) for value in (0.0, 1.0, 1.0, 0.0)))
    found = grid.covariance(distances)[0]
    assert np.linalg.eigvalsh(found).min() > -1e-9
    np.testing.assert_allclose(found, psd(np.exp(-distances)), atol=1e-12)


def test_what_the_asked_and_the_known_share(make_evidence):
    grid = Grid(*(np.array([value]) for value in (0.5, 2.0, 0.5, 0.3)))
    found = grid.across(np.array([[0.0, 1.0, 1e9]]))
    np.testing.assert_allclose(found, [[[2.5, 0.5 + 2 * np.exp(-2), 0.5]]])


def test_a_response_that_all_types_share_is_recovered(make_evidence):
    evidence = make_evidence(n_genes=30, noise=1e-5)
    shift = np.linspace(-0.3, 1.2, 30)
    evidence.target.means[:6] = evidence.source.means[:6] + shift
    means, variances = Kriging().solve(evidence)
    np.testing.assert_allclose(means[0] - evidence.bases[0], shift, atol=0.02)
    far = make_evidence(n_genes=30, noise=1e-5)
    far.target.means[:6] += np.random.default_rng(0).normal(0, 1, (6, 30))
    assert np.median(Kriging().solve(far)[1][0]) > 20 * np.median(variances[0])


def test_a_response_that_alike_types_share_is_taken_from_them(make_evidence):
    evidence = make_evidence(n_genes=60, noise=1e-4)
    rng = np.random.default_rng(1)
    evidence.source.means[:] = rng.gamma(1.5, 0.5, 60)
    kind = np.array([0, 0, 0, 1, 1, 1, 1])
    evidence.source.means[:] += rng.normal(0, 0.6, (2, 60))[kind] + rng.normal(0, 0.02, (7, 60))
    response = rng.normal(0, 1, (2, 60))[kind]
    evidence.target.means[:6] = evidence.source.means[:6] + response[:6]
    found = Kriging().means(evidence)[0] - evidence.bases[0]
    assert ((found - response[6]) ** 2).mean() < 0.05 * ((response[:6].mean(0) - response[6]) ** 2).mean()


def test_no_response_is_answered_by_none(make_evidence):
    evidence = make_evidence(n_genes=40, noise=0.01)
    noise = np.random.default_rng(0).normal(0, 0.1, (6, 40))
    evidence.target.means[:6] = evidence.source.means[:6] + noise
    means, _ = Kriging().solve(evidence)
    assert np.abs(means[0] - evidence.bases[0]).max() < 0.06


def test_genes_without_any_noise_or_expression(make_evidence):
    evidence = make_evidence()
    for arm in (evidence.source, evidence.target):
        arm.means[:, 0] = arm.noise[:, 0] = 0
    means, variances = Kriging().solve(evidence)
    assert np.isfinite(means).all()
    assert np.isfinite(variances).all()
    np.testing.assert_allclose(means[:, 0], 0, atol=1e-6)
