"""Tests of the plan that moves a critic several times for each move of a generator."""

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

import altercell as ac
from altercell.errors import DataError
from altercell.train import WGANTrainingPlan


class Watch(Callback):
    """Keeps both players' weights, the running statistics and the learning rates after every batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, plan, *args):
        module = plan.module
        self.seen.append(
            {
                "generator": torch.nn.utils.parameters_to_vector(module.generator.parameters()).clone(),
                "critic": torch.nn.utils.parameters_to_vector(module.critic.parameters()).clone(),
                "running": module.generator.norms[0].running_mean.clone(),
                "rates": [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups],
            }
        )
        self.optimizers = trainer.optimizers


@pytest.fixture
def trained():
    """Return a function that trains a tiny ScGAN for some epochs of 4 batches, and what was seen."""

    def trained(epochs, model=None, **plan):
        watch = Watch()
        if model is None:
            data = ac.datasets.simulate_response(128, 20, 2, seed=0)
            ac.ScGAN.setup_anndata(data)
            model = ac.ScGAN(data, n_hidden=(6, 8), n_latent=3)
        model.train(max_epochs=epochs, batch_size=32, enable_progress_bar=False, callbacks=[watch], plan_kwargs=plan)
        return model, watch

    return trained


def moved(seen, player):
    """Return the batches, counted from 1, after which a player's weights were others."""
    return [n + 1 for n in range(1, len(seen)) if not torch.equal(seen[n][player], seen[n - 1][player])]


def test_the_critic_moves_at_every_batch_and_the_generator_at_every_fifth(trained):
    model, watch = trained(4)
    assert len(watch.seen) == 16
    assert moved(watch.seen, "critic") == list(range(2, 17))
    # The count goes on over the ends of epochs, which have 4 batches.
    assert moved(watch.seen, "generator") == [5, 10, 15]
    assert int(model.module.critic_steps) == 16


def test_a_second_training_goes_on_counting(trained):
    model, first = trained(1, n_critic=3)
    assert moved(first.seen, "generator") == [3]
    _, second = trained(2, model, n_critic=3)
    assert moved(second.seen, "generator") == [2, 5, 8]


def test_fakes_for_the_critic_leave_the_running_statistics(trained):
    _, watch = trained(4)
    assert moved(watch.seen, "running") == [5, 10, 15]


def test_the_optimisers_are_the_papers(trained):
    _, watch = trained(1)
    for optimizer in watch.optimizers:
        assert isinstance(optimizer, torch.optim.Adam)
        for group in optimizer.param_groups:
            assert (group["amsgrad"], group["betas"], group["weight_decay"]) == (True, (0.5, 0.9), 0.0)


def test_the_learning_rate_falls_with_the_moves_of_the_critic(trained):
    _, watch = trained(3, lr=1e-2, final_lr=1e-4, decay_steps=8)
    rates = np.array([seen["rates"] for seen in watch.seen])
    wanted = 1e-2 * (1e-4 / 1e-2) ** np.minimum(1, np.arange(12) / 8)
    np.testing.assert_allclose(rates, np.stack([wanted, wanted], axis=1), rtol=1e-9)
    _, watch = trained(1, lr=1e-2, final_lr=None)
    assert {rate for seen in watch.seen for rate in seen["rates"]} == {1e-2}


def test_the_history_has_the_losses_of_both_players(trained):
    model, _ = trained(6)
    history = model.history_
    names = ["train_loss", "critic_loss", "wasserstein", "penalty", "gradient_norm", "generator_loss"]
    keys = [name if name == "train_loss" else f"{name}_train" for name in names]
    assert set(keys) <= set(history)
    loss, distance, penalty = (
        history[f"{name}_train"].iloc[:, 0] for name in ("critic_loss", "wasserstein", "penalty")
    )
    np.testing.assert_allclose(loss, 10 * penalty - distance, rtol=1e-4)
    np.testing.assert_allclose(history["train_loss"].iloc[:, 0], distance, rtol=1e-6)
    # The generator moves at batches 5, 10, 15 and 20; the first epoch and the last have none of them.
    assert history["generator_loss_train"].iloc[:, 0].isna().tolist() == [True, False, False, False, False, True]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"n_critic": 0}, "n_critic=0 must be at least 1"),
        ({"final_lr": 1e-5, "decay_steps": None}, "give both or none"),
        ({"reduce_lr_on_plateau": True}, "reduce_lr_on_plateau"),
    ],
)
def test_what_makes_no_sense_is_refused(trained, wrong, text):
    model, _ = trained(1)
    with pytest.raises(DataError, match=text):
        WGANTrainingPlan(model.module, **wrong)
