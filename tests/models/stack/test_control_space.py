"""Tests of the control cells' components and of their pairs."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.optimize import linear_sum_assignment

from altercell.models.stack._control_space import TrainingControls, WithOthers, some_rows
from altercell.models.stack._log_cells import LogCells


@pytest.fixture
def space(stack, train):
    """The control space of the trained model, from control to stimulated."""
    assert stack.schema.conditions[:2].tolist() == ["control", "stimulated"]
    return stack._training_controls(0, 1)


def group(train, condition: str, kind: str) -> np.ndarray:
    return np.flatnonzero((train.obs["condition"] == condition) & (train.obs["cell_type"] == kind))


def test_rows_are_chosen_by_name_alone():
    names = np.array([f"cell_{n}" for n in range(50)])
    rows = np.arange(10, 40)
    chosen = some_rows(rows, names, 8)
    assert len(set(chosen)) == 8
    assert set(chosen) <= set(rows)
    order = np.random.default_rng(0).permutation(50)
    back = some_rows(np.flatnonzero(np.isin(order, rows)), names[order], 8)
    assert names[order][back].tolist() == names[chosen].tolist()
    assert set(some_rows(rows, names, 100)) == set(rows)


def test_points_keep_the_distances_that_fifty_axes_can_keep(space, train, dense):
    """Compare with the exact decomposition of all control cells, whose axes may differ in sign."""
    control = np.flatnonzero(train.obs["condition"] == "control")
    x = dense(train.X)
    center = x[control].mean(0)
    _, _, axes = np.linalg.svd(x[control] - center, full_matrices=False)
    rows = group(train, "control", "type_1")
    exact = (x[rows] - center) @ axes[:50].T
    found = space.points(1)
    assert found.shape == (len(rows), 50)
    assert found.dtype == np.float64
    by_name = np.argsort(space._rows(1, 0))
    # The first axes stand out, and are found to the last digit; the last ones do not.
    np.testing.assert_allclose(np.abs(found[by_name][:, :3]), np.abs(exact[:, :3]), atol=1e-3)
    kept = (found**2).sum() / (exact**2).sum()
    assert 0.98 < kept < 1.02


def test_points_and_pairs_are_made_once(space):
    assert space.points(0) is space.points(0)
    assert space.pairs(0) is space.pairs(0)


def test_pairs_are_of_the_type_and_each_cell_once(space, train):
    for kind in range(3):
        pairs = space.pairs(kind)
        before, after = (group(train, condition, f"type_{kind}") for condition in ("control", "stimulated"))
        assert set(pairs.control) == set(before)
        assert set(pairs.target) == set(after)
        assert len(pairs.points) == len(set(pairs.control)) == len(set(pairs.target)) == 40


def test_pairs_bring_the_shifted_control_cells_nearest(space):
    kind = 1
    pairs = space.pairs(kind)
    control, moved = pairs.points, space.project(space.cells, pairs.target)
    shift = moved.mean(0) - control.mean(0)
    cost = ((control[:, None] + shift - moved) ** 2).sum(2)
    assert np.trace(cost) == pytest.approx(cost[linear_sum_assignment(cost)].sum(), rel=1e-9)
    # No exchange of two partners is nearer.
    assert all(cost[i, i] + cost[j, j] <= cost[i, j] + cost[j, i] + 1e-9 for i, j in combinations(range(40), 2))


def test_arms_of_unequal_size_are_paired_after_the_shift(space):
    """With as many cells on both sides the shift makes no difference; with fewer it says who is left out."""
    conditions = space.conditions.copy()
    target = np.flatnonzero((conditions == 1) & (space.labels == 1))
    conditions[target[12:]] = -1
    pairs = TrainingControls(space.cells, conditions, space.labels, 0, 1).pairs(1)
    assert len(pairs.points) == 12
    assert set(pairs.target) == set(target[:12])
    control, moved = space.points(1), space.project(space.cells, np.sort(pairs.target))
    totals = []
    for shift in (moved.mean(0) - control.mean(0), 0):
        cost = ((control[:, None] + shift - moved) ** 2).sum(2)
        first, _ = linear_sum_assignment(cost)
        totals.append(set(map(tuple, control[first].round(6))))
    assert set(map(tuple, pairs.points.round(6))) == totals[0]
    assert totals[0] != totals[1]


def test_differences_are_those_of_the_cells(space, train, dense):
    rng = np.random.default_rng(0)
    target, control, weights = rng.integers(0, 400, 30), rng.integers(0, 400, 30), rng.random((30, 2))
    x = dense(train.X)
    want = weights.T @ (x[target] - x[control])
    np.testing.assert_allclose(space.differences(target, control, weights), want, rtol=1e-5, atol=1e-5)


def test_many_cells_are_some_of_them(stack, train, monkeypatch):
    whole = stack._training_controls(0, 1)  # the model keeps them, and is shared
    monkeypatch.setattr("altercell.models.stack._control_space.TYPE_CELLS", 9)
    monkeypatch.setattr("altercell.models.stack._control_space.AXES_CELLS", 30)
    few = TrainingControls(whole.cells, whole.conditions, whole.labels, 0, 1)
    assert few.points(0).shape == (9, 30)
    assert len(few.pairs(0).target) == 9
    assert set(train.obs["condition"].iloc[few.pairs(0).target]) == {"stimulated"}


def test_further_types_are_projected_on_the_same_axes(space, stack, train):
    other = train[group(train, "control", "type_2")].copy()
    cells = LogCells(stack._predict_cells(other, None), None)
    kinds = np.where(np.arange(len(other)) % 2 == 0, 0, -1)
    joined = WithOthers(space, 4, cells, kinds)
    np.testing.assert_array_equal(joined.points(1), space.points(1))
    assert joined.pairs(1) is space.pairs(1)
    want = space.project(space.cells, group(train, "control", "type_2")[::2])
    found = joined.points(4)
    np.testing.assert_allclose(found[np.lexsort(found.T)], want[np.lexsort(want.T)], atol=1e-6)
    some = np.array([3, 5]), np.array([7, 9]), np.ones((2, 1))
    np.testing.assert_array_equal(joined.differences(*some), space.differences(*some))


def test_fewer_genes_than_axes(fit):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"condition": ["a", "b"] * 60, "cell_type": ["k"] * 60 + ["m"] * 60})
    obs.index = obs.index.map("cell_{}".format)
    data = AnnData(np.log1p(rng.poisson(3, (120, 6))).astype(np.float32), obs=obs)
    model = fit(data)
    found = model._training_controls(0, 1)
    assert found.points(0).shape == (30, 6)
    assert np.isfinite(model.get_mean("a", "b", "k")).all(axis=None)
