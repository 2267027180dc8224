import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from scvi.module.base import LossOutput

from altercell.errors import NonFiniteLossError
from altercell.train import CellDataModule, EpochBatches, TrainingPlan, epoch_seed
from altercell.train import _plan as plan_file

TRAIN, VALIDATION, NONE = np.arange(15), np.arange(15, 22), np.array([], dtype=int)


@pytest.fixture
def data(batches):
    return CellDataModule(batches, TRAIN, VALIDATION, 4, seed=0)


def weights(plan: TrainingPlan) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in plan.module.state_dict().items()}


class Watch(Callback):
    """Keep what a training shows at the start of each epoch."""

    def __init__(self) -> None:
        self.training, self.weights, self.noise = [], [], []

    def on_train_epoch_start(self, trainer, pl_module):
        self.training.append(pl_module.module.training)
        self.weights.append(weights(pl_module))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.noise.append(torch.initial_seed())


def test_epoch_seeds_differ_by_seed_and_epoch_and_fit_torch():
    seeds = [epoch_seed(seed, epoch) for seed in (0, 1, 2) for epoch in range(1_000)]
    assert len(set(seeds)) == 3_000
    assert 0 <= epoch_seed(2**62, 10) < 2**63


def test_the_module_is_in_training_mode_whatever_came_before(make_toy, data, fit):
    plan, watch = TrainingPlan(make_toy()), Watch()
    plan.module.eval()
    fit(plan, data, 3, callbacks=[watch])
    assert watch.training == [True] * 3


def test_the_noise_of_an_epoch_is_seeded_by_its_number(make_toy, data, fit):
    watch = Watch()
    fit(TrainingPlan(make_toy(), seed=7, first_epoch=2), data, 3, callbacks=[watch])
    assert watch.noise == [epoch_seed(7, epoch) for epoch in (2, 3, 4)]


def test_scvis_defaults_are_made_explicit(make_toy):
    assert TrainingPlan(make_toy()).n_epochs_kl_warmup is None
    assert TrainingPlan(make_toy(), lr=0.1, weight_decay=0.2, eps=0.3).lr == 0.1
    assert TrainingPlan(make_toy(), n_epochs_kl_warmup=5).n_epochs_kl_warmup == 5


def weighted(module):
    """Let a module's loss take the weight of the divergence, and keep what it is given in training and validation."""
    plain, given = module.loss, {True: [], False: []}

    def loss(tensors, inference_outputs, generative_outputs, kl_weight=1.0):
        given[module.training].append(kl_weight)
        output = plain(tensors, inference_outputs, generative_outputs)
        error, size = output.reconstruction_loss["error"], output.kl_local["size"]
        return LossOutput(loss=(error + kl_weight * size).mean(), reconstruction_loss=error, kl_local=size)

    module.loss = loss
    return module, given


@pytest.mark.parametrize(
    ("options", "weights_by_epoch"),
    [
        ({}, [1.0] * 4),
        ({"max_kl_weight": 0.3}, [0.3] * 4),
        ({"n_epochs_kl_warmup": 2}, [0.0, 0.5, 1.0, 1.0]),
        ({"n_epochs_kl_warmup": 4, "min_kl_weight": 0.1, "max_kl_weight": 0.5}, [0.1, 0.2, 0.3, 0.4]),
        ({"n_epochs_kl_warmup": 4, "first_epoch": 2}, [0.5, 0.75, 1.0, 1.0]),
    ],
)
def test_the_weight_of_the_divergence_follows_the_warm_up_and_validation_has_its_end(
    make_toy, data, fit, options, weights_by_epoch
):
    module, given = weighted(make_toy())
    plan = TrainingPlan(module, **options)
    fit(plan, data, 4, num_sanity_val_steps=0)
    assert given[True] == pytest.approx(np.repeat(weights_by_epoch, 4))
    assert given[False] == pytest.approx([options.get("max_kl_weight", 1.0)] * len(given[False]))
    assert len(given[False]) >= 4
    assert [record["kl_weight"] for record in plan.records] == pytest.approx(weights_by_epoch)


