import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from altercell import ScGen
from altercell.errors import DataError, GeneMismatchError, GroupError, KeyNotFoundError
from altercell.models.base import Cells
from altercell.models.base._cells import align_genes, matrix_of, row_numbers


@pytest.fixture
def schema(cells):
    ScGen.setup_anndata(cells, batch_key="condition", labels_key="cell_type")
    return ScGen(cells, n_hidden=4, n_latent=2).schema


FORMS = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}
POSITIONS = [slice(0, 5), slice(3, 4), np.array([7, 2, 2, 9]), np.array([4, 5, 6]), np.array([], dtype=int)]


def assert_reads(data: AnnData, schema, values: np.ndarray) -> None:
    """Any positions, in any order, give the rows of `values`, as dense float32 or not."""
    rows = np.array([10, 3, 4, 5, 99, 0, 1, 2, 50, 7])
    for cells, wanted in ((Cells(data, schema), values), (Cells(data, schema, rows), values[rows])):
        for positions in POSITIONS:
            block = cells.read(positions)
            assert isinstance(block, np.ndarray)
            assert block.dtype == np.float32
            np.testing.assert_array_equal(block, wanted[positions])
            kept = cells.read(positions, dense=False)
            np.testing.assert_array_equal(kept.toarray() if sparse.issparse(kept) else kept, wanted[positions])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_memory(counts, schema, form, dtype):
    values = np.minimum(counts.X, 200)
    counts.X = FORMS[form](values.astype(dtype))
    assert_reads(counts, schema, values)


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_backed_h5ad(cells, schema, form, tmp_path):
    values = cells.X.copy()
    cells.X = FORMS[form](values)
    cells.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert_reads(backed, schema, values)
    backed.file.close()


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_zarr_on_disk(cells, schema, form, tmp_path):
    zarr = pytest.importorskip("zarr")
    values = cells.X.copy()
    cells.X = FORMS[form](values)
    cells.write_zarr(tmp_path / "a.zarr")
    group = zarr.open(tmp_path / "a.zarr", mode="r")
    on_disk = group["X"] if form == "dense" else ad.io.sparse_dataset(group["X"])
    assert_reads(AnnData(on_disk, obs=cells.obs, var=cells.var), schema, values)


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_dask(cells, schema, form):
    dask = pytest.importorskip("dask.array")
    values = cells.X.copy()
    lazy = dask.from_array(values, chunks=(50, -1))
    cells.X = lazy if form == "dense" else lazy.map_blocks(sparse.csr_matrix)
    assert_reads(cells, schema, values)


def test_columns_on_disk_are_refused(cells, schema, tmp_path):
    cells.X = sparse.csc_matrix(cells.X)
    cells.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(DataError, match=r"on disk by columns \(CSC\).*; write them as CSR first"):
        Cells(backed, schema)
    backed.file.close()


@pytest.mark.parametrize("form", FORMS)
def test_genes_in_another_order_and_genes_too_many(cells, schema, form):
    values, order = cells.X.copy(), np.random.default_rng(0).permutation(30)
    more = ad.concat(
        [cells[:, order], AnnData(np.ones((120, 2), np.float32), obs=cells.obs, var=pd.DataFrame(index=["x", "y"]))],
        axis=1,
    )
    more.X = FORMS[form](np.asarray(more.X))
    more.var["rank"] = np.arange(32)
    assert_reads(more, schema, values)
    assert Cells(more, schema).var().index.tolist() == schema.genes.tolist()


@pytest.mark.parametrize("shuffled", [False, True])
def test_genes_on_disk_in_another_order(cells, schema, shuffled, tmp_path):
    values = cells.X.copy()
    other = cells[:, ::-1].copy() if shuffled else cells
    other.X = sparse.csr_matrix(other.X)
    other.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert_reads(backed, schema, values)
    backed.file.close()


def test_a_view_can_be_read(cells, schema):
    view = cells[::2, ::-1]
    np.testing.assert_array_equal(Cells(view, schema).read(slice(0, 9)), np.asarray(cells.X)[:18:2])
    assert view.is_view


def test_same_genes_in_the_same_order_need_no_columns():
    genes = np.array(["a", "b"], dtype=object)
    assert align_genes(pd.Index(["a", "b"]), genes) is None
    assert align_genes(pd.Index(["b", "x", "a"]), genes).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "x"], "1 of the model's 2 genes are missing: 'b'"),
        ([], "2 of the model's 2 genes are missing: 'a', 'b'"),
        (["a", "b", "a"], "gene names stand more than once: 'a'; call adata.var_names_make_unique"),
    ],
)
def test_genes_that_do_not_match(names, message):
    with pytest.raises(GeneMismatchError, match=message):
        align_genes(pd.Index(names, dtype=object), np.array(["a", "b"], dtype=object))


def test_a_layer_is_read_in_place_of_x(cells):
    cells.layers["log"] = cells.X.copy()
    cells.X = None
    assert matrix_of(cells, "log") is cells.layers["log"]
    with pytest.raises(KeyNotFoundError, match="layer='raw' is not in adata.layers; there are .*'log'"):
        matrix_of(cells, "raw")
    with pytest.raises(DataError, match=r"adata.X is empty; name a layer with layer="):
        matrix_of(cells, None)


