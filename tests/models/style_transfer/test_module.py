import numpy as np
import pytest
import torch

from altercell.errors import DataError
from altercell.models.style_transfer import StyleTransferModule

N_GENES, WEIGHT = 12, 3.0


def shaken(conditions=(0, 1), **options) -> StyleTransferModule:
    """A module without dropout in which every weight and running statistic has a value of its own."""
    options = {"n_hidden": [9, 6], "n_latent": 4, "dropout_rate": 0.0, "cycle_weight": WEIGHT, **options}
    module = StyleTransferModule(N_GENES, 2, 3, conditions, **options)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and name != "group_sizes":
                tensor.copy_(torch.rand_like(tensor) + 0.2 if "running_var" in name else 0.4 * torch.randn_like(tensor))
    return module


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """13 cells of the first condition and 8 of the second, mixed."""
    rng = np.random.default_rng(0)
    codes = rng.permutation([0] * 13 + [1] * 8)
    x = rng.gamma(1.0, 2.0, size=(21, N_GENES)) + codes[:, None]
    return {"X": torch.tensor(x, dtype=torch.float32), "batch": torch.tensor(codes)[:, None]}


def of_condition(batch) -> list[np.ndarray]:
    return [batch["X"][batch["batch"].ravel() == code].double().numpy() for code in (0, 1)]


def number(loss: torch.Tensor) -> float:
    return float(loss.detach())


