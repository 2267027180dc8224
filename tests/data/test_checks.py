import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from altercell.data._checks import (
    FLOAT32_WHOLE,
    ValueSummary,
    check_column,
    check_columns,
    check_counts,
    check_log,
    check_matrix,
    check_names,
    row_blocks,
)
from altercell.errors import DataError, KeyNotFoundError

N_CELLS, N_GENES = 7, 4
GENES = pd.Index([f"gene_{number}" for number in range(N_GENES)])
CELLS = pd.Index([f"cell_{number}" for number in range(N_CELLS)])
FORMS = {
    "dense": np.asarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "coo_array": sparse.coo_array,
}


@pytest.fixture
def counts() -> np.ndarray:
    counts = np.random.default_rng(0).poisson(2, size=(N_CELLS, N_GENES)).astype(np.float32) + 1
    counts[2] = 0
    counts[5] = 0
    counts[:, 1] = 0
    return counts


def checked(matrix) -> ValueSummary:
    return check_matrix(matrix, "adata.X", GENES, CELLS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_values", [1, 9, 10_000])
def test_blocks_cover_all_rows_once(counts, form, n_values):
    blocks = list(row_blocks(FORMS[form](counts), n_values))
    assert [rows.start for rows, _ in blocks] == list(range(0, N_CELLS, max(1, n_values // N_GENES)))
    back = np.concatenate([block.toarray() if sparse.issparse(block) else block for _, block in blocks])
    np.testing.assert_array_equal(back, counts)
    assert all(not sparse.issparse(block) or block.format == "csr" for _, block in blocks)


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_blocks_of_data_on_disk(counts, form, tmp_path):
    ad.AnnData(FORMS[form](counts)).write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    summary = check_matrix(backed.X, "adata.X", GENES, CELLS)
    backed.file.close()
    assert summary.empty_cells.tolist() == [2, 5]
    assert summary.largest == counts.max()


def test_blocks_of_dask(counts):
    dask = pytest.importorskip("dask.array")
    for matrix in (
        dask.from_array(counts, chunks=(2, 4)),
        dask.from_array(counts, chunks=(3, 4)).map_blocks(sparse.csr_matrix),
    ):
        blocks = [block for _, block in row_blocks(matrix, 8)]
        np.testing.assert_array_equal(sparse.vstack([sparse.csr_matrix(block) for block in blocks]).toarray(), counts)


def test_blocks_of_an_h5py_data_set(counts, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"] = counts
        assert checked(file["X"]).largest == counts.max()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u2"])
def test_the_summary_is_the_same_in_every_form(counts, form, dtype):
    summary = checked(FORMS[form](counts.astype(dtype)))
    assert summary.largest == counts.max()
    assert summary.smallest == 0
    assert summary.whole
    assert summary.counts
    assert summary.empty_cells.tolist() == [2, 5]
    assert summary.n_genes_zero == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(FORMS)), st.integers(1, 40), st.booleans())
def test_the_summary_agrees_with_numpy(seed, form, n_values, shifted):
    rng = np.random.default_rng(seed)
    values = rng.poisson(0.6, size=(rng.integers(1, 9), N_GENES)) * rng.choice([1.0, 0.5])
    values = values - shifted * rng.integers(0, 2)
    cells = pd.Index([f"c{number}" for number in range(len(values))])
    summary = check_matrix(FORMS[form](values), "X", GENES, cells)
    assert summary.largest == values.max()
    assert summary.smallest == values.min()
    assert summary.whole == bool((values == values.round()).all())
    assert summary.empty_cells.tolist() == np.flatnonzero((values == 0).all(axis=1)).tolist()
    assert summary.n_genes_zero == (values == 0).all(axis=0).sum()
    assert summary.counts == (summary.whole and values.min() >= 0)


def test_the_summary_does_not_depend_on_the_size_of_the_blocks(counts, monkeypatch):
    whole = checked(counts)
    monkeypatch.setattr("altercell.data._checks.row_blocks", lambda matrix: row_blocks(matrix, 1))
    parts = checked(counts)
    assert (whole.largest, whole.smallest, whole.whole, whole.n_genes_zero) == (
        parts.largest,
        parts.smallest,
        parts.whole,
        parts.n_genes_zero,
    )
    assert whole.empty_cells.tolist() == parts.empty_cells.tolist()


def test_zeros_that_are_stored_are_zeros(counts):
    stored = sparse.csr_matrix(np.ones_like(counts))
    stored.data[:N_GENES] = 0
    before = stored.copy()
    summary = checked(stored)
    assert summary.empty_cells.tolist() == [0]
    assert summary.smallest == 0
    assert (stored.nnz, stored.data.tolist()) == (before.nnz, before.data.tolist())


def test_a_full_sparse_matrix_has_no_zero():
    summary = checked(sparse.csr_matrix(np.full((N_CELLS, N_GENES), 3.5)))
    assert (summary.smallest, summary.largest, summary.whole) == (3.5, 3.5, False)


def test_bools_count_as_whole_numbers(counts):
    summary = checked(counts > 0)
    assert (summary.largest, summary.smallest, summary.whole) == (1, 0, True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.nan], "NaN"),
        ([np.inf], "infinite values"),
        ([-np.inf], "infinite values"),
        ([np.nan, np.inf], "NaN and infinite values"),
    ],
)
def test_values_that_are_not_finite_are_named_with_gene_and_cell(counts, form, values, words):
    counts[4, 3] = values[0]
    counts[6, 0] = values[-1]
    with pytest.raises(
        DataError, match=rf"adata.X holds {words}, .* gene '.*gene_3.* of cell '.*cell_6.*; remove or fill"
    ):
        checked(FORMS[form](counts))


