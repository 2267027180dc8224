"""Tests of cells that are put together from neighbours."""

import numpy as np
import pytest

import altercell as ac
from altercell.errors import DataError
from altercell.models.samplers import _neighbour_bootstrap


def test_the_mean_of_what_a_few_cells_give(counts, fit, dense):
    # With no more cells than neighbours, every cell is a donor of every gene: E[x] = l mean_j x_j / l_j.
    few = counts[counts.obs["cell_type"] == "type_0"][:5].copy()
    made = dense(fit(ac.NeighbourBootstrap, few).generate(20_000, seed=0)).astype(float)
    values = dense(few).astype(float)
    shares = (values / values.sum(axis=1, keepdims=True)).mean(axis=0)
    expected = values.sum(axis=1).mean() * shares
    error = made.std(axis=0) / np.sqrt(len(made))
    assert (np.abs(made.mean(axis=0) - expected) <= 5 * error + 0.01 * expected).all()
    assert made.sum(axis=1).mean() == pytest.approx(values.sum(axis=1).mean(), rel=0.02)


def test_one_neighbour_is_the_cell_itself(counts, fit, dense, monkeypatch):
    monkeypatch.setattr(_neighbour_bootstrap, "TOTAL_SPREAD", 0.0)
    made = fit(ac.NeighbourBootstrap, counts.copy(), n_neighbors=1).generate(100, seed=0)
    known = {row.tobytes() for row in dense(counts).astype(np.float32)}
    assert all(row.tobytes() in known for row in dense(made))
    monkeypatch.setattr(_neighbour_bootstrap, "TOTAL_SPREAD", 0.03)
    made = fit(ac.NeighbourBootstrap, counts.copy()).generate(100, seed=0)
    assert not any(row.tobytes() in known for row in dense(made))


def test_donors_are_of_the_class_and_near(counts, fit, dense):
    data = counts.copy()
    tag = np.zeros((data.n_obs, 3), dtype=np.float32)
    for number in range(3):  # one gene for each class: another class's donor would show
        tag[data.obs["cell_type"] == f"type_{number}", number] = 50
    data.X = np.concatenate([tag, dense(data)[:, 3:]], axis=1)
    made = fit(ac.NeighbourBootstrap, data).generate(200, seed=0)
    for number in range(3):
        mine = dense(made)[(made.obs["cell_type"] == f"type_{number}").to_numpy(), :3]
        assert (mine[:, number] > 0).all()
        assert not np.delete(mine, number, axis=1).any()
    # Cells that lie far apart within the class do not give to each other.
    data = counts[counts.obs["cell_type"] == "type_0"].copy()
    values = np.zeros(data.shape, dtype=np.float32)
    values[: data.n_obs // 2, :20], values[data.n_obs // 2 :, 20:] = 30, 30
    data.X = values + np.random.default_rng(0).poisson(1.0, values.shape) * (values > 0)
    made = dense(fit(ac.NeighbourBootstrap, data).generate(100, seed=0))
    assert not (made[:, :20].any(axis=1) & made[:, 20:].any(axis=1)).any()


def test_blocks_change_nothing(counts, fit, dense, monkeypatch):
    model = fit(ac.NeighbourBootstrap, counts.copy())
    whole = dense(model.generate(100, seed=3))
    np.testing.assert_array_equal(whole, dense(model.generate(100, seed=3, batch_size=7)))
    monkeypatch.setattr(_neighbour_bootstrap, "BLOCK", 200)
    np.testing.assert_array_equal(whole, dense(model.generate(100, seed=3)))


def test_what_it_refuses(logs, counts, fit):
    with pytest.raises(DataError, match="counts"):
        fit(ac.NeighbourBootstrap, logs.copy())
    with pytest.raises(DataError, match="n_neighbors=0 and n_pcs=20 must be at least 1"):
        fit(ac.NeighbourBootstrap, counts.copy(), n_neighbors=0)
