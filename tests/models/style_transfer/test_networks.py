import pytest
import torch
from torch import nn

from altercell.models.style_transfer import StyleTransferModule
from altercell.models.style_transfer._networks import Discriminator, Generators


def widths(module: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]


def n_parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_default_networks_are_those_of_table_7():
    module = StyleTransferModule(2_000, 2, 3, [0, 1])
    generators = module.generators
    for which in range(2):
        parts = (generators.entry[which], generators.middle, generators.exit[which], generators.output[which])
        found = [pair for part in parts for pair in widths(part)]
        assert found == [(2_000, 700), (700, 100), (100, 50), (50, 100), (100, 700), (700, 2_000)]
    for discriminator in module.discriminators:
        assert widths(discriminator) == [(2_000, 700), (700, 100), (100, 1)]
        assert isinstance(discriminator.activation, nn.Sigmoid)
    blocks = [*generators.entry, generators.middle, *generators.exit, *(d.hidden for d in module.discriminators)]
    assert {block.dropout.p for part in blocks for block in part} == {0.5}
    assert {block.activation.negative_slope for part in blocks for block in part} == {0.2}
    for output in generators.output:
        assert isinstance(output.activation, nn.ReLU)
        assert output.dropout.p == 0
        assert output.norm.weight.shape == (2_000,)
    assert (module.cycle_weight, module.cycle_norm) == (5.0, "l2")


def test_the_middle_is_in_common_and_the_ends_are_not():
    generators = Generators(20, [9, 6], 3, dropout_rate=0.0, output_activation="relu")
    linear = 20 * 9 + 9 * 6 + 6 * 3 + 3 * 6 + 6 * 9 + 9 * 20
    common = 9 * 6 + 6 * 3 + 3 * 6 + 2 * (6 + 3 + 6)
    ends = linear - (9 * 6 + 6 * 3 + 3 * 6) + 2 * (9 + 9 + 20)
    assert n_parameters(generators) == 2 * ends + common
    assert n_parameters(generators.middle) == common


def test_each_generator_reaches_its_own_ends_and_the_middle():
    generators = Generators(20, [9, 6], 3, dropout_rate=0.0, output_activation="relu")
    generators(torch.rand(8, 20), 1).square().sum().backward()
    reached = {name for name, value in generators.named_parameters() if value.grad is not None}
    mine = {name for name, _ in generators.named_parameters() if name.split(".")[:2][-1] == "1" or "middle" in name}
    assert reached == mine
    assert len(mine) == 3 * (1 + 3 + 1 + 1)


@pytest.mark.parametrize(
    ("n_hidden", "middle"), [([9], [(9, 3)]), ([9, 6, 5], [(9, 6), (6, 5), (5, 3), (3, 5), (5, 6)])]
)
def test_other_depths(n_hidden, middle):
    generators = Generators(20, n_hidden, 3, dropout_rate=0.0, output_activation="relu")
    assert widths(generators.middle) == middle
    assert widths(generators.exit[0]) == [(middle[-1][1], 9)]
    assert generators(torch.rand(4, 20), 0).shape == (4, 20)


@pytest.mark.parametrize("name", ["relu", "softplus", "linear"])
def test_output_activations(name):
    generators = Generators(20, [9], 3, dropout_rate=0.0, output_activation=name)
    assert (float(generators(torch.randn(50, 20), 0).detach().min()) < 0) == (name == "linear")


def discriminator(batches: str, activation: str = "sigmoid") -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(20, [9, 6], dropout_rate=0.0, activation=activation, batches=batches)


def test_separate_batches_hide_a_difference_of_means_and_joint_ones_show_it():
    x = torch.rand(64, 20)
    real, fake = x, 2 * x + 3
    separate, joint = discriminator("separate"), discriminator("joint")
    assert torch.allclose(*separate(real, fake), atol=1e-4)
    one, other = joint(real, fake)
    assert (one - other).detach().abs().mean() > 0.05


@pytest.mark.parametrize("batches", ["separate", "joint"])
def test_fakes_of_the_generators_turn_leave_no_trace(batches):
    net, real, fake = discriminator(batches), torch.rand(16, 20), torch.rand(12, 20) + 1
    before = {name: value.clone() for name, value in net.state_dict().items()}
    scores = net.score_fakes(real, fake)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    torch.testing.assert_close(scores, net(real, fake)[1])
    assert any(not torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_real_cells_and_fakes_have_running_statistics_each():
    net, real, fake = discriminator("separate"), torch.rand(30, 20), torch.rand(30, 20) + 5
    for _ in range(80):
        net(real, fake)
    first = net.hidden[0]
    for domain, values in enumerate((real, fake)):
        torch.testing.assert_close(first.norm.running_mean[domain], first.linear(values).mean(0), rtol=1e-2, atol=1e-2)
    trained = net(real, fake)
    net.eval()
    for found, wanted in zip(net(real, fake), trained, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.02)


def test_scores():
    x = torch.rand(40, 20)
    score = discriminator("separate")(x, x)[0].detach()
    assert score.shape == (40, 1)
    assert 0 < float(score.min()) <= float(score.max()) < 1
    plain = discriminator("separate", "linear")(x, x)[0].detach()
    torch.testing.assert_close(torch.sigmoid(plain), score)
