"""Tests of the way between two noise points and between two classes."""

import numpy as np
import pytest
import torch

import altercell as ac
from altercell.errors import DataError, GroupError


def dense(cells):
    return cells.X.toarray() if hasattr(cells.X, "toarray") else cells.X


def test_the_ends_are_what_the_generator_makes(scgan):
    noise = np.random.default_rng(0).standard_normal((2, 4))
    made = scgan.interpolate(7, noise=noise)
    with torch.no_grad():
        ends = scgan.module.make(torch.from_numpy(noise.astype(np.float32)), torch.zeros(2, dtype=torch.int64)).numpy()
    np.testing.assert_allclose(dense(made)[[0, -1]], ends, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(made.obs["fraction"], np.linspace(0, 1, 7))
    assert made.uns["altercell"]["verb"] == "interpolate"
    assert "seed" not in made.uns["altercell"]
    assert list(made.var_names) == list(scgan.schema.genes)


def test_noise_goes_along_the_arc(scgan):
    # From e_1 to e_2, the middle is (e_1 + e_2) / sqrt(2), as long as the ends.
    noise = np.eye(4)[:2]
    middle = scgan.interpolate(3, noise=noise)
    alone = scgan.interpolate(2, noise=(noise[0] + noise[1]) / np.sqrt(2))
    np.testing.assert_allclose(dense(middle)[1], dense(alone)[0], rtol=1e-4, atol=1e-3)
    # Of parallel points the way is straight.
    straight = scgan.interpolate(3, noise=np.stack([noise[0], 3 * noise[0]]))
    np.testing.assert_allclose(
        dense(straight)[1], dense(scgan.interpolate(2, noise=2 * noise[0]))[0], rtol=1e-4, atol=1e-3
    )


def test_between_two_classes_the_noise_stays(cscgan):
    noise = np.random.default_rng(1).standard_normal(4)
    made = dense(cscgan.interpolate(5, labels=["type_0", "type_1"], noise=noise))
    ends = [dense(cscgan.interpolate(2, labels=name, noise=noise))[0] for name in ("type_0", "type_1")]
    np.testing.assert_allclose(made[[0, -1]], np.stack(ends), rtol=1e-4, atol=1e-3)
    assert np.abs(made[2] - made[0]).max() > 1e-3
    drawn = dense(cscgan.interpolate(5, labels=["type_0", "type_1"], seed=3))
    np.testing.assert_array_equal(drawn, dense(cscgan.interpolate(5, labels=["type_0", "type_1"], seed=3)))
    back = dense(cscgan.interpolate(5, labels=["type_1", "type_0"], seed=3))
    np.testing.assert_allclose(drawn, back[::-1], rtol=1e-4, atol=1e-3)


def test_the_middle_of_two_classes_has_the_mean_scales(cscgan):
    norm = cscgan.module.generator.norms[0]
    h, half = torch.randn(6, 8), torch.tensor([[0.5, 0.5, 0.0]]).repeat(6, 1)
    mean = (norm(h, torch.zeros(6, dtype=torch.int64)) + norm(h, torch.ones(6, dtype=torch.int64))) / 2
    torch.testing.assert_close(norm(h, half), mean)
    one_hot = torch.eye(3)[torch.tensor([2, 1, 0, 0, 1, 2])]
    torch.testing.assert_close(norm(h, one_hot), norm(h, one_hot.argmax(dim=1)))


def test_logarithms_and_conditions(counts, fit):
    model = fit(ac.CscGAN, counts.copy(), n_steps=1, classes="both")
    ask = {"labels": "type_1", "condition": ["control", "stimulated"], "seed": 0}
    made, log = (model.interpolate(4, output=output, **ask) for output in ("model", "log"))
    np.testing.assert_allclose(dense(log), np.log1p(dense(made) / 2), rtol=1e-5)
    assert log.uns["altercell"]["space"] == "log1p of counts per 10,000"


def test_what_it_refuses(cscgan, scgan):
    with pytest.raises(GroupError, match="labels= is needed: this CscGAN makes cells of them"):
        cscgan.interpolate(3)
    with pytest.raises(GroupError, match="labels= has 3 names; give one, or a pair"):
        cscgan.interpolate(3, labels=["type_0", "type_1", "type_2"])
    with pytest.raises(GroupError, match="labels='none' is no label"):
        cscgan.interpolate(3, labels=["type_0", "none"])
    with pytest.raises(GroupError, match="condition=.*'control'.*: this CscGAN tells labels apart"):
        cscgan.interpolate(3, labels="type_0", condition="control")
    with pytest.raises(GroupError, match="this ScGAN tells no classes apart"):
        scgan.interpolate(3, labels="type_0")
    with pytest.raises(DataError, match=r"noise has shape \(3,\); give finite numbers of shape \(2, 4\) or \(4,\)"):
        scgan.interpolate(3, noise=np.zeros(3))
    with pytest.raises(DataError, match="n=1 must be at least 2"):
        scgan.interpolate(1)
    with pytest.raises(DataError, match="output='counts' is unknown; there are 'model', 'log'"):
        scgan.interpolate(3, output="counts")
