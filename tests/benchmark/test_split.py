from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

import altercell as ac
from altercell.benchmark import HeldOut, Keys, labels_to_hold_out, make_split, one_label
from altercell.benchmark._split import column_held_out, groups_held_out, types_held_out
from altercell.errors import DataError, GroupError, KeyNotFoundError


@pytest.fixture(scope="module")
def many() -> AnnData:
    """Three conditions, three types, four donors."""
    cells = ac.data.normalize(ac.datasets.simulate_response(n_cells=720, n_genes=40, n_types=3, n_batches=4, seed=3))
    conditions = cells.obs["condition"].astype(str).to_numpy(copy=True)
    stimulated = np.flatnonzero(conditions == "stimulated")
    conditions[stimulated[::2]] = "other"
    cells.obs["condition"] = pd.Categorical(conditions)
    return cells


@pytest.fixture
def names() -> Keys:
    return Keys("condition", "cell_type", "control")


def groups(cells: AnnData, *columns: str) -> set[tuple[str, ...]]:
    return set(cells.obs[list(columns)].astype(str).itertuples(index=False, name=None))


def test_each_takes_the_labels_with_enough_cells_on_both_sides(small_cells: AnnData, keys: dict[str, Any]) -> None:
    rare = np.asarray((small_cells.obs["cell_type"] == "type_2") & (small_cells.obs["condition"] == "stimulated"))
    keep = ~rare
    keep[np.flatnonzero(rare)[:5]] = True
    few = small_cells[keep].copy()
    assert labels_to_hold_out(few, **keys, min_cells=20) == [("type_0",), ("type_1",)]
    assert labels_to_hold_out(few, **keys, min_cells=5) == [("type_0",), ("type_1",), ("type_2",)]


