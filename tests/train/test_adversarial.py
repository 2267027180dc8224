import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from scvi.module.base import BaseModuleClass
from torch import nn

from altercell.errors import DataError, NonFiniteLossError
from altercell.train import AdversarialPlan, CellDataModule, ResumeFile, scalar_losses

TRAIN, VALIDATION, NONE = np.arange(15), np.arange(15, 22), np.array([], dtype=int)
ADAM = {"lr": 0.01, "eps": 1e-8, "weight_decay": 0.0}


class Game(BaseModuleClass):
    """A generator that makes cells of two of their values, and a critic that tells them from real ones."""

    def __init__(self, dropout_rate: float = 0.0) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(2, 4), nn.Dropout(dropout_rate))
        self.judge = nn.Linear(4, 1)
        self.owners = {"generator": "maker", "critic": "judge"}
        self.poison: str | None = None

    def player_parameters(self, player):
        return getattr(self, self.owners[player]).parameters()

    def _get_inference_input(self, tensors, **kwargs):
        return {"x": tensors["X"]}

    def _get_generative_input(self, tensors, inference_outputs, **kwargs):
        return {"z": inference_outputs["z"]}

    def inference(self, x):
        return {"z": x[:, :2]}

    def generative(self, z):
        return {"fake": self.maker(z)}

    def loss(self, tensors, inference_outputs, generative_outputs):
        fooled = -self.judge(generative_outputs["fake"]).mean()
        return scalar_losses(self._spoilt("generator", fooled), len(tensors["X"]), fooled=fooled)

    def critic_loss(self, x, fake):
        distance = self.judge(x).mean() - self.judge(fake.detach()).mean()
        size = self.judge.weight.square().sum() + self.judge.bias.square().sum()
        return scalar_losses(self._spoilt("critic", size - distance), len(x), distance=distance)

    def _spoilt(self, player, loss):
        return loss * torch.nan if self.poison == player else loss


class Plan(AdversarialPlan):
    """The critic moves at every batch, the generator at every second one."""

    players = ("generator", "critic")

    def training_step(self, batch, batch_idx):
        _, made, ours = self.forward(batch)
        for_critic = self.module.critic_loss(batch["X"], made["fake"])
        self.record_of("critic", "train", for_critic)
        self.move("critic", for_critic, batch_idx)
        if batch_idx % 2 == 0:
            self.record("train", ours)
            self.move("generator", self.module.loss(batch, None, made), batch_idx)
        return {"loss": ours.loss.detach()}

    def validation_step(self, batch, batch_idx):
        _, made, ours = self.forward(batch)
        self.record("validation", ours)
        self.record_of("critic", "validation", self.module.critic_loss(batch["X"], made["fake"]))


class Moves(Callback):
    """Keep the module's parameters at the start of each batch."""

    def __init__(self) -> None:
        self.weights = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.weights.append(copies(pl_module.module))


class Kill(Callback):
    def __init__(self, epoch: int, batch: int | None) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise KeyError("killed")

    def on_train_epoch_end(self, trainer, pl_module):
        if self.batch is None and trainer.current_epoch == self.epoch:
            raise KeyError("killed")


