from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from hypothesis import given, settings
from hypothesis import strategies as st

from altercell._space import check_same_space, check_space, get_space, log_space
from altercell.errors import DataError, KeyNotFoundError, SpaceMismatchError


def counts(n_cells: int = 40, n_genes: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(3.0, size=(n_cells, n_genes)).astype(np.float32)


def logs(total: float = 10_000, **kwargs: int) -> np.ndarray:
    x = counts(**kwargs)
    return np.log1p(x / x.sum(axis=1, keepdims=True) * total)


def recorded(x: np.ndarray, space: str) -> AnnData:
    return AnnData(x, uns={"altercell": {"space": space}})


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize(
    ("values", "space"),
    [
        (counts(), "counts"),
        (logs(), "log1p of counts per 10,000"),
        (logs(total=1_484), "log1p of counts per 1,484"),
        (logs()[:, :12], "log1p of counts"),
        (logs() - 0.1, "unknown"),
        (np.expm1(logs()), "unknown"),
        (np.zeros((4, 3), np.float32), "unknown"),
    ],
)
def test_space_is_inferred_from_the_values(wrap, values, space):
    assert get_space(AnnData(wrap(values))) == space


def test_integer_counts_are_counts():
    assert get_space(AnnData(counts().astype(np.int64))) == "counts"


def test_record_is_believed_for_x_and_not_for_a_layer():
    adata = recorded(logs()[:, :12], "log1p of counts per 10,000")
    adata.layers["counts"] = counts()[:, :12]
    assert get_space(adata) == "log1p of counts per 10,000"
    assert get_space(adata, "counts") == "counts"
    assert get_space(adata[:5, :3]) == "log1p of counts per 10,000"


def test_other_records_of_altercell_are_no_space():
    assert get_space(AnnData(counts(), uns={"altercell": {"model": "ScGen"}})) == "counts"
    assert get_space(AnnData(counts(), uns={"altercell": "something"})) == "counts"


def test_copies_of_one_cell_tell_no_total():
    assert get_space(AnnData(np.repeat(logs()[:1, :12], 5, axis=0))) == "log1p of counts"
    assert get_space(AnnData(logs()[:1, :12])) == "log1p of counts"


def test_empty_cells_do_not_hide_the_total():
    x = logs()
    x[3] = 0
    assert get_space(AnnData(x)) == "log1p of counts per 10,000"


def test_non_finite_values_are_unknown():
    x = logs()
    x[0, 0] = np.nan
    assert get_space(AnnData(x)) == "unknown"


def test_many_cells_are_sampled_evenly_on_disk_and_in_memory(tmp_path: Path):
    x = logs(n_cells=2_500)
    for name, matrix in (("dense", x), ("csr", sp.csr_matrix(x))):
        AnnData(matrix).write_h5ad(tmp_path / f"{name}.h5ad")
        backed = read_h5ad(tmp_path / f"{name}.h5ad", backed="r")
        assert get_space(backed) == get_space(AnnData(matrix)) == "log1p of counts per 10,000"
        backed.file.close()


def test_small_data_on_disk(tmp_path: Path):
    AnnData(sp.csr_matrix(counts())).write_h5ad(tmp_path / "small.h5ad")
    backed = read_h5ad(tmp_path / "small.h5ad", backed="r")
    assert get_space(backed) == "counts"
    backed.file.close()


def test_missing_layer_and_missing_x_are_named():
    adata = AnnData(counts(), layers={"raw": counts()})
    with pytest.raises(KeyNotFoundError, match="no layer 'spliced'; the layers are 'raw'"):
        get_space(adata, "spliced")
    with pytest.raises(DataError, match=r"adata\.X is empty"):
        get_space(AnnData(shape=(3, 2)))


def test_log_space_names():
    assert log_space(20_000.2) == "log1p of counts per 20,000"
    assert log_space("median") == "log1p of counts per median"


LARGE = np.expm1(logs())
SMALL = logs() - 0.1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (AnnData(counts()), AnnData(counts(seed=1))),
        (AnnData(logs()), AnnData(logs(seed=1))),
        (AnnData(logs()), AnnData(logs()[:, :12])),
        (AnnData(logs()), AnnData(logs(total=10_015))),
        (recorded(logs(), "log1p of counts per median"), AnnData(logs()[:, :12])),
        (AnnData(SMALL), AnnData(logs())),
        (AnnData(SMALL), AnnData(LARGE)),
    ],
)
def test_spaces_that_can_be_compared(first, second):
    check_same_space(first, second)
    check_same_space(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (AnnData(counts()), AnnData(logs())),
        (AnnData(logs()), AnnData(logs(total=1_484))),
        (recorded(logs(), "log1p of counts per median"), AnnData(logs())),
        (AnnData(SMALL), AnnData(counts())),
        (AnnData(LARGE), AnnData(counts())),
        (AnnData(LARGE), AnnData(logs())),
    ],
)
def test_spaces_that_cannot_be_compared(first, second):
    for pair in ((first, second), (second, first)):
        with pytest.raises(SpaceMismatchError, match="bring both to one space"):
            check_same_space(*pair)


