"""Counts to log data: as scanpy does it, with the counts and the totals kept."""

import logging

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from altercell.data import get_space, normalize, select_genes
from altercell.data._normalize import as_rows, cell_totals, log_scaled
from altercell.errors import DataError, KeyNotFoundError


def dense(x: object) -> np.ndarray:
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


@pytest.mark.parametrize("target_sum", [1e4, 1e6, 50, None])
def test_it_is_what_scanpy_does(cells, target_sum, unchanged):
    expected = cells.copy()
    sc.pp.normalize_total(expected, target_sum=target_sum)
    sc.pp.log1p(expected)
    found = normalize(cells, target_sum)
    np.testing.assert_allclose(dense(found.X), dense(expected.X), rtol=1e-5)
    assert found.X.dtype == np.float32
    unchanged()


def test_counts_and_totals_are_kept(cells):
    found = normalize(cells)
    assert (found.layers["counts"] != cells.X).nnz == 0
    assert found.layers["counts"].dtype == np.float32
    np.testing.assert_array_equal(found.obs["size_factor"], np.asarray(cells.X.sum(axis=1)).ravel())


def test_everything_else_is_kept(cells):
    found = normalize(cells)
    assert list(found.obs.columns) == [*cells.obs.columns, "size_factor"]
    np.testing.assert_array_equal(found.obsm["X_pca"], cells.obsm["X_pca"])
    assert (found.layers["spliced"] != cells.layers["spliced"]).nnz == 0
    assert list(found.var.columns) == list(cells.var.columns)
    assert list(found.obs_names) == list(cells.obs_names)


def test_the_answer_shares_no_memory_with_the_input(cells, unchanged):
    found = normalize(cells)
    found.X.data[:] = 0
    found.X.indices[:] = 0
    found.layers["counts"].data[:] = 5
    found.uns["nested"]["list"][:] = 9
    unchanged()


@pytest.mark.parametrize("layer", [None, "spliced"])
def test_x_and_the_layers_share_no_memory(cells, layer):
    found = normalize(cells, layer=layer)
    found.X.indices[:] = 0
    for name in ("counts", "spliced"):
        np.testing.assert_array_equal(found.layers[name].toarray(), cells.X.toarray())


@pytest.mark.parametrize(
    ("target_sum", "space"),
    [
        (1e4, "log1p of counts per 10,000"),
        (1_000_000, "log1p of counts per 1,000,000"),
        (None, "log1p of counts per median"),
    ],
)
def test_the_space_is_recorded(cells, target_sum, space):
    assert get_space(normalize(cells, target_sum)) == space


def test_the_space_that_is_recorded_is_the_one_inferred(cells):
    found = normalize(cells)
    del found.uns["altercell"]
    assert get_space(found) == "log1p of counts per 10,000"


def test_counts_in_a_layer(cells, unchanged):
    log = normalize(cells)
    log.X = log.X * 0
    found = normalize(log, layer="counts")
    np.testing.assert_allclose(found.X.toarray(), normalize(cells).X.toarray())
    unchanged()


@pytest.mark.parametrize(
    "change",
    [sparse.csc_matrix, sparse.csr_array, lambda x: x.toarray(), lambda x: x.toarray().astype(np.int64)],
    ids=["csc", "csr_array", "dense", "int"],
)
def test_every_kind_of_matrix(cells, change):
    expected = normalize(cells)
    cells.X = change(cells.X)
    found = normalize(cells)
    np.testing.assert_allclose(dense(found.X), expected.X.toarray(), rtol=1e-6)
    assert sparse.issparse(found.X) == sparse.issparse(cells.X)
    assert found.X.dtype == found.layers["counts"].dtype == np.float32
    np.testing.assert_array_equal(found.obs["size_factor"], expected.obs["size_factor"])


def test_a_view_and_backed_cells(cells, tmp_path):
    expected = normalize(cells).X.toarray()
    view = cells[20:50]
    np.testing.assert_array_equal(normalize(view).X.toarray(), expected[20:50])
    assert view.is_view
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_array_equal(normalize(backed).X.toarray(), expected)
    backed.file.close()