def test_the_cell_is_named_in_a_later_block_too(counts, monkeypatch):
    monkeypatch.setattr("altercell.data._checks.row_blocks", lambda matrix: row_blocks(matrix, 1))
    counts[6, 2] = np.nan
    with pytest.raises(DataError, match="gene 'gene_2' of cell 'cell_6'"):
        checked(counts)


@pytest.mark.parametrize("value", [1e39, FLOAT32_WHOLE + 2, -(FLOAT32_WHOLE + 2)])
def test_numbers_that_float32_cannot_hold_are_refused(counts, value):
    big = counts.astype(np.float64)
    big[1, 1] = value
    with pytest.raises(DataError, match="which 32-bit floats cannot hold exactly"):
        checked(big)


def test_the_largest_whole_number_of_float32_passes(counts):
    counts[1, 1] = FLOAT32_WHOLE
    assert checked(counts).largest == FLOAT32_WHOLE


@pytest.mark.parametrize("matrix", [np.array([["a"]]), np.array([[None]], dtype=object), np.array([[1j]])])
def test_values_that_are_no_numbers_are_refused(matrix):
    with pytest.raises(DataError, match="adata.X holds values of type .*, not numbers"):
        checked(matrix)


@pytest.mark.parametrize(
    ("genes", "cells", "message"),
    [
        ([], ["a", "b"], "the data have 0 genes"),
        (["g"], ["a"], "the data have 1 cells; at least 2"),
        (["g"], [], "the data have 0 cells"),
        (["g", "h", "g", "g"], ["a", "b"], "gene names stand more than once: 'g'; call adata.var_names_make_unique"),
    ],
)
def test_names_that_cannot_be_used(genes, cells, message):
    with pytest.raises(DataError, match=message):
        check_names(pd.Index(genes), pd.Index(cells))


def test_good_names_pass_and_cells_may_share_a_name():
    check_names(pd.Index(["g", "h"]), pd.Index(["a", "a"]))


def summary(largest=3.0, smallest=0.0, whole=True, empty=()) -> ValueSummary:
    return ValueSummary(largest, smallest, whole, np.asarray(empty, dtype=int), 0)


def test_log_data_pass():
    check_log(summary(8.5, whole=False), "adata.X", "ScGen")
    check_log(summary(8.5, smallest=-3, whole=False), "adata.X", "ScGen")
    check_log(summary(1.0), "adata.X", "ScGen")  # zeros and ones can be anything


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            summary(12),
            r"adata.X holds counts \(whole numbers up to 12\), but ScGen works on log data: call sc.pp.normalize",
        ),
        (summary(30.5, whole=False), "holds values up to 30.5, which are no log data, .* altercell.data.normalize"),
    ],
)
def test_what_cannot_be_log_data(values, message):
    with pytest.raises(DataError, match=message):
        check_log(values, "adata.X", "ScGen")


def test_counts_pass():
    check_counts(summary(12), "adata.X", "ScGen", CELLS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            summary(smallest=-2),
            r"adata.X holds negative values \(down to -2\), but ScGen needs counts: give raw counts",
        ),
        (summary(whole=False), "adata.X holds values that are not whole numbers, but ScGen needs counts"),
        (summary(empty=[1, 4]), "adata.X: no count in cell 'cell_1', 'cell_4'; remove empty cells"),
    ],
)
def test_what_cannot_be_counts(values, message):
    with pytest.raises(DataError, match=message):
        check_counts(values, "adata.X", "ScGen", CELLS)


@pytest.fixture
def obs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "condition": pd.Categorical(["a", "b", None]),
            "donor": ["x", "y", "z"],
            "total": [1.0, np.nan, 3.0],
        },
        index=["cell_0", "cell_1", "cell_2"],
    )


def test_a_full_column_passes(obs):
    check_column(obs, "donor", "batch_key")
    check_columns(obs, ["donor"], "categorical_covariate_keys")
    check_columns(obs, None, "categorical_covariate_keys")


def test_a_missing_column_is_named_with_those_that_exist(obs):
    with pytest.raises(
        KeyNotFoundError, match="batch_key='x' is not a column of obs; there are 'condition', 'donor', 'total'"
    ):
        check_column(obs, "x", "batch_key")
    with pytest.raises(KeyNotFoundError, match="categorical_covariate_keys='y'"):
        check_columns(obs, ["donor", "y"], "categorical_covariate_keys")


@pytest.mark.parametrize(("key", "cell"), [("condition", "cell_2"), ("total", "cell_1")])
def test_cells_without_a_value_are_named(obs, key, cell):
    with pytest.raises(
        DataError, match=rf"obs\['{key}'\] \(batch_key\) has no value for 1 cells, for example '{cell}'"
    ):
        check_column(obs, key, "batch_key")
