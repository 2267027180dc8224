"""Tests of cells that are read on the log scale."""

import numpy as np
import pytest
from scipy import sparse

import altercell as ac
from altercell.models.base import Cells
from altercell.models.stack._log_cells import LogCells


@pytest.fixture
def counts(train):
    """The training cells with their counts in X."""
    data = train.copy()
    data.X = data.layers["counts"].copy()
    data.uns["altercell"] = {"space": "counts"}
    return data


def registered(data, **setup) -> LogCells:
    ac.ResponseStack.setup_anndata(data, batch_key="condition", labels_key="cell_type", **setup)
    model = ac.ResponseStack(data)
    return model._log_cells(model._predict_cells(None, None))


def test_log_data_are_as_they_are(train, dense):
    cells = registered(train.copy())
    assert len(cells) == train.n_obs
    assert cells.names.tolist() == train.obs_names.tolist()
    assert sparse.issparse(cells.read(slice(0, 5)))
    rows = np.array([7, 3, 200])
    np.testing.assert_array_equal(cells.dense(rows), dense(train.X)[rows])
    blocks = list(cells.blocks(150))
    assert [block.shape[0] for block in blocks] == [150, 150, 140]
    assert all(sparse.issparse(block) for block in blocks)
    np.testing.assert_array_equal(np.vstack(list(cells.blocks(150, dense=True))), dense(train.X))


def test_counts_are_scaled_by_their_totals(counts, dense):
    cells = registered(counts)
    x = dense(counts.X)
    want = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    np.testing.assert_allclose(cells.dense(slice(None)), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.vstack(list(cells.blocks(99))), want, rtol=1e-5, atol=1e-6)
    rows = np.array([7, 3])
    np.testing.assert_allclose(cells.read(rows), want[rows], rtol=1e-5, atol=1e-6)


def test_counts_of_some_genes_are_scaled_by_the_totals_over_all(counts, dense):
    totals = dense(counts.X).sum(1)
    some = counts[:, ::2].copy()
    some.obs["size_factor"] = totals
    cells = registered(some, size_factor_key="size_factor")
    want = np.log1p(dense(some.X) / totals[:, None] * 1e4)
    np.testing.assert_allclose(cells.dense(slice(None)), want, rtol=1e-5, atol=1e-6)


def test_only_the_asked_rows_are_named(train):
    ac.ResponseStack.setup_anndata(data := train.copy(), batch_key="condition", labels_key="cell_type")
    model = ac.ResponseStack(data)
    rows = [5, 2, 9]
    cells = LogCells(Cells(data, model.schema, rows), None)
    assert cells.names.tolist() == data.obs_names[rows].tolist()
    assert len(cells) == 3