def test_wanted_labels_are_taken_as_given(small_cells: AnnData, keys: dict[str, Any]) -> None:
    assert labels_to_hold_out(small_cells, **keys, wanted="type_1") == [("type_1",)]
    wanted = ["type_2", ["type_0", "type_1"]]
    assert labels_to_hold_out(small_cells, **keys, wanted=wanted) == [("type_2",), ("type_0", "type_1")]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"batch_key": "treatment"}, KeyNotFoundError, "batch_key='treatment' is not a column"),
        ({"labels_key": "kind"}, KeyNotFoundError, "labels_key='kind' is not a column"),
        ({"source": "ctrl"}, GroupError, "source='ctrl' is no condition.*'control', 'stimulated'"),
        ({"target": "control"}, GroupError, "both 'control'"),
        ({"wanted": "B cells"}, GroupError, "'B cells' is no label.*'type_0'"),
        ({"wanted": []}, GroupError, "names nothing"),
        ({"min_cells": 10_000}, GroupError, "no label has 10000 cells"),
    ],
)
def test_what_cannot_be_held_out_is_named(
    small_cells: AnnData, keys: dict[str, Any], change: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        labels_to_hold_out(small_cells, **{**keys, **change})


def test_a_split_keeps_the_held_out_cells_apart(small_cells: AnnData, keys: dict[str, Any]) -> None:
    split = one_label(small_cells, "type_0", **keys, n_genes=30)
    (asked,) = split.questions
    held = set(asked.real.obs_names)
    assert held
    assert held.isdisjoint(split.train.obs_names)
    assert len(held) + split.train.n_obs == small_cells.n_obs
    assert groups(asked.control, "condition", "cell_type") == {("control", "type_0")}
    assert list(asked.real.var_names) == list(split.train.var_names)
    assert split.train.n_vars <= 30


def test_the_choice_of_genes_does_not_see_the_held_out_cells(small_cells: AnnData, keys: dict[str, Any]) -> None:
    changed = small_cells.copy()
    held = np.asarray((changed.obs["cell_type"] == "type_0") & (changed.obs["condition"] == "stimulated"))
    noise = changed.X.toarray()
    noise[held] = np.random.default_rng(0).exponential(3.0, noise[held].shape)
    changed.X = noise
    before, after = (one_label(data, "type_0", **keys, n_genes=20) for data in (small_cells, changed))
    assert list(before.train.var_names) == list(after.train.var_names)


def test_without_a_number_of_genes_all_stay(small_cells: AnnData, keys: dict[str, Any]) -> None:
    assert one_label(small_cells, "type_1", **keys, n_genes=None).train.n_vars == small_cells.n_vars


def test_several_types_are_held_out_at_once_and_each_is_asked_for(many: AnnData, names: Keys) -> None:
    (held_out,) = types_held_out(many, names, ["stimulated"], [["type_0", "type_2"]], "target", 2)
    assert held_out.name == "type_0 + type_2"
    split = make_split(many, held_out, names, None)
    assert [asked.label for asked in split.questions] == ["type_0", "type_2"]
    assert ("stimulated", "type_1") in groups(split.train, "condition", "cell_type")
    assert not {("stimulated", "type_0"), ("stimulated", "type_2")} & groups(split.train, "condition", "cell_type")
    for asked in split.questions:
        assert groups(asked.real, "condition", "cell_type") == {("stimulated", asked.label)}


@pytest.mark.parametrize("hide", ["target", "all"])
def test_one_or_all_perturbed_conditions_of_a_type_are_hidden(many: AnnData, names: Keys, hide: Any) -> None:
    first, second = types_held_out(many, names, ["stimulated", "other"], ["type_1"], hide, 2)
    assert (first.name, second.name) == ("type_1, stimulated", "type_1, other")
    split = make_split(many, first, names, None)
    assert groups(split.questions[0].real, "condition", "cell_type") == {("stimulated", "type_1")}
    left = {condition for condition, label in groups(split.train, "condition", "cell_type") if label == "type_1"}
    assert left == ({"control", "other"} if hide == "target" else {"control"})


def test_a_donor_is_on_one_side_and_is_predicted_from_its_own_cells(many: AnnData, names: Keys) -> None:
    found = list(groups_held_out(many, names, ["stimulated"], "batch", "each", 2))
    assert [one.name for one in found] == ["batch_0", "batch_1", "batch_2", "batch_3"]
    split = make_split(many, found[1], names, None)
    assert groups(split.train, "batch") == {("batch_0",), ("batch_2",), ("batch_3",)}
    assert [asked.label for asked in split.questions] == ["type_0", "type_1", "type_2"]
    for asked in split.questions:
        assert groups(asked.real, "batch", "condition", "cell_type") == {("batch_1", "stimulated", asked.label)}
        assert asked.cells is not None
        assert groups(asked.cells, "batch", "condition", "cell_type") == {("batch_1", "control", asked.label)}


def test_types_of_a_donor_with_too_few_cells_are_not_asked_for(many: AnnData, names: Keys) -> None:
    member = (many.obs["batch"] == "batch_0") & (many.obs["condition"] == "stimulated")
    rare = np.flatnonzero(member & (many.obs["cell_type"] == "type_0"))[3:]
    few = many[np.setdiff1d(np.arange(many.n_obs), rare)].copy()
    first = next(groups_held_out(few, names, ["stimulated"], "batch", "each", 4))
    assert first.labels == ("type_1", "type_2")
    with pytest.raises(
        GroupError, match="'batch_0' of obs\\['batch'\\] has no label with 90 cells .min_cells=. in both"
    ):
        list(groups_held_out(few, names, ["stimulated"], "batch", ["batch_0", "batch_1"], 90))
    with pytest.raises(GroupError, match="no group of obs\\['batch'\\] has a label with 5000 cells"):
        list(groups_held_out(few, names, ["stimulated"], "batch", "each", 5_000))
    with pytest.raises(GroupError, match="'nobody' is not in obs\\['batch'\\].*'batch_0'"):
        list(groups_held_out(few, names, ["stimulated"], "batch", ["nobody"], 4))


@given(seed=st.integers(0, 10_000), validation=st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_users_own_split_is_kept(many: AnnData, seed: int, validation: bool) -> None:
    names = Keys("condition", "cell_type", "control")
    parts = ["train", "test", *(["validation"] if validation else [])]
    cells = many.copy()
    cells.obs["part"] = pd.Categorical(np.random.default_rng(seed).choice(parts, many.n_obs), categories=parts)
    (held_out,) = column_held_out(cells, names, ["stimulated"], "part", 5)
    split = make_split(cells, held_out, names, None)
    assert groups(split.train, "part") == {(part,) for part in parts if part != "test"}
    assert (split.validation is not None) == validation
    if split.validation is not None:
        marked = split.train.obs["part"].to_numpy() == "validation"
        np.testing.assert_array_equal(split.validation, np.flatnonzero(marked))
    for asked in split.questions:
        assert groups(asked.real, "part", "condition", "cell_type") == {("test", "stimulated", asked.label)}
        assert groups(asked.control, "part", "condition") == {("test", "control")}


def test_a_test_set_without_source_cells_starts_from_the_training_cells(many: AnnData, names: Keys) -> None:
    cells = many.copy()
    test = (cells.obs["condition"] == "stimulated") & (cells.obs["cell_type"] == "type_0")
    cells.obs["part"] = np.where(test, "test", "train")
    (held_out,) = column_held_out(cells, names, ["stimulated"], "part", 5)
    asked = make_split(cells, held_out, names, None).questions[0]
    by_label = one_label(
        cells,
        "type_0",
        batch_key="condition",
        labels_key="cell_type",
        source="control",
        target="stimulated",
        n_genes=None,
    ).questions[0]
    assert asked.cells is None
    assert list(asked.control.obs_names) == list(by_label.control.obs_names)
    assert list(asked.real.obs_names) == list(by_label.real.obs_names)


def test_a_column_that_is_no_split_is_refused(many: AnnData, names: Keys) -> None:
    with pytest.raises(DataError, match="must say 'train' or 'test'.*'batch_0'"):
        list(column_held_out(many, names, ["stimulated"], "batch", 5))
    cells = many.copy()
    cells.obs["part"] = "train"
    cells.obs.iloc[:3, -1] = "test"
    with pytest.raises(GroupError, match="no label has 5 'test' cells of 'stimulated'"):
        list(column_held_out(cells, names, ["stimulated"], "part", 5))


def test_nothing_left_to_train_on_is_refused(many: AnnData, names: Keys) -> None:
    held_out = HeldOut("all", "stimulated", ("type_0",), groups=("batch", ("batch_0", "batch_1", "batch_2", "batch_3")))
    with pytest.raises(GroupError, match="'all': all cells would be held out"):
        make_split(many, held_out, names)
    with pytest.raises(GroupError, match="'type_0' has fewer than 2 cells of condition 'control' to start from"):
        make_split(many, replace(held_out, groups=None, hidden=("control", "stimulated")), names)
