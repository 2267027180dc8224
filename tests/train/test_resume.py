import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from altercell.errors import ModelFileError
from altercell.train import BestWeights, CellDataModule, ResumeFile, TrainingPlan
from altercell.train._resume import flatten, unflatten

TRAIN, VALIDATION = np.arange(15), np.arange(15, 22)
IDENTITY = {"model": "Toy", "seed": 0}


class Kill(Callback):
    """Die at one point of a training, as a process does."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_epoch_end(self, trainer, pl_module):
        if self.batch is None and trainer.current_epoch == self.epoch:
            raise KeyError("killed")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == self.batch:
            raise KeyError("killed")


@pytest.fixture
def run(make_toy, batches, fit, tmp_path):
    """Train from a fresh module; what is left of an earlier run is taken up."""

    def run(epochs, kill=None, folder="resume", identity=IDENTITY, patience=50, **kwargs):
        plan = TrainingPlan(
            make_toy(), seed=3, lr=0.05, resume=ResumeFile(tmp_path / folder / "state", identity), **kwargs
        )
        best, stopping = BestWeights(), EarlyStopping("validation_loss", patience=patience)
        data = CellDataModule(batches, TRAIN, VALIDATION, 4, seed=3)
        callbacks = [best, stopping, *([kill] if kill else [])]
        if kill is None:
            trainer = fit(plan, data, epochs, callbacks=callbacks)
        else:
            with pytest.raises(KeyError, match="killed"):
                fit(plan, data, epochs, callbacks=callbacks)
            trainer = None
        return plan, best, stopping, trainer

    return run


def assert_equal(first, second):
    (plan, best, stopping, trainer), (plan_2, best_2, stopping_2, trainer_2) = first, second
    for a, b in ((plan.module.state_dict(), plan_2.module.state_dict()), (best.weights, best_2.weights)):
        assert max(float((a[name].double() - b[name].double()).abs().max()) for name in a) == 0
    assert plan.records == plan_2.records
    assert (best.best, best.epoch) == (best_2.best, best_2.epoch)
    assert (stopping.wait_count, stopping.best_score) == (stopping_2.wait_count, stopping_2.best_score)
    assert (trainer.current_epoch, trainer.global_step) == (trainer_2.current_epoch, trainer_2.global_step)
    states = [t.optimizers[0].state_dict()["state"] for t in (trainer, trainer_2)]
    for number, state in states[0].items():
        assert all(torch.equal(value, states[1][number][name]) for name, value in state.items())


@pytest.mark.parametrize("kill", [Kill(0, batch=3), Kill(1), Kill(2, batch=0), Kill(2, batch=2), Kill(3)])
def test_killed_and_taken_up_equals_uninterrupted(run, kill):
    whole = run(5, folder="whole")
    run(5, kill)
    assert_equal(run(5), whole)


def test_two_kills_are_as_good_as_none(run):
    whole = run(5, folder="whole")
    run(5, Kill(1, batch=1))
    run(5, Kill(3, batch=1))
    assert_equal(run(5), whole)


def test_early_stopping_is_taken_up(run):
    whole = run(40, folder="whole", patience=2)
    n_epochs = len(whole[0].records)
    assert 3 < n_epochs < 40
    run(40, Kill(n_epochs - 2, batch=1), patience=2)
    assert_equal(run(40, patience=2), whole)


def test_a_scheduler_is_taken_up(run):
    options = {"reduce_lr_on_plateau": True, "lr_patience": 0, "lr_factor": 0.5, "lr_scheduler_metric": "train_loss"}
    whole = run(6, folder="whole", **options)
    rates = [group["lr"] for group in whole[3].optimizers[0].param_groups]
    run(6, Kill(3, batch=1), **options)
    again = run(6, **options)
    assert_equal(again, whole)
    assert [group["lr"] for group in again[3].optimizers[0].param_groups] == rates


def test_a_finished_run_is_not_trained_again(run):
    whole = run(3)
    assert_equal(run(3), whole)


def test_a_run_can_be_made_longer(run):
    whole = run(5, folder="whole")
    run(2)
    assert_equal(run(5), whole)


def test_a_run_that_stopped_early_stays_stopped(run):
    whole = run(40, patience=2)
    again = run(60, patience=2)
    assert again[3].current_epoch == whole[3].current_epoch


def test_the_state_is_one_file_of_data(run, tmp_path):
    run(2)
    (path,) = (tmp_path / "resume").iterdir()
    meta, tensors = ResumeFile(path, IDENTITY).read()
    assert meta["identity"] == IDENTITY
    assert (meta["epoch"], meta["first_epoch"], meta["stopped"], len(meta["records"])) == (2, 0, False, 2)
    assert any(name.startswith("state.optimizers") for name in tensors)


def test_a_file_of_another_run_is_refused_and_the_difference_named(run):
    run(2)
    with pytest.raises(ModelFileError, match="belongs to another run: seed is 0 there and 1 here. Remove it or choose"):
        run(2, identity={"model": "Toy", "seed": 1})
    with pytest.raises(ModelFileError, match="model is Toy there and Other here; donor is None there and x here"):
        run(2, identity={"model": "Other", "seed": 0, "donor": "x"})


def test_a_damaged_file_is_refused(run, tmp_path):
    run(1)
    path = tmp_path / "resume" / "state"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelFileError, match="not a whole resume file"):
        run(2)


def test_other_processes_do_not_write(make_toy, tmp_path):
    file = ResumeFile(tmp_path / "state", {})
    plan = TrainingPlan(make_toy())
    plan._trainer = type("Trainer", (), {"is_global_zero": False})()
    file.write(plan, 1)
    assert not file.exists()


def test_the_epochs_before_the_run_are_kept(run, tmp_path):
    file = ResumeFile(tmp_path / "resume" / "state", IDENTITY)
    assert file.first_epoch(4) == 4
    run(2, first_epoch=3)
    assert file.first_epoch(3) == 3
    assert file.first_epoch(9) == 3
    with pytest.raises(ModelFileError, match="a run that began after 3 epochs, but this model has 2: load the model"):
        file.first_epoch(2)


def test_states_are_taken_apart_and_put_together():
    state = {
        "a": [torch.ones(2), {"lr": 0.1, "betas": (0.9, None)}],
        3: {"step": torch.tensor(2.0)},
        "items": {},
        "tensor": "value",
    }
    tensors = {}
    flat = flatten("state", state, tensors)
    assert set(tensors) == {"state.a.0", "state.3.step"}
    back = unflatten(flat, tensors)
    assert list(back) == list(state)
    assert back["a"][1] == {"lr": 0.1, "betas": [0.9, None]}
    assert torch.equal(back["a"][0], torch.ones(2))
    assert back[3]["step"] == 2
    assert (back["items"], back["tensor"]) == ({}, "value")
