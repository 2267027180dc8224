"""The choice of genes: variable ones, of these cells alone, with what is lost on record."""

import logging
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

from altercell.data import get_space, normalize, select_genes
from altercell.datasets import simulate_response
from altercell.errors import DataError


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
def test_it_is_scanpys_choice_in_the_order_there(flavor):
    log = normalize(simulate_response(300, 200, 3))
    expected = log.copy()
    sc.pp.highly_variable_genes(expected, n_top_genes=50, flavor=flavor)
    found = select_genes(log, 50, flavor)
    assert list(found.var_names) == list(log.var_names[expected.var["highly_variable"]])
    assert found.n_vars == 50


def test_ties_do_not_bring_more_genes(cells):
    log = normalize(cells)
    sc.pp.highly_variable_genes(log, n_top_genes=10)
    assert log.var["highly_variable"].sum() > 10, "scanpy alone would take more"
    found = select_genes(normalize(cells), 10)
    assert found.n_vars == 10
    assert log.var.loc[found.var_names, "highly_variable"].all()


def test_counts_give_the_genes_of_their_logarithms():
    counts = simulate_response(300, 200, 3)
    found = select_genes(counts, 50)
    assert list(found.var_names) == list(select_genes(normalize(counts), 50).var_names)
    assert (found.X != counts[:, found.var_names].X).nnz == 0


def test_the_input_is_not_changed(cells, unchanged):
    found = select_genes(cells, 10)
    assert not found.is_view
    found.X.data[:] = 0
    found.uns["altercell"]["space"] = "unknown"
    found.obs["size_factor"] = 0
    unchanged()


def test_everything_else_is_kept(cells):
    found = select_genes(cells, 10)
    pd.testing.assert_frame_equal(found.var, cells.var.loc[found.var_names])
    pd.testing.assert_frame_equal(found.obs[cells.obs.columns], cells.obs)
    np.testing.assert_array_equal(found.obsm["X_pca"], cells.obsm["X_pca"])
    assert found.layers["spliced"].shape == (180, 10)
    assert found.varm["loading"].shape == (10, 3)


def test_markers_are_found():
    counts = simulate_response(
        600, 300, 3, marker_share=0.05, marker_size=4.0, response_share=0.0, lineage_similarity=0
    )
    marked = select_genes(counts, 60).var["marker_of"] != ""
    assert marked.mean() > 2 * (counts.var["marker_of"] != "").mean()


def test_the_record(cells):
    found = select_genes(cells, 10)
    assert found.uns["altercell"] == {"space": "counts", "n_genes_total": 40}


def test_a_second_choice_keeps_the_first_record(cells):
    found = select_genes(select_genes(cells, 20), 10)
    assert found.n_vars == 10
    assert found.uns["altercell"]["n_genes_total"] == 40
    np.testing.assert_array_equal(found.obs["size_factor"], np.asarray(cells.X.sum(axis=1)).ravel())


def test_the_second_choice_is_by_the_totals_of_all_genes():
    counts = simulate_response(300, 200, 3)
    part, log = select_genes(counts, 100), select_genes(normalize(counts), 100)
    assert list(part.var_names) == list(log.var_names)
    assert list(select_genes(part, 30).var_names) == list(select_genes(log, 30).var_names)


def test_a_space_that_was_not_recorded_is_seen_before_genes_are_lost(cells):
    log = normalize(cells)
    del log.uns["altercell"]
    found = select_genes(log, 10)
    assert get_space(found) == "log1p of counts per 10,000"
    del found.uns["altercell"]
    assert get_space(found) == "log1p of counts"


def test_other_records_stay(cells):
    cells.uns["altercell"]["origin"] = "here"
    assert select_genes(cells, 10).uns["altercell"]["origin"] == "here"


def test_totals_of_counts_are_kept(cells):
    np.testing.assert_array_equal(select_genes(cells, 10).obs["size_factor"], np.asarray(cells.X.sum(axis=1)).ravel())


def test_totals_of_a_counts_layer_are_kept(cells):
    log = normalize(cells)
    del log.obs["size_factor"]
    np.testing.assert_array_equal(select_genes(log, 10).obs["size_factor"], np.asarray(cells.X.sum(axis=1)).ravel())