def test_a_warm_up_by_steps_is_scvis(make_toy, data, fit):
    module, given = weighted(make_toy())
    fit(TrainingPlan(module, n_steps_kl_warmup=8), data, 3, num_sanity_val_steps=0)
    assert given[True] == pytest.approx([*np.arange(8) / 8, *[1.0] * 4])


def test_a_loss_without_a_weight_is_given_none(make_toy, data, fit):
    plan = TrainingPlan(make_toy(), n_epochs_kl_warmup=2)
    fit(plan, data, 1)
    assert "kl_weight" not in plan.records[0]


def test_an_unknown_argument_of_the_plan_does_not_pass_silently(make_toy, data, fit):
    with pytest.raises(TypeError, match="learning_rate"):
        fit(TrainingPlan(make_toy(), learning_rate=1.0), data, 1)


def test_the_record_of_an_epoch_is_the_mean_over_its_cells(make_toy, batches, fit):
    plan = TrainingPlan(make_toy())
    data = CellDataModule(batches, TRAIN, VALIDATION, 4, seed=0)
    # Batches of 3 and 4 cells: the mean of the batches' means would be wrong.
    data.val_dataloader = lambda: data._loader(EpochBatches(VALIDATION, 3))
    fit(plan, data, 1)
    plan.module.eval()
    with torch.no_grad():
        _, _, output = plan.module({"X": batches.values[VALIDATION]})
    (record,) = plan.records
    assert record["validation_loss"] == pytest.approx(float(output.loss), rel=1e-5)
    assert record["error_validation"] == pytest.approx(float(output.reconstruction_loss["error"].mean()), rel=1e-5)
    assert record["size_validation"] == pytest.approx(float(output.kl_local["size"].mean()), rel=1e-5)
    assert record["train_loss"] == pytest.approx(record["error_train"] + record["size_train"], rel=1e-5)


def test_every_epoch_has_one_record_with_the_same_names(make_toy, data, fit):
    plan = TrainingPlan(make_toy())
    fit(plan, data, 3)
    names = ["loss", "error", "size", "largest"]
    wanted = {f"{mode}_loss" for mode in ("train", "validation")}
    wanted |= {f"{name}_{mode}" for name in names[1:] for mode in ("train", "validation")}
    assert [set(record) for record in plan.records] == [wanted] * 3
    assert plan.records[-1]["train_loss"] < plan.records[0]["train_loss"]


def test_without_validation_cells_only_training_is_recorded(make_toy, batches, fit):
    plan = TrainingPlan(make_toy())
    fit(plan, CellDataModule(batches, TRAIN, NONE, 4, seed=0), 1)
    assert all(name == "train_loss" or name.endswith("_train") for name in plan.records[0])


def test_an_epoch_without_validation_has_no_validation_values(make_toy, data, fit):
    plan = TrainingPlan(make_toy())
    fit(plan, data, 4, check_val_every_n_epoch=2)
    assert ["validation_loss" in record for record in plan.records] == [False, True, False, True]


def test_trainings_with_one_seed_are_equal_to_the_bit(make_toy, data, fit):
    plans = [TrainingPlan(make_toy(), seed=seed) for seed in (0, 0, 1)]
    for plan in plans:
        fit(plan, data, 2)
    first, again, other = map(weights, plans)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert plans[0].records == plans[1].records
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("poison", "name"), [("error", "error"), ("size", "size")])
def test_a_term_that_is_not_finite_is_named_and_nothing_is_lost(make_toy, data, fit, poison, name):
    plan, watch = TrainingPlan(make_toy(poison=poison, after=10)), Watch()
    with pytest.raises(
        NonFiniteLossError, match=f"stopped in epoch 2: the loss is not finite: {name}. .*smaller learning"
    ):
        fit(plan, data, 5, callbacks=[watch])
    assert len(plan.records) == 2
    left = weights(plan)
    assert all(torch.isfinite(tensor).all() for tensor in left.values())
    assert any(not torch.equal(left[key], watch.weights[0][key]) for key in left)


