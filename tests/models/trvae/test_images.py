"""trVAE on images: the whole life of a small one, and the paper's digits where the real data are."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from altercell import TrVAE
from altercell.data import hold_out
from altercell.datasets import morpho_mnist
from altercell.errors import DataError
from altercell.metrics import stroke_thickness

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
KEYS = {"batch_key": "condition", "labels_key": "digit"}
HELD_OUT = list("024589")


def dense(adata: AnnData) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)


def random_images(n: int, shape: tuple[int, int, int], conditions: tuple[str, ...]) -> AnnData:
    """Images whose brightness is that of their condition, so that there is something to learn."""
    rng = np.random.default_rng(0)
    codes = np.arange(n) % len(conditions)
    images = rng.uniform(size=(n, int(np.prod(shape)))) * (codes[:, None] + 1) / len(conditions)
    obs = pd.DataFrame(
        {"condition": np.array(conditions)[codes], "digit": np.array(["one", "two"])[np.arange(n) * 2 // n]},
        index=[f"image_{i}" for i in range(n)],
    )
    return AnnData(images.astype(np.float32), obs=obs.astype("category"))


@pytest.fixture(scope="module")
def small():
    """A convolutional network on images of 16 x 16 pixels after one epoch, and the images."""
    images = random_images(60, (1, 16, 16), ("normal", "thin", "thick"))
    TrVAE.setup_anndata(images, **KEYS)
    model = TrVAE(images, network="conv", image_shape=(1, 16, 16), n_latent=4, n_hidden=(8,))
    model.train(max_epochs=1, batch_size=30, **QUIET)
    return model, images


def test_a_small_network_predicts_images(small):
    model, images = small
    answer = model.predict(source="normal", target="thick", labels="one")
    where = (images.obs["condition"] == "normal") & (images.obs["digit"] == "one")
    assert list(answer.obs_names) == list(images.obs_names[where])
    assert set(answer.obs["condition"]) == {"thick"}
    assert np.isfinite(dense(answer)).all()
    assert dense(answer).min() >= 0
    other = model.predict(source="normal", target="thin", labels="one")
    assert np.abs(dense(other) - dense(answer)).max() > 0
    assert model.get_mmd_representation().shape == (60, 8)


def test_a_small_network_is_the_same_after_saving(small, tmp_path):
    model, images = small
    model.save(tmp_path)
    again = TrVAE.load(tmp_path)
    asked = {"source": "normal", "target": "thin"}
    np.testing.assert_array_equal(dense(again.predict(images, **asked)), dense(model.predict(**asked)))


def test_a_killed_training_goes_on_with_the_same_weights(small, tmp_path):
    _, images = small

    def trained(*stops: int, **options):
        for stop in stops:
            model = TrVAE(images, network="conv", image_shape=(1, 16, 16), n_latent=4, n_hidden=(8,), seed=3)
            model.train(max_epochs=stop, batch_size=30, **options, **QUIET)
        return model.module.state_dict()

    whole, resumed = trained(3), trained(1, 3, resume_dir=tmp_path)
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, resumed[name], err_msg=name)


def test_training_learns_a_condition_that_is_a_brightness():
    images = random_images(120, (1, 16, 16), ("dark", "bright"))
    TrVAE.setup_anndata(images, **KEYS)
    options = {"n_latent": 4, "n_hidden": (16,), "mmd_weight": 1.0, "mmd_estimator": "u"}
    model = TrVAE(images, network="conv", image_shape=(1, 16, 16), **options)
    model.train(max_epochs=30, batch_size=20, train_size=1.0, plan_kwargs={"lr": 5e-3}, **QUIET)
    dark, bright = (dense(images[images.obs["condition"] == name]).mean() for name in ("dark", "bright"))
    assert dense(model.predict(source="dark", target="bright")).mean() > (dark + bright) / 2
    assert dense(model.predict(source="bright", target="dark")).mean() < (dark + bright) / 2


def test_the_unet_trains_a_step_on_coloured_images():
    images = random_images(6, (3, 64, 64), ("plain", "smiling"))
    TrVAE.setup_anndata(images, **KEYS)
    model = TrVAE(images, network="unet", image_shape=(3, 64, 64))
    before = {name: tensor.clone() for name, tensor in model.module.named_parameters()}
    model.train(max_epochs=1, batch_size=6, train_size=1.0, early_stopping=False, **QUIET)
    moved = [name for name, tensor in model.module.named_parameters() if not np.array_equal(before[name], tensor.data)]
    assert len(moved) == len(before)
    answer = model.predict(source="plain", target="smiling")
    assert answer.shape == (3, 3 * 64 * 64)
    assert np.isfinite(dense(answer)).all()
    assert model.get_latent_representation().shape == (6, 60)


def test_images_that_the_network_cannot_take():
    images = random_images(6, (1, 16, 16), ("normal", "thin"))
    TrVAE.setup_anndata(images, **KEYS)
    with pytest.raises(DataError, match="has 400 pixels, but the data have 256 genes"):
        TrVAE(images, network="conv", image_shape=(1, 20, 20))
    with pytest.raises(DataError, match="square images whose side is a multiple of 32"):
        TrVAE(images, network="unet", image_shape=(1, 16, 16))


@pytest.mark.real
def test_digits_that_were_never_seen_thin_or_thick(real_data):
    from sklearn.svm import SVC

    digits = morpho_mnist(real_data / "morphomnist", n_images=6_000)
    for_judge = np.arange(digits.n_obs) < 2_000
    judge = SVC(C=10).fit(digits.X[for_judge], digits.obs["digit"][for_judge])
    train, real = hold_out(digits[~for_judge].copy(), control="normal", labels=HELD_OUT, labels_key="digit")
    TrVAE.setup_anndata(train, **KEYS)
    model = TrVAE(
        train, network="conv", image_shape=(1, 28, 28), reconstruction_weight=1.0, kl_weight=0.01, mmd_weight=10.0,
        mmd_estimator="u",
    )  # fmt: skip
    model.train(max_epochs=25, batch_size=64, train_size=1.0, **QUIET)

    normal = train[(train.obs["condition"] == "normal") & train.obs["digit"].isin(HELD_OUT)].copy()
    some = normal[:300].copy()
    source = stroke_thickness(some.X).mean()
    for target, side in (("thin", -1), ("thick", 1)):
        answer = model.predict(some, source="normal", target=target)
        truth = stroke_thickness(real[real.obs["condition"] == target][:300].X).mean()
        moved = stroke_thickness(answer.X).mean() - source
        assert side * moved > 0.25 * side * (truth - source), target
        assert judge.score(dense(answer), answer.obs["digit"]) > 0.6, target