def test_totals_of_the_caller_stay(cells):
    cells.obs["size_factor"] = 123.0
    assert (select_genes(cells, 10).obs["size_factor"] == 123.0).all()


def test_log_data_without_counts_get_no_totals(cells):
    log = normalize(cells)
    del log.obs["size_factor"], log.layers["counts"]
    assert "size_factor" not in select_genes(log, 10).obs


def test_genes_that_no_cell_expresses_never_count():
    counts = simulate_response(300, 200, 3)
    x = counts.X.toarray()
    x[:, ::2] = 0
    counts.X = sparse.csr_matrix(x)
    found = list(select_genes(counts, 30).var_names)
    assert not set(found) & set(counts.var_names[::2])
    # Nor do they move the bins of mean expression.
    assert found == list(select_genes(counts[:, 1::2], 30).var_names)


@pytest.mark.parametrize("n_top", [20, 21, 10_000])
def test_too_few_genes_are_all_kept_and_it_is_said(cells, n_top, caplog):
    x = cells.X.toarray()
    x[:, ::2] = 0
    cells.X = sparse.csr_matrix(x)
    with caplog.at_level(logging.INFO, logger="altercell.data._genes"):
        found = select_genes(cells, n_top)
    assert list(found.var_names) == list(cells.var_names[1::2])
    assert f"20 genes are expressed, no more than n_top={n_top}" in caplog.text


@pytest.mark.parametrize(
    "change",
    [sparse.csc_matrix, sparse.csr_array, lambda x: x.toarray(), lambda x: x.toarray().astype(np.int64)],
    ids=["csc", "csr_array", "dense", "int"],
)
def test_every_kind_of_matrix_gives_the_same_genes(cells, change):
    expected = list(select_genes(cells, 10).var_names)
    cells.X = change(cells.X)
    found = select_genes(cells, 10)
    assert list(found.var_names) == expected
    assert isinstance(found.X, type(cells.X))


def test_the_order_of_cells_does_not_matter(cells):
    order = np.random.default_rng(0).permutation(cells.n_obs)
    assert list(select_genes(cells[order], 10).var_names) == list(select_genes(cells, 10).var_names)


def test_a_view_and_backed_cells(cells, tmp_path):
    view = cells[:90]
    assert list(select_genes(view, 10).var_names) == list(select_genes(view.copy(), 10).var_names)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found = select_genes(backed, 10)
    assert not found.isbacked
    assert list(found.var_names) == list(select_genes(cells, 10).var_names)
    backed.file.close()


def test_names_that_stand_twice_do_not_bring_their_namesakes(cells):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Variable names are not unique")
        cells.var_names = ["gene"] * 40
        found = select_genes(cells, 10)
    assert found.n_vars == 10


def test_a_cell_without_counts_is_no_hindrance(cells):
    x = cells.X.toarray()
    x[0] = 0
    cells.X = sparse.csr_matrix(x)
    assert select_genes(cells, 10).shape == (180, 10)


def test_it_comes_back_from_a_file(cells, tmp_path):
    found = select_genes(cells, 10)
    found.write_h5ad(tmp_path / "part.h5ad")
    back = anndata.read_h5ad(tmp_path / "part.h5ad")
    assert back.uns["altercell"] == {"space": "counts", "n_genes_total": 40}
    assert list(select_genes(back, 5).var_names) == list(select_genes(found, 5).var_names)


@pytest.mark.parametrize("n_top", [0, -3])
def test_no_genes_are_an_error(cells, n_top):
    with pytest.raises(DataError, match=f"n_top={n_top} must be at least 1"):
        select_genes(cells, n_top)


def test_an_unknown_flavor_is_named(cells):
    with pytest.raises(DataError, match=r"flavor must be one of \('seurat', 'cell_ranger'\), not 'deviance'"):
        select_genes(cells, 10, "deviance")


def test_no_expression_is_an_error(cells):
    cells.X = sparse.csr_matrix(cells.shape)
    with pytest.raises(DataError, match="no gene is expressed in any cell"):
        select_genes(cells, 10)


@pytest.mark.parametrize("value", [-1.0, 1e4, np.nan])
def test_scaled_or_broken_values_are_refused(cells, value):
    log = normalize(cells)
    log.X.data[3] = value
    del log.uns["altercell"]
    with pytest.raises(DataError, match="X is neither counts nor logarithms of counts"):
        select_genes(log, 10)