def copies(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


@pytest.fixture
def game() -> Game:
    torch.manual_seed(0)
    return Game()


@pytest.fixture
def data(batches):
    return CellDataModule(batches, TRAIN, VALIDATION, 4, seed=0)


def by_hand(batches, n_epochs: int, clip: float | None = None):
    """The same game in a plain loop of torch: modules, optimisers, and each loss by player."""
    torch.manual_seed(0)
    game = Game()
    optimisers = {
        "critic": torch.optim.Adam(game.judge.parameters(), **ADAM),
        "generator": torch.optim.Adam(game.maker.parameters(), **ADAM),
    }
    losses = {"critic": [], "generator": []}
    order = CellDataModule(batches, TRAIN, NONE, 4, seed=0).train_batches
    for epoch in range(n_epochs):
        order.set_epoch(epoch)
        for number, positions in enumerate(order):
            x = batches[positions]["X"]
            fake = game.maker(x[:, :2])

            def turn(player, loss, x=x):
                optimisers[player].zero_grad()
                loss.backward(retain_graph=True)
                if clip is not None:
                    part = game.maker if player == "generator" else game.judge
                    nn.utils.clip_grad_norm_(part.parameters(), clip)
                optimisers[player].step()
                losses[player].append((float(loss.detach()), len(x)))

            turn("critic", game.critic_loss(x, fake).loss)
            if number % 2 == 0:
                turn("generator", -game.judge(fake).mean())
    return game, optimisers, losses


@pytest.mark.parametrize("clip", [None, 0.05])
def test_the_game_is_the_one_of_a_plain_loop(game, batches, fit, clip):
    wanted, optimisers, _ = by_hand(batches, 3, clip)
    plan = Plan(game, gradient_clip_val=clip, **ADAM)
    trainer = fit(plan, CellDataModule(batches, TRAIN, NONE, 4, seed=0), 3)
    for name, value in copies(wanted).items():
        np.testing.assert_allclose(copies(game)[name], value, rtol=1e-5, atol=1e-7)
    for found, player in zip(trainer.optimizers, plan.players, strict=True):
        state, other = found.state_dict()["state"], optimisers[player].state_dict()["state"]
        assert [int(part["step"]) for part in state.values()] == [int(part["step"]) for part in other.values()]
    # 4 batches an epoch: 4 moves of the critic and 2 of the generator.
    assert trainer.global_step == 3 * 6


def test_clipping_changes_the_game(batches):
    free, held = (by_hand(batches, 1, clip)[0] for clip in (None, 0.05))
    assert not torch.equal(free.judge.weight, held.judge.weight)


def test_a_move_touches_the_players_own_parameters_alone(game, batches, fit):
    moves = Moves()
    fit(Plan(game, **ADAM), CellDataModule(batches, TRAIN, NONE, 4, seed=0), 1, callbacks=[moves])
    second, third = moves.weights[1], moves.weights[2]
    # At the second batch the critic moves and the generator does not.
    for name, value in second.items():
        assert torch.equal(value, third[name]) == name.startswith("maker"), name


def test_the_others_get_no_gradient(game, data, fit):
    class Look(Plan):
        def training_step(self, batch, batch_idx):
            _, _, ours = self.forward(batch)
            self.move("generator", ours, batch_idx)
            assert all(value.grad is None for value in game.judge.parameters())
            assert all(value.grad.abs().sum() > 0 for value in game.maker.parameters())
            return {"loss": ours.loss.detach()}

    trainer = fit(Look(game, **ADAM), data, 1)
    assert trainer.global_step == 4


def test_each_players_record_is_the_mean_over_its_own_turns(game, batches, fit):
    _, _, losses = by_hand(batches, 1)
    plan = Plan(game, **ADAM)
    fit(plan, CellDataModule(batches, TRAIN, NONE, 4, seed=0), 1)
    (record,) = plan.records
    assert set(record) == {"train_loss", "fooled_train", "critic_loss_train", "distance_train"}
    critic = np.average([loss for loss, _ in losses["critic"]], weights=[n for _, n in losses["critic"]])
    assert record["critic_loss_train"] == pytest.approx(critic, rel=1e-5)
    assert len(losses["generator"]) == 2
    assert record["train_loss"] == record["fooled_train"]


def test_validation_is_recorded_and_moves_nothing(game, data, fit):
    plan = Plan(game, **ADAM)
    fit(plan, data, 2)
    names = {"validation_loss", "fooled_validation", "critic_loss_validation", "distance_validation"}
    assert all(names <= set(record) for record in plan.records)
    alone = by_hand(data.cells, 2)[0]
    for name, value in copies(alone).items():
        np.testing.assert_allclose(copies(game)[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("player", ["generator", "critic"])
def test_a_loss_that_is_not_finite_stops_before_its_player_moves(game, data, fit, player):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if (trainer.current_epoch, batch_idx) == (1, 0):
                pl_module.module.poison = player

    plan, moves = Plan(game, **ADAM), Moves()
    with pytest.raises(NonFiniteLossError, match="stopped in epoch 1: the loss is not finite: its sum"):
        fit(plan, data, 3, callbacks=[moves, Poison()])
    part = "maker" if player == "generator" else "judge"
    before = moves.weights[-1]
    assert all(torch.equal(value, before[name]) for name, value in copies(game).items() if name.startswith(part))


def test_a_gradient_that_is_not_finite_gives_back_the_weights_of_both(game, data, fit):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if (trainer.current_epoch, batch_idx) == (1, 0):
                pl_module.module.maker[0].weight.register_hook(lambda grad: grad * torch.nan)

    plan, moves = Plan(game, **ADAM), Moves()
    with pytest.raises(NonFiniteLossError, match=r"weights already spoilt: maker\.0\.weight"):
        fit(plan, data, 3, callbacks=[moves, Poison()])
    start = moves.weights[4]
    assert all(torch.equal(value, start[name]) for name, value in copies(game).items())


def test_on_a_gpu_a_loss_is_looked_at_once_in_many_moves(game, monkeypatch):
    plan, looked = Plan(game), []
    monkeypatch.setattr(plan, "guard", looked.append)
    monkeypatch.setattr(Plan, "device", torch.device("cuda"))
    monkeypatch.setattr(plan, "optimizers", lambda: [torch.optim.SGD(game.maker.parameters())] * 2)
    monkeypatch.setattr(plan, "manual_backward", lambda loss, inputs: None)
    for number in range(101):
        plan.move("generator", scalar_losses(torch.tensor(0.0), 4), number)
    assert len(looked) == 3


@pytest.mark.parametrize(("epoch", "batch"), [(0, 3), (1, None), (2, 1)])
def test_killed_and_taken_up_equals_uninterrupted(batches, fit, tmp_path, epoch, batch):
    def run(folder, kill=None):
        torch.manual_seed(0)
        plan = Plan(Game(dropout_rate=0.3), resume=ResumeFile(tmp_path / folder / "state", {"seed": 0}), **ADAM)
        data = CellDataModule(batches, TRAIN, VALIDATION, 4, seed=0)
        if kill is None:
            return plan, fit(plan, data, 4)
        with pytest.raises(KeyError, match="killed"):
            fit(plan, data, 4, callbacks=[kill])

    (plan, trainer) = run("whole")
    run("killed", Kill(epoch, batch))
    again, resumed = run("killed")
    for name, value in copies(plan.module).items():
        assert torch.equal(value, copies(again.module)[name])
    assert plan.records == again.records
    assert (trainer.current_epoch, trainer.global_step) == (resumed.current_epoch, resumed.global_step) == (4, 24)
    for first, second in zip(trainer.optimizers, resumed.optimizers, strict=True):
        for number, state in first.state_dict()["state"].items():
            other = second.state_dict()["state"][number]
            assert all(torch.equal(value, other[name]) for name, value in state.items())


def test_every_parameter_belongs_to_one_player(game):
    game.owners = {"generator": "maker", "critic": "maker"}
    with pytest.raises(
        DataError, match="to no player, or to several, of 'generator', 'critic': 'maker.0.weight', .*'judge.bias'"
    ):
        Plan(game)


def test_what_is_frozen_belongs_to_nobody(game, data, fit):
    game.judge.bias.requires_grad_(False)
    start = copies(game)
    fit(Plan(game, **ADAM), data, 1)
    assert torch.equal(game.judge.bias, start["judge.bias"])
    assert not torch.equal(game.judge.weight, start["judge.weight"])


def test_there_is_no_loss_to_lower_a_learning_rate_by(game):
    with pytest.raises(DataError, match="reduce_lr_on_plateau needs a loss that falls"):
        Plan(game, reduce_lr_on_plateau=True)


def test_the_order_of_moves_has_to_be_said(game):
    with pytest.raises(TypeError, match="abstract .*training_step"):
        AdversarialPlan(game)


def test_losses_of_a_whole_batch_have_no_terms_but_their_own():
    output = scalar_losses(torch.tensor(2.0), 5, cycle=torch.tensor(1.0))
    assert (float(output.loss), output.n_obs_minibatch) == (2, 5)
    assert (output.reconstruction_loss, output.kl_local, list(output.extra_metrics)) == ({}, {}, ["cycle"])
