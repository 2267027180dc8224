from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from altercell.errors import DataError
from altercell.train import StratifiedBatches

SIZES = st.lists(st.integers(0, 25), min_size=1, max_size=8)


def made(sizes: list[int], batch_size: int, seed: int = 0, first_epoch: int = 0) -> tuple[StratifiedBatches, dict]:
    """Batches of groups of these sizes; the cells' positions are shuffled, the codes of the groups have gaps."""
    groups = np.repeat(np.arange(len(sizes)) * 2 - 1, sizes)
    groups = np.random.default_rng(7).permutation(groups)
    positions = np.arange(len(groups)) * 3 + 1
    group_of = dict(zip(positions.tolist(), groups.tolist(), strict=True))
    return StratifiedBatches(positions, groups, batch_size, seed, first_epoch), group_of


def epoch(batches: StratifiedBatches, number: int = 0) -> list[list[int]]:
    batches.set_epoch(number)
    return [part.tolist() for part in batches]


def filled(sizes: list[int], target: int) -> list[int]:
    """Shares as water: one cell to each group that has one left, round by round, until the batch is full."""
    shares = [0] * len(sizes)
    while sum(shares) < target:
        for group in range(len(sizes)):
            shares[group] += shares[group] < sizes[group] and sum(shares) < target
    return shares


@settings(max_examples=300, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(2, 40), seed=st.integers(0, 99))
def test_batches_have_the_asked_size_and_no_cell_twice(sizes, batch_size, seed):
    batches, group_of = made(sizes, batch_size, seed)
    parts = epoch(batches)
    assert len(parts) == len(batches) == int(np.ceil(sum(sizes) / batch_size))
    for part in parts:
        assert len(part) == min(batch_size, sum(sizes))
        assert len(set(part)) == len(part)
        assert set(part) <= set(group_of)


@settings(max_examples=300, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(2, 40), seed=st.integers(0, 99))
def test_shares_are_equal_up_to_what_a_group_has(sizes, batch_size, seed):
    batches, group_of = made(sizes, batch_size, seed)
    water = sorted(filled(sizes, min(batch_size, sum(sizes))))
    for part in epoch(batches):
        found = Counter(group_of[cell] for cell in part)
        shares = [found[2 * group - 1] for group in range(len(sizes))]
        assert sorted(shares) == water
        for share, size in zip(shares, sizes, strict=True):
            assert share == size or share >= max(shares) - 1


@settings(max_examples=300, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(2, 40), seed=st.integers(0, 99))
def test_the_cells_of_a_group_come_equally_often(sizes, batch_size, seed):
    batches, group_of = made(sizes, batch_size, seed)
    times = Counter(cell for part in epoch(batches) for cell in part)
    for group in set(group_of.values()):
        found = [times[cell] for cell, code in group_of.items() if code == group]
        assert max(found) - min(found) <= 1


@settings(max_examples=200, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(2, 40))
def test_what_does_not_divide_goes_to_the_groups_in_turn(sizes, batch_size):
    batches, group_of = made(sizes, batch_size)
    parts = epoch(batches)
    level = max(filled(sizes, min(batch_size, sum(sizes))), default=0)
    totals = Counter(group_of[cell] for part in parts for cell in part)
    rich = [totals[2 * group - 1] for group, size in enumerate(sizes) if size >= level]
    assert not parts or max(rich) - min(rich) <= 1


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(2, 40), seed=st.integers(0, 99), first=st.integers(0, 5))
def test_the_order_is_a_function_of_seed_and_epoch(sizes, batch_size, seed, first):
    whole, _ = made(sizes, batch_size, seed)
    later, _ = made(sizes, batch_size, seed, first_epoch=first)
    backwards = {number: epoch(whole, number) for number in range(7, -1, -1)}
    assert [epoch(later, number) for number in range(3)] == [backwards[first + number] for number in range(3)]