def distance(x: np.ndarray, back: np.ndarray, norm: str) -> float:
    return float(np.mean(np.abs(x - back) ** (2 if norm == "l2" else 1)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("sigmoid", [True, False])
def test_the_losses_are_the_equations(oracle, batch, training, norm, sigmoid):
    activation = "sigmoid" if sigmoid else "linear"
    module = shaken(cycle_norm=norm, discriminator_activation=activation).double().train(training)
    batch["X"] = batch["X"].double()
    paper = oracle(module, training)
    real = of_condition(batch)
    fake = [paper.translate(real[0], 0), paper.translate(real[1], 1)]
    back = [paper.translate(fake[0], 1), paper.translate(fake[1], 0)]
    fooled = sum(np.mean((paper.score(fake[c], 1 - c, 1, sigmoid) - 1) ** 2) for c in range(2))
    cycle = sum(distance(real[c], back[c], norm) for c in range(2))
    told = sum(
        np.mean((paper.score(real[c], c, 0, sigmoid) - 1) ** 2) + np.mean(paper.score(fake[1 - c], c, 1, sigmoid) ** 2)
        for c in range(2)
    )

    made, generated, ours = module(batch)
    for c in range(2):
        np.testing.assert_allclose(made["fake"][c].detach(), fake[c], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(generated["back"][c].detach(), back[c], rtol=1e-4, atol=1e-5)
    assert number(ours.extra_metrics["generator_loss"]) == pytest.approx(fooled, rel=1e-5)
    assert number(ours.extra_metrics["cycle_loss"]) == pytest.approx(cycle, rel=1e-5)
    assert number(ours.loss) == pytest.approx(fooled + WEIGHT * cycle, rel=1e-5)
    assert number(module.discriminator_loss(made).loss) == pytest.approx(told, rel=1e-5)
    assert ours.n_obs_minibatch == 21


def test_joint_batches_normalise_real_cells_and_fakes_together(oracle, batch):
    module = shaken(discriminator_batches="joint").train()
    paper, real = oracle(module, training=True), of_condition(batch)
    fake = [paper.translate(real[0], 0), paper.translate(real[1], 1)]
    scores = [paper.score(np.concatenate([real[c], fake[1 - c]]), c, 0) for c in range(2)]
    told = sum(
        np.mean((score[: len(x)] - 1) ** 2) + np.mean(score[len(x) :] ** 2)
        for score, x in zip(scores, real, strict=True)
    )
    fooled = sum(np.mean((scores[1 - c][len(real[1 - c]) :] - 1) ** 2) for c in range(2))
    made, _, ours = module(batch)
    assert number(module.discriminator_loss(made).loss) == pytest.approx(told, rel=1e-5)
    assert number(ours.extra_metrics["generator_loss"]) == pytest.approx(fooled, rel=1e-5)


class Told(torch.nn.Module):
    """The discriminators' loss of a batch as a forward pass."""

    def __init__(self, module: StyleTransferModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, tensors):
        return self.module.discriminator_loss(self.module.inference(tensors["X"], tensors["batch"])).loss


@pytest.mark.parametrize("batches", ["separate", "joint"])
def test_gradients_of_both_losses(batch, batches):
    # A smooth output: at its corner the ReLU has no derivative to compare with.
    module = shaken(output_activation="softplus", discriminator_batches=batches).double().eval()
    tensors = {"X": batch["X"].double(), "batch": batch["batch"]}
    games = {
        "generators.middle.1.linear.weight": lambda given: (
            torch.func.functional_call(module, given, (tensors,))[2].loss
        ),
        "discriminators.1.hidden.1.norm.weight": lambda given: torch.func.functional_call(
            Told(module), {f"module.{name}": value for name, value in given.items()}, (tensors,)
        ),
    }
    for name, loss in games.items():
        start = module.get_parameter(name).detach().clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda value, n=name, f=loss: f({n: value}), start, eps=1e-6, atol=1e-6)


def test_each_loss_reaches_its_own_player(batch):
    module = shaken().train()
    made, _, ours = module(batch)
    module.discriminator_loss(made).loss.backward()
    assert all(value.grad is None for value in module.player_parameters("generator"))
    assert all(value.grad.abs().sum() > 0 for value in module.player_parameters("discriminator"))
    ours.loss.backward()
    assert all(value.grad.abs().sum() > 0 for value in module.player_parameters("generator"))


def test_the_players_share_no_parameter_and_leave_none_out():
    module = shaken()
    first, second = (set(map(id, module.player_parameters(player))) for player in ("generator", "discriminator"))
    assert not first & second
    assert first | second == set(map(id, module.parameters()))


def test_running_statistics_of_a_generator_are_of_its_real_cells_alone(batch):
    module = shaken().train()
    for _ in range(150):
        module(batch)
    module.eval()
    generators = module.generators
    for which, x in enumerate(of_condition(batch)):
        x = torch.tensor(x, dtype=torch.float32)
        entry, middle = generators.entry[which][0], generators.middle[0]
        torch.testing.assert_close(entry.norm.running_mean[0], entry.linear(x).mean(0), rtol=1e-3, atol=1e-3)
        hidden = middle.linear(entry(x))
        torch.testing.assert_close(middle.norm.running_mean[which], hidden.mean(0), rtol=0.02, atol=0.02)


def test_the_generators_turn_leaves_the_discriminators_as_they_are(batch):
    module = shaken().train()
    before = {name: value.clone() for name, value in module.discriminators.state_dict().items()}
    made, _, _ = module(batch)
    assert all(torch.equal(value, before[name]) for name, value in module.discriminators.state_dict().items())
    module.discriminator_loss(made)
    assert not torch.equal(module.discriminators[0].hidden[0].norm.running_mean, before["0.hidden.0.norm.running_mean"])


def test_translation_takes_the_generator_of_the_condition(oracle, batch):
    module = shaken(conditions=(0, 2)).eval()
    x = batch["X"]
    for source, which in ((0, 0), (2, 1)):
        wanted = oracle(module).translate(x.numpy(), which)
        np.testing.assert_allclose(module.translate(x, source).detach(), wanted, rtol=1e-4, atol=1e-5)


def test_codes_of_conditions_are_those_of_the_data(batch):
    module, other = shaken().eval(), shaken(conditions=(3, 7)).eval()
    renamed = {**batch, "batch": torch.where(batch["batch"] == 0, 3, 7)}
    assert torch.equal(module(batch)[2].loss, other(renamed)[2].loss)


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("batches", ["separate", "joint"])
def test_validation_cells_may_be_of_one_condition(batch, batches, code):
    module = shaken(discriminator_batches=batches).eval()
    keep = batch["batch"].ravel() == code
    made, generated, ours = module({name: value[keep] for name, value in batch.items()})
    wanted = (made["real"][code] - generated["back"][code]).square().mean()
    assert number(ours.extra_metrics["cycle_loss"]) == pytest.approx(number(wanted), rel=1e-5)
    assert torch.isfinite(module.discriminator_loss(made).loss)


@pytest.mark.parametrize("n_first", [0, 1])
def test_a_training_batch_needs_both_conditions(batch, n_first):
    module = shaken().train()
    order = torch.argsort(batch["batch"].ravel())[13 - n_first :]
    with pytest.raises(DataError, match="a training batch needs 2 cells of each condition"):
        module({name: value[order] for name, value in batch.items()})
