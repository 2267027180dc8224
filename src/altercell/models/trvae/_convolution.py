"""trVAE's convolutional network for small images, layer by layer as in Table 1 of its paper (Morpho-MNIST)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from altercell.models.trvae._images import (
    ConditionImage,
    SameTranspose,
    ToImages,
    batch_norm,
    check_image_shape,
    check_n_pixels,
    start,
)
from altercell.models.trvae._networks import NEGATIVE_SLOPE, GaussianHead
from altercell.nn import ACTIVATIONS, OutputActivation

N_ENCODED = 128  # FC-3
SEED_CHANNELS = 64  # FC-7_resh
KERNEL = 4


class ConvEncoder(nn.Module):
    """f of Table 1 :cite:p:`Lotfollahi2020`: the image and, as one more channel, its condition, to q(z | x, s).

    The table gives no strides or paddings. Our reading: both convolutions have stride 2 and keep the field of view, so
    that 28 x 28 pixels become 14 x 14 and 7 x 7. A condition enters as a one-hot vector (the table's width of 2 fits
    one change, the experiment has thin and thick strokes beside normal ones).

    Parameters
    ----------
    n_conditions
        Number of conditions.
    image_shape
        (channels, height, width) of the flattened images; their side is a multiple of 4 and at least 16.
    n_latent
        Dimensions of z.
    dropout_rate
        Dropout of FC-2.
    n_filters
        Features of each convolution.
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
        image_shape: Sequence[int] = (1, 28, 28),
        n_latent: int = 50,
        dropout_rate: float = 0.2,
        n_filters: int = 64,
        variational: bool = True,
    ) -> None:
        super().__init__()
        n_channels, size = _check(image_shape)
        leaky = nn.LeakyReLU(NEGATIVE_SLOPE)
        self.as_image = ToImages(n_channels, size)
        self.condition_image = ConditionImage(n_conditions, size, leaky, dropout_rate=dropout_rate)  # FC-1, FC-2
        self.hidden = nn.Sequential(
            nn.Conv2d(1 + n_channels, n_filters, KERNEL, stride=2, padding=1),  # Conv2D_1, 14 x 14
            leaky,
            nn.Conv2d(n_filters, n_filters, KERNEL, stride=2, padding=1),  # Conv2D_2, 7 x 7
            leaky,
            nn.Flatten(),
            nn.Linear(n_filters * (size // 4) ** 2, N_ENCODED),  # FC-3
            batch_norm(N_ENCODED),
            leaky,
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


class ConvFirst(nn.Module):
    """g1 of Table 1: the latent point and the condition's image, to y, the layer on which the MMD acts.

    The table reshapes FC-5 to an image and then joins it with z, a vector. Our reading: it is joined flat, so that the
    layer has 50 + 784 inputs.

    Parameters
    ----------
    n_conditions, image_shape, n_latent
        As in :class:`ConvEncoder`.
    n_mmd
        Width of the layer.
    dropout_rate
        Dropout of FC-5.

    Raises
    ------
    DataError
        The network cannot take images of this shape.
    """

    def __init__(
        self,
        n_conditions: int,
        *,
        image_shape: Sequence[int] = (1, 28, 28),
        n_latent: int = 50,
        n_mmd: int = 128,
        dropout_rate: float = 0.2,
    ) -> None:
        super().__init__()
        _, size = _check(image_shape)
        leaky = nn.LeakyReLU(NEGATIVE_SLOPE)
        self.condition_image = ConditionImage(n_conditions, size, leaky, dropout_rate=dropout_rate)  # FC-4, FC-5
        self.mmd = nn.Sequential(nn.Linear(n_latent + size * size, n_mmd), batch_norm(n_mmd), leaky)
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
        return self.mmd(torch.cat([z, self.condition_image(s).flatten(1)], dim=1))


class ConvRest(nn.Module):
    """g2 of Table 1: transposed convolutions from 2 x 2 to 28 x 28 pixels.

    Between 2 x 2 x 64 and 28 x 28 x 1 the table has five transposed convolutions and three upsamplings, without
    factors, strides or paddings. If the upsamplings double and the convolutions have stride 1, each of these either
    keeps the size or, unpadded, adds 3, and the sizes close only where one of Conv_transp_2 and Conv_transp_3, and no
    other, is unpadded: 2, doubled 4, unpadded 7, doubled 14, doubled 28. Our reading: it is Conv_transp_2. Doubling
    repeats pixels. The features of a layer are the table's, its input channels are those that the layer before it gives
    (Conv_transp_2: 128, where the table has 64).

    Other sides: 4 (2 n + 3) pixels come likewise from n x n, and 8 n pixels from n x n with every convolution padded.

    Parameters
    ----------
    image_shape
        As in :class:`ConvEncoder`.
    n_mmd
        Width of the layer before, where the MMD acts.
    n_filters
        Features of Conv_transp_2 and Conv_transp_3; Conv_transp_1 has twice as many.
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
        image_shape: Sequence[int] = (1, 28, 28),
        n_mmd: int = 128,
        n_filters: int = 64,
        output_activation: OutputActivation = "relu",
    ) -> None:
        super().__init__()
        n_channels, size = _check(image_shape)
        leaky = nn.LeakyReLU(NEGATIVE_SLOPE)
        unpadded = size % 8 == 4
        side = (size // 4 - 3) // 2 if unpadded else size // 8
        second = nn.ConvTranspose2d if unpadded else SameTranspose
        self.layers = nn.Sequential(
            nn.Linear(n_mmd, SEED_CHANNELS * side * side),  # FC-6
            leaky,
            ToImages(SEED_CHANNELS, side),  # FC-7_resh, 2 x 2
            SameTranspose(SEED_CHANNELS, 2 * n_filters, KERNEL),  # Conv_transp_1
            leaky,
            nn.Upsample(scale_factor=2),  # 4 x 4
            second(2 * n_filters, n_filters, KERNEL),  # Conv_transp_2, 7 x 7
            leaky,
            SameTranspose(n_filters, n_filters, KERNEL),  # Conv_transp_3
            leaky,
            nn.Upsample(scale_factor=2),  # 14 x 14
            SameTranspose(n_filters, 1 + n_channels, KERNEL),  # Conv_transp_4
            leaky,
            nn.Upsample(scale_factor=2),  # 28 x 28
            SameTranspose(1 + n_channels, n_channels, KERNEL),  # output
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


def conv_parts(
    n_genes: int,
    n_conditions: int,
    *,
    image_shape: Sequence[int] = (1, 28, 28),
    n_latent: int = 50,
    n_mmd: int = 128,
    dropout_rate: float = 0.2,
    n_filters: int = 64,
    variational: bool = True,
    output_activation: OutputActivation = "relu",
) -> tuple[ConvEncoder, ConvFirst, ConvRest]:
    """Return the parts of Table 1: f, g1 and g2.

    Parameters
    ----------
    n_genes
        Number of the data's genes, which are the images' pixels.
    n_conditions, image_shape, n_latent, n_mmd, dropout_rate, n_filters, variational, output_activation
        See :class:`ConvEncoder`, :class:`ConvFirst` and :class:`ConvRest`.

    Raises
    ------
    DataError
        The network cannot take images of this shape, or the data are not such images.
    """
    _check(image_shape)
    check_n_pixels(image_shape, n_genes)
    sizes = {"image_shape": image_shape, "n_latent": n_latent, "dropout_rate": dropout_rate}
    encoder = ConvEncoder(n_conditions, **sizes, n_filters=n_filters, variational=variational)  # type: ignore[arg-type]
    first = ConvFirst(n_conditions, **sizes, n_mmd=n_mmd)  # type: ignore[arg-type]
    rest = ConvRest(image_shape=image_shape, n_mmd=n_mmd, n_filters=n_filters, output_activation=output_activation)
    return encoder, first, rest


def _check(image_shape: Sequence[int]) -> tuple[int, int]:
    return check_image_shape(image_shape, multiple=4, least=16, network="convolutional")