def test_row_numbers_and_masks():
    assert row_numbers(None, 3).tolist() == [0, 1, 2]
    assert row_numbers([2, 0, 0], 3).tolist() == [2, 0, 0]
    assert row_numbers([True, False, True], 3).tolist() == [0, 2]
    assert row_numbers(pd.Series([False, True, True]), 3).tolist() == [1, 2]
    assert row_numbers([], 3).tolist() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([True, False], r"the mask of cells has shape \(2,\), but there are 3 cells"),
        ([0, 3], "indices must lie between 0 and 2; they reach from 0 to 3"),
        ([-1, 0], "they reach from -1 to 0"),
        ([0.5], "indices must be row numbers or a mask, not float64"),
        (["cell_0"], "indices must be row numbers or a mask, not <U6"),
        ([[0, 1]], r"not int64 of shape \(1, 2\)"),
    ],
)
def test_rows_that_mean_nothing(given, message):
    with pytest.raises(DataError, match=message):
        row_numbers(given, 3)


def test_the_tables_follow_the_rows_and_lose_scvis_columns(cells, schema):
    read = Cells(cells, schema, [5, 2])
    assert read.obs().index.tolist() == ["cell_5", "cell_2"]
    assert read.obs().columns.tolist() == ["cell_type", "condition", "donor", "total"]
    assert "_scvi_batch" in cells.obs
    obs, var = read.obs(), read.var()
    obs["donor"] = "changed"
    var["rank"] = 0
    assert cells.obs["donor"].isin(["d1", "d2"]).all()
    assert cells.var["rank"].tolist() == list(range(30))
    assert (len(read), read.n_genes) == (2, 30)


def test_batches_carry_what_was_asked_for(cells, schema):
    batch = Cells(cells, schema, [4, 1])[np.array([1])]
    assert set(batch) == {"X"}
    batch = Cells(cells, schema, [4, 1], groups=True, size_factors=True)[np.array([1, 0])]
    assert batch["X"].dtype == torch.float32
    assert torch.equal(batch["X"], torch.tensor(cells.X[[1, 4]]))
    condition = [schema.conditions[code] for code in batch["batch"].ravel()]
    label = [schema.labels[code] for code in batch["labels"].ravel()]
    assert condition == cells.obs["condition"].iloc[[1, 4]].tolist()
    assert label == cells.obs["cell_type"].iloc[[1, 4]].tolist()
    assert batch["batch"].shape == batch["labels"].shape == batch["size_factor"].shape == (2, 1)
    assert batch["batch"].dtype == torch.int64
    np.testing.assert_allclose(batch["size_factor"][:, 0], cells.X[[1, 4]].sum(1), rtol=1e-6)


def test_unknown_groups_are_refused_where_groups_are_read(cells, schema):
    cells.obs["condition"] = "new"
    Cells(cells, schema)
    with pytest.raises(GroupError, match="holds 'new', which training has not seen"):
        Cells(cells, schema, groups=True)


def test_size_factors_come_from_their_column(counts):
    ScGen.setup_anndata(counts, batch_key="condition", size_factor_key="total")
    schema = ScGen(counts, gene_likelihood="nb", n_hidden=4, n_latent=2).schema
    sizes = Cells(counts, schema, [3, 0], size_factors=True)[slice(0, 2)]["size_factor"]
    np.testing.assert_allclose(sizes[:, 0], counts.obs["total"].iloc[[3, 0]], rtol=1e-6)
    counts.obs["total"] = 1.0
    with pytest.raises(DataError, match="is below the sum of the cell's counts, for example in cell 'cell_3'"):
        Cells(counts, schema, [3, 0], size_factors=True)[slice(0, 2)]
    for bad in (0.0, -1.0, np.inf):
        counts.obs["total"] = bad
        with pytest.raises(DataError, match=r"obs\['total'\] \(size_factor_key\) must be positive in every cell"):
            Cells(counts, schema, size_factors=True)
    del counts.obs["total"]
    with pytest.raises(KeyNotFoundError, match=r"obs has no column 'total' \(size_factor_key of the model\)"):
        Cells(counts, schema, size_factors=True)


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 1]), (9, [9]), (100, [9])])
def test_batches_come_in_order_with_their_positions(cells, schema, batch_size, sizes):
    read = Cells(cells, schema, np.arange(40, 49))
    parts = list(read.batches(batch_size))
    assert [part["X"].shape[0] for _, part in parts] == sizes
    assert [positions.start for positions, _ in parts] == list(range(0, 9, batch_size))
    np.testing.assert_array_equal(torch.cat([part["X"] for _, part in parts]), cells.X[40:49])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_checked_cells_name_a_value_that_is_not_finite(cells, schema, form, value):
    cells.X[7, 3] = value
    cells.X = form(cells.X)
    assert not np.isfinite(Cells(cells, schema).read(slice(5, 9))).all()
    read = Cells(cells[:, ::-1].copy(), schema, [9, 7, 1], checked=True)
    with pytest.raises(
        DataError, match="NaN or infinite ones, for example in gene 'gene_3' of cell 'cell_7'; remove or"
    ):
        read.read(slice(0, 3))
    read.read(np.array([0, 2]))


def test_checked_cells_name_a_cell_without_counts(counts, schema):
    counts.X[7] = 0
    read = Cells(counts, schema, [9, 7, 1], size_factors=True, checked=True)
    with pytest.raises(DataError, match="no count in cell 'cell_7' among the model's genes; remove such cells first"):
        read[slice(0, 3)]
    assert Cells(counts, schema, size_factors=True)[slice(7, 8)]["size_factor"].item() == 0
