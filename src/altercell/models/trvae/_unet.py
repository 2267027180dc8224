"""trVAE's deeper convolutional network, layer by layer as in Table 2 of its paper (CelebA)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from altercell.models.trvae._images import (
    N_CONDITION,
    ConditionImage,
    SameTranspose,
    ToImages,
    batch_norm,
    check_image_shape,
    check_n_pixels,
    start,
)
from altercell.models.trvae._networks import GaussianHead
from altercell.nn import ACTIVATIONS, OutputActivation

KERNEL = 3
N_FLAT = 1024  # FC-3 and FC-6
N_ENCODED = 256  # FC-4
SEED_CHANNELS = 64  # FC-7_reshaped


class UNetEncoder(nn.Module):
    """f of Table 2 :cite:p:`Lotfollahi2020`: the image and, as one more channel, its condition, to q(z | x, s).

    The paper calls the network "U-Net-like", and its table lists no connection that skips the latent space. So there is
    none here: the decoder sees of the image what z holds, and no more. Where the table does not close, our reading is:

    - FC-2 has 1,024 features, reshaped to 64 x 64: they are 32 x 32 pixels, each repeated twice along both sides;
    - convolutions have stride 1 and keep the size, poolings take the maximum of 2 x 2; there are five of them (two are
      called Pool_4), from 64 x 64 to 2 x 2;
    - the features of a layer are the table's, its input channels are those that the layer before it gives (Conv_11:
      512, where the table has 256);
    - the activation is ReLU as in the table's rows; the slope of .2 below them belongs to no row.

    Parameters
    ----------
    n_conditions
        Number of conditions.
    image_shape
        (channels, height, width) of the flattened images; their side is a multiple of 32.
    n_latent
        Dimensions of z.
    dropout_rate
        Dropout of FC-2 and FC-4.
    n_filters
        Features of the first two convolutions; the later ones have 2, 4, 8 and 8 times as many.
    variational
        Whether q has a variance; see ``GaussianHead``.

    Raises
    ------
    DataError
        The network cannot take images of this shape.
    """

    def __init__(
        self,
        n_conditions: int,
        *,
        image_shape: Sequence[int] = (3, 64, 64),
        n_latent: int = 60,
        dropout_rate: float = 0.2,
        n_filters: int = 64,
        variational: bool = True,
    ) -> None:
        super().__init__()
        n_channels, size = _check(image_shape)
        self.as_image = ToImages(n_channels, size)
        self.condition_image = ConditionImage(
            n_conditions, size, nn.ReLU(), dropout_rate=dropout_rate, enlarge=2
        )  # FC-1, FC-2
        widths = [1 + n_channels, *(n_filters * times for times in (1, 2, 4, 8, 8))]
        self.hidden = nn.Sequential(
            *_convolutions(widths[0], widths[1], 2),  # Conv_1 to 2, 64 x 64
            nn.MaxPool2d(2),
            *_convolutions(widths[1], widths[2], 2),  # Conv_3 to 4, 32 x 32
            nn.MaxPool2d(2),
            *_convolutions(widths[2], widths[3], 3),  # Conv_5 to 7, 16 x 16
            nn.MaxPool2d(2),
            *_convolutions(widths[3], widths[4], 3),  # Conv_8 to 10, 8 x 8
            nn.MaxPool2d(2),
            *_convolutions(widths[4], widths[5], 3),  # Conv_11 to 13, 4 x 4
            nn.MaxPool2d(2),
            nn.Flatten(),  # flat
            nn.Linear(widths[5] * (size // 32) ** 2, N_FLAT),  # FC-3
            nn.ReLU(),
            nn.Linear(N_FLAT, N_ENCODED),  # FC-4
            nn.ReLU(),
            nn.Dropout(dropout_rate),
        )
        self.head = GaussianHead(N_ENCODED, n_latent, variational)
        start(self)

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode, equation 5a.

        Parameters
        ----------
        x
            Flattened images, shape ``(n_cells, n_genes)``.
        s
            Conditions, one-hot, shape ``(n_cells, n_conditions)``.

        Returns
        -------
        Mean and variance of z, each of shape ``(n_cells, n_latent)``.
        """
        return self.head(self.hidden(torch.cat([self.condition_image(s), self.as_image(x)], dim=1)))