def test_mismatch_names_both_spaces_and_both_data_sets():
    with pytest.raises(SpaceMismatchError, match="real is 'counts' but control is 'log1p of counts per 10,000'"):
        check_same_space(AnnData(counts()), AnnData(logs()), names=["real", "control"])
    with pytest.raises(SpaceMismatchError, match="data set 1 is 'counts' but data set 3 is"):
        check_same_space(AnnData(counts()), AnnData(counts()), AnnData(logs()))


def test_unknown_total_does_not_join_two_known_ones():
    subset = AnnData(logs()[:, :12])
    with pytest.raises(SpaceMismatchError, match="per 10,000' but data set 3 is 'log1p of counts per 1,484'"):
        check_same_space(AnnData(logs()), subset, AnnData(logs(total=1_484)))


@settings(max_examples=40, deadline=None)
@given(total=st.integers(50, 200_000), seed=st.integers(0, 1_000), density=st.floats(0.1, 1.0))
def test_any_total_is_found_again(total, seed, density):
    rng = np.random.default_rng(seed)
    x = rng.poisson(3.0, size=(30, 40)) * (rng.random((30, 40)) < density)
    x = x[x.sum(axis=1) > 0].astype(np.float64)
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * total).astype(np.float32)
    assert get_space(AnnData(sp.csr_matrix(x))) == f"log1p of counts per {total:,}"


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(0.05, 500), seed=st.integers(0, 1_000))
def test_counts_are_never_taken_for_logarithms(rate, seed):
    x = np.random.default_rng(seed).poisson(rate, size=(30, 40)).astype(np.float32)
    x[0, 0] = 1
    assert get_space(AnnData(x)) == "counts"
    assert get_space(AnnData(x[:, :3])) in ("counts", "unknown")  # unknown where only zeros are left


def test_data_are_not_changed_by_looking():
    x = sp.csr_matrix(logs())
    adata = AnnData(x.copy())
    check_same_space(adata, adata[:, :5])
    assert abs(adata.X - x).nnz == 0
    assert dict(adata.uns) == {}


def test_data_in_the_space_that_is_needed_pass():
    check_space(AnnData(logs()), "log1p of counts per 10,000")
    check_space(AnnData(logs()[:, :12]), "log1p of counts per 10,000")  # the total cannot be seen
    check_space(AnnData(counts()), "unknown")
    check_space(AnnData(logs(), layers={"raw": counts()}), "counts", layer="raw")


def test_scaled_data_are_no_logarithms_whatever_is_recorded():
    scaled = AnnData(logs() - 1, uns={"altercell": {"space": "log1p of counts per 10,000"}})
    assert get_space(scaled) == "unknown"
    with pytest.raises(SpaceMismatchError, match="'unknown' but 'log1p of counts per 10,000' is needed"):
        check_space(scaled, "log1p of counts per 10,000")


def test_what_a_model_answered_is_believed():
    answered = AnnData(logs() - 1, uns={"altercell": {"space": "log1p of counts per 10,000", "verb": "predict"}})
    assert get_space(answered) == "log1p of counts per 10,000"


@pytest.mark.parametrize(
    ("values", "space"),
    [(counts(), "log1p of counts"), (logs(), "counts"), (LARGE, "log1p of counts"), (SMALL, "counts")],
)
def test_values_that_are_not_finite_are_left_to_those_who_read_them(values, space):
    values = values.copy()
    values[3, 3] = np.nan
    check_space(AnnData(values), space)


@pytest.mark.parametrize(
    ("values", "space"),
    [
        (counts(), "log1p of counts"),
        (logs(), "counts"),
        (LARGE, "log1p of counts"),
        (SMALL, "counts"),
        (logs(total=10_050), "log1p of counts per 10,000"),
    ],
)
def test_data_in_another_space_are_refused(values, space):
    with pytest.raises(SpaceMismatchError, match=f"cells is '.*' but '{space}' is needed: bring it to that space"):
        check_space(AnnData(values), space, name="cells")
