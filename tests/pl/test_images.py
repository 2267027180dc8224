import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError
from altercell.pl import image_grid

SHAPE = (4, 3)
GAP = 1


def make(n, seed, prefix="image"):
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame({"digit": np.resize([0, 1, 2], n)}, index=[f"{prefix}{i}" for i in range(n)])
    return AnnData(rng.uniform(size=(n, 12)).astype(np.float32), obs=obs)


@pytest.fixture
def source():
    return make(9, 0)


@pytest.fixture
def predicted(source):
    answer = source.copy()
    answer.X = answer.X / 2
    answer.uns["altercell"] = {"source": "normal", "target": "thick"}
    return answer


@pytest.fixture
def real():
    return make(7, 1, "real")


def shown(ax, row, column, shape=SHAPE):
    """The pixels of one image of the picture, NaN where it is blank."""
    height, width = shape
    picture = np.ma.filled(ax.images[0].get_array(), np.nan)
    top, left = row * (height + GAP), column * (width + GAP)
    return picture[top : top + height, left : left + width]


def ticks(labels):
    return [text.get_text() for text in labels]


def test_rows_are_source_predicted_and_real_on_the_given_axes(source, predicted, real, ax, figures_stay):
    before = [adata.copy() for adata in (source, predicted, real)]
    assert image_grid(source, predicted, real, image_shape=SHAPE, n_columns=3, ax=ax) is ax
    for row, (adata, rows) in enumerate(((source, (0, 4, 8)), (predicted, (0, 4, 8)), (real, (0, 3, 6)))):
        for column, image in enumerate(rows):
            np.testing.assert_allclose(shown(ax, row, column), adata.X[image].reshape(SHAPE), rtol=1e-6)
    assert ax.get_xlabel() == "3 of 9 images, evenly spaced"
    for adata, kept in zip((source, predicted, real), before, strict=True):
        np.testing.assert_array_equal(adata.X, kept.X)
        pd.testing.assert_frame_equal(adata.obs, kept.obs)


def test_without_real_images_there_are_two_rows(source, predicted):
    ax = image_grid(source, predicted, image_shape=SHAPE)
    assert ax.images[0].get_array().shape == (2 * 4 + GAP, 8 * 3 + 7 * GAP)
    assert len(ax.get_yticks()) == 2


def test_by_label_each_has_a_column_and_its_name_above(source, predicted, real):
    ax = image_grid(source, predicted, real[::-1], image_shape=SHAPE, labels_key="digit")
    assert ticks(ax.get_xticklabels()) == ["0", "1", "2"]
    assert ax.get_xlabel() == "3 of 9 images, by digit"
    for column, (own, other) in enumerate(((0, 6), (1, 4), (2, 5))):
        np.testing.assert_allclose(shown(ax, 0, column), source.X[own].reshape(SHAPE), rtol=1e-6)
        np.testing.assert_allclose(shown(ax, 1, column), predicted.X[own].reshape(SHAPE), rtol=1e-6)
        np.testing.assert_allclose(shown(ax, 2, column), real.X[other].reshape(SHAPE), rtol=1e-6)


def test_the_name_of_a_label_stands_over_the_middle_of_its_columns(source, predicted):
    ax = image_grid(source, predicted, image_shape=SHAPE, labels_key="digit", n_columns=4)
    assert ax.get_xticks().tolist() == [(1 + 5) / 2, 9, 13]


def test_a_label_without_real_images_is_left_blank(source, predicted, real):
    ax = image_grid(source, predicted, real[real.obs["digit"] != 1], image_shape=SHAPE, labels_key="digit")
    assert np.isnan(shown(ax, 2, 1)).all()
    assert np.isfinite(shown(ax, 2, 0)).all()
    assert np.isfinite(shown(ax, 1, 1)).all()


def test_rows_are_named_with_the_conditions_that_the_prediction_recorded(source, predicted, real):
    ax = image_grid(source, predicted, real, image_shape=SHAPE)
    assert ticks(ax.get_yticklabels()) == ["source\nnormal", "predicted\nthick", "real\nthick"]
    assert ax.get_yticks().tolist() == [1.5, 6.5, 11.5]
    del predicted.uns["altercell"]
    assert ticks(image_grid(source, predicted, image_shape=SHAPE).get_yticklabels()) == ["source", "predicted"]


