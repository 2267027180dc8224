from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from altercell.benchmark import labels_to_hold_out, make_split
from altercell.errors import GroupError, KeyNotFoundError


def test_each_takes_the_labels_with_enough_cells_on_both_sides(small_cells: AnnData, keys: dict[str, Any]) -> None:
    rare = np.asarray((small_cells.obs["cell_type"] == "type_2") & (small_cells.obs["condition"] == "stimulated"))
    keep = ~rare
    keep[np.flatnonzero(rare)[:5]] = True
    assert labels_to_hold_out(small_cells[keep].copy(), **keys, min_cells=20) == ["type_0", "type_1"]
    assert labels_to_hold_out(small_cells[keep].copy(), **keys, min_cells=5) == ["type_0", "type_1", "type_2"]


def test_wanted_labels_are_taken_as_given(small_cells: AnnData, keys: dict[str, Any]) -> None:
    assert labels_to_hold_out(small_cells, **keys, wanted="type_1") == ["type_1"]
    assert labels_to_hold_out(small_cells, **keys, wanted=["type_2", "type_0"]) == ["type_2", "type_0"]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"batch_key": "treatment"}, KeyNotFoundError, "batch_key='treatment' is not a column"),
        ({"labels_key": "kind"}, KeyNotFoundError, "labels_key='kind' is not a column"),
        ({"source": "ctrl"}, GroupError, "source='ctrl' is no condition.*'control', 'stimulated'"),
        ({"target": "control"}, GroupError, "both 'control'"),
        ({"wanted": "B cells"}, GroupError, "'B cells' is no label.*'type_0'"),
        ({"min_cells": 10_000}, GroupError, "no label has 10000 cells"),
    ],
)
def test_what_cannot_be_held_out_is_named(
    small_cells: AnnData, keys: dict[str, Any], change: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        labels_to_hold_out(small_cells, **{**keys, **change})


def test_a_split_keeps_the_held_out_cells_apart(small_cells: AnnData, keys: dict[str, Any]) -> None:
    split = make_split(small_cells, "type_0", **keys, n_genes=30)
    held = set(split.real.obs_names)
    assert held
    assert held.isdisjoint(split.train.obs_names)
    assert len(held) + split.train.n_obs == small_cells.n_obs
    assert set(split.control.obs["condition"]) == {"control"}
    assert set(split.control.obs["cell_type"]) == {"type_0"}
    assert list(split.real.var_names) == list(split.train.var_names)
    assert split.train.n_vars <= 30


def test_the_choice_of_genes_does_not_see_the_held_out_cells(small_cells: AnnData, keys: dict[str, Any]) -> None:
    changed = small_cells.copy()
    held = np.asarray((changed.obs["cell_type"] == "type_0") & (changed.obs["condition"] == "stimulated"))
    noise = changed.X.toarray()
    noise[held] = np.random.default_rng(0).exponential(3.0, noise[held].shape)
    changed.X = noise
    before, after = (make_split(data, "type_0", **keys, n_genes=20) for data in (small_cells, changed))
    assert list(before.train.var_names) == list(after.train.var_names)


def test_without_a_number_of_genes_all_stay(small_cells: AnnData, keys: dict[str, Any]) -> None:
    assert make_split(small_cells, "type_1", **keys, n_genes=None).train.n_vars == small_cells.n_vars
