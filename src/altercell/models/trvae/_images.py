"""What trVAE's networks for images share: checks of the shape, and the condition as a channel of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from altercell.errors import DataError

#: Width of the first layer that reads the condition (FC-1 and its like in Tables 1 and 2).
N_CONDITION = 128


def check_image_shape(image_shape: Sequence[int], *, multiple: int, least: int, network: str) -> tuple[int, int]:
    """Check that a network can take images of a shape.

    Parameters
    ----------
    image_shape
        (channels, height, width).
    multiple, least
        What the side has to be a multiple of, and its smallest value.
    network
        Name of the network, for the error.

    Returns
    -------
    The number of channels, and the side in pixels.

    Raises
    ------
    DataError
        The shape is not that of square images, or their side does not suit the network.
    """
    shape = tuple(int(size) for size in image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"image_shape={shape} must be (channels, height, width), for example (1, 28, 28)")
    channels, height, width = shape
    if height != width or height % multiple or height < least:
        raise DataError(
            f"image_shape={shape}: the {network} network takes square images whose side is a multiple of {multiple} "
            f"and at least {least}; pad or resize the images"
        )
    return channels, height


def check_n_pixels(image_shape: Sequence[int], n_genes: int) -> None:
    """Check that cells are flattened images of a shape.

    Parameters
    ----------
    image_shape
        (channels, height, width).
    n_genes
        Number of the data's genes.

    Raises
    ------
    DataError
        The numbers differ.
    """
    n_pixels = math.prod(int(size) for size in image_shape)
    if n_pixels != n_genes:
        raise DataError(
            f"image_shape={tuple(image_shape)} has {n_pixels} pixels, but the data have {n_genes} genes; give the "
            "(channels, height, width) of the images that the data hold, flattened in this order"
        )


def batch_norm(n_features: int) -> nn.BatchNorm1d:
    """Return batch normalisation with the constants of all models here: epsilon 1e-3, momentum .01.

    Parameters
    ----------
    n_features
        Number of features.
    """
    return nn.BatchNorm1d(n_features, eps=1e-3, momentum=0.01)


def start(network: nn.Module) -> None:
    """Give every layer its initial values: Glorot's uniform weights and biases of zero.

    They are those of the framework that the paper used, and they matter here. With torch's own, the bias of the last
    convolution is larger than what enters it, so that in about half of all networks every pixel is below zero from the
    start, where a ReLU has no gradient: such a network draws black images for ever.

    Parameters
    ----------
    network
        The network, changed in place.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ConditionImage(nn.Module):
    """The condition as one more channel: two fully connected layers, the second reshaped to an image.

    Parameters
    ----------
    n_conditions
        Number of conditions.
    size
        Side of the image.
    activation
        Of both layers.
    dropout_rate
        Dropout of the second layer, which has a batch norm too.
    enlarge
        The layers give an image of ``size // enlarge`` pixels a side, whose pixels are then repeated.
    """

    def __init__(
        self, n_conditions: int, size: int, activation: nn.Module, *, dropout_rate: float, enlarge: int = 1
    ) -> None:
        super().__init__()
        side = size // enlarge
        self.layers = nn.Sequential(
            nn.Linear(n_conditions, N_CONDITION),
            activation,
            nn.Linear(N_CONDITION, side * side),
            batch_norm(side * side),
            activation,
            nn.Dropout(dropout_rate),
            nn.Unflatten(1, (1, side, side)),
            nn.Upsample(scale_factor=enlarge) if enlarge > 1 else nn.Identity(),
        )

    def forward(self, s: torch.Tensor) -> torch.Tensor:
        """Return the conditions as images, shape ``(n_cells, 1, size, size)``.

        Parameters
        ----------
        s
            Conditions, one-hot, shape ``(n_cells, n_conditions)``.
        """
        return self.layers(s)


class ToImages(nn.Module):
    """Flat values to images.

    In memory the channels come last, and so they do in what convolutions make of these images: it is a quarter faster
    on a CPU. (Laying out the weights so too would be faster yet, but an Adam that goes on from saved moments, which are
    laid out plainly, then pairs weights with the moments of others.)

    Parameters
    ----------
    n_channels, size
        Of the images.
    """

    def __init__(self, n_channels: int, size: int) -> None:
        super().__init__()
        self.n_channels, self.size = n_channels, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return images, shape ``(n_cells, n_channels, size, size)``.

        Parameters
        ----------
        x
            Values by channel, row and column, shape ``(n_cells, n_channels * size * size)``.
        """
        images = x.reshape(-1, self.n_channels, self.size, self.size)
        return images.contiguous(memory_format=torch.channels_last)


class SameTranspose(nn.Module):
    """A transposed convolution of stride 1 that keeps the image's size.

    An even kernel cannot be padded evenly: of the rows and columns that it adds, one more is cut behind the image than
    before it, which is the usual "same" padding.

    Parameters
    ----------
    n_input, n_output
        Channels.
    kernel
        Side of the kernel.
    """

    def __init__(self, n_input: int, n_output: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(n_input, n_output, kernel, padding=(kernel - 1) // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve.

        Parameters
        ----------
        x
            Images, shape ``(n_cells, n_input, size, size)``.

        Returns
        -------
        Images, shape ``(n_cells, n_output, size, size)``.
        """
        return self.conv(x)[:, :, : x.shape[2], : x.shape[3]]
