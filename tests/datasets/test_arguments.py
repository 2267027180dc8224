"""The simulator's arguments: good ones pass, a wrong one is named."""

import math

import numpy as np
import pytest

from altercell.datasets._arguments import (
    check_cells,
    check_positive,
    check_share,
    check_whole,
    condition_names,
    proportions,
)
from altercell.errors import DataError, GroupError


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_whole_numbers_pass(value):
    check_whole(n_cells=value)


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None])
def test_other_numbers_are_named(value):
    with pytest.raises(DataError, match="n_cells must be a whole number of at least 1"):
        check_whole(n_genes=5, n_cells=value)


def test_positive_numbers_pass():
    check_positive(library_size=0.5, dispersion=3)
    check_positive(zero=True, spread=0.0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_numbers_that_are_not_positive_are_named(value):
    with pytest.raises(DataError, match=r"dispersion must be a finite number larger than 0, not"):
        check_positive(library_size=1.0, dispersion=value)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_zero_may_be_allowed_and_less_is_not(value):
    with pytest.raises(DataError, match="spread must be a finite number 0 or larger"):
        check_positive(zero=True, spread=value)


def test_shares_pass():
    check_share(up_share=0, specific_share=1, response_share=0.5)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_numbers_that_are_no_shares_are_named(value):
    with pytest.raises(DataError, match="up_share must lie between 0 and 1"):
        check_share(marker_share=0.1, up_share=value)


def test_a_cell_for_each_group_is_enough():
    check_cells(6, n_batches=2, n_steps=3)


def test_groups_without_a_cell_are_counted():
    with pytest.raises(DataError, match="n_cells=5 is too few: n_batches=2 x n_steps=3 make 6 groups; take at least"):
        check_cells(5, n_batches=2, n_steps=3)


def test_condition_names_become_text():
    assert condition_names(("control", 5)) == ["control", "5"]
    assert condition_names(np.array(["a", "b", "c"])) == ["a", "b", "c"]


@pytest.mark.parametrize("conditions", [["control"], [], ["a", "b", "a"], [1, "1"]])
def test_conditions_must_be_two_or_more_and_different(conditions):
    with pytest.raises(GroupError, match="two or more different names, the control first"):
        condition_names(conditions)


def test_a_single_text_is_not_read_as_letters():
    with pytest.raises(GroupError, match=r"sequence of names, such as \('control', 'drug'\)"):
        condition_names("drug")


def test_proportions_are_even_by_default():
    np.testing.assert_allclose(proportions(None, 4), 0.25)


def test_proportions_are_scaled_to_one():
    np.testing.assert_allclose(proportions([1, 3], 2), [0.25, 0.75])


@pytest.mark.parametrize("shares", [[1, 2, 3], [1, 0], [1, -1], [1, math.nan], [1, math.inf]])
def test_bad_proportions_are_named(shares):
    with pytest.raises(DataError, match="type_shares must be 2 positive numbers"):
        proportions(shares, 2)
