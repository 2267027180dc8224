import numpy as np
import ot
import pytest
from scipy.optimize import linear_sum_assignment

from altercell.train import Arms, find_arms, transport_arms
from altercell.train._transport import transport_partners


def plan(control, perturbed, block_size=1_000, seed=0) -> np.ndarray:
    return transport_partners(control, perturbed, block_size=block_size, rng=np.random.default_rng(seed)).toarray()


def test_the_plan_of_equal_numbers_is_the_best_assignment():
    rng = np.random.default_rng(0)
    control, perturbed = rng.normal(size=(25, 3)), rng.normal(size=(25, 3)) + 4
    cost = ((control[:, None] - perturbed[None]) ** 2).sum(-1)
    rows, columns = linear_sum_assignment(cost)
    found = plan(control, perturbed)
    assert np.argmax(found, axis=1).tolist() == columns.tolist()
    assert (found > 0).sum() == 25
    assert (found * cost).sum() == pytest.approx(cost[rows, columns].mean())


@pytest.mark.parametrize(("n_control", "n_perturbed"), [(12, 30), (30, 12), (1, 5), (5, 1)])
def test_the_plan_has_uniform_weights_on_both_sides(n_control, n_perturbed):
    rng = np.random.default_rng(1)
    found = plan(rng.normal(size=(n_control, 2)), rng.normal(size=(n_perturbed, 2)))
    np.testing.assert_allclose(found.sum(1), 1 / n_control)
    np.testing.assert_allclose(found.sum(0), 1 / n_perturbed)


@pytest.mark.parametrize(
    ("n_control", "n_perturbed", "block_size"), [(45, 20, 10), (20, 45, 10), (7, 7, 2), (50, 3, 5)]
)
def test_in_blocks_every_cell_has_partners(n_control, n_perturbed, block_size):
    rng = np.random.default_rng(2)
    found = plan(rng.normal(size=(n_control, 2)), rng.normal(size=(n_perturbed, 2)), block_size)
    assert (found.sum(1) > 0).all()
    assert (found.sum(0) > 0).all()


def test_blocks_keep_most_of_the_matching():
    rng = np.random.default_rng(3)
    control = rng.normal(size=(400, 1)) * 10
    perturbed = control[rng.permutation(400)] + 100
    found = plan(control, perturbed, block_size=100)
    matched = found @ perturbed / found.sum(1, keepdims=True)
    assert np.corrcoef(matched.ravel(), control.ravel())[0, 1] > 0.95


def cells(n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values on a line of 30 genes, a shift of the other condition; two types."""
    rng = np.random.default_rng(4)
    conditions, labels = rng.integers(0, 2, n), rng.integers(0, 2, n)
    along, noise = rng.normal(size=n), 0.01 * rng.normal(size=(n, 30))
    values = np.outer(along, rng.normal(size=30)) + conditions[:, None] * 3 + labels[:, None] * 5 + noise
    return values.astype(np.float32), conditions, labels


def test_partners_lie_at_the_same_place_of_their_type():
    values, conditions, labels = cells(200)
    arms = find_arms(conditions, labels, 0, np.arange(200))
    first_axis = np.linalg.svd(values - values.mean(0))[2][0]
    for arm in transport_arms(arms, lambda where: values[where], seed=0):
        share = arm.partners.toarray() / arm.partners.sum(1)[:, None]
        own, partner = values[arm.control] @ first_axis, share @ (values[arm.perturbed] @ first_axis)
        assert np.corrcoef(own, partner)[0, 1] > 0.95
        assert share.shape == (len(arm.control), len(arm.perturbed))


def test_arms_keep_their_cells_and_order():
    values, conditions, labels = cells()
    arms = find_arms(conditions, labels, 0, np.arange(60))
    found = transport_arms(arms, lambda where: values[where])
    for arm, other in zip(arms, found, strict=True):
        assert (arm.label, arm.condition) == (other.label, other.condition)
        assert arm.control is other.control
        assert arm.perturbed is other.perturbed
    assert transport_arms([], lambda where: values[where]) == []


def test_only_the_cells_of_the_arms_are_read_and_never_all_at_once():
    values, conditions, labels = cells(4_000)
    arms = find_arms(conditions, labels, 0, np.arange(0, 4_000, 2))
    seen, largest = set(), []

    def read(where):
        seen.update(where.tolist())
        largest.append(len(where))
        return values[where]

    transport_arms(arms, read, n_components=2)
    assert seen == set(range(0, 4_000, 2))
    assert max(largest[1:]) <= 1_024


def test_the_same_seed_gives_the_same_partners():
    values, conditions, labels = cells(300)
    arms = find_arms(conditions, labels, 0, np.arange(300))
    first, again, other = (
        [arm.partners.toarray() for arm in transport_arms(arms, lambda w: values[w], block_size=20, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("values", [np.ones((6, 4)), np.ones((6, 1))])
def test_cells_that_are_all_the_same_still_have_partners(values):
    arms = [Arms(0, 1, np.array([0, 1, 2]), np.array([3, 4, 5]))]
    (found,) = transport_arms(arms, lambda where: values[where].astype(np.float32))
    assert (found.partners.sum(1) > 0).all()


def test_the_cost_does_not_grow_with_the_square(monkeypatch):
    sizes, solve = [], ot.emd

    def watched(first, second, cost, **options):
        sizes.append(cost.shape)
        return solve(first, second, cost, **options)

    monkeypatch.setattr(ot, "emd", watched)
    rng = np.random.default_rng(5)
    found = transport_partners(*rng.normal(size=(2, 2_000, 3)), block_size=100, rng=rng)
    assert found.shape == (2_000, 2_000)
    assert len(sizes) == 20
    assert max(max(size) for size in sizes) <= 101
