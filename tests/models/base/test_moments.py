"""Tests of the sums of cells by group, against plain NumPy."""

import numpy as np
import pytest
from scipy import sparse

from altercell.models.base._cells import Cells
from altercell.models.base._moments import group_sums, indicator, leading_eigenvectors, sums_and_squares

FORMS = [np.asarray, sparse.csr_matrix]


def by_group(values: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    return np.stack([values[groups == group].astype(np.float64).sum(0) for group in range(n_groups)])


@pytest.fixture
def groups() -> np.ndarray:
    """A group of each of the 120 cells, of 6 groups; the third and the last have none."""
    groups = np.random.default_rng(0).integers(0, 5, 120)
    groups[groups == 3] = 4
    return groups


@pytest.fixture
def blocks():
    """Return a function that cuts values into blocks of rows, in one form."""
    return lambda values, form, size: [form(values[start : start + size]) for start in range(0, len(values), size)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_sums_are_numpys(cells, plain, groups, form, batch_size):
    dense = cells.X.copy()
    cells.X = form(dense)
    got = group_sums(Cells(cells, plain.schema), groups, 6, batch_size)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, by_group(dense, groups, 6), rtol=1e-13)
    assert not got[3].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_moments_are_numpys(cells, groups, blocks, form, batch_size):
    dense = cells.X.copy()
    sums, squares = sums_and_squares(blocks(dense, form, batch_size), groups, 6, dense.shape[1])
    np.testing.assert_allclose(sums, by_group(dense, groups, 6), rtol=1e-13)
    np.testing.assert_allclose(squares, by_group(dense.astype(np.float64) ** 2, groups, 6), rtol=1e-13)
    assert squares.dtype == np.float64


def test_sums_do_not_lose_small_values_beside_large_ones(cells, plain):
    # In float32 adding 1 to 2^24 changes nothing.
    values = np.ones(cells.shape, dtype=np.float32)
    values[0] = 2.0**24
    cells.X = values
    got = group_sums(Cells(cells, plain.schema), np.zeros(120, dtype=int), 1, 10)
    np.testing.assert_array_equal(got, np.full((1, 30), 2.0**24 + 119))


@pytest.mark.parametrize("form", FORMS)
def test_squares_are_of_float64(form):
    # 4097 squared takes 25 bits, one more than a float32 has.
    values = np.full((3, 2), 4097, dtype=np.float32)
    assert float(np.square(values)[0, 0]) != 4097**2
    _, squares = sums_and_squares([form(values)], np.zeros(3, dtype=int), 1, 2)
    np.testing.assert_array_equal(squares, np.full((1, 2), 3 * 4097**2))


def test_no_cells_give_zeros(plain):
    none = Cells(plain.data, plain.schema, np.array([], dtype=int))
    nobody = np.array([], dtype=int)
    for got in (group_sums(none, nobody, 2, 10), *sums_and_squares([], nobody, 2, 30)):
        np.testing.assert_array_equal(got, np.zeros((2, 30)))


@pytest.mark.parametrize("form", FORMS)
def test_a_row_below_zero_is_left_out(groups, blocks, form):
    values = np.random.default_rng(1).poisson(2.0, (120, 4)).astype(np.float32)
    some = np.where(np.arange(120) % 3 == 0, -1, groups)
    some[:20] = -1  # a whole block without a known group
    sums, squares = sums_and_squares(blocks(values, form, 20), some, 6, 4)
    np.testing.assert_array_equal(sums, by_group(values, some, 6))
    np.testing.assert_array_equal(squares, by_group(values**2, some, 6))


def test_squares_are_made_only_where_they_are_asked_for(groups, blocks):
    values = np.random.default_rng(1).random((120, 4))
    sums, squares = sums_and_squares(blocks(values, np.asarray, 50), groups, 6, 4, squares=False)
    np.testing.assert_allclose(sums, by_group(values, groups, 6), rtol=1e-13)
    assert squares.shape == (0, 0)


def test_sparse_blocks_are_not_made_dense(groups, blocks):
    class OnlySparse(sparse.csr_matrix):
        def toarray(self, *arguments, **options):
            raise AssertionError("a block was made dense")

    values = np.random.default_rng(1).poisson(0.5, (120, 4)).astype(np.float32)
    sums, squares = sums_and_squares(blocks(values, OnlySparse, 50), groups, 6, 4)
    np.testing.assert_array_equal(sums, by_group(values, groups, 6))
    np.testing.assert_array_equal(squares, by_group(values**2, groups, 6))


def test_the_indicator_sums_the_rows_of_each_group_that_there_is():
    present, gather = indicator(np.array([5, -1, 5, 2]))
    np.testing.assert_array_equal(present, [-1, 2, 5])
    np.testing.assert_array_equal(gather.toarray(), [[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]])
    present, gather = indicator(np.array([], dtype=int))
    assert len(present) == 0
    assert gather.shape == (0, 0)


@pytest.mark.parametrize(("size", "n"), [(12, 3), (12, 12), (90, 3)])  # 90 is solved by Lanczos
def test_the_leading_eigenvectors_are_those_of_the_full_problem(size, n):
    factor = np.random.default_rng(0).normal(size=(size, size)) * np.linspace(1, 3, size)
    matrix = factor @ factor.T
    want, axes = np.linalg.eigh(matrix)
    values, vectors = leading_eigenvectors(matrix.copy(), n)
    np.testing.assert_allclose(values, want[::-1][:n], rtol=1e-9)
    np.testing.assert_allclose(np.abs((vectors * axes[:, ::-1][:, :n]).sum(0)), 1, rtol=1e-9)
    again = leading_eigenvectors(matrix.copy(), n)
    np.testing.assert_array_equal(vectors, again[1])


@pytest.mark.parametrize("size", [12, 90])
def test_eigenvectors_beyond_the_rank_are_zero(size):
    factor = np.random.default_rng(0).normal(size=(size, 2))
    values, vectors = leading_eigenvectors(factor @ factor.T, 4)
    assert (values[:2] > 1).all()
    np.testing.assert_array_equal(values[2:], 0)
    np.testing.assert_array_equal(vectors[:, 2:], 0)
    np.testing.assert_array_equal(leading_eigenvectors(np.zeros((size, size)), 4)[1], 0)
