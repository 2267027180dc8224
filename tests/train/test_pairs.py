from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from altercell.errors import DataError
from altercell.train import Arms, CellDataModule, PairedBatches, find_arms, pair_within

CONTROL = 1
# Numbers of cells by (condition, label): label 3 lacks the control, label 4 has nothing else, label 2 both others.
SIZES = {
    (1, 0): 7,
    (0, 0): 4,
    (1, 2): 3,
    (0, 2): 8,
    (2, 2): 3,
    (0, 3): 6,
    (1, 4): 9,
}


@pytest.fixture
def codes() -> tuple[np.ndarray, np.ndarray]:
    """Codes of condition and label of 40 cells in random order."""
    groups = np.array([group for group, size in SIZES.items() for _ in range(size)])
    shuffled = groups[np.random.default_rng(0).permutation(len(groups))]
    return shuffled[:, 0], shuffled[:, 1]


@pytest.fixture
def arms(codes) -> list[Arms]:
    return find_arms(*codes, CONTROL, np.arange(len(codes[0])))


def epochs(batches: PairedBatches, numbers) -> list[list[list[int]]]:
    found = []
    for number in numbers:
        batches.set_epoch(number)
        found.append([batch.tolist() for batch in batches])
    return found


def test_types_without_both_arms_are_left_out(arms, codes):
    assert [(arm.label, arm.condition) for arm in arms] == [(0, 0), (2, 0), (2, 2)]
    conditions, labels = codes
    for arm in arms:
        assert arm.control.tolist() == np.flatnonzero((conditions == CONTROL) & (labels == arm.label)).tolist()
        assert arm.perturbed.tolist() == np.flatnonzero((conditions == arm.condition) & (labels == arm.label)).tolist()


def test_only_the_given_cells_are_paired(codes):
    indices = np.arange(0, 40, 2)
    for arm in find_arms(*codes, CONTROL, indices):
        assert set(arm.control) | set(arm.perturbed) <= set(indices.tolist())
    assert find_arms(*codes, CONTROL, np.array([], dtype=int)) == []
    assert find_arms(*codes, 7, np.arange(40)) == []


@pytest.mark.parametrize("balance", ["larger", "smaller"])
@pytest.mark.parametrize("batch_size", [2, 3, 5, 100])
def test_halves_are_control_cells_and_partners_of_their_type(arms, codes, balance, batch_size):
    conditions, labels = codes
    batches = PairedBatches(arms, batch_size, seed=0, balance=balance)
    found = list(batches)
    assert len(found) == len(batches)
    for batch in found:
        first, second = np.split(batch, 2)
        assert (conditions[first] == CONTROL).all()
        assert (conditions[second] != CONTROL).all()
        assert (labels[first] == labels[second]).all()
        assert 2 <= len(first) <= batch_size + 1


@pytest.mark.parametrize(("balance", "sizes"), [("larger", (7, 8, 3)), ("smaller", (4, 3, 3))])
def test_both_arms_take_one_size(arms, codes, balance, sizes):
    batches = PairedBatches(arms, 4, seed=3, balance=balance)
    pairs = batches.pairs()
    assert batches.n_pairs == len(pairs) == sum(sizes)
    conditions, labels = codes
    found = Counter(zip(labels[pairs[:, 0]].tolist(), conditions[pairs[:, 1]].tolist(), strict=True))
    assert tuple(found[arm.label, arm.condition] for arm in arms) == sizes
    parts = np.split(pairs, np.cumsum(sizes)[:-1])
    for arm, size, part in zip(arms, sizes, parts, strict=True):
        for cells, column in ((arm.control, part[:, 0]), (arm.perturbed, part[:, 1])):
            times = [Counter(column.tolist())[cell] for cell in cells]
            # Each cell as often as the others, but for one round that is not full.
            assert sum(times) == size
            assert max(times) - min(times) <= 1
    assert sorted(np.concatenate([np.stack(np.split(b, 2), 1) for b in batches]).tolist()) == sorted(pairs.tolist())


