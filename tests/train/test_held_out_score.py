from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule

import altercell as ac
from altercell.data import hold_out, normalize
from altercell.datasets import simulate_response
from altercell.errors import DataError, GroupError, KeyNotFoundError, ModelFileError
from altercell.train import HeldOutScore

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
ASK = {"source": "control", "target": "stimulated"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"n_hidden": 16, "n_latent": 4}
# A step that is far too long for so few cells: the scores rise and fall.
FAR = {"plan_kwargs": {"lr": 0.03, "eps": 1e-8}}
HELD = ["type_1", "type_2"]


def parts(labels="type_1", counts: bool = False):
    """Return training cells, and the real and the control cells of a held-out type."""
    cells = simulate_response(n_cells=240, n_genes=30, n_types=4, n_lineages=1)
    cells = cells if counts else normalize(cells)
    train, real = hold_out(cells, batch="stimulated", labels=labels)
    return train, real, hold_out(cells, batch="control", labels=labels)[1]


def build(model=ac.ScGen, labels="type_1", counts: bool = False, **options):
    """Return a model that is not trained, and the two held-out arms."""
    train, real, control = parts(labels, counts)
    model.setup_anndata(train, **KEYS)
    return model(train, **{**SMALL, **options}), real, control


def scored(model=ac.ScGen, labels="type_1", score=None, counts: bool = False, **options):
    """Return a model that is not trained, and the callback that scores it."""
    built, real, control = build(model, labels, counts, **options)
    return built, HeldOutScore(built, real, control, **ASK, **(score or {}))


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def squared_error(model, callback) -> float:
    """Return the squared error of the means in NumPy float64, of the model as it is now; a mean over labels."""
    errors = []
    for group in callback.groups:
        pred = model.predict(group.control, **ASK, labels=group.label)
        means = [np.asarray(arm.X.todense() if hasattr(arm.X, "todense") else arm.X, np.float64).mean(0)
                 for arm in (pred, group.real)]  # fmt: skip
        errors.append(((means[0] - means[1]) ** 2).mean())
    return float(np.mean(errors))