def test_a_gradient_that_is_not_finite_gives_back_the_weights_of_the_epochs_start(make_toy, data, fit):
    plan, watch = TrainingPlan(make_toy(poison="gradient", after=9)), Watch()
    with pytest.raises(NonFiniteLossError, match="already spoilt: .*decoder.bias"):
        fit(plan, data, 5, callbacks=[watch])
    left = weights(plan)
    assert len(watch.weights) == 3
    assert all(torch.equal(left[name], watch.weights[2][name]) for name in left)


def test_a_gradient_that_spoils_the_last_step_of_an_epoch_is_noticed(make_toy, batches, fit):
    plan, watch = TrainingPlan(make_toy(poison="gradient", after=7)), Watch()
    with pytest.raises(NonFiniteLossError, match="epoch 1: weights are not finite after an update: decoder.bias"):
        fit(plan, CellDataModule(batches, TRAIN, NONE, 4, seed=0), 5, callbacks=[watch])
    left = weights(plan)
    assert all(torch.equal(left[name], watch.weights[1][name]) for name in left)


def test_a_validation_loss_that_is_not_finite_stops_training_and_is_named(make_toy, data, fit):
    plan = TrainingPlan(make_toy(poison="validation", after=4))
    with pytest.raises(
        NonFiniteLossError, match="the validation loss is not finite: validation_loss, error_validation"
    ):
        fit(plan, data, 5)
    assert all(torch.isfinite(tensor).all() for tensor in weights(plan).values())


def test_a_bad_cell_spoils_the_batch_norm_and_is_taken_back(make_toy, batches, fit):
    batches.values[3] = torch.nan
    plan, watch = TrainingPlan(make_toy()), Watch()
    with pytest.raises(
        NonFiniteLossError, match="the loss is not finite: error, size, largest .*encoder.1.running_mean"
    ):
        fit(plan, CellDataModule(batches, TRAIN, NONE, 4, seed=0), 2, callbacks=[watch])
    left = weights(plan)
    assert all(torch.equal(left[name], watch.weights[0][name]) for name in left)


def test_a_distribution_that_refuses_spoilt_weights_is_understood(make_toy, data, fit):
    plan, watch = TrainingPlan(make_toy(poison="gradient", after=2)), Watch()
    inference = plan.module.inference

    def strict(x):
        outputs = inference(x)
        mean = outputs["z"] + 0 * plan.module.decoder.bias.sum()
        torch.distributions.Normal(mean, 1.0, validate_args=True)
        return outputs

    plan.module.inference = strict
    with pytest.raises(NonFiniteLossError, match="weights are not finite after an update: decoder.bias"):
        fit(plan, data, 2, callbacks=[watch])
    assert all(torch.equal(value, watch.weights[0][name]) for name, value in weights(plan).items())


def test_another_fault_of_the_values_is_passed_on(make_toy, data, fit):
    plan = TrainingPlan(make_toy())

    def refuse(x):
        raise ValueError("not like this")

    plan.module.inference = refuse
    with pytest.raises(ValueError, match="not like this"):
        fit(plan, data, 1)


def test_on_a_gpu_the_loss_is_looked_at_once_in_many_steps(make_toy, batches, monkeypatch):
    plan = TrainingPlan(make_toy())
    looked = []
    monkeypatch.setattr(plan, "guard", looked.append)
    monkeypatch.setattr(plan_file, "GUARD_EVERY_GPU", 3)
    monkeypatch.setattr(TrainingPlan, "device", torch.device("cuda"))
    for step in range(7):
        plan.training_step({"X": batches.values[:5]}, step)
    assert len(looked) == 3


def test_a_sum_that_overflows_is_not_blamed_on_a_term(make_toy):
    plan = TrainingPlan(make_toy())
    output = LossOutput(loss=torch.tensor(torch.inf), reconstruction_loss=torch.ones(3), kl_local=torch.ones(3))
    plan._trainer = type("Trainer", (), {"current_epoch": 4})()
    with pytest.raises(NonFiniteLossError, match="the loss is not finite: its sum"):
        plan.guard(output)
