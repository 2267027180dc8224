from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData, read_h5ad

from altercell.errors import DataError, GeneMismatchError
from altercell.metrics._matrix import as_matrices, as_matrix, dense_blocks, gene_means, gene_variances, genes_of

X = np.random.default_rng(0).poisson(0.7, size=(2_100, 9)).astype(np.float32)
FORMATS = [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array]


@pytest.mark.parametrize("wrap", FORMATS)
def test_means_and_variances_are_numpys_in_float64(wrap):
    x = np.log1p(X) + (X > 0) * np.float32(1e-3)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(gene_means(wrap(x)), exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(gene_variances(wrap(x)), exact.var(axis=0, ddof=1), rtol=1e-10)


def test_float32_sums_do_not_drift():
    x = np.full((200_000, 1), 0.1, dtype=np.float32)
    for matrix in (x, sp.csr_matrix(x)):
        assert gene_means(matrix)[0] == pytest.approx(float(np.float32(0.1)), rel=1e-12)
        assert gene_variances(matrix)[0] < 1e-20


def test_duplicate_entries_of_a_sparse_matrix_are_added_without_changing_it():
    x = sp.csr_matrix((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2, 2])), shape=(2, 1))
    np.testing.assert_array_equal(gene_means(x), [1.5])
    np.testing.assert_array_equal(gene_variances(x), [4.5])
    assert x.nnz == 2


def test_variance_of_one_cell_is_undefined():
    assert np.isnan(gene_variances(X[:1])).all()


def test_as_matrix_keeps_floats_and_converts_the_rest():
    assert as_matrix(X) is X
    assert as_matrix(X.astype(np.int64)).dtype == np.float64
    assert as_matrix(X.astype(np.float16)).dtype == np.float64


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 2, 2)), sp.csr_matrix((0, 3))])
def test_as_matrix_wants_cells_by_genes(bad):
    with pytest.raises(DataError, match=r"matrix \(n_cells, n_genes\) with at least one cell"):
        as_matrix(bad)


def test_as_matrices_wants_the_same_genes():
    with pytest.raises(GeneMismatchError, match="have 9 genes and the second 8"):
        as_matrices(X, X[:, :8])


@pytest.mark.parametrize("wrap", FORMATS[:2])
def test_blocks_are_the_rows_in_order(wrap):
    blocks = list(dense_blocks(wrap(X), 512, start=512))
    assert [first for first, _ in blocks] == [512, 1024, 1536, 2048]
    assert {block.dtype for _, block in blocks} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), X[512:])


def named(x: np.ndarray, names: str) -> AnnData:
    adata = AnnData(x)
    adata.var_names = list(names)
    return adata


@pytest.mark.parametrize("wrap", FORMATS[:3])
def test_genes_are_taken_by_name(wrap):
    x = genes_of(named(wrap(X[:5]), "abcdefghi"), np.array(["c", "a"]), "real")
    np.testing.assert_array_equal(x.toarray() if sp.issparse(x) else x, X[:5][:, [2, 0]])


def test_genes_of_data_on_disk(tmp_path: Path):
    for wrap in (np.asarray, sp.csr_matrix):
        named(wrap(X[:5]), "abcdefghi").write_h5ad(tmp_path / "x.h5ad")
        backed = read_h5ad(tmp_path / "x.h5ad", backed="r")
        for adata in (backed, backed[:, 1:]):
            x = genes_of(adata, np.array(["d", "b"]), "real")
            np.testing.assert_array_equal(x.toarray() if sp.issparse(x) else x, X[:5][:, [3, 1]])
        backed.file.close()


def test_missing_and_doubled_genes_are_named():
    with pytest.raises(GeneMismatchError, match="real lacks 2 of the 3 genes of the prediction: 'y', 'z'"):
        genes_of(named(X[:5], "abcdefghi"), np.array(["y", "a", "z"]), "real")
    doubled = AnnData(X[:5])
    doubled.var_names = list("abcdefgaa")
    with pytest.raises(GeneMismatchError, match="control has genes of the same name: 'a'"):
        genes_of(doubled, np.array(["b"]), "control")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("wrap", FORMATS[:2])
def test_non_finite_values_are_refused(bad, wrap):
    x = X[:5].copy()
    x[2, 1] = x[3, 4] = bad
    with pytest.raises(DataError, match="pred holds NaN or infinite values, in 2 of 5 cells"):
        genes_of(named(wrap(x), "abcdefghi"), np.array(list("abcdefghi")), "pred")
