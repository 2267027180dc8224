"""The U-Net-like network: the layers of the paper's Table 2, at full width without memory, and small ones that run."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from altercell.errors import DataError
from altercell.models.trvae._unet import UNetEncoder, UNetFirst, UNetRest, unet_parts

N_CONDITIONS = 2
N_PIXELS = 3 * 64 * 64


def weights(part: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of the weights of linear and convolutional layers, from input to output."""
    layers = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [tuple(layer.weight.shape) for layer in part.modules() if isinstance(layer, layers)]


def small(size: int = 32, channels: int = 3, **options) -> tuple[UNetEncoder, UNetFirst, UNetRest]:
    torch.manual_seed(0)
    return unet_parts(channels * size**2, N_CONDITIONS, image_shape=(channels, size, size), n_filters=2, **options)


def batch(n_genes: int, n_cells: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.tensor(np.random.default_rng(0).uniform(size=(n_cells, n_genes)), dtype=torch.float32)
    return x, one_hot(torch.arange(n_cells) % N_CONDITIONS, N_CONDITIONS).float()


@pytest.fixture(scope="module")
def full():
    with torch.device("meta"):
        return unet_parts(N_PIXELS, N_CONDITIONS)


def test_the_encoders_layers_are_those_of_table_2(full):
    outputs = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    convolutions = [(n_out, n_in, 3, 3) for n_in, n_out in zip([4, *outputs], outputs, strict=False)]
    assert weights(full[0]) == [
        (128, 2),
        (1024, 128),
        *convolutions,
        (1024, 2 * 2 * 512),
        (256, 1024),
        (60, 256),
        (60, 256),
    ]
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in full[0].modules()) == 5


def test_the_decoders_layers_are_those_of_table_2(full):
    assert weights(full[1]) == [(128, 2), (256, 60 + 128)]
    outputs = [512] * 6 + [128] * 2 + [64] * 2
    transposed = [(n_in, n_out, 3, 3) for n_in, n_out in zip([64, *outputs], outputs, strict=False)]
    assert weights(full[2]) == [(1024, 256), (4096, 1024), *transposed, (64, 3, 1, 1)]
    assert sum(isinstance(layer, nn.Upsample) for layer in full[2].modules()) == 3


def test_batch_norms_dropouts_and_activations_are_those_of_table_2(full):
    norms = [[m.num_features for m in part.modules() if isinstance(m, nn.BatchNorm1d)] for part in full]
    assert norms == [[1024], [256], []]
    dropouts = [[m.p for m in part.modules() if isinstance(m, nn.Dropout)] for part in full]
    assert dropouts == [[0.2, 0.2], [], []]
    assert not any(isinstance(layer, nn.LeakyReLU) for part in full for layer in part.modules())


def test_shapes_at_full_width(full):
    with torch.device("meta"):
        x, s = torch.zeros(4, N_PIXELS), torch.zeros(4, N_CONDITIONS)
        mean, variance = full[0](x, s)
        y = full[1](mean, s)
        assert (mean.shape, variance.shape, y.shape) == ((4, 60), (4, 60), (4, 256))
        assert full[2](y).shape == x.shape


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (96, 1)])
def test_other_square_images(size, channels):
    encoder, first, rest = small(size, channels, n_latent=6, n_mmd=10)
    x, s = batch(channels * size**2, n_cells=4)
    mean, variance = encoder(x, s)
    assert mean.shape == variance.shape == (4, 6)
    assert (variance > 1e-4).all()
    x_new = rest(first(mean, s))
    assert x_new.shape == x.shape
    assert x_new.min() >= 0


def test_pixels_are_read_and_written_channel_by_channel():
    encoder, _, rest = small()
    x, s = batch(3 * 32**2)
    seen = []
    encoder.hidden[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(x, s)
    np.testing.assert_array_equal(seen[0][:, 1:].detach(), x.numpy().reshape(-1, 3, 32, 32))
    rest.layers[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = torch.rand(4, 256)
    np.testing.assert_array_equal(rest(y).detach(), seen[1].detach().numpy().reshape(4, -1))


def test_the_condition_reaches_both_sides():
    encoder, first, _ = (part.eval() for part in small())
    x, s = batch(3 * 32**2)
    other = s.flip(1)
    assert (encoder(x, s)[0] != encoder(x, other)[0]).any()
    z = torch.randn(8, 60)
    assert not torch.allclose(first(z, s), first(z, other))


def test_no_connection_skips_the_latent_space():
    encoder, first, rest = (part.eval() for part in small())
    x, s = batch(3 * 32**2)
    z = encoder(x, s)[0]
    # The parts share no state: what is decoded from z does not depend on the image that was encoded last.
    before = rest(first(z, s))
    encoder(1 - x, s)
    assert torch.equal(rest(first(z, s)), before)


def test_gradient_reaches_every_parameter():
    encoder, first, rest = small(output_activation="softplus", dropout_rate=0.0)
    x, s = batch(3 * 32**2, n_cells=16)
    mean, variance = encoder(x, s)
    x_new = rest(first(mean + variance.sqrt() * torch.randn_like(mean), s))
    ((x_new - x) ** 2).sum().backward()
    for part in (encoder, first, rest):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_an_autoencoder_has_no_variance():
    encoder, _, _ = small(variational=False)
    assert not encoder(*batch(3 * 32**2))[1].any()


@pytest.mark.parametrize(
    ("image_shape", "text"),
    [
        ((64, 64), "must be .channels, height, width."),
        ((3, 64, 32), "the U-Net network takes square images whose side is a multiple of 32 and at least 32"),
        ((1, 28, 28), "multiple of 32"),
    ],
)
def test_shapes_that_do_not_suit(image_shape, text):
    for part in (
        lambda: UNetEncoder(2, image_shape=image_shape),
        lambda: UNetRest(image_shape=image_shape),
        lambda: unet_parts(int(np.prod(image_shape)), 2, image_shape=image_shape),
    ):
        with pytest.raises(DataError, match=text):
            part()


def test_cells_that_are_no_such_images():
    with pytest.raises(DataError, match=r"\(3, 64, 64\) has 12288 pixels, but the data have 4096 genes"):
        unet_parts(4096, 2)
