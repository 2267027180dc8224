"""Held-out cells: nothing of them is left in training, and nothing else is lost."""

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from altercell.data import hold_out, hold_out_groups, normalize, select_genes
from altercell.data._hold_out import members
from altercell.errors import DataError, GroupError, KeyNotFoundError

CONDITIONS, TYPES = ("control", "low", "high"), ("type_0", "type_1", "type_2")


def pairs(adata: AnnData) -> set[tuple[str, str]]:
    return set(zip(adata.obs["condition"].astype(str), adata.obs["cell_type"].astype(str), strict=True))


def table(conditions: list[str], types: list[str], x: np.ndarray | None = None) -> AnnData:
    n = len(conditions)
    obs = pd.DataFrame({"condition": conditions, "cell_type": types}, index=[f"c{i}" for i in range(n)])
    return AnnData(np.arange(2.0 * n).reshape(n, 2) if x is None else x, obs=obs)


def test_one_condition_of_one_type(cells, unchanged):
    train, real = hold_out(cells, batch="high", labels="type_1")
    assert pairs(real) == {("high", "type_1")}
    assert pairs(train) == pairs(cells) - pairs(real)
    assert (train.n_obs, real.n_obs) == (160, 20)
    unchanged()


def test_a_whole_condition(cells):
    train, real = hold_out(cells, batch="low")
    assert pairs(real) == {("low", kind) for kind in TYPES}
    assert pairs(train) == {(condition, kind) for condition in ("control", "high") for kind in TYPES}


def test_several_conditions_of_several_types(cells):
    train, real = hold_out(cells, batch=["low", "high"], labels=("type_0", "type_2"))
    assert pairs(real) == {(condition, kind) for condition in ("low", "high") for kind in ("type_0", "type_2")}
    assert not pairs(train) & pairs(real)


def test_all_perturbed_conditions_of_a_type(cells):
    train, real = hold_out(cells, control="control", labels="type_2")
    assert pairs(real) == {("low", "type_2"), ("high", "type_2")}
    assert ("control", "type_2") in pairs(train)


def test_all_perturbed_conditions(cells):
    train, real = hold_out(cells, control="control")
    assert set(train.obs["condition"]) == {"control"}
    assert set(real.obs["condition"]) == {"low", "high"}


def test_other_keys(cells):
    cells.obs = cells.obs.rename(columns={"condition": "treatment", "cell_type": "kind"})
    _, real = hold_out(cells, batch="low", labels="type_0", batch_key="treatment", labels_key="kind")
    assert set(real.obs["treatment"]) == {"low"}
    assert set(real.obs["kind"]) == {"type_0"}


def test_labels_are_not_needed_for_a_whole_condition(cells):
    del cells.obs["cell_type"]
    assert hold_out(cells, batch="low")[1].n_obs == 60


def test_everything_about_a_cell_goes_with_it(cells):
    for part in hold_out(cells, batch="high", labels="type_1"):
        where = cells.obs_names.get_indexer(part.obs_names)
        assert (np.diff(where) > 0).all(), "the order of the cells has changed"
        assert (cells.X[where] != part.X).nnz == 0
        assert (part.layers["spliced"] != cells.layers["spliced"][where]).nnz == 0
        np.testing.assert_array_equal(part.obsm["X_pca"], cells.obsm["X_pca"][where])
        np.testing.assert_array_equal(part.varm["loading"], cells.varm["loading"])
        np.testing.assert_array_equal(part.obs["library"], cells.obs["library"].to_numpy()[where])
        assert part.obsp["distances"].shape == (part.n_obs, part.n_obs)
        pd.testing.assert_frame_equal(part.var, cells.var)
        assert part.uns["altercell"] == {"space": "counts"}


def test_parts_are_copies_that_can_be_written_to(cells, unchanged):
    for part in hold_out(cells, batch="high", labels="type_1"):
        assert not part.is_view
        part.X.data[:] = -1
        part.obs["condition"] = "new"
        part.obsm["X_pca"][:] = 0
        part.uns["nested"]["list"][:] = 7
        part.uns["altercell"]["space"] = "unknown"
    unchanged()


def test_categories_that_are_gone_are_removed(cells, unchanged):
    train, real = hold_out(cells, batch="low")
    assert list(train.obs["condition"].cat.categories) == ["control", "high"]
    assert list(real.obs["condition"].cat.categories) == ["low"]
    assert list(real.obs["cell_type"].cat.categories) == list(TYPES)
    unchanged()


def test_categories_go_where_anndata_is_told_to_keep_them(cells):
    with anndata.settings.override(remove_unused_categories=False):
        train, _ = hold_out(cells, batch="low")
    assert list(train.obs["condition"].cat.categories) == ["control", "high"]


def test_identifiers_of_scvi_stay_with_the_original(cells):
    cells.uns["_scvi_uuid"] = cells.uns["_scvi_manager_uuid"] = "1234"
    for part in hold_out(cells, batch="low"):
        assert "_scvi_uuid" not in part.uns
        assert "_scvi_manager_uuid" not in part.uns
    assert cells.uns["_scvi_uuid"] == "1234"


