import copy

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from altercell import StyleTransferGAN
from altercell.errors import DataError, GroupError, NotTrainedError
from altercell.train import CellDataModule, StratifiedBatches

ASK = {"source": "control", "target": "stimulated"}
KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
GROUPS = [[30, 12, 24], [21, 19, 0]]
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def values(answer) -> np.ndarray:
    return answer.X if isinstance(answer.X, np.ndarray) else answer.X.toarray()


def state(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


class Batches(Callback):
    """Keep the conditions of every training batch."""

    def __init__(self) -> None:
        self.codes = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.codes.append(batch["batch"].ravel().numpy())


@pytest.mark.parametrize(("source", "target"), [("control", "stimulated"), ("stimulated", "control")])
def test_a_prediction_is_the_translation_of_that_direction(model, oracle, rows, source, target):
    where = rows(model.adata, source)
    predicted = model.predict(source=source, target=target)
    wanted = oracle(model.module).translate(model.adata.X[where], ["control", "stimulated"].index(source))
    np.testing.assert_allclose(values(predicted), wanted, rtol=1e-4, atol=1e-4)
    assert predicted.obs_names.tolist() == model.adata.obs_names[where].tolist()
    assert (predicted.obs["condition"] == target).all()
    assert values(predicted).min() == 0


def test_a_held_out_type_is_predicted(model, rows):
    predicted = model.predict(**ASK, labels="T")
    assert predicted.n_obs == 24
    whole = model.predict(**ASK)[predicted.obs_names].copy()
    np.testing.assert_allclose(values(predicted), values(whole), rtol=1e-5, atol=1e-5)


def test_the_account_says_that_the_method_is_poor(model):
    account = model.predict(**ASK, labels="T").uns["altercell"]
    assert "poor on record" in account["trust"][0]
    assert "cycle_weight=5.0, cycle_norm=l2, output_activation=relu" in account["arguments"]
    assert "seed" not in account


def test_the_history_has_the_losses_of_both_players(model):
    terms = ("generator_loss", "cycle_loss", "discriminator_loss")
    names = {f"{term}_{mode}" for term in terms for mode in ("train", "validation")}
    assert set(model.history_) == names | {"train_loss", "validation_loss"}
    last = {name: frame.iloc[:, 0].to_numpy() for name, frame in model.history_.items()}
    np.testing.assert_allclose(
        last["train_loss"], last["generator_loss_train"] + 5 * last["cycle_loss_train"], rtol=1e-5
    )
    np.testing.assert_array_equal(last["validation_loss"], last["cycle_loss_validation"])
    assert last["cycle_loss_train"][-1] < last["cycle_loss_train"][0]


@pytest.mark.parametrize("conditions", [["control"], ["control", "other", "stimulated"]])
def test_more_or_fewer_than_two_conditions_are_refused_by_name(make_cells, build, conditions):
    adata = make_cells()
    adata = adata[adata.obs["condition"].isin(conditions).to_numpy()].copy()
    named = "holds 3, .*'other'.*; keep two: .*isin" if len(conditions) == 3 else "one condition only, 'control'"
    with pytest.raises(GroupError, match=rf"obs\['condition'\].*{named}"):
        build(adata)


def test_a_category_without_cells_is_no_condition(cells, build, tmp_path):
    names = ["a ghost", "control", "nobody", "stimulated"]
    cells.obs["condition"] = cells.obs["condition"].cat.set_categories(names)
    model = build(cells)
    assert model.module.conditions.tolist() == [1, 3]
    model.train(max_epochs=2, batch_size=32, **QUIET)
    predicted = model.predict(**ASK)
    assert predicted.n_obs == 66
    with pytest.raises(GroupError, match="target='nobody' has no training cell"):
        model.predict(source="control", target="nobody")
    model.save(tmp_path / "model")
    # Without cells, and with cells of one condition, the codes are those of the file.
    for attached in (None, cells[(cells.obs["condition"] == "control").to_numpy()].copy()):
        loaded = StyleTransferGAN.load(tmp_path / "model", attached, accelerator="cpu")
        np.testing.assert_array_equal(values(loaded.predict(cells, **ASK)), values(predicted))


def test_files_hold_both_players(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = StyleTransferGAN.load(tmp_path / "model", model.adata.copy(), accelerator="cpu")
    assert all(torch.equal(value, state(model)[name]) for name, value in state(loaded).items())
    assert any(name.startswith("discriminators.1") for name in state(loaded))
    np.testing.assert_array_equal(values(loaded.predict(**ASK)), values(model.predict(**ASK)))


def test_a_second_training_goes_on(cells, build):
    model = build(cells)
    model.train(max_epochs=2, batch_size=32, **QUIET)
    first = state(model)
    model.train(max_epochs=1, batch_size=32, **QUIET)
    assert len(model.history_["train_loss"]) == 3
    assert not torch.equal(
        state(model)["generators.entry.0.0.linear.weight"], first["generators.entry.0.0.linear.weight"]
    )


@pytest.mark.parametrize("size", [8, 32])
def test_batches_hold_as_many_cells_of_each_condition(cells, build, size):
    batches = Batches()
    build(cells).train(max_epochs=2, batch_size=size, callbacks=[batches], **QUIET)
    assert len(batches.codes) == 2 * -(-96 // size)
    assert all(np.bincount(codes).tolist() == [size // 2] * 2 for codes in batches.codes)


def test_the_papers_full_batch(cells, build):
    batches = Batches()
    build(cells).train(max_epochs=3, batch_size=None, train_size=1.0, callbacks=[batches], **QUIET)
    assert [np.bincount(codes).tolist() for codes in batches.codes] == [[66, 40]] * 3


@pytest.mark.parametrize(
    ("options", "epochs", "size"),
    # 106 cells: 96 train by default.
    [
        ({}, 1000, 256),
        ({"batch_size": 32}, 334, 32),
        ({"batch_size": 32, "train_size": 1.0}, 250, 32),
        ({"batch_size": None}, 1000, 106),
        ({"max_epochs": 7}, 7, 256),
    ],
)
def test_the_default_is_the_papers_number_of_moves(cells, build, monkeypatch, options, epochs, size):
    asked = {}
    monkeypatch.setattr(
        "altercell.models.base.TrainingMixin.train", lambda self, epochs, **k: asked.update(k, max_epochs=epochs)
    )
    build(cells).train(**options)
    assert (asked["max_epochs"], asked["batch_size"]) == (epochs, size)
    assert asked["early_stopping"] is False


def test_the_defaults_are_the_papers(cells):
    StyleTransferGAN.setup_anndata(cells, **KEYS)
    model = StyleTransferGAN(cells)
    assert model.init_params_["non_kwargs"] == {
        "n_hidden": [700, 100],
        "n_latent": 50,
        "dropout_rate": 0.5,
        "cycle_weight": 5.0,
        "cycle_norm": "l2",
        "output_activation": "relu",
        "discriminator_activation": "sigmoid",
        "discriminator_batches": "separate",
        "seed": 0,
    }
    plan = model._training_plan_cls(model.module, **model._plan_defaults)
    for optimiser in plan.configure_optimizers():
        assert isinstance(optimiser, torch.optim.Adam)
        assert {key: optimiser.defaults[key] for key in ("lr", "betas", "eps", "weight_decay")} == {
            "lr": 1e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.0,
        }


def test_early_stopping_watches_the_cycle_and_keeps_its_best_weights(cells, build):
    model = build(cells)
    options = {"batch_size": 32, "early_stopping_patience": 2, "plan_kwargs": {"lr": 0.05}, **QUIET}
    model.train(max_epochs=200, early_stopping=True, train_size=0.7, **options)
    losses = model.history_["cycle_loss_validation"].iloc[:, 0].to_numpy()
    assert 3 < len(losses) < 200
    assert losses.argmin() == len(losses) - 3
    best = build(cells.copy())
    best.train(max_epochs=len(losses) - 2, train_size=0.7, **options)
    assert all(torch.equal(value, state(best)[name]) for name, value in state(model).items())


def test_validation_does_not_depend_on_the_order_of_the_cells(cells, build, monkeypatch):
    # Cells that are sorted by condition come in batches of both all the same.
    monkeypatch.setattr("altercell.models.style_transfer._model.VALIDATION_BATCH", 10)
    order = np.argsort(cells.obs["condition"].cat.codes.to_numpy(), kind="stable")
    model = build(cells[order].copy())
    seen = []
    monkeypatch.setattr(type(model.module), "discriminator_loss", _watched(type(model.module).discriminator_loss, seen))
    model.train(max_epochs=1, batch_size=8, train_size=0.5, **QUIET)
    assert len(seen) == 6
    assert all(min(pair) >= 3 for pair in seen[:-1])


def _watched(plain, seen):
    def watched(module, translated):
        if not module.training:
            seen.append(tuple(map(len, translated["real"])))
        return plain(module, translated)

    return watched


@pytest.mark.parametrize("size", [2, 3])
def test_a_batch_without_two_cells_of_each_condition_is_refused(cells, build, size):
    with pytest.raises(DataError, match=f"batch_size={size} must be at least 4"):
        build(cells).train(max_epochs=1, batch_size=size, **QUIET)


@pytest.mark.filterwarnings("ignore:Category .* has fewer than 3 cells:UserWarning")
def test_a_condition_with_a_single_training_cell_is_refused(cells, build):
    stimulated = np.flatnonzero(cells.obs["condition"] == "stimulated")
    few = cells[np.setdiff1d(np.arange(106), stimulated[1:])].copy()
    with pytest.raises(GroupError, match="'stimulated' has 1 training cells; batch normalisation needs 2"):
        build(few).train(max_epochs=1, train_size=1.0, **QUIET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cycle_norm": "l3"}, "cycle_norm='l3' is unknown; there are 'l1', 'l2'"),
        ({"output_activation": "tanh"}, "output_activation='tanh' is unknown; there are 'linear', 'relu', 'softplus'"),
        ({"discriminator_activation": "relu"}, "discriminator_activation='relu' is unknown; there are 'sigmoid', 'lin"),
        ({"discriminator_batches": "mixed"}, "discriminator_batches='mixed' is unknown; there are 'separate', 'joint'"),
        ({"n_hidden": []}, r"n_hidden is empty; give the widths .* such as \[700, 100\]"),
    ],
)
def test_unknown_options(cells, build, options, message):
    with pytest.raises(DataError, match=message):
        build(cells, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"discriminator_batches": "joint"},
        {"discriminator_activation": "linear"},
        {"cycle_norm": "l1"},
        {"cycle_weight": 1.0},
        {"output_activation": "softplus"},
        {"dropout_rate": 0.0},
    ],
)
def test_every_option_trains_another_model(model, cells, build, options):
    other = build(cells, **options)
    other.train(max_epochs=8, batch_size=32, plan_kwargs={"lr": 0.01}, **QUIET)
    assert np.abs(values(other.predict(**ASK)) - values(model.predict(**ASK))).max() > 1e-3


def test_it_is_no_latent_model_and_needs_no_labels(cells, build):
    model = build(cells, {"labels_key": None})
    assert not hasattr(model, "get_latent_representation")
    with pytest.raises(NotTrainedError, match="is not trained"):
        model.predict(**ASK)
    model.train(max_epochs=1, batch_size=32, **QUIET)
    assert model.predict(**ASK).n_obs == 66


class Stream(CellDataModule):
    """A data module of somebody else's: it knows its cells, and its registry has no entry of ours."""

    def __init__(self, model: StyleTransferGAN) -> None:
        self.registry = copy.deepcopy({name: part for name, part in model.registry_.items() if name != "altercell"})
        cells, everything = model._training_cells(), np.arange(106)
        batches = StratifiedBatches(everything, cells.condition_codes, 32, 0)
        super().__init__(cells, everything, np.array([], dtype=int), 32, 0, train_batches=batches)

    def __iter__(self):
        return (batch for _, batch in self.cells.batches(40))


def test_training_through_a_data_module(cells, build):
    stream = Stream(build(cells))
    model = StyleTransferGAN(registry=stream.registry, n_hidden=[12, 8], n_latent=4)
    assert model.module.conditions.tolist() == [0, 1]
    model.train(max_epochs=3, datamodule=stream, **QUIET)
    assert len(model.history_["train_loss"]) == 3
    assert model._group_sizes().tolist() == GROUPS
    assert model.predict(cells, **ASK).n_obs == 66


def test_a_data_module_must_have_two_conditions_too(cells, build):
    registry = Stream(build(cells)).registry
    registry["field_registries"]["batch"]["state_registry"]["categorical_mapping"] = np.array(["a", "b", "c"])
    with pytest.raises(GroupError, match="and obs.* holds 3, 'a', 'b', 'c'"):
        StyleTransferGAN(registry=registry)


def test_groups_are_counted_from_the_cells(model):
    assert model._group_sizes().tolist() == GROUPS
