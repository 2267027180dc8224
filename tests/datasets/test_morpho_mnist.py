"""Digits as cells: the files' bytes, the conditions, and what is said of files that cannot be read."""

import gzip
import struct

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from altercell._space import get_space
from altercell.data import hold_out
from altercell.datasets import morpho_mnist
from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics import stroke_thickness

N, HEIGHT, WIDTH = 9, 4, 6
IMAGES, LABELS, TABLE = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "t10k-morpho.csv"


def write_idx(path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(head + values.astype(np.uint8).tobytes()))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(N, HEIGHT, WIDTH))


@pytest.fixture
def folder(tmp_path, pixels):
    write_idx(tmp_path / IMAGES, pixels)
    write_idx(tmp_path / LABELS, np.arange(N) % 10)
    thickness = np.array([5.0, 1.0, 3.0, 2.0, 9.0, 4.0, 6.0, 8.0, 7.0])
    pd.DataFrame({"index": range(N), "thickness": thickness, "intensity": 10 * thickness}).to_csv(
        tmp_path / TABLE, index=False
    )
    return tmp_path


def test_pixels_are_the_files_bytes_over_255(folder, pixels):
    adata = morpho_mnist(folder)
    assert adata.X.dtype == np.float32
    np.testing.assert_allclose(adata.X, pixels.reshape(N, -1) / 255, rtol=1e-6)
    pixel = adata[:, "pixel_2_3"]
    assert (pixel.var["row"].item(), pixel.var["column"].item()) == (2, 3)
    np.testing.assert_allclose(pixel.X.ravel(), pixels[:, 2, 3] / 255, rtol=1e-6)


def test_conditions_are_the_thirds_of_the_thickness(folder):
    adata = morpho_mnist(folder)
    ranks = adata.obs["thickness"].rank().astype(int)
    wanted = ["thin"] * 3 + ["normal"] * 3 + ["thick"] * 3
    assert [wanted[rank - 1] for rank in ranks] == list(adata.obs["condition"])
    assert list(adata.obs["condition"].cat.categories) == ["normal", "thin", "thick"]
    np.testing.assert_allclose(adata.uns["thirds"], np.quantile(np.arange(1, 10), [1 / 3, 2 / 3]))


def test_digits_are_text_and_further_measurements_are_kept(folder):
    adata = morpho_mnist(folder)
    assert list(adata.obs["digit"]) == [str(i) for i in range(N)]
    assert adata.obs["digit"].dtype == "category"
    np.testing.assert_allclose(adata.obs["intensity"], 10 * adata.obs["thickness"])
    assert "index" not in adata.obs


def test_the_first_images_keep_the_conditions_of_all(folder):
    whole, part = morpho_mnist(folder), morpho_mnist(folder, n_images=4)
    assert part.n_obs == 4
    pd.testing.assert_frame_equal(part.obs, whole.obs.iloc[:4])
    np.testing.assert_array_equal(part.X, whole.X[:4])


def test_the_space_is_not_taken_for_logarithms(folder):
    adata = morpho_mnist(folder)
    assert get_space(adata) == "unknown"
    assert tuple(adata.uns["image_shape"]) == (1, HEIGHT, WIDTH)


def test_it_can_be_written(folder, tmp_path):
    adata = morpho_mnist(folder)
    adata.write_h5ad(tmp_path / "digits.h5ad")
    again = ad.read_h5ad(tmp_path / "digits.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    assert get_space(again) == "unknown"


def test_another_part(folder):
    for name in (IMAGES, LABELS, TABLE):
        (folder / name).rename(folder / name.replace("t10k", "train"))
    assert morpho_mnist(folder, part="train").obs_names[0] == "train_0"
    with pytest.raises(DataError, match=f"no '{IMAGES}', '{LABELS}', '{TABLE}'; .*biomedia-mira/causal-gen"):
        morpho_mnist(folder)


@pytest.mark.parametrize("name", [IMAGES, LABELS, TABLE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"has no '{name}'; the files are those of .*causal-gen"):
        morpho_mnist(folder)


@pytest.mark.parametrize("n_images", [0, -1, N + 1])
def test_numbers_of_images_that_are_not_there(folder, n_images):
    with pytest.raises(DataError, match=f"n_images={n_images} must be from 1 to {N}"):
        morpho_mnist(folder, n_images=n_images)


@pytest.mark.parametrize("keep", [0, 2, 10, 40])
def test_a_file_that_is_cut_off(folder, keep):
    path = folder / IMAGES
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=f"{IMAGES}' is (damaged|no whole IDX file)"):
        morpho_mnist(folder)


def test_a_flipped_byte_in_the_middle(folder):
    path = folder / IMAGES
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="damaged"):
        morpho_mnist(folder)


@pytest.mark.parametrize(
    "values", [np.zeros((N, HEIGHT * WIDTH)), np.zeros(N)], ids=["two axes", "labels in place of images"]
)
def test_another_number_of_axes(folder, values):
    write_idx(folder / IMAGES, values)
    with pytest.raises(DataError, match="no whole IDX file of bytes with 3 axes"):
        morpho_mnist(folder)


def test_values_that_do_not_fill_the_shape(folder):
    path = folder / LABELS
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0"))
    with pytest.raises(DataError, match="no whole IDX file of bytes with 1 axes"):
        morpho_mnist(folder)


def test_files_of_different_parts(folder):
    write_idx(folder / LABELS, np.arange(N - 1))
    with pytest.raises(DataError, match="has 9 images, 8 labels and 9 measurements"):
        morpho_mnist(folder)


def test_tables_that_do_not_fit(folder):
    table = pd.read_csv(folder / TABLE)
    table.iloc[::-1].to_csv(folder / TABLE, index=False)
    with pytest.raises(DataError, match="not in the order of the images; sort them by 'index'"):
        morpho_mnist(folder)
    table.assign(thickness=np.nan).to_csv(folder / TABLE, index=False)
    with pytest.raises(DataError, match="without a finite thickness"):
        morpho_mnist(folder)
    table.drop(columns="thickness").to_csv(folder / TABLE, index=False)
    with pytest.raises(KeyNotFoundError, match="no column 'thickness'; there are 'index', 'intensity'"):
        morpho_mnist(folder)


@pytest.fixture(scope="module")
def digits(real_data):
    return morpho_mnist(real_data / "morphomnist")


def test_real_digits(digits):
    assert digits.shape == (10_000, 784)
    assert digits.X.min() == 0
    assert 0.99 < digits.X.max() <= 1
    assert list(digits.obs["digit"].iloc[:5]) == ["7", "2", "1", "0", "4"]  # as in MNIST's own test part
    shares = digits.obs["condition"].value_counts(normalize=True)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.001)


def test_real_digits_can_be_held_out_as_in_the_paper(digits):
    held = [d for d in "0123456789" if d not in "1367"]
    train, real = hold_out(digits, control="normal", labels=held, labels_key="digit")
    assert set(train.obs["digit"][train.obs["condition"] != "normal"]) == set("1367")
    assert set(real.obs["digit"]) == set(held)
    assert set(real.obs["condition"]) == {"thin", "thick"}


def test_the_measured_thickness_of_real_digits_is_found_again(digits):
    some = digits[:1_000]
    ours = stroke_thickness(some.X)
    assert np.corrcoef(ours, some.obs["thickness"])[0, 1] > 0.93
    assert abs(np.median(ours - some.obs["thickness"])) < 0.2
