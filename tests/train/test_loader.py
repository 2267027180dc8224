import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from altercell.errors import DataError
from altercell.train import CellDataModule, EpochBatches, split_cells


@settings(max_examples=200, deadline=None)
@given(n_cells=st.integers(1, 60), batch_size=st.integers(2, 20), seed=st.none() | st.integers(0, 99))
def test_every_cell_comes_once_and_no_batch_has_one_cell(n_cells, batch_size, seed):
    positions = np.arange(n_cells) * 3 + 1
    batches = EpochBatches(positions, batch_size, seed)
    parts = list(batches)
    assert len(parts) == len(batches)
    assert sorted(np.concatenate(parts)) == positions.tolist()
    sizes = [len(part) for part in parts]
    assert min(sizes) > 1 or n_cells == 1
    assert max(sizes) <= batch_size + 1
    assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.parametrize(
    ("n_cells", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (5, [5]), (4, [4]), (3, [3]), (1, [1])]
)
def test_a_tail_of_one_is_folded_into_the_batch_before(n_cells, sizes):
    assert [len(part) for part in EpochBatches(np.arange(n_cells), 4)] == sizes


def test_no_cells_no_batches():
    assert list(EpochBatches(np.array([], dtype=int), 4)) == []


def orders(batches: EpochBatches, epochs: range) -> list[list[int]]:
    found = []
    for epoch in epochs:
        batches.set_epoch(epoch)
        found.append(np.concatenate(list(batches)).tolist())
    return found


def test_the_order_is_a_function_of_seed_and_epoch():
    first = orders(EpochBatches(np.arange(30), 4, seed=1), range(4))
    assert orders(EpochBatches(np.arange(30), 4, seed=1), range(3, -1, -1)) == first[::-1]
    assert len({tuple(order) for order in first}) == 4
    other = orders(EpochBatches(np.arange(30), 4, seed=2), range(4))
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_later_training_goes_on_where_the_first_ended():
    whole = orders(EpochBatches(np.arange(30), 4, seed=1), range(5))
    assert orders(EpochBatches(np.arange(30), 4, seed=1, first_epoch=3), range(2)) == whole[3:]


def test_the_order_does_not_depend_on_the_global_generators():
    batches = EpochBatches(np.arange(30), 4, seed=1)
    torch.manual_seed(0)
    first = np.concatenate(list(batches)).tolist()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert np.concatenate(list(batches)).tolist() == first
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_seed_the_order_stays():
    batches = EpochBatches(np.array([5, 2, 9, 1, 7]), 2)
    assert orders(batches, range(2)) == [[5, 2, 9, 1, 7]] * 2


@settings(max_examples=100, deadline=None)
@given(n_cells=st.integers(2, 300), train_size=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_a_split_divides_the_cells(n_cells, train_size, seed):
    if np.ceil(train_size * n_cells) < 2:
        with pytest.raises(DataError, match="would be left to train on; at least 2 are needed"):
            split_cells(n_cells, train_size, seed)
        return
    train, validation = split_cells(n_cells, train_size, seed)
    assert sorted([*train, *validation]) == list(range(n_cells))
    assert len(train) == np.ceil(train_size * n_cells)
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    again = split_cells(n_cells, train_size, seed)
    assert [part.tolist() for part in again] == [train.tolist(), validation.tolist()]


def test_seeds_split_differently_and_all_cells_may_train():
    assert split_cells(50, 0.5, 0)[0].tolist() != split_cells(50, 0.5, 1)[0].tolist()
    train, validation = split_cells(50, 1.0, 0)
    assert (len(train), len(validation)) == (50, 0)


@pytest.mark.parametrize("train_size", [0, -0.5, 1.01, np.nan])
def test_a_share_out_of_range_is_refused(train_size):
    with pytest.raises(DataError, match=f"train_size={train_size} must be above 0 and at most 1"):
        split_cells(50, train_size, 0)


def test_the_data_module_gives_shuffled_training_and_ordered_validation(batches):
    train, validation = np.arange(0, 15), np.arange(15, 22)
    module = CellDataModule(batches, train, validation, batch_size=4, seed=0)
    assert (module.n_train, module.n_val, len(module.test_idx)) == (15, 7, 0)
    seen = torch.cat([batch["X"] for batch in module.train_dataloader()])
    assert not torch.equal(seen, batches.values[:15])
    assert torch.equal(seen.sort(0).values, batches.values[:15].sort(0).values)
    (only,) = module.val_dataloader()
    assert torch.equal(only["X"], batches.values[15:])


def test_the_epoch_reaches_the_sampler_of_the_loader(batches):
    loader = CellDataModule(batches, np.arange(22), np.array([], dtype=int), 4, seed=0).train_dataloader()
    first = torch.cat([batch["X"] for batch in loader])
    loader.sampler.set_epoch(1)
    assert not torch.equal(torch.cat([batch["X"] for batch in loader]), first)
    loader.sampler.set_epoch(0)
    assert torch.equal(torch.cat([batch["X"] for batch in loader]), first)


def test_without_validation_cells_there_is_no_validation_loader(batches):
    assert CellDataModule(batches, np.arange(22), np.array([], dtype=int), 4, seed=0).val_dataloader() == []


def test_validation_batches_are_not_small(batches):
    module = CellDataModule(batches, np.arange(2), np.arange(2, 22), 2, seed=0)
    assert len(module.val_dataloader()) == 1