class UNetFirst(nn.Module):
    """g1 of Table 2: the latent point and 128 features of the condition, to y, the layer on which the MMD acts.

    Parameters
    ----------
    n_conditions
        Number of conditions.
    n_latent
        Dimensions of z.
    n_mmd
        Width of the layer.
    """

    def __init__(self, n_conditions: int, *, n_latent: int = 60, n_mmd: int = 256) -> None:
        super().__init__()
        self.condition = nn.Sequential(nn.Linear(n_conditions, N_CONDITION), nn.ReLU())  # FC-5
        self.mmd = nn.Sequential(nn.Linear(n_latent + N_CONDITION, n_mmd), batch_norm(n_mmd), nn.ReLU())
        start(self)

    def forward(self, z: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Return y, shape ``(n_cells, n_mmd)``, equation 5b.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        s
            Conditions, one-hot, shape ``(n_cells, n_conditions)``.
        """
        return self.mmd(torch.cat([z, self.condition(s)], dim=1))


class UNetRest(nn.Module):
    """g2 of Table 2: transposed convolutions from 8 x 8 to 64 x 64 pixels.

    The table does not say what FC-7's 4,096 features are reshaped to. Three upsamplings that double lead to 64 x 64
    from 8 x 8, so that there are 64 channels. The features of a layer are the table's, its input channels are those
    that the layer before it gives: 64 for Conv_transp_1 and 512 for Conv_transp_7, where the table has 512 and 256.

    Parameters
    ----------
    image_shape
        As in :class:`UNetEncoder`.
    n_mmd
        Width of the layer before, where the MMD acts.
    n_filters
        Features of Conv_transp_9 and 10; 7 and 8 have twice, 1 to 6 eight times as many.
    output_activation
        ``"relu"`` as in the table, ``"softplus"`` or ``"linear"``.

    Raises
    ------
    DataError
        The network cannot give images of this shape.
    """

    def __init__(
        self,
        *,
        image_shape: Sequence[int] = (3, 64, 64),
        n_mmd: int = 256,
        n_filters: int = 64,
        output_activation: OutputActivation = "relu",
    ) -> None:
        super().__init__()
        n_channels, size = _check(image_shape)
        side = size // 8
        self.layers = nn.Sequential(
            nn.Linear(n_mmd, N_FLAT),  # FC-6
            nn.ReLU(),
            nn.Linear(N_FLAT, SEED_CHANNELS * side * side),  # FC-7
            nn.ReLU(),
            ToImages(SEED_CHANNELS, side),  # 8 x 8
            *_transposed(SEED_CHANNELS, 8 * n_filters, 3),  # Conv_transp_1 to 3
            nn.Upsample(scale_factor=2),  # 16 x 16
            *_transposed(8 * n_filters, 8 * n_filters, 3),  # Conv_transp_4 to 6
            nn.Upsample(scale_factor=2),  # 32 x 32
            *_transposed(8 * n_filters, 2 * n_filters, 2),  # Conv_transp_7 to 8
            nn.Upsample(scale_factor=2),  # 64 x 64
            *_transposed(2 * n_filters, n_filters, 2),  # Conv_transp_9 to 10
            nn.ConvTranspose2d(n_filters, n_channels, 1),  # output
            ACTIVATIONS[output_activation](),
            nn.Flatten(),
        )
        start(self)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Return flattened images, shape ``(n_cells, n_genes)``, equation 5c.

        Parameters
        ----------
        y
            Values of the layer before, shape ``(n_cells, n_mmd)``.
        """
        return self.layers(y)


def unet_parts(
    n_genes: int,
    n_conditions: int,
    *,
    image_shape: Sequence[int] = (3, 64, 64),
    n_latent: int = 60,
    n_mmd: int = 256,
    dropout_rate: float = 0.2,
    n_filters: int = 64,
    variational: bool = True,
    output_activation: OutputActivation = "relu",
) -> tuple[UNetEncoder, UNetFirst, UNetRest]:
    """Return the parts of Table 2: f, g1 and g2.

    Parameters
    ----------
    n_genes
        Number of the data's genes, which are the images' pixels.
    n_conditions, image_shape, n_latent, n_mmd, dropout_rate, n_filters, variational, output_activation
        See :class:`UNetEncoder`, :class:`UNetFirst` and :class:`UNetRest`.

    Raises
    ------
    DataError
        The network cannot take images of this shape, or the data are not such images.
    """
    _check(image_shape)
    check_n_pixels(image_shape, n_genes)
    encoder = UNetEncoder(
        n_conditions,
        image_shape=image_shape,
        n_latent=n_latent,
        dropout_rate=dropout_rate,
        n_filters=n_filters,
        variational=variational,
    )
    first = UNetFirst(n_conditions, n_latent=n_latent, n_mmd=n_mmd)
    rest = UNetRest(image_shape=image_shape, n_mmd=n_mmd, n_filters=n_filters, output_activation=output_activation)
    return encoder, first, rest


def _check(image_shape: Sequence[int]) -> tuple[int, int]:
    return check_image_shape(image_shape, multiple=32, least=32, network="U-Net")


def _convolutions(n_input: int, n_output: int, n_layers: int) -> list[nn.Module]:
    """Return convolutions that keep the size, each with its ReLU."""
    inputs = [n_input] + [n_output] * (n_layers - 1)
    return [part for n in inputs for part in (nn.Conv2d(n, n_output, KERNEL, padding=1), nn.ReLU())]


def _transposed(n_input: int, n_output: int, n_layers: int) -> list[nn.Module]:
    """Return transposed convolutions that keep the size, each with its ReLU."""
    inputs = [n_input] + [n_output] * (n_layers - 1)
    return [part for n in inputs for part in (SameTranspose(n, n_output, KERNEL), nn.ReLU())]
