import numpy as np
import pytest
import torch
from torch import nn

from altercell.models.style_transfer._blocks import Block, Blocks, DomainNorm


@pytest.fixture
def x() -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).normal(2, 3, size=(9, 5)), dtype=torch.float32)


@pytest.fixture
def norm() -> DomainNorm:
    norm = DomainNorm(5, 2)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(5) + 0.5)
        norm.bias.copy_(torch.randn(5))
    return norm


def state(norm: DomainNorm) -> list[torch.Tensor]:
    return [norm.running_mean.clone(), norm.running_var.clone()]


def test_a_domain_is_normalised_as_torch_does_it(x, norm):
    theirs = nn.BatchNorm1d(5)
    theirs.weight, theirs.bias = norm.weight, norm.bias
    for training in (True, True, False):
        norm.train(training)
        theirs.train(training)
        torch.testing.assert_close(norm(x, 1), theirs(x))
        torch.testing.assert_close(norm.running_mean[1], theirs.running_mean)
        torch.testing.assert_close(norm.running_var[1], theirs.running_var)


def test_domains_have_running_statistics_of_their_own_and_weights_in_common(x, norm):
    first, second = x, 3 * x + 1
    for _ in range(60):
        norm(first, 0)
        norm(second, 1)
    norm.eval()
    for domain, values in enumerate((first, second)):
        torch.testing.assert_close(norm.running_mean[domain], values.mean(0), rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(norm.running_var[domain], values.var(0), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(norm(first, 0), norm(second, 1), rtol=1e-2, atol=1e-2)
    assert [tuple(value.shape) for value in norm.parameters()] == [(5,), (5,)]


def test_a_batch_that_is_not_kept_leaves_no_trace_and_is_normalised_all_the_same(x, norm):
    before = state(norm)
    found = norm(x, 0, keep=False)
    assert all(torch.equal(now, then) for now, then in zip(state(norm), before, strict=True))
    assert torch.equal(found, norm(x, 0))
    assert not torch.equal(state(norm)[0][0], before[0][0])


def test_in_evaluation_a_cell_alone_is_as_among_others(x, norm):
    norm(x, 1)
    norm.eval()
    before = state(norm)
    torch.testing.assert_close(norm(x[:1], 1, keep=False), norm(x, 1)[:1])
    assert all(torch.equal(now, then) for now, then in zip(state(norm), before, strict=True))


def test_a_block_is_linear_norm_activation_dropout(x):
    block = Block(5, 4, dropout_rate=0.5)
    h = x.double().numpy() @ block.linear.weight.detach().double().numpy().T
    h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)
    wanted = np.where(h > 0, h, 0.2 * h)
    found = block(x).detach().numpy()
    # What the dropout has left is doubled.
    assert 0 < (found == 0).mean() < 1
    np.testing.assert_allclose(found[found != 0], 2 * wanted[found != 0], rtol=1e-4, atol=1e-5)
    assert block.linear.bias is None


def test_blocks_follow_each_other(x):
    blocks = Blocks([5, 7, 3], dropout_rate=0.0, n_domains=2)
    first, second = blocks
    torch.testing.assert_close(blocks(x, 1), second(first(x, 1), 1))
    assert [(block.linear.in_features, block.linear.out_features) for block in blocks] == [(5, 7), (7, 3)]
    assert all(len(block.norm.running_mean) == 2 for block in blocks)
