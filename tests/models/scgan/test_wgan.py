"""Tests of responses by arithmetic on noise: the point of a cell, the delta, the prediction."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import altercell as ac
from altercell.data import hold_out
from altercell.errors import DataError, KeyNotFoundError


def dense(cells):
    return cells.X.toarray() if hasattr(cells.X, "toarray") else cells.X


@pytest.fixture(scope="module")
def logs(counts):
    return ac.data.normalize(counts)


@pytest.fixture(scope="module")
def wgan(logs, fit):
    return fit(ac.WGAN, logs.copy(), n_steps=20)


def test_the_point_of_a_cell_is_the_minimum(wgan, logs):
    few = logs[:3].copy()
    found = wgan.get_latent_representation(few)
    generator, x = wgan.module.generator, dense(few).astype(np.float64)

    def objective(z, row):
        with torch.no_grad():
            made = generator(torch.tensor(z[None], dtype=torch.float32), torch.zeros(1, dtype=torch.int64)).numpy()[0]
        return 0.5 * ((x[row] - made) ** 2).sum() + 0.5 * (z**2).sum()

    for row in range(3):
        start = objective(np.zeros(4), row)
        best = minimize(objective, found[row].astype(float), args=(row,), method="Nelder-Mead").fun
        assert objective(found[row], row) <= best + 0.02 * (start - best) + 1e-3
        assert objective(found[row], row) < start


def test_each_cell_by_itself_and_the_weights_stay(wgan, logs):
    before = {name: value.clone() for name, value in wgan.module.state_dict().items()}
    whole = wgan.get_latent_representation(logs)
    np.testing.assert_allclose(wgan.get_latent_representation(logs, batch_size=7), whole, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in wgan.module.state_dict().items())
    assert whole.shape == (logs.n_obs, 4)


def test_a_prediction_is_the_point_moved_by_the_delta(wgan, logs):
    asked = {"source": "control", "target": "stimulated", "labels": "type_0"}
    answer = wgan.predict(**asked)
    rows = np.flatnonzero((logs.obs["condition"] == "control") & (logs.obs["cell_type"] == "type_0"))
    z, means = wgan.get_latent_representation(indices=rows), wgan.get_latent_representation()
    of = logs.obs[["condition", "cell_type"]].to_numpy()
    sides = [
        np.mean(
            [means[(of == [name, kind]).all(axis=1)].mean(axis=0) for kind in ("type_0", "type_1", "type_2")], axis=0
        )
        for name in ("stimulated", "control")
    ]
    np.testing.assert_allclose(wgan.get_delta("control", "stimulated"), sides[0] - sides[1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(dense(answer), wgan.decode(z + (sides[0] - sides[1])), rtol=1e-3, atol=1e-3)
    similar = wgan.predict(weights="similarity", **asked)
    assert np.abs(dense(similar) - dense(answer)).max() > 1e-5
    moved = wgan.predict(cells="residual", **asked)
    change = dense(answer).mean(axis=0) - wgan.decode(z).mean(axis=0)
    expected = np.maximum(dense(logs[rows]).mean(axis=0) + change, 0)
    np.testing.assert_allclose(dense(moved).mean(axis=0), expected, atol=0.05)
    with pytest.raises(TypeError, match="predict\\(\\) has no argument 'delta'"):
        wgan.predict(delta=1, **asked)


def test_without_conditions_it_generates_alone(logs, tmp_path):
    data = logs.copy()
    ac.WGAN.setup_anndata(data, labels_key="cell_type")
    model = ac.WGAN(data, n_hidden=(8, 16), n_latent=4)
    model.train(n_steps=2, batch_size=50, accelerator="cpu", enable_progress_bar=False)
    assert model.generate(5, seed=0).n_obs == 5
    assert not model.module.latent_means.any()
    with pytest.raises(KeyNotFoundError, match="this WGAN was set up without conditions; name their column"):
        model.predict(source="control", target="stimulated")
    model.save(tmp_path / "model")
    assert ac.WGAN.load(tmp_path / "model").generate(5, seed=0).n_obs == 5


def test_what_it_refuses(logs):
    ac.WGAN.setup_anndata(logs, batch_key="condition")
    with pytest.raises(DataError, match="n_encode_steps=0 and encode_lr=0.05 must be above 0"):
        ac.WGAN(logs, n_encode_steps=0)


def test_validation_cells_do_not_enter_the_delta(logs, fit):
    model = fit(ac.WGAN, logs.copy(), train={"train_size": 0.6})
    z, of = model.get_latent_representation(), logs.obs[["condition", "cell_type"]].to_numpy()
    mine = model.train_indices_
    rows = mine[(of[mine] == ["control", "type_0"]).all(axis=1)]
    means, sizes = model.group_means()
    assert sizes.sum() == len(mine) < logs.n_obs
    np.testing.assert_allclose(means[0, 0], z[rows].mean(axis=0), rtol=1e-3, atol=1e-4)


@pytest.mark.heavy
def test_it_predicts_a_type_that_was_held_out(fit):
    cells = ac.data.normalize(ac.datasets.simulate_response(900, 100, 4, seed=0))
    train, real = hold_out(cells, batch="stimulated", labels="type_0")
    plan = {"n_steps": 600, "batch_size": 128, "plan_kwargs": {"lr": 1e-3}}
    model = fit(ac.WGAN, train, n_hidden=(64, 128), n_latent=16, train=plan)
    answer = dense(model.predict(source="control", target="stimulated", labels="type_0")).mean(axis=0)
    control = cells[(cells.obs["condition"] == "control") & (cells.obs["cell_type"] == "type_0")]
    before, truth = dense(control).mean(axis=0), dense(real).mean(axis=0)
    assert ((answer - truth) ** 2).mean() < 0.9 * ((before - truth) ** 2).mean()
    assert np.corrcoef(answer - before, truth - before)[0, 1] > 0.5
