import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from altercell.errors import DataError, GeneMismatchError
from altercell.pl._mosaic import as_shape, draw_mosaic, read_images

SHAPE = (1, 2, 3)


@pytest.fixture
def pixels():
    return np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.fixture
def adata(pixels):
    return AnnData(sp.csr_matrix(pixels), var=pd.DataFrame(index=[f"pixel{i}" for i in range(6)]))


def test_shapes_without_channels_have_one():
    assert as_shape((28, 20)) == (1, 28, 20)
    assert as_shape([3, 64, 64]) == (3, 64, 64)
    assert as_shape(np.array([1, 28, 20])) == (1, 28, 20)


@pytest.mark.parametrize("shape", [(28,), (2, 28, 28), (64, 64, 3), (0, 28), (1, 1, 28, 28), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match=r"must be \(height, width\), or \(channels, height, width\)"):
        as_shape(shape)


def test_rows_are_read_in_the_order_asked_channels_last(pixels):
    images = read_images(pixels, [3, 0], SHAPE, "source")
    assert images.shape == (2, 2, 3, 1)
    np.testing.assert_array_equal(images[..., 0], pixels[[3, 0]].reshape(2, 2, 3))
    colours = read_images(pixels, [1], (3, 1, 2), "source")
    np.testing.assert_array_equal(colours[0, 0, 1], [pixels[1, 1], pixels[1, 3], pixels[1, 5]])


def test_all_kinds_of_images_are_read_alike(pixels, adata, tmp_path):
    adata.write_h5ad(tmp_path / "images.h5ad")
    backed = ad.read_h5ad(tmp_path / "images.h5ad", backed="r")
    expected = read_images(pixels, [2, 0], SHAPE, "source")
    for images in (adata, backed, sp.csr_matrix(pixels), pixels.reshape(4, 2, 3), pixels.astype(int)):
        np.testing.assert_array_equal(read_images(images, [2, 0], SHAPE, "source"), expected)
    backed.file.close()


def test_a_place_without_an_image_is_nan(pixels, adata):
    for images in (pixels, adata):
        read = read_images(images, [None, 2, None], SHAPE, "real")
        assert np.isnan(read[[0, 2]]).all()
        np.testing.assert_array_equal(read[1, ..., 0], pixels[2].reshape(2, 3))
    assert np.isnan(read_images(pixels, [None], SHAPE, "real")).all()


def test_pixels_are_matched_by_name(pixels, adata):
    mixed = adata[:, [5, 3, 1, 0, 2, 4]]
    read = read_images(mixed, [1], SHAPE, "predicted", adata.var_names)
    np.testing.assert_array_equal(read[0, ..., 0], pixels[1].reshape(2, 3))
    with pytest.raises(GeneMismatchError, match="predicted lacks 1 of the 6 genes"):
        read_images(adata[:, 1:], [1], SHAPE, "predicted", adata.var_names)


def test_pixels_that_do_not_fill_the_shape_are_refused(pixels):
    with pytest.raises(DataError, match=r"source has 6 pixels an image; .*\(1, 4, 4\) make 16"):
        read_images(pixels, [0], (1, 4, 4), "source")


def test_values_that_are_not_finite_are_refused(pixels, adata):
    pixels[1, 2] = np.inf
    with pytest.raises(DataError, match="predicted holds NaN or infinite values"):
        read_images(pixels, [1], SHAPE, "predicted")
    adata.X[1, 2] = np.nan
    with pytest.raises(DataError, match="predicted holds NaN or infinite values"):
        read_images(adata, [1], SHAPE, "predicted")


def test_images_stand_in_rows_and_columns_clear_of_each_other(ax):
    images = np.random.default_rng(0).uniform(size=(2, 3, 24, 12, 1))
    x, y = draw_mosaic(ax, images, (0, 1))
    picture = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert picture.shape == (2 * 24 + 2, 3 * 12 + 2 * 2)
    np.testing.assert_array_equal(picture[26:50, 14:26], images[1, 1, ..., 0])
    np.testing.assert_array_equal(picture[:24, 28:], images[0, 2, ..., 0])
    assert np.isnan(picture[24:26]).all()
    assert np.isnan(picture[:, [12, 13, 26, 27]]).all()
    assert x.tolist() == [5.5, 19.5, 33.5]
    assert y.tolist() == [11.5, 37.5]


def test_grey_images_share_the_limits_and_are_not_smoothed(ax):
    draw_mosaic(ax, np.zeros((1, 1, 3, 3, 1)), (-1, 4))
    assert ax.images[0].get_clim() == (-1, 4)
    assert ax.images[0].get_cmap().name == "gray"
    assert ax.images[0].get_interpolation() == "nearest"


def test_colours_are_scaled_by_the_limits_and_clipped_and_gaps_are_clear(ax):
    images = np.full((1, 3, 2, 2, 3), 6.0)
    images[0, 1] = [0, 1, 20]
    images[0, 2] = np.nan
    draw_mosaic(ax, images, (0, 10))
    picture = np.asarray(ax.images[0].get_array())
    assert picture.shape == (2, 8, 4)
    np.testing.assert_allclose(picture[0, 0], [0.6, 0.6, 0.6, 1])
    np.testing.assert_allclose(picture[1, 3], [0, 0.1, 1, 1])
    np.testing.assert_array_equal(picture[:, [2, 5, 6, 7], 3], 0)