def test_titles_name_the_rows(source, predicted):
    ax = image_grid(source, predicted, image_shape=SHAPE, titles=["before", "after"])
    assert ticks(ax.get_yticklabels()) == ["before", "after"]
    with pytest.raises(DataError, match="2 rows of images need as many titles; 3 were given"):
        image_grid(source, predicted, image_shape=SHAPE, titles=["a", "b", "c"])


def test_arrays_are_drawn_as_anndata_are(source, predicted, real):
    expected = image_grid(source, predicted, real, image_shape=SHAPE).images[0].get_array()
    flat = image_grid(source.X, predicted.X, real.X, image_shape=SHAPE)
    np.testing.assert_array_equal(flat.images[0].get_array(), expected)
    shaped = image_grid(*(adata.X.reshape(-1, 1, *SHAPE) for adata in (source, predicted, real)), image_shape=SHAPE)
    np.testing.assert_array_equal(shaped.images[0].get_array(), expected)


def test_black_and_white_are_the_extremes_of_the_measured_images_shown(source, predicted, real):
    predicted.X[0] = 50
    real.X[6] *= 3
    ax = image_grid(source, predicted, real, image_shape=SHAPE, n_columns=2)
    measured = np.concatenate([source.X[[0, 8]], real.X[[0, 6]]])
    assert ax.images[0].get_clim() == pytest.approx((measured.min(), measured.max()))
    ax = image_grid(source, predicted, real, image_shape=SHAPE, limits=(0, 255))
    assert ax.images[0].get_clim() == (0, 255)


def test_the_source_images_of_a_prediction_are_found_by_name(source, predicted):
    chosen = [7, 2, 5]
    ax = image_grid(source, predicted[chosen], image_shape=SHAPE)
    for column, image in enumerate(chosen):
        np.testing.assert_allclose(shown(ax, 0, column), source.X[image].reshape(SHAPE), rtol=1e-6)
        np.testing.assert_allclose(shown(ax, 1, column), predicted.X[image].reshape(SHAPE), rtol=1e-6)
    assert ax.get_xlabel() == "3 of 3 images, evenly spaced"


def test_names_of_others_are_matched_by_place(source, predicted):
    predicted.obs_names = [f"other{i}" for i in range(9)]
    ax = image_grid(source, predicted[::-1], image_shape=SHAPE, n_columns=1)
    np.testing.assert_allclose(shown(ax, 1, 0), predicted.X[8].reshape(SHAPE), rtol=1e-6)


def test_pixels_in_another_order_are_matched_by_name(source, predicted, real):
    expected = image_grid(source, predicted, real, image_shape=SHAPE).images[0].get_array()
    order = np.random.default_rng(0).permutation(12)
    ax = image_grid(source, predicted[:, order], real[:, order], image_shape=SHAPE)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    with pytest.raises(GeneMismatchError, match="real lacks 1 of the 12 genes"):
        image_grid(source, predicted, real[:, 1:], image_shape=SHAPE)


def test_images_in_colour_are_drawn_in_colour():
    images = np.random.default_rng(0).uniform(size=(4, 3, 6, 5))
    ax = image_grid(images, images, image_shape=(3, 6, 5), limits=(0, 1))
    picture = np.asarray(ax.images[0].get_array())
    assert picture.shape == (2 * 6 + 1, 4 * 5 + 3, 4)
    np.testing.assert_allclose(picture[:6, 6:11, :3], np.moveaxis(images[1], 0, -1))


def test_what_does_not_fit_is_refused_and_opens_no_figure(source, predicted, real):
    for arguments, kwargs, error, text in (
        ((source.X, predicted.X[:5]), {}, DataError, "9 source and 5 predicted images"),
        ((source.X[:0], predicted.X[:0]), {}, DataError, "source has no images"),
        ((source, predicted, real[:0]), {}, DataError, "real has no images"),
        ((source, predicted), {"image_shape": (5, 5)}, DataError, "source has 12 pixels an image"),
        ((source, predicted), {"image_shape": (12,)}, DataError, r"image_shape=\(12,\) must be"),
        ((source, predicted), {"labels_key": "number"}, KeyNotFoundError, r"source has no obs\['number'\]"),
        ((source.X, predicted.X), {"labels_key": "digit"}, DataError, "needs AnnData"),
        ((source, predicted), {"n_columns": 0}, DataError, "n_columns=0 must be at least 1"),
    ):
        with pytest.raises(error, match=text):
            image_grid(*arguments, **({"image_shape": SHAPE} | kwargs))
    assert plt.get_fignums() == []