@pytest.mark.parametrize("target_sum", [1e4, None])
def test_cells_without_counts_stay_zero(cells, target_sum):
    x = cells.X.toarray()
    x[:50] = 0
    cells.X = sparse.csr_matrix(x)
    found = normalize(cells, target_sum)
    assert not found.X[:50].toarray().any()
    assert not found.obs["size_factor"].iloc[:50].any()
    # The median is of the cells that hold counts.
    total = 1e4 if target_sum else np.median(x[50:].sum(axis=1))
    np.testing.assert_allclose(np.expm1(found.X.toarray()).sum(axis=1)[50:], total, rtol=1e-5)


def test_totals_count_the_genes_left_out(cells):
    part = select_genes(cells, 10)
    found = normalize(part)
    expected = normalize(cells)[:, part.var_names]
    np.testing.assert_allclose(found.X.toarray(), expected.X.toarray(), rtol=1e-6)
    np.testing.assert_array_equal(found.obs["size_factor"], expected.obs["size_factor"])


def test_a_size_factor_of_another_meaning_is_not_believed(cells):
    cells.obs["size_factor"] = 1.0
    np.testing.assert_array_equal(normalize(cells).X.toarray(), normalize(cells.copy()).X.toarray())
    assert normalize(cells).obs["size_factor"].min() > 1


def test_totals_below_the_genes_left_are_an_error(cells):
    part = select_genes(cells, 10)
    part.obs["size_factor"] = 1.0
    with pytest.raises(DataError, match=r"obs\['size_factor'\] is no total over all genes"):
        normalize(part)


def test_missing_totals_are_said(cells, caplog):
    part = select_genes(cells, 10)
    del part.obs["size_factor"]
    with caplog.at_level(logging.WARNING, logger="altercell.data._normalize"):
        totals = cell_totals(part, part.X)
    assert "totals are of the 10 genes left" in caplog.text
    np.testing.assert_array_equal(totals, np.asarray(part.X.sum(axis=1)).ravel())


def test_log_data_are_refused(cells):
    log = normalize(cells)
    with pytest.raises(DataError, match=r"needs counts, but X holds: log1p of counts per 10,000"):
        normalize(log)
    log.layers["fractions"] = log.X * 0.5
    with pytest.raises(DataError, match=r"needs counts, but layer 'fractions' holds"):
        normalize(log, layer="fractions")


def test_a_stale_record_of_the_space_is_found(cells):
    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)
    assert cells.uns["altercell"]["space"] == "counts", "scanpy has left the record as it was"
    assert get_space(cells).startswith("log1p of counts per ")
    with pytest.raises(DataError, match="log1p of counts per "):
        normalize(cells)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf])
def test_one_bad_value_is_found(cells, value):
    cells.X.data[7] = value
    with pytest.raises(DataError, match="1 values are no whole numbers of 0 or more|X holds: unknown"):
        normalize(cells)


def test_a_missing_layer_is_listed(cells):
    with pytest.raises(KeyNotFoundError, match="no layer 'raw'"):
        normalize(cells, layer="raw")


@pytest.mark.parametrize("target_sum", [0, -1e4, float("nan"), float("inf")])
def test_a_bad_target_is_named(cells, target_sum, unchanged):
    with pytest.raises(DataError, match="target_sum must be a finite number larger than 0"):
        normalize(cells, target_sum)
    unchanged()


def test_it_comes_back_from_a_file_and_scanpy_reads_it(cells, tmp_path):
    normalize(cells).write_h5ad(tmp_path / "log.h5ad")
    back = anndata.read_h5ad(tmp_path / "log.h5ad")
    assert get_space(back) == "log1p of counts per 10,000"
    sc.tl.rank_genes_groups(back, "cell_type", method="wilcoxon")
    assert len(back.uns["rank_genes_groups"]["names"]) == 40


def test_sparse_stays_sparse(cells):
    cells.X = sparse.csr_matrix(cells.X.shape, dtype=np.float32) + sparse.eye(*cells.X.shape, format="csr")
    assert normalize(cells).X.nnz == 40


def test_rows_of_sparse_and_dense():
    assert as_rows(sparse.csc_matrix(np.eye(2))).format == "csr"
    assert isinstance(as_rows(np.eye(2)), np.ndarray)


def test_log_scaled_does_not_change_its_input():
    counts = np.array([[1, 3], [0, 0]])
    found = log_scaled(counts, np.array([4.0, 0.0]), 100)
    np.testing.assert_allclose(found, np.log1p([[25, 75], [0, 0]]), rtol=1e-6)
    np.testing.assert_array_equal(counts, [[1, 3], [0, 0]])
