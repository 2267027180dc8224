"""Tests of folds: who is asked, and whose response may be read."""

import numpy as np
import pytest

from altercell.models.stack import CellAttention, Kriging, MeanDelta, Member, SimilarTypes


def test_the_asked_come_first_and_the_inner_ones_follow(make_evidence):
    evidence = make_evidence(n_asked=2, sizes=(40, 19, 20, 40, 5, 40, 40, 40))
    assert evidence.inner_types.tolist() == [0, 2, 3, 5]
    assert [fold.asked for fold in evidence.folds] == [6, 7, 0, 2, 3, 5]
    for fold in evidence.folds[:2]:
        assert fold.types.tolist() == [0, 1, 2, 3, 4, 5]
    for fold in evidence.folds[2:]:
        assert fold.types.tolist() == [k for k in range(6) if k != fold.asked]
    np.testing.assert_array_equal(evidence.bases, evidence.source.means[[6, 7, 0, 2, 3, 5]])


def test_the_smaller_arm_decides_who_is_inner(make_evidence):
    evidence = make_evidence()
    evidence.source.sizes[1] = evidence.target.sizes[4] = 19
    assert evidence.inner_types.tolist() == [0, 2, 3, 5]


def test_one_type_leaves_none_to_predict_from(make_evidence):
    evidence = make_evidence(n_types=1, sizes=(40, 40))
    assert evidence.inner_types.tolist() == []
    assert len(evidence.folds) == 1


def test_responses_noise_and_scale(evidence):
    before, after = evidence.source, evidence.target
    np.testing.assert_array_equal(evidence.responses, (after.means - before.means)[:6])
    np.testing.assert_array_equal(evidence.response_noise(np.array([4, 1])), before.noise[[4, 1]] + after.noise[[4, 1]])
    among = [
        max(0, ((before.means[k] - before.means[m]) ** 2 - before.noise[k] - before.noise[m]).sum())
        for k in range(6)
        for m in range(k)
    ]
    # The asked types have no part in what is typical.
    assert evidence.scale == pytest.approx(np.median(among))
    assert evidence.distances.shape == (8, 8)


def test_a_member_is_asked_once(evidence):
    class Counting(Member):
        name, asked = "counting", 0

        def solve(self, evidence):
            self.asked += 1
            return evidence.bases + 1, evidence.bases * 0 + 4

        def means(self, evidence):
            raise AssertionError("solve has the means")

    member, other = Counting(), Counting()
    np.testing.assert_array_equal(evidence.means(member), evidence.bases + 1)
    np.testing.assert_array_equal(evidence.variances(member), evidence.bases * 0 + 4)
    evidence.means(member)
    evidence.means(other)
    assert (member.asked, other.asked) == (1, 1)


@pytest.mark.parametrize("make", [Kriging, lambda: CellAttention(Kriging()), SimilarTypes, MeanDelta])
def test_no_fold_reads_the_response_of_its_own_type(make, make_evidence):
    plain, other = make_evidence(n_asked=1), make_evidence(n_asked=1)
    changed = 3
    other.target.means[changed] += np.linspace(2, 5, 9)
    other.control_space().x[90:] += 3  # the cells of type 3 and of those after it
    other.control_space().x[120:] -= 3
    first, second = (make().means(evidence) for evidence in (plain, other))
    row = 1 + changed
    np.testing.assert_allclose(second[row], first[row], rtol=1e-6)
    apart = np.abs(second - first).max(1)
    assert (np.delete(apart, row) > 1e-3).all()


@pytest.mark.parametrize("make", [Kriging, lambda: CellAttention(Kriging()), SimilarTypes, MeanDelta])
def test_an_asked_type_with_target_cells_is_read_only_where_it_is_among_the_types(make, make_evidence):
    evidence = make_evidence(n_asked=1)
    found = make().means(evidence)[0]
    given = make_evidence(n_asked=1)
    given.target.means[6], given.target.sizes[6] = 7, 40
    np.testing.assert_array_equal(make().means(given)[0], found)
