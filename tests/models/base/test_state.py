"""Tests of the module that holds what a closed form has fitted."""

import torch

from altercell.models.base._state import FittedState


def test_buffers_are_float32_zeros_of_the_given_shapes():
    state = FittedState(sizes=(2, 3), means=(2, 3, 4))
    assert {name: tuple(values.shape) for name, values in state.named_buffers()} == {
        "sizes": (2, 3),
        "means": (2, 3, 4),
    }
    assert all(values.dtype == torch.float32 and not values.any() for values in state.buffers())


def test_a_buffer_can_be_added_later():
    state = FittedState(sizes=(2,))
    state.add("axes", (3, 5))
    assert state.axes.shape == (3, 5)
    assert list(state.state_dict()) == ["sizes", "axes"]


def test_it_has_nothing_to_train():
    assert list(FittedState(sizes=(2,)).parameters()) == []


def test_the_device_is_that_of_the_buffers():
    state = FittedState(sizes=(2,))
    assert state.device == torch.device("cpu")
    assert state.to("meta").device == torch.device("meta")


def test_state_goes_from_one_to_another():
    first, second = FittedState(sizes=(2,)), FittedState(sizes=(2,))
    first.sizes.copy_(torch.tensor([3.0, 4.0]))
    second.load_state_dict(first.state_dict())
    assert second.sizes.tolist() == [3.0, 4.0]