@pytest.mark.parametrize(
    "change",
    [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, lambda x: x.toarray(), lambda x: x.toarray().astype(int)],
    ids=["csr", "csc", "csr_array", "dense", "int"],
)
def test_every_kind_of_matrix_keeps_its_kind(cells, change):
    expected = cells.X.toarray()
    cells.X = change(cells.X)
    train, real = hold_out(cells, batch="low", labels="type_0")
    for part in (train, real):
        assert isinstance(part.X, type(cells.X))
        assert part.X.dtype == cells.X.dtype
        found = part.X.toarray() if sparse.issparse(part.X) else part.X
        np.testing.assert_array_equal(found, expected[cells.obs_names.get_indexer(part.obs_names)])


def test_a_view_is_split_within_itself(cells):
    view = cells[cells.obs["cell_type"] != "type_2", :10]
    train, real = hold_out(view, batch="low", labels="type_0")
    assert view.is_view
    assert train.n_obs + real.n_obs == view.n_obs
    assert train.n_vars == 10
    assert list(train.obs["cell_type"].cat.categories) == ["type_0", "type_1"]


def test_backed_cells_are_read_into_memory(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    train, real = hold_out(backed, batch="low", labels="type_0")
    in_memory = hold_out(cells, batch="low", labels="type_0")
    for part, expected in zip((train, real), in_memory, strict=True):
        assert not part.isbacked
        assert sparse.issparse(part.X)
        assert (part.X != expected.X).nnz == 0
        assert list(part.obs["condition"].cat.categories) == list(expected.obs["condition"].cat.categories)
    backed.file.close()


@pytest.mark.parametrize("dtype", ["object", "category", "int", "bool"])
def test_groups_are_compared_as_text(dtype):
    adata = table(["0", "1", "0", "1"], ["a", "a", "b", "b"])
    column = adata.obs["condition"]
    adata.obs["condition"] = column.astype(int).astype(dtype) if dtype in ("int", "bool") else column.astype(dtype)
    asked = True if dtype == "bool" else 1
    assert list(hold_out(adata, batch=asked)[1].obs_names) == ["c1", "c3"]
    assert list(hold_out(adata, batch=str(asked))[1].obs_names) == ["c1", "c3"]


def test_an_unknown_column_lists_those_there(cells):
    with pytest.raises(
        KeyNotFoundError, match=r"batch_key='treatment' is not a column of obs.*'condition', 'cell_type'"
    ):
        hold_out(cells, batch="low", batch_key="treatment")
    with pytest.raises(KeyNotFoundError, match=r"labels_key='louvain' is not a column of obs"):
        hold_out(cells, batch="low", labels="type_0", labels_key="louvain")


def test_unknown_groups_list_those_there(cells, unchanged):
    with pytest.raises(
        GroupError, match=r"'IFN' \(batch\) is not in obs\['condition'\]; there are 'control', 'high', 'low'"
    ):
        hold_out(cells, batch=["low", "IFN"])
    with pytest.raises(GroupError, match=r"'B cells' \(labels\) is not in obs\['cell_type'\]; there are 'type_0'"):
        hold_out(cells, batch="low", labels="B cells")
    with pytest.raises(GroupError, match=r"'ctrl' \(control\) is not in obs"):
        hold_out(cells, control="ctrl")
    unchanged()


def test_a_category_without_cells_is_unknown(cells):
    view = cells[cells.obs["condition"] != "low"].copy()
    view.obs["condition"] = view.obs["condition"].cat.add_categories("low")
    with pytest.raises(GroupError, match=r"'low' \(batch\) is not in"):
        hold_out(view, batch="low")


def test_an_empty_list_is_an_error(cells):
    with pytest.raises(GroupError, match="labels names no group"):
        hold_out(cells, batch="low", labels=[])


def test_an_empty_combination_lists_the_types_there(cells):
    keep = ~((cells.obs["condition"] == "low") & (cells.obs["cell_type"] == "type_2"))
    with pytest.raises(GroupError, match=r"no cell of 'type_2' has 'condition' 'low'; the types there: 'type_[01]'"):
        hold_out(cells[keep], batch="low", labels="type_2")


def test_an_empty_combination_beside_a_control():
    adata = table(["control", "control", "x"], ["a", "b", "a"])
    with pytest.raises(GroupError, match="no cell of 'b' has 'condition' other than 'control'"):
        hold_out(adata, control="control", labels="b")


def test_nothing_left_to_train_on(cells):
    with pytest.raises(GroupError, match="nothing is left to train on"):
        hold_out(cells, batch=list(CONDITIONS))


@pytest.mark.parametrize("ends", [{}, {"batch": "low", "control": "control"}])
def test_either_a_condition_or_a_control(cells, ends):
    with pytest.raises(GroupError, match=r"give either batch=.* or control="):
        hold_out(cells, labels="type_0", **ends)


@pytest.mark.parametrize("key", ["condition", "cell_type"])
def test_a_cell_without_a_group_might_be_held_out_and_is_an_error(cells, key):
    cells.obs[key] = cells.obs[key].astype(object)
    cells.obs.iloc[3, list(cells.obs.columns).index(key)] = None
    with pytest.raises(DataError, match=rf"obs\['{key}'\].*has no value for 1 cells, for example 'cell_3'"):
        hold_out(cells, batch="low", labels="type_0")


def test_donors_stay_on_one_side(cells, unchanged):
    train, real = hold_out_groups(cells, "batch_1", key="batch")
    assert set(train.obs["batch"]) == {"batch_0"}
    assert set(real.obs["batch"]) == {"batch_1"}
    assert train.n_obs + real.n_obs == cells.n_obs
    unchanged()


def test_errors_of_groups(cells):
    with pytest.raises(KeyNotFoundError, match="key='donor' is not a column of obs"):
        hold_out_groups(cells, "1", key="donor")
    with pytest.raises(GroupError, match=r"'1' \(groups\) is not in obs\['batch'\]; there are 'batch_0', 'batch_1'"):
        hold_out_groups(cells, "1", key="batch")
    with pytest.raises(GroupError, match="nothing is left to train on"):
        hold_out_groups(cells, ["batch_0", "batch_1"], key="batch")


def test_members_can_be_written_to(cells):
    held = members(cells, "condition", "low", "batch")
    held[:] = False
    assert members(cells, "condition", "low", "batch").sum() == 60


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[str], list[str], list[str], list[str] | None]:
    n = draw(st.integers(2, 25))
    conditions = draw(st.lists(st.sampled_from(CONDITIONS), min_size=n, max_size=n))
    types = draw(st.lists(st.sampled_from(TYPES), min_size=n, max_size=n))
    batch = draw(st.lists(st.sampled_from(sorted(set(conditions))), min_size=1, max_size=2, unique=True))
    labels = draw(st.none() | st.lists(st.sampled_from(sorted(set(types))), min_size=1, max_size=2, unique=True))
    return conditions, types, batch, labels


