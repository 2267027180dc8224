"""What a closed-form model has fitted: buffers of a module without parameters."""

from __future__ import annotations

import torch
from torch import nn


class FittedState(nn.Module):
    """Named buffers, so that a model without a network is saved, loaded and moved as the others are.

    Parameters
    ----------
    **shapes
        Name and shape of each buffer; all are float32 and start at zero.
    """

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.add(name, shape)

    def add(self, name: str, shape: tuple[int, ...]) -> None:
        """Add a buffer of zeros.

        Parameters
        ----------
        name, shape
            Its name and shape.
        """
        self.register_buffer(name, torch.zeros(shape))

    @property
    def device(self) -> torch.device:
        """The device of the buffers."""
        return next(self.buffers()).device
