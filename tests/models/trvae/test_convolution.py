"""The convolutional network: the layers of the paper's Table 1, and nothing that is not wired up."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, one_hot

from altercell.errors import DataError
from altercell.models.trvae._convolution import ConvEncoder, ConvFirst, ConvRest, conv_parts
from altercell.models.trvae._images import ConditionImage, SameTranspose

N_CONDITIONS = 3


def weights(part: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of the weights of linear and convolutional layers, from input to output."""
    layers = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [tuple(layer.weight.shape) for layer in part.modules() if isinstance(layer, layers)]


def small(size: int = 16, channels: int = 1, **options) -> tuple[ConvEncoder, ConvFirst, ConvRest]:
    torch.manual_seed(0)
    parts = conv_parts(channels * size**2, N_CONDITIONS, image_shape=(channels, size, size), n_filters=4, **options)
    return parts


def batch(n_genes: int, n_cells: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.tensor(np.random.default_rng(0).uniform(size=(n_cells, n_genes)), dtype=torch.float32)
    return x, one_hot(torch.arange(n_cells) % N_CONDITIONS, N_CONDITIONS).float()


def test_the_layers_are_those_of_table_1():
    with torch.device("meta"):
        encoder, first, rest = conv_parts(784, N_CONDITIONS)
    # Convolutions are (out, in, height, width), transposed ones (in, out, height, width).
    assert weights(encoder) == [
        (128, 3),
        (784, 128),
        (64, 2, 4, 4),
        (64, 64, 4, 4),
        (128, 7 * 7 * 64),
        (50, 128),
        (50, 128),
    ]
    assert weights(first) == [(128, 3), (784, 128), (128, 50 + 784)]
    assert weights(rest) == [
        (256, 128),
        (64, 128, 4, 4),
        (128, 64, 4, 4),
        (64, 64, 4, 4),
        (64, 2, 4, 4),
        (2, 1, 4, 4),
    ]


@pytest.mark.parametrize(("part", "widths"), [(0, [784, 128]), (1, [784, 128]), (2, [])])
def test_batch_norms_dropouts_and_slopes_are_those_of_table_1(part, widths):
    with torch.device("meta"):
        network = conv_parts(784, N_CONDITIONS)[part]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert [(norm.num_features, norm.eps, norm.momentum) for norm in norms] == [(n, 1e-3, 0.01) for n in widths]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.2] * (part < 2)
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_sizes_between_the_layers_are_those_of_the_reading():
    with torch.device("meta"):
        rest = ConvRest(n_filters=4)
        sides, h = [], torch.zeros(2, 128)
        for layer in rest.layers:
            h = layer(h)
            if h.ndim == 4:
                sides.append(h.shape[-1])
    assert list(dict.fromkeys(sides)) == [2, 4, 7, 14, 28]


@pytest.mark.parametrize("size", [16, 20, 28, 32, 36, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_square_images(size, channels):
    encoder, first, rest = small(size, channels, n_latent=6, n_mmd=10)
    x, s = batch(channels * size**2, n_cells=4)
    mean, variance = encoder(x, s)
    assert mean.shape == variance.shape == (4, 6)
    assert (variance > 1e-4).all()
    y = first(mean, s)
    assert y.shape == (4, 10)
    assert rest(y).shape == x.shape
    assert rest(y).min() >= 0


def test_pixels_are_read_and_written_channel_by_channel():
    encoder, _, rest = small(channels=3)
    x, s = batch(3 * 256)
    seen = []
    encoder.hidden[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(x, s)
    images = x.numpy().reshape(-1, 3, 16, 16)
    np.testing.assert_array_equal(seen[0][:, 1:].detach(), images)  # the first channel is the condition's
    rest.layers[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = torch.rand(4, 128)
    np.testing.assert_array_equal(rest(y).detach(), seen[1].detach().numpy().reshape(4, -1))


def test_the_condition_reaches_both_sides():
    encoder, first, _ = (part.eval() for part in small())
    x, s = batch(256)
    other = s.roll(1, dims=1)
    assert not torch.allclose(encoder(x, s)[0], encoder(x, other)[0])
    z = torch.randn(12, 50)
    assert not torch.allclose(first(z, s), first(z, other))


def test_an_image_does_not_see_its_neighbours():
    encoder, first, rest = (part.eval() for part in small())
    x, s = batch(256)
    whole = rest(first(encoder(x, s)[0], s))
    part = rest(first(encoder(x[3:5], s[3:5])[0], s[3:5]))
    torch.testing.assert_close(whole[3:5], part)


def test_gradient_reaches_every_parameter():
    encoder, first, rest = small(output_activation="softplus")
    x, s = batch(256)
    mean, variance = encoder(x, s)
    x_new = rest(first(mean + variance.sqrt() * torch.randn_like(mean), s))
    ((x_new - x) ** 2).sum().backward()
    for part in (encoder, first, rest):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_an_autoencoder_has_no_variance():
    encoder, _, _ = small(variational=False)
    mean, variance = encoder(*batch(256))
    assert not variance.any()
    assert "head.log_variance.weight" not in encoder.state_dict()
    assert mean.shape == (12, 50)


def test_output_activation():
    _, _, rest = small(output_activation="linear")
    assert rest(torch.randn(20, 128)).min() < 0


@pytest.mark.parametrize("kernel", [3, 4])
def test_same_transpose_against_a_padded_convolution(kernel):
    layer = SameTranspose(2, 3, kernel)
    x = torch.rand(2, 2, 7, 5)
    # Transposing a convolution of stride 1 turns its kernel around; of k - 1 rows, (k - 1) // 2 are cut in front.
    turned = layer.conv.weight.flip(2, 3).transpose(0, 1)
    front, behind = kernel - 1 - (kernel - 1) // 2, kernel - 1 - kernel // 2
    padded = nn.functional.pad(x, (front, behind, front, behind))
    torch.testing.assert_close(layer(x), conv2d(padded, turned, layer.conv.bias))


def test_condition_image_repeats_pixels_where_asked():
    image = ConditionImage(N_CONDITIONS, 8, nn.ReLU(), dropout_rate=0, enlarge=2)
    small_image = image.layers[:-1](batch(1)[1])
    image.eval()
    assert small_image.shape == (12, 1, 4, 4)
    pixels = image(batch(1)[1]).detach().numpy()
    np.testing.assert_array_equal(pixels[:, :, ::2, ::2].repeat(2, axis=2).repeat(2, axis=3), pixels)


@pytest.mark.parametrize(
    ("image_shape", "text"),
    [
        ((28, 28), "must be .channels, height, width."),
        ((0, 28, 28), "must be .channels, height, width."),
        ((1, 28, 32), "the convolutional network takes square images whose side is a multiple of 4 and at least 16"),
        ((1, 30, 30), "multiple of 4"),
        ((1, 12, 12), "at least 16; pad or resize"),
    ],
)
def test_shapes_that_do_not_suit(image_shape, text):
    for part in (
        lambda: ConvEncoder(2, image_shape=image_shape),
        lambda: ConvFirst(2, image_shape=image_shape),
        lambda: ConvRest(image_shape=image_shape),
        lambda: conv_parts(int(np.prod(image_shape)), 2, image_shape=image_shape),
    ):
        with pytest.raises(DataError, match=text):
            part()


def test_cells_that_are_no_such_images():
    with pytest.raises(DataError, match=r"\(1, 28, 28\) has 784 pixels, but the data have 785 genes"):
        conv_parts(785, 2)
