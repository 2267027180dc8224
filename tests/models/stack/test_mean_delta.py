"""Tests of the mean response of the other types."""

import numpy as np

from altercell.models.stack import MeanDelta


def test_every_fold_takes_the_mean_response_of_its_types(evidence):
    before, after = evidence.source.means, evidence.target.means
    found = MeanDelta().means(evidence)
    for row, asked in enumerate([6, 7, *range(6)]):
        others = [k for k in range(6) if k != asked]
        want = before[asked] + sum(after[k] - before[k] for k in others) / len(others)
        np.testing.assert_allclose(found[row], want, atol=1e-12)


def test_an_own_response_that_may_be_read_takes_part(make_evidence):
    evidence = make_evidence(asked=(2,))
    found = MeanDelta().means(evidence)
    want = evidence.source.means[2] + (evidence.target.means - evidence.source.means)[:6].mean(0)
    np.testing.assert_allclose(found[0], want, atol=1e-12)
    # The same type, as an inner one, is predicted from the others.
    assert np.abs(found[0] - found[1 + 2]).max() > 1e-3