class Look(Callback):
    """Keep what other callbacks read: at the end of each validation, and at the end of the training."""

    def __init__(self) -> None:
        self.seen, self.last = [], None

    def on_validation_end(self, trainer, pl_module):
        self.seen.append(float(trainer.callback_metrics["inner_mse"]))

    def on_train_end(self, trainer, pl_module):
        self.last = {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("labels", ["type_1", HELD])
def test_the_score_is_that_of_the_prediction_with_the_weights_so_far(labels):
    model, callback = scored(labels=labels)
    look = Look()
    model.train(max_epochs=3, early_stopping=False, callbacks=[callback, look], **QUIET)
    found = model.history["inner_mse"]["inner_mse"].tolist()
    assert len(callback.groups) == (1 if labels == "type_1" else 2)
    assert found == look.seen
    assert len(set(found)) == 3
    assert found[-1] == pytest.approx(squared_error(model, callback), rel=1e-4)
    assert callback.score() == {"inner_mse": look.last["inner_mse"]}


@pytest.mark.parametrize(
    ("model", "counts", "options"),
    [
        (ac.ScGen, False, {}),
        (ac.TrVAE, False, {"n_hidden": (16, 8)}),
        (ac.SCVI, True, {}),
        (ac.ScPerb, False, {"control": "control"}),
        (ac.StyleTransferGAN, False, {"n_hidden": (16, 8)}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_weights_are_those_of_a_training_without_it_to_the_bit(model, counts, options):
    plain, _, _ = build(model, counts=counts, **options)
    watched, callback = scored(model, counts=counts, **options)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    plain.train(max_epochs=2, batch_size=32, **QUIET)
    watched.train(max_epochs=2, batch_size=32, callbacks=[callback], **QUIET)
    assert same(weights(plain), weights(watched))
    names = [name for name in watched.history if name != "inner_mse"]
    assert names == list(plain.history)
    assert all(watched.history[name].equals(plain.history[name]) for name in names)
    assert np.isfinite(watched.history["inner_mse"]["inner_mse"]).all()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_several_metrics_under_a_name_of_choice():
    model, callback = scored(score={"metrics": ["pearson_delta", "mse_top10"], "name": "kept", "n_top": 10})
    model.train(max_epochs=1, callbacks=[callback], **QUIET)
    group = callback.groups[0]
    pred = model.predict(group.control, **ASK, labels="type_1")
    table = ac.metrics.evaluate(pred, group.real, group.control, n_top=10, metrics=callback.metrics)["value"]
    for metric in ("pearson_delta", "mse_top10"):
        assert model.history[f"kept_{metric}"].iloc[0, 0] == pytest.approx(table[metric], rel=1e-9)


def test_a_score_every_few_epochs_leaves_gaps_and_ends_with_that_of_the_kept_weights():
    model, callback = scored(score={"every": 3})
    look = Look()
    model.train(max_epochs=8, callbacks=[callback, look], **FAR, **QUIET)
    there = np.isfinite(model.history["inner_mse"]["inner_mse"])
    assert np.flatnonzero(there).tolist() == [0, 3, 6]
    best = int(model.history["validation_loss"]["validation_loss"].argmin())
    assert best not in (0, 3, 6, 7)
    assert look.last["inner_mse"] == pytest.approx(squared_error(model, callback), rel=1e-4)


def test_with_early_stopping_the_last_word_is_the_score_of_the_best_epoch():
    model, callback = scored()
    look = Look()
    model.train(max_epochs=8, callbacks=[callback, look], **FAR, **QUIET)
    best = int(model.history["validation_loss"]["validation_loss"].argmin())
    assert best < 7
    assert look.last["inner_mse"] == look.seen[best] != look.seen[-1]
    assert callback.score()["inner_mse"] == look.seen[best]


@pytest.mark.parametrize("train_size", [0.9, 1.0])
@pytest.mark.parametrize(("metric", "mode"), [("mse", "min"), ("pearson_delta", "max")])
def test_early_stopping_can_watch_it(metric, mode, train_size):
    model, callback = scored(score={"metrics": metric})
    name = f"inner_{metric}"
    watch = {"early_stopping_monitor": name, "early_stopping_mode": mode, "early_stopping_patience": 2}
    model.train(max_epochs=40, train_size=train_size, callbacks=[callback], **watch, **FAR, **QUIET)
    found = model.history[name][name].to_numpy()
    best = int(found.argmin() if mode == "min" else found.argmax())
    assert len(found) == best + 3 < 40
    assert callback.score()[name] == found[best]


def test_a_resumed_training_ends_as_one_that_was_not_killed(tmp_path):
    class Kill(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 3:
                raise RuntimeError("killed")

    whole, callback = scored(score={"every": 2})
    options = {"early_stopping_monitor": "inner_mse", "early_stopping_patience": 4, **FAR, **QUIET}
    whole.train(max_epochs=6, callbacks=[callback], **options)
    for kill in ([Kill()], []):
        look = Look()
        model, callback = scored(score={"every": 2})
        run = {"max_epochs": 6, "callbacks": [callback, *kill, look], "resume_dir": tmp_path, **options}
        if kill:
            with pytest.raises(RuntimeError, match="killed"):
                model.train(**run)
        else:
            model.train(**run)
    assert same(weights(model), weights(whole))
    assert all(model.history[name].equals(whole.history[name]) for name in whole.history)
    assert look.last["inner_mse"] == callback.score()["inner_mse"]
    other, callback = scored()
    with pytest.raises(ModelFileError, match="another run: early stopping's monitor is inner_mse there and None"):
        other.train(6, callbacks=[callback], resume_dir=tmp_path, early_stopping_patience=4, **FAR, **QUIET)


def test_a_second_training_is_scored_from_its_own_first_epoch():
    model, callback = scored(score={"every": 2})
    for _ in range(2):
        model.train(max_epochs=3, early_stopping=False, callbacks=[callback], **QUIET)
    there = np.isfinite(model.history["inner_mse"]["inner_mse"])
    assert np.flatnonzero(there).tolist() == [0, 2, 3, 5]


def test_a_model_without_labels_is_scored_on_all_held_out_cells():
    train, real, control = parts()
    ac.ScGen.setup_anndata(train, batch_key="condition")
    model = ac.ScGen(train, **SMALL)
    callback = HeldOutScore(model, real, control, **ASK)
    assert [group.label for group in callback.groups] == [None]
    model.train(max_epochs=1, early_stopping=False, callbacks=[callback], **QUIET)
    pred = model.predict(control, **ASK)
    assert callback.score()["inner_mse"] == ac.metrics.evaluate(pred, real, control, metrics="mse")["value"].item()


def test_options_reach_the_prediction():
    built, real, control = build(labels=HELD)
    near = HeldOutScore(built, real, control, **ASK, predict_options={"nearest": 1})
    built.train(max_epochs=1, callbacks=[near], **QUIET)
    assert near.score() != HeldOutScore(built, real, control, **ASK).score()


def test_cells_of_the_held_out_groups_in_training_are_refused():
    _, real, control = parts()
    model, _, _ = build(labels="type_2")
    with pytest.raises(GroupError, match="was set up with cells of 'type_1' under 'stimulated', which are to be held"):
        HeldOutScore(model, real, control, **ASK)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 0}, DataError, "every=0 must be at least 1"),
        ({"metrics": "nice"}, KeyNotFoundError, "no such metric: 'nice'"),
        ({"target": "cold"}, GroupError, "target='cold' is no condition"),
        ({"source": "stimulated", "target": "control"}, GroupError, "real must hold cells of target='control' alone"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(options, error, message):
    model, real, control = build()
    with pytest.raises(error, match=message):
        HeldOutScore(model, real, control, **{**ASK, **options})


def test_a_label_without_control_cells_is_named():
    model, real, control = build(labels=HELD)
    with pytest.raises(GroupError, match="control has no cell of 'type_2', which real has; there are 'type_1'"):
        HeldOutScore(model, real, control[control.obs["cell_type"] == "type_1"].copy(), **ASK)


def test_early_stopping_that_would_not_wait_for_a_second_score_is_refused():
    model, callback = scored(score={"every": 5})
    with pytest.raises(DataError, match="patience of 4 epochs, and it is scored every=5 epochs"):
        model.train(9, callbacks=[callback], early_stopping_monitor="inner_mse", early_stopping_patience=4, **QUIET)


def test_a_sanity_check_is_not_scored(monkeypatch):
    _, callback = scored()
    monkeypatch.setattr(callback, "score", lambda: pytest.fail("it was scored"))
    callback.on_validation_epoch_end(SimpleNamespace(sanity_checking=True, current_epoch=0), None)


def test_another_plan_is_refused():
    _, callback = scored()
    with pytest.raises(DataError, match="in altercell's training plans, and this is a LightningModule"):
        callback.on_train_end(SimpleNamespace(callbacks=[]), LightningModule())