@settings(max_examples=60, deadline=None)
@given(split=splits())
def test_no_leak(split):
    """C12: training and held-out cells partition the cells, and a held-out pair is never in training."""
    conditions, types, batch, labels = split
    adata = table(conditions, types)
    asked = {(c, t) for c in batch for t in (TYPES if labels is None else labels)}
    where = [pair in asked for pair in zip(conditions, types, strict=True)]
    if all(where) or not any(where):
        with pytest.raises(GroupError, match=r"nothing is left|no cell of"):
            hold_out(adata, batch=batch, labels=labels)
        return
    train, real = hold_out(adata, batch=batch, labels=labels)
    assert not pairs(train) & asked
    assert pairs(real) <= asked
    assert list(real.obs_names) == list(adata.obs_names[where])
    assert list(train.obs_names) == list(adata.obs_names[~np.array(where)])
    # The values went with the names: each row of the table is unlike any other.
    np.testing.assert_array_equal(real.X, adata.X[where])
    np.testing.assert_array_equal(train.X, adata.X[~np.array(where)])


@settings(max_examples=8, deadline=None)
@given(factor=st.integers(0, 50), kind=st.sampled_from(TYPES), condition=st.sampled_from(CONDITIONS[1:]))
def test_genes_do_not_see_the_held_out_cells(factor, kind, condition):
    """C12: whatever the held-out cells hold, training cells, totals and chosen genes stay the same."""
    from altercell.datasets import simulate_response

    adata = simulate_response(90, 40, 3, CONDITIONS, seed=2)
    altered = adata.copy()
    held = ((adata.obs["condition"] == condition) & (adata.obs["cell_type"] == kind)).to_numpy()
    rows = sparse.diags(np.where(held, float(factor), 1.0).astype(np.float32)) @ altered.X
    altered.X = sparse.csr_matrix(rows[:, ::-1].toarray() * held[:, None] + rows.toarray() * ~held[:, None])
    first, second = (
        select_genes(normalize(hold_out(x, batch=condition, labels=kind)[0]), 12) for x in (adata, altered)
    )
    assert list(first.var_names) == list(second.var_names)
    assert first.n_vars == 12
    assert abs(first.X - second.X).max() == 0
    pd.testing.assert_frame_equal(first.obs, second.obs)


def test_real_cells(real_data):
    kang = anndata.read_h5ad(real_data / "kang_pbmc.h5ad")
    train, real = hold_out(kang, batch="stimulated", labels="CD4 T cells")
    assert (train.n_obs, real.n_obs) == (kang.n_obs - 868, 868)
    assert ("stimulated", "CD4 T cells") not in pairs(train)
    chosen = select_genes(train, 2_000)
    assert chosen.shape == (train.n_obs, 2_000)
    # Known responders to interferon-beta are among the variable genes.
    assert {"ISG15", "IFIT1", "CXCL10", "ISG20"} <= set(chosen.var_names)
    np.testing.assert_array_equal(chosen.obs["size_factor"], np.asarray(train.X.sum(axis=1)).ravel())
    donors = hold_out_groups(kang, kang.obs["donor"].iloc[0], key="donor")
    assert not set(donors[0].obs["donor"]) & set(donors[1].obs["donor"])