def test_epochs_and_seeds_differ():
    batches, other = made([30, 12, 5], 8)[0], made([30, 12, 5], 8, seed=1)[0]
    orders = [str(epoch(side, number)) for side in (batches, other) for number in range(5)]
    assert len(set(orders)) == 10


def test_a_large_group_is_seen_in_part_and_by_others_each_epoch():
    batches, group_of = made([900, 50, 50], 30)
    seen = [{cell for part in epoch(batches, number) for cell in part if group_of[cell] == -1} for number in range(2)]
    assert [len(cells) for cells in seen] == [340, 340]
    assert 60 < len(seen[0] & seen[1]) < 220  # 128 expected of two independent draws


def test_a_small_group_is_walked_through_again_within_an_epoch():
    batches, group_of = made([90, 7], 10)
    small = [[cell for cell in part if group_of[cell] == 1] for part in epoch(batches)]
    assert [len(part) for part in small] == [5] * 10
    walked = np.concatenate(small)
    assert Counter(Counter(walked.tolist()).values()) == {7: 6, 8: 1}
    orders = {tuple(walked[start : start + 7]) for start in range(0, 49, 7)}
    assert len(orders) > 4


def test_a_restart_favours_no_cell():
    # A restart must pass over the cells of the batch at hand, and those alone: 5 cells, 3 a batch.
    places = np.zeros((5, 5), dtype=int)
    for seed in range(2_000):
        batches = StratifiedBatches(np.arange(10), np.repeat([0, 1], 5), 6, seed)
        first, second = (np.sort(part[part < 5]) for part in batches)
        assert len({*first, *second}) == 5
        twice = np.intersect1d(first, second)
        assert len(twice) == 1
        places[twice[0], np.setdiff1d(first, twice)] += 1
    off_diagonal = places[~np.eye(5, dtype=bool)]
    assert abs(off_diagonal - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize(
    ("sizes", "batch_size", "wanted"),
    [
        ([10, 10, 10], 9, [3, 3, 3]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([1, 2, 30], 9, [1, 2, 6]),
        ([1, 1, 1], 9, [1, 1, 1]),
        ([0, 4, 0, 4], 4, [0, 2, 0, 2]),
        ([5], 4, [4]),
    ],
)
def test_shares_by_hand(sizes, batch_size, wanted):
    batches, group_of = made(sizes, batch_size)
    for part in epoch(batches):
        found = Counter(group_of[cell] for cell in part)
        assert [found[2 * group - 1] for group in range(len(sizes))] == wanted


def test_more_groups_than_cells_in_a_batch():
    batches, group_of = made([3] * 12, 4)
    parts = epoch(batches)
    assert all(len({group_of[cell] for cell in part}) == 4 for part in parts)
    for start in range(0, 9, 3):  # three batches of four go once round the twelve groups
        assert len({group_of[cell] for part in parts[start : start + 3] for cell in part}) == 12


def test_no_cells_no_batches_and_one_cell_one_batch():
    assert epoch(made([0, 0], 4)[0]) == []
    assert epoch(made([0, 1], 4)[0]) == [[1]]


def test_the_global_generators_play_no_part():
    batches, _ = made([30, 12, 5], 8)
    torch.manual_seed(0)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = epoch(batches)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.random.get_state()[1].tolist() == state[1]  # noqa: NPY002
    torch.manual_seed(1)
    assert epoch(batches) == first


def test_groups_that_do_not_match_are_refused():
    with pytest.raises(DataError, match=r"groups has the shape \(3,\), indices \(4,\); give one code a cell"):
        StratifiedBatches(np.arange(4), np.zeros(3, dtype=int), 2, 0)


def test_batches_of_one_are_refused():
    with pytest.raises(DataError, match="batch_size=1: a stratified batch needs at least 2 cells"):
        StratifiedBatches(np.arange(4), np.zeros(4, dtype=int), 1, 0)
