from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from altercell.errors import DataError
from altercell.train import BestWeights, CellDataModule, TrainingPlan


@pytest.fixture
def plan(make_toy):
    return SimpleNamespace(module=make_toy())


def after_validation(callback: BestWeights, plan, epoch: int, value: float, sanity: bool = False) -> None:
    metrics = {} if value is None else {"validation_loss": torch.tensor(value)}
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, sanity_checking=sanity)
    callback.on_validation_end(trainer, plan)


def fill(module: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(value)


def test_the_weights_of_the_lowest_value_are_put_back(plan):
    callback = BestWeights()
    for epoch, value in enumerate([3.0, 1.0, 2.0, np.nan]):
        fill(plan.module, epoch)
        after_validation(callback, plan, epoch, value)
    assert (callback.best, callback.epoch) == (1.0, 1)
    callback.put_back(plan)
    assert all((tensor == 1).all() for tensor in plan.module.state_dict().values())


def test_equal_values_keep_the_earlier_epoch(plan):
    callback = BestWeights()
    for epoch in range(2):
        after_validation(callback, plan, epoch, 1.0)
    assert callback.epoch == 0


def test_a_sanity_check_and_a_missing_value_count_for_nothing(plan):
    callback = BestWeights()
    after_validation(callback, plan, 0, 1.0, sanity=True)
    after_validation(callback, plan, 0, None)
    assert callback.weights == {}
    fill(plan.module, 5)
    callback.put_back(plan)
    assert all((tensor == 5).all() for tensor in plan.module.state_dict().values())


def test_the_kept_weights_are_a_copy(plan):
    callback = BestWeights()
    fill(plan.module, 1)
    after_validation(callback, plan, 0, 1.0)
    fill(plan.module, 2)
    assert all((tensor == 1).all() for tensor in callback.weights.values())


def test_another_value_can_be_watched(plan):
    callback = BestWeights("elbo")
    trainer = SimpleNamespace(callback_metrics={"elbo": torch.tensor(2.0)}, current_epoch=4, sanity_checking=False)
    callback.on_validation_end(trainer, plan)
    assert (callback.best, callback.epoch) == (2.0, 4)


def test_state_goes_out_and_in(plan):
    callback, other = BestWeights(), BestWeights()
    fill(plan.module, 1)
    after_validation(callback, plan, 3, 0.5)
    other.load_state_dict(callback.state_dict())
    assert (other.best, other.epoch) == (0.5, 3)
    fill(plan.module, 2)
    after_validation(other, plan, 4, 0.7)
    other.put_back(plan)
    assert all((tensor == 1).all() for tensor in plan.module.state_dict().values())


def test_in_a_training_the_module_ends_with_the_weights_of_its_best_epoch(make_toy, batches, fit):
    # A step that is far too long: the validation loss rises, and the last epoch is not the best.
    callback = BestWeights()
    plan = TrainingPlan(make_toy(), lr=0.5, eps=1e-8, weight_decay=0.0)
    fit(plan, CellDataModule(batches, np.arange(15), np.arange(15, 22), 5, seed=0), 8, callbacks=[callback])
    losses = [record["validation_loss"] for record in plan.records]
    assert int(np.argmin(losses)) == callback.epoch < 7
    callback.put_back(plan)
    plan.module.eval()
    with torch.no_grad():
        _, _, output = plan.module({"X": batches.values[15:]})
    assert float(output.loss) == pytest.approx(min(losses), rel=1e-6)


def test_where_higher_is_better_the_highest_is_kept(plan):
    callback = BestWeights(mode="max")
    for epoch, value in enumerate([1.0, 3.0, 2.0, np.nan]):
        fill(plan.module, epoch)
        after_validation(callback, plan, epoch, value)
    assert (callback.best, callback.epoch) == (3.0, 1)


def test_another_mode_is_refused():
    with pytest.raises(DataError, match="mode='low' is unknown; there are 'min', 'max'"):
        BestWeights(mode="low")


def test_the_kept_weights_can_be_lent(plan):
    callback = BestWeights()
    fill(plan.module, 1)
    with callback.in_place(plan):  # nothing is kept so far
        assert all((tensor == 1).all() for tensor in plan.module.state_dict().values())
    after_validation(callback, plan, 0, 1.0)
    fill(plan.module, 2)
    with callback.in_place(plan):
        assert all((tensor == 1).all() for tensor in plan.module.state_dict().values())
    assert all((tensor == 2).all() for tensor in plan.module.state_dict().values())


def test_an_epoch_without_validation_counts_too(make_toy, batches, fit):
    class Falling(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.note({"score": [3.0, 1.0, 2.0][trainer.current_epoch]})

    callback = BestWeights("score")
    plan = TrainingPlan(make_toy())
    trainer = fit(plan, CellDataModule(batches, np.arange(22), np.array([], int), 5, seed=0), 3,
                  callbacks=[Falling(), callback])  # fmt: skip
    assert (callback.best, callback.epoch) == (1.0, 1)
    assert [record["score"] for record in plan.records] == [3.0, 1.0, 2.0]
    assert trainer.callback_metrics["score"] == 2.0
    assert trainer.logger.history["score"]["score"].tolist() == [3.0, 1.0, 2.0]
