import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from altercell.errors import DataError
from altercell.models.base import answer
from altercell.models.base._answer import in_memory, on_disk

N_CELLS, N_GENES = 7, 5


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N_CELLS, N_GENES)).astype(np.float32) + 5


@pytest.fixture
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    obs = pd.DataFrame({"type": pd.Categorical(list("aabbabb"))}, index=[f"cell_{n}" for n in range(N_CELLS)])
    return obs, pd.DataFrame({"rank": range(N_GENES)}, index=[f"gene_{n}" for n in range(N_GENES)])


def blocks(values, form=np.asarray, size=3):
    for start in range(0, len(values), size):
        yield form(values[start : start + size])


def gathered(parts, n_cells=N_CELLS):
    """Return the one matrix that blocks of rows become."""
    (whole,) = in_memory(((part,) for part in parts), n_cells, N_GENES)
    return whole


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_full_blocks_become_one_dense_array(values, form, size):
    whole = gathered(blocks(values, form, size))
    assert isinstance(whole, np.ndarray)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, values)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_mostly_empty_blocks_become_sparse(values, form):
    values[np.random.default_rng(1).random(values.shape) < 0.8] = 0
    whole = gathered(blocks(values, form))
    assert sparse.issparse(whole)
    assert (whole.format, whole.dtype) == ("csr", np.float32)
    np.testing.assert_array_equal(whole.toarray(), values)


def test_a_first_sparse_block_decides_and_loses_nothing(values):
    values[:3] = 0
    np.testing.assert_array_equal(gathered(blocks(values)).toarray(), values)
    values[:3], values[3:] = 1, 0
    np.testing.assert_array_equal(gathered(blocks(values)), values)


def test_doubles_become_float32(values):
    assert gathered(blocks(values.astype(np.float64))).dtype == np.float32
    assert gathered(blocks(values.astype(np.float64) * 0)).dtype == np.float32


def test_no_blocks_give_no_cells():
    assert gathered([], 0).shape == (0, N_GENES)


PROVENANCE = {
    "model": "ScGen",
    "seed": 3,
    "nothing": None,
    "labels": ["B", 4],
    "trust": [],
    "labels_read": True,
}


def test_an_answer_in_memory_has_its_tables_and_its_account(values, tables):
    adata = answer(blocks(values), *tables, PROVENANCE, obsm={"X_z": values[:, :2]}, layers={"raw": values})
    np.testing.assert_array_equal(adata.X, values)
    pd.testing.assert_frame_equal(adata.obs, tables[0])
    pd.testing.assert_frame_equal(adata.var, tables[1])
    account = adata.uns["altercell"]
    assert set(account) == set(PROVENANCE) - {"nothing"}
    assert account["labels"].tolist() == ["B", "4"]
    assert account["trust"].tolist() == []
    np.testing.assert_array_equal(adata.obsm["X_z"], values[:, :2])
    np.testing.assert_array_equal(adata.layers["raw"], values)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_an_answer_on_disk_is_the_one_in_memory(values, tables, form, tmp_path):
    values[:, 1:4] = 0  # sparse in memory, dense on disk: the values are the same
    kept = answer(blocks(values, form), *tables, PROVENANCE, obsm={"X_z": values[:, :2]})
    backed = answer(blocks(values, form), *tables, PROVENANCE, tmp_path / "a.h5ad", obsm={"X_z": values[:, :2]})
    assert backed.isbacked
    backed.file.close()
    read = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(read.X, kept.X.toarray())
    assert read.X.dtype == np.float32
    pd.testing.assert_frame_equal(read.obs, kept.obs, check_categorical=False)
    pd.testing.assert_frame_equal(read.var, kept.var)
    np.testing.assert_array_equal(read.obsm["X_z"], kept.obsm["X_z"])
    for key, value in kept.uns["altercell"].items():
        np.testing.assert_array_equal(read.uns["altercell"][key], value)


def test_an_answer_in_memory_can_be_written_and_read(values, tables, tmp_path):
    answer(blocks(values), *tables, PROVENANCE).write_h5ad(tmp_path / "a.h5ad")
    account = ad.read_h5ad(tmp_path / "a.h5ad").uns["altercell"]
    assert (account["seed"], account["trust"].tolist()) == (3, [])


@pytest.mark.parametrize("name", ["a.zarr", "a", "a.h5ad.gz"])
def test_another_ending_is_refused_before_a_cell_is_computed(values, tables, tmp_path, name):
    def never():
        raise AssertionError("computed")
        yield

    with pytest.raises(DataError, match=rf"path='.*{name}' must end in .h5ad"):
        answer(never(), *tables, {}, tmp_path / name)


def test_a_file_that_is_there_is_not_overwritten(values, tables, tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_text("precious")
    with pytest.raises(DataError, match=r"a.h5ad' exists; remove it or choose another"):
        answer(blocks(values), *tables, {}, str(path))
    assert path.read_text() == "precious"


def test_nothing_is_left_of_an_answer_that_fails(values, tables, tmp_path):
    def failing():
        yield values[:3]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        answer(failing(), *tables, {}, tmp_path / "a.h5ad")
    assert not list(tmp_path.iterdir())


def test_the_file_is_written_as_the_blocks_come(values, tables, tmp_path):
    seen = []

    def watched():
        for start in range(0, N_CELLS, 3):
            seen.append([path.name for path in tmp_path.iterdir()])
            yield (values[start : start + 3],)

    skeleton = ad.AnnData(obs=tables[0], var=tables[1])
    on_disk(tmp_path / "a.h5ad", watched(), skeleton, ["X"]).file.close()
    assert seen == [["a.h5ad.partial"]] * 3
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["X"].shape == (N_CELLS, N_GENES)
        assert file["X"].attrs["encoding-type"] == "array"


@pytest.mark.parametrize("on_disk_too", [False, True])
def test_a_layer_comes_with_the_values(values, tables, tmp_path, on_disk_too):
    counts = np.zeros_like(values)
    counts[2, 3] = 7

    def both():
        for start in range(0, N_CELLS, 3):
            yield values[start : start + 3], counts[start : start + 3]

    path = tmp_path / "a.h5ad" if on_disk_too else None
    adata = answer(both(), *tables, PROVENANCE, path, "counts", **({} if on_disk_too else {"layers": {"raw": values}}))
    if on_disk_too:
        adata.file.close()
        adata = ad.read_h5ad(path)
    else:
        assert sparse.issparse(adata.layers["counts"])
        np.testing.assert_array_equal(adata.layers["raw"], values)
    np.testing.assert_array_equal(adata.X, values)
    found = adata.layers["counts"]
    np.testing.assert_array_equal(found.toarray() if sparse.issparse(found) else found, counts)
