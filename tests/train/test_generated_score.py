"""Tests of the callback that compares generated cells with held-out ones while a model trains."""

import anndata
import numpy as np
import pytest
import torch

import altercell as ac
from altercell.data import normalize
from altercell.errors import DataError, GroupError, KeyNotFoundError
from altercell.metrics import neighbour_mmd
from altercell.train import GeneratedScore

QUIET = {"enable_progress_bar": False, "accelerator": "cpu", "batch_size": 50}
SMALL = {"n_hidden": (8, 16), "n_latent": 4}
FAR = {"lr": 5e-3, "final_lr": None, "n_critic": 2}


@pytest.fixture(scope="module")
def parts():
    """Counts of 150 training cells, and 60 others."""
    cells = ac.datasets.simulate_response(260, 30, 2, seed=0)
    return cells[:150].copy(), cells[150:210].copy()


def build(train, Model=ac.CscGAN, **arguments):
    data = train.copy()
    Model.setup_anndata(data, labels_key="cell_type")
    return Model(data, **{**SMALL, **arguments})


def log(cells):
    values = cells.X.toarray().astype(np.float64)
    return np.log1p(1e4 * values / values.sum(axis=1, keepdims=True))


def test_the_score_is_that_of_generated_cells_beside_the_real_ones(parts):
    train, real = parts
    model = build(train)
    score = GeneratedScore(model, real, every=2, name="mine", seed=3)
    model.train(max_epochs=4, callbacks=[score], **QUIET)
    history = model.history_["mine_neighbour_mmd"].iloc[:, 0]
    assert history.isna().tolist() == [False, True, False, True]
    numbers = {name: int((real.obs["cell_type"] == name).sum()) for name in ("type_0", "type_1")}
    made = model.generate(numbers, seed=3, output="counts")
    wanted = neighbour_mmd(log(made), log(real), log(train), seed=3)
    assert score.score()["mine_neighbour_mmd"] == pytest.approx(wanted, abs=1e-4)
    assert wanted > 0


def test_training_is_the_same_with_it_and_without(parts):
    train, real = parts
    plain, scored = build(train), build(train)
    plain.train(max_epochs=3, **QUIET)
    metrics = ["neighbour_mmd", "forest_auc", "edistance_pcs"]
    scored.train(max_epochs=3, callbacks=[GeneratedScore(scored, real, every=1, metrics=metrics)], **QUIET)
    for name, value in plain.module.state_dict().items():
        assert torch.equal(value, scored.module.state_dict()[name]), name
    assert {f"generated_{metric}" for metric in metrics} <= set(scored.history_)


@pytest.mark.parametrize("Model", [ac.CscGAN, ac.LatentGAN])
def test_early_stopping_keeps_the_weights_of_the_best_score(parts, Model):
    train, real = parts
    model = build(train, Model)
    score = GeneratedScore(model, real, every=1)
    extra = {"vae": {"max_epochs": 2}} if Model is ac.LatentGAN else {}
    model.train(
        max_epochs=30,
        plan_kwargs=FAR,
        callbacks=[score],
        early_stopping=True,
        early_stopping_monitor="generated_neighbour_mmd",
        early_stopping_patience=8,
        **extra,
        **QUIET,
    )
    history = model.history_["generated_neighbour_mmd"].iloc[:, 0].to_numpy()
    assert np.argmin(history) < len(history) - 1  # else there was nothing to put back
    assert score.score()["generated_neighbour_mmd"] == pytest.approx(history.min(), abs=1e-6)


def test_it_falls_as_a_generator_learns(parts):
    train, real = parts
    model = build(train, n_hidden=(32, 32))
    model.train(max_epochs=200, plan_kwargs=FAR, callbacks=[GeneratedScore(model, real, every=199)], **QUIET)
    history = model.history_["generated_neighbour_mmd"].iloc[:, 0].dropna().to_numpy()
    assert history[-1] < 0.7 * history[0]


def test_options_are_added_and_another_space_is_refused(parts):
    train, real = parts
    model = build(train)
    plain, batched, wrong = (
        GeneratedScore(model, real, generate_options=options)
        for options in (None, {"batch_size": 7}, {"output": "log"})
    )
    model.train(max_epochs=1, **QUIET)
    assert plain.score() == pytest.approx(batched.score())
    with pytest.raises(DataError, match="generated cells are log1p of counts per 10,000, and the real ones counts"):
        wrong.score()


def test_log_data_and_no_labels(parts):
    train, real = (normalize(part.copy()) for part in parts)
    data = train.copy()
    ac.WGAN.setup_anndata(data)
    model = ac.WGAN(data, **SMALL)
    score = GeneratedScore(model, real, metrics="edistance_pcs")
    model.train(max_epochs=1, callbacks=[score], **QUIET)
    made = model.generate(real.n_obs, seed=0)
    values, wanted = (cells.X.toarray() if hasattr(cells.X, "toarray") else cells.X for cells in (made, real))
    basis = train.X.toarray() if hasattr(train.X, "toarray") else train.X
    from altercell.metrics import edistance
    from altercell.metrics._pcs import project_on_pcs

    assert score.score()["generated_edistance_pcs"] == pytest.approx(
        edistance(*project_on_pcs(values, wanted, basis, seed=0)), rel=1e-4
    )


def test_what_makes_no_sense_is_refused(parts):
    train, real = parts
    model = build(train)
    with pytest.raises(GroupError, match="the model was set up with cells of `real`"):
        GeneratedScore(model, train[:20].copy())
    mixed = anndata.concat([real, train[140:].copy()])
    mixed.obs_names = [*train.obs_names[:60], *train.obs_names[140:]]  # the leak after 60 names of other cells
    mixed.obs["cell_type"] = mixed.obs["cell_type"].astype("category")
    with pytest.raises(GroupError, match="the model was set up with cells of `real`"):
        GeneratedScore(model, mixed)
    other = real.copy()
    other.obs["cell_type"] = "new"
    with pytest.raises(GroupError, match="new"):
        GeneratedScore(model, other)
    del other.obs["cell_type"]
    with pytest.raises(KeyNotFoundError, match="labels_key='cell_type' is not a column"):
        GeneratedScore(model, other)
    renamed = real.copy()
    renamed.obs_names = train.obs_names[:60]  # the same names of other cells are no matter
    GeneratedScore(model, renamed)
    with pytest.raises(DataError, match="metrics='other' is unknown"):
        GeneratedScore(model, real, metrics="other")
    with pytest.raises(DataError, match="real has 5 cells"):
        GeneratedScore(model, real[:5].copy())
    with pytest.raises(DataError, match="every=0 must be at least 1"):
        GeneratedScore(model, real, every=0)
    data = normalize(train.copy())
    ac.NoChange.setup_anndata(data, batch_key="condition", labels_key="cell_type")
    other = ac.NoChange(data)
    with pytest.raises(DataError, match="NoChange does not generate cells"):
        GeneratedScore(other, real)
