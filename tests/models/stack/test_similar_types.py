"""Tests of the response of the most alike types, against loops."""

import math

import numpy as np
import pytest

from altercell.models.base import Profiles
from altercell.models.stack import Evidence, SimilarTypes


def plain(evidence, asked: int, types: list[int], reach: float = 0.25) -> np.ndarray:
    """State the equations gene by gene, in Python floats."""
    c, s, v = evidence.source.means, evidence.target.means, evidence.source.noise
    n_genes = c.shape[1]

    def distance(k, m):
        return max(0.0, sum((c[k, g] - c[m, g]) ** 2 - v[k, g] - v[m, g] for g in range(n_genes)))

    known = [int(k) for k in evidence.types]
    apart = sorted(distance(k, m) for at, k in enumerate(known) for m in known[at + 1 :])
    half = len(apart) // 2
    median = apart[half] if len(apart) % 2 else (apart[half - 1] + apart[half]) / 2
    raw = [
        math.exp(-distance(asked, k) / (reach * median))
        / (1 / evidence.source.sizes[k] + 1 / evidence.target.sizes[k] + 1 / 200)
        for k in types
    ]
    w = [value / sum(raw) for value in raw]
    result = []
    for g in range(n_genes):
        before = sum(weight * c[k, g] for weight, k in zip(w, types, strict=True))
        after = sum(weight * s[k, g] for weight, k in zip(w, types, strict=True))
        ratio = (after + 0.01) / (before + 0.01)
        result.append(c[asked, g] * ratio if ratio < 1 else c[asked, g] + after - before)
    return np.array(result)


@pytest.mark.parametrize("reach", [0.25, 1.0])
def test_the_equations(make_evidence, reach):
    evidence = make_evidence(n_asked=2, sizes=(25, 90, 30, 41, 22, 300, 10, 10), seed=3)
    found = SimilarTypes(reach).means(evidence)
    assert len(found) == 8
    for row, asked in enumerate([6, 7, *range(6)]):
        types = [k for k in range(6) if k != asked]
        np.testing.assert_allclose(found[row], plain(evidence, asked, types, reach), rtol=1e-9, atol=1e-12)


def two_types(before: list[list[float]], after: list[list[float]]) -> Evidence:
    """Return evidence on one known type and one asked."""
    sizes = np.array([50, 50])
    source = Profiles(np.array(before), sizes, np.full((2, 2), 1e-6))
    target = Profiles(np.array([after[0], [0.0, 0.0]]), np.array([50, 0]), np.full((2, 2), 1e-6))
    return Evidence(source, target, np.array([0]), np.array([1]), lambda: None)


def test_down_is_multiplicative_and_up_additive():
    # The first gene is halved, the second rises by 1, in a type that has other amounts of both.
    evidence = two_types([[2.0, 1.0], [0.4, 3.0]], [[1.0, 2.0]])
    got = SimilarTypes().means(evidence)[0]
    np.testing.assert_allclose(got, [0.4 * (1.0 + 0.01) / (2.0 + 0.01), 3.0 + 1.0], rtol=1e-12)


def test_going_down_never_goes_below_zero(make_evidence):
    evidence = make_evidence(seed=5)
    evidence.target.means[:6] *= 0.01
    found = SimilarTypes().means(evidence)
    assert (found >= 0).all()
    additive = evidence.bases[0] + (evidence.target.means - evidence.source.means)[:6].mean(0)
    assert additive.min() < 0


def test_a_gene_that_is_hardly_there_has_no_ratio():
    evidence = two_types([[1e-4, 1.0], [2.0, 1.0]], [[0.0, 1.0]])
    assert SimilarTypes().means(evidence)[0, 0] == pytest.approx(2.0 * 0.01 / 0.0101)


def test_the_nearest_type_alone_counts_at_a_short_reach(make_evidence):
    evidence = make_evidence(seed=2)
    evidence.source.means[6] = evidence.source.means[4] + 0.01
    before, after = evidence.source.means, evidence.target.means
    ratio = (after[4] + 0.01) / (before[4] + 0.01)
    want = np.where(ratio < 1, before[6] * ratio, before[6] + after[4] - before[4])
    np.testing.assert_allclose(SimilarTypes(0.01).means(evidence)[0], want, rtol=1e-9)
