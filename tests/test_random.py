import random

import numpy as np
import pytest
import torch

from altercell._random import fresh_seed, isolated_rng


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def states() -> tuple:
    numpy_state = np.random.get_state()  # noqa: NPY002
    return random.getstate(), numpy_state[1].tolist(), numpy_state[2:], torch.get_rng_state().tolist()


def test_a_given_seed_is_returned_as_an_int():
    assert fresh_seed(7) == 7
    assert type(fresh_seed(np.int64(7))) is int


def test_fresh_seeds_differ_and_fit_31_bits():
    seeds = {fresh_seed(None) for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_fresh_seed_does_not_read_the_global_generators():
    before = states()
    fresh_seed(None)
    assert states() == before


def test_same_seed_same_draws_of_all_three_generators():
    with isolated_rng(3):
        first = draws()
    with isolated_rng(3):
        assert draws() == first
    with isolated_rng(4):
        other = draws()
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_generators_are_put_back():
    before = states()
    with isolated_rng(3):
        draws()
    assert states() == before


def test_the_generators_are_put_back_after_an_error():
    @isolated_rng(3)
    def fail():
        draws()
        raise RuntimeError("inside")

    before = states()
    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert states() == before


def test_the_global_seed_does_not_reach_inside():
    torch.manual_seed(0)
    with isolated_rng(5):
        first = draws()
    torch.manual_seed(1)
    with isolated_rng(5):
        assert draws() == first


def test_the_seed_in_use_is_yielded_and_repeats_the_block():
    with isolated_rng() as seed:
        first = draws()
    with isolated_rng(seed) as again:
        assert draws() == first
    assert again == seed
    with isolated_rng() as other:
        assert other != seed


def test_blocks_nest():
    with isolated_rng(1):
        first = draws()
        with isolated_rng(2):
            draws()
        second = draws()
    with isolated_rng(1):
        assert (draws(), draws()) == (first, second)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**40, 2**63 - 1])
def test_large_seeds_are_accepted(seed):
    with isolated_rng(seed) as used:
        draws()
    assert used == seed
