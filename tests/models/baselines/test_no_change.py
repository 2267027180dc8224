"""Tests of the baseline that changes nothing."""

import numpy as np
import pytest
from scipy import sparse

from altercell.models import NoChange

ASK = {"source": "control", "target": "ifn"}


@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_the_cells_are_the_source_cells(adata, truth, fit, values, batch_size):
    pred = fit(NoChange, adata).predict(labels=["T", "B"], batch_size=batch_size, **ASK)
    rows = truth.rows("control", "T") | truth.rows("control", "B")
    np.testing.assert_array_equal(values(pred), truth.x[rows])


def test_sparse_cells_stay_sparse(adata, fit):
    values = adata.X.toarray()
    values[values < 0.8] = 0
    adata.X = sparse.csr_matrix(values)
    assert sparse.issparse(fit(NoChange, adata).predict(**ASK).X)


def test_without_labels(adata, truth, fit, values):
    pred = fit(NoChange, adata, labels_key=None).predict(**ASK)
    np.testing.assert_array_equal(values(pred), truth.cells("control"))


def test_the_space_is_that_of_the_cells(adata, fit):
    adata.uns["altercell"] = {"space": "log1p of counts per 10,000"}
    assert fit(NoChange, adata).predict(**ASK).uns["altercell"]["space"] == "log1p of counts per 10,000"


def test_the_answer_is_a_copy(adata, truth, fit):
    adata.X = adata.X.toarray()
    pred = fit(NoChange, adata).predict(**ASK)
    pred.X[:] = -1
    np.testing.assert_array_equal(adata.X, truth.x.astype(np.float32))
