"""Tests of what a member is."""

import numpy as np
import pytest

from altercell.models.stack import CellAttention, Kriging, MeanDelta, Member, SimilarTypes


class Doubling(Member):
    name = "doubling"

    def means(self, evidence):
        return 2 * evidence.bases


def test_a_member_without_variances_has_none(evidence):
    means, variances = Doubling().solve(evidence)
    np.testing.assert_array_equal(means, 2 * evidence.bases)
    np.testing.assert_array_equal(variances, np.zeros_like(means))


def test_a_member_must_say_its_means():
    with pytest.raises(TypeError, match="means"):
        Member()


@pytest.mark.parametrize("member", [Kriging(), CellAttention(Kriging()), SimilarTypes(), MeanDelta()])
def test_all_folds_are_answered(member, evidence):
    means, variances = member.solve(evidence)
    assert means.shape == variances.shape == (len(evidence.folds), evidence.source.means.shape[1])
    assert np.isfinite(means).all()
    assert (variances >= 0).all()
    np.testing.assert_array_equal(member.means(evidence), means)
    # Only kriging knows how sure it is.
    assert variances.any() == isinstance(member, Kriging)
