import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA

from altercell.errors import GeneMismatchError
from altercell.metrics._pcs import project_on_pcs

RNG = np.random.default_rng(0)
X, Y = RNG.poisson(1.0, size=(25, 12)).astype(np.float64), RNG.poisson(1.5, size=(40, 12)).astype(np.float64)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize("n_pcs", [3, 50])
def test_coordinates_are_those_of_a_full_decomposition_of_the_real_cells(wrap, n_pcs):
    x_pcs, y_pcs = project_on_pcs(wrap(X), wrap(Y), n_pcs=n_pcs)
    exact = PCA(min(n_pcs, 12), svd_solver="full").fit(Y)
    assert x_pcs.shape == (25, min(n_pcs, 12))
    np.testing.assert_allclose(np.abs(x_pcs), np.abs(exact.transform(X)), atol=1e-6)
    np.testing.assert_allclose(np.abs(y_pcs), np.abs(exact.transform(Y)), atol=1e-6)


def test_the_basis_alone_decides():
    first, _ = project_on_pcs(X, Y, X, n_pcs=2)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(first, project_on_pcs(X, Y + 5, X, n_pcs=2)[0], atol=1e-9)


def test_fewer_cells_than_components():
    x_pcs, y_pcs = project_on_pcs(X, Y[:4], n_pcs=50)
    assert x_pcs.shape == (25, 3)
    np.testing.assert_allclose(np.linalg.norm(y_pcs[0] - y_pcs[1]), np.linalg.norm(Y[0] - Y[1]))


def test_a_basis_of_low_rank_is_no_failure():
    y = np.outer(np.arange(40.0), np.ones(12))
    x_pcs, y_pcs = project_on_pcs(X, y, n_pcs=5)
    assert np.isfinite(x_pcs).all()
    np.testing.assert_allclose(np.ptp(y_pcs[:, 0]), 39 * np.sqrt(12))


@pytest.mark.parametrize("basis", [np.ones((6, 12)), Y[:1]])
def test_a_basis_without_variance_has_no_components(basis):
    x_pcs, y_pcs = project_on_pcs(X, Y, basis)
    assert x_pcs.shape == (25, 0)
    assert y_pcs.shape == (40, 0)


def test_the_same_seed_gives_the_same_bits_and_the_global_generator_rests():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (project_on_pcs(X, Y, n_pcs=4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_basis_must_have_the_same_genes():
    with pytest.raises(GeneMismatchError, match="11 genes and the second 12"):
        project_on_pcs(X, Y, X[:, :11])