@settings(max_examples=100, deadline=None)
@given(
    n_control=st.integers(1, 40),
    n_perturbed=st.integers(1, 40),
    batch_size=st.integers(2, 20),
    balance=st.sampled_from(["larger", "smaller"]),
    seed=st.integers(0, 99),
)
def test_every_pair_comes_once_and_no_batch_has_one(n_control, n_perturbed, batch_size, balance, seed):
    arm = Arms(0, 1, np.arange(n_control), 100 + np.arange(n_perturbed))
    batches = PairedBatches([arm], batch_size, seed, balance=balance)
    sizes = [len(batch) // 2 for batch in batches]
    wanted = max(n_control, n_perturbed) if balance == "larger" else min(n_control, n_perturbed)
    assert sum(sizes) == wanted == batches.n_pairs
    assert len(sizes) == len(batches)
    assert min(sizes) > 1 or wanted == 1


def test_pairs_are_a_function_of_seed_and_epoch(arms):
    first = epochs(PairedBatches(arms, 4, seed=1), range(4))
    assert epochs(PairedBatches(arms, 4, seed=1), range(3, -1, -1)) == first[::-1]
    assert len({str(epoch) for epoch in first}) == 4
    assert epochs(PairedBatches(arms, 4, seed=1, first_epoch=2), range(2)) == first[2:]
    assert epochs(PairedBatches(arms, 4, seed=2), range(4)) != first


def test_partners_change_from_epoch_to_epoch(arms):
    batches = PairedBatches(arms, 4, seed=1, balance="smaller")
    first = {tuple(pair) for pair in batches.pairs().tolist()}
    batches.set_epoch(1)
    assert {tuple(pair) for pair in batches.pairs().tolist()} != first


def test_fixed_pairs_are_those_of_the_first_epoch(arms):
    fixed = epochs(PairedBatches(arms, 4, seed=1, fixed=True), range(3))
    assert fixed == epochs(PairedBatches(arms, 4, seed=1), range(1)) * 3


def test_the_global_generators_are_not_touched(arms):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    list(PairedBatches(arms, 4, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_without_arms_there_is_no_batch(batches):
    none = PairedBatches([], 4, seed=0)
    assert (none.n_pairs, len(none), list(none), none.pairs().shape) == (0, 0, [], (0, 2))
    module = CellDataModule(batches, np.arange(15), np.arange(15, 22), 4, 0, val_batches=none)
    assert module.n_val == 0
    assert module.val_dataloader() == []


def test_the_epoch_reaches_the_pairs_through_the_loader(batches, arms):
    module = CellDataModule(batches, np.arange(22), np.array([], dtype=int), 4, 0)
    arm = Arms(0, 0, np.arange(11), np.arange(11, 22))
    module.train_batches = PairedBatches([arm], 4, seed=0)
    loader = module.train_dataloader()
    first = [batch["X"] for batch in loader]
    loader.sampler.set_epoch(1)
    assert any(not torch.equal(a, b["X"]) for a, b in zip(first, loader, strict=True))


def test_an_unknown_balance_is_refused(arms):
    with pytest.raises(DataError, match="balance='equal' is unknown; there are 'larger', 'smaller'"):
        PairedBatches(arms, 4, seed=0, balance="equal")


def weighted(rows) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows, dtype=float))


@pytest.mark.parametrize("balance", ["larger", "smaller"])
def test_partners_are_drawn_in_proportion_to_the_weights(balance):
    weights = [[0.1, 0.3, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]]
    arm = Arms(0, 0, np.array([10, 11]), np.array([20, 21, 22, 23]), weighted(weights))
    counts = np.zeros((2, 4))
    batches = PairedBatches([arm], 4, seed=0, balance=balance)
    for epoch in range(4_000):
        batches.set_epoch(epoch)
        for control, partner in batches.pairs():
            counts[control - 10, partner - 20] += 1
    shares = counts / counts.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, [[0.25, 0.75, 0, 0], [0, 0, 0.5, 0.5]], atol=0.03)
    assert (counts[np.array(weights) == 0] == 0).all()
    # Control cells still come equally often.
    assert counts.sum(1).tolist() == [counts.sum() / 2] * 2


def test_partners_of_many_tiny_weights_stay_in_their_row():
    rng = np.random.default_rng(0)
    weights = weighted(rng.random((200, 30)) * (rng.random((200, 30)) < 0.1) * 1e-12 + np.eye(200, 30) * 1e-15)
    rows = np.flatnonzero(np.diff(weights.indptr))
    arm = Arms(0, 0, np.arange(len(rows)), np.arange(30), weights[rows])
    allowed = weights[rows].toarray() > 0
    for seed in range(20):
        pairs = arm.draw(len(rows), np.random.default_rng(seed))
        assert allowed[pairs[:, 0], pairs[:, 1]].all()


def test_a_batch_of_no_pairs_is_paired_in_its_own_order():
    conditions = np.array([1, 0, 1, 1, 0, 2, 1, 0])
    labels = np.array([0, 0, 0, 5, 0, 0, 0, 7])
    # Type 0: control 0, 2, 6; condition 0: 1, 4; condition 2: 5. Types 5 and 7 have one arm.
    assert pair_within(conditions, labels, 1).tolist() == [0, 2, 0, 1, 4, 5]
    assert pair_within(conditions, labels, 9).tolist() == []
    assert pair_within(conditions[:1], labels[:1], 1).tolist() == []
