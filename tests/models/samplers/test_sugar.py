"""Tests of SUGAR: even coverage, the diffusion beside plain NumPy, the published scaling."""

import numpy as np
import pytest
from anndata import AnnData

import altercell as ac
from altercell.errors import DataError
from altercell.models.samplers import _sugar


def line(n=600, rare=0.1):
    """Return log data along a line of five genes, nine tenths of them in its lower half."""
    rng = np.random.default_rng(0)
    place = np.where(np.arange(n) < rare * n, rng.uniform(0.5, 1, n), rng.uniform(0, 0.5, n))
    values = 3 + 4 * place[:, None] * np.array([1, 1, 1, 0.5, 0]) + 0.05 * rng.normal(size=(n, 5))
    data = AnnData(values.astype(np.float32))
    data.obs["cell_type"] = "one"
    return data


def test_rare_places_are_filled(fit, dense):
    data = line()
    made = dense(fit(ac.Sugar, data, equalise=True).generate(2_000, seed=0))
    place = (made[:, :3].mean(axis=1) - 3) / 4
    assert 0.35 < (place > 0.5).mean() < 0.65
    assert place.min() > -0.1
    assert place.max() < 1.1
    plain = dense(fit(ac.Sugar, data.copy()).generate(2_000, seed=0))
    assert ((plain[:, :3].mean(axis=1) - 3) / 4 > 0.5).mean() < 0.2
    # They lie along the line.
    np.testing.assert_allclose(made[:, 3] - 3, (made[:, :3].mean(axis=1) - 3) / 2, atol=0.15)


def test_the_diffusion_is_that_of_the_formula(monkeypatch):
    rng = np.random.default_rng(0)
    points, cells, gamma = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)), 0.7

    def kernel(a, b):
        return np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(axis=2))

    degrees = kernel(cells, cells).sum(axis=1)
    pairs = (kernel(points, cells) / degrees) @ kernel(cells, points)
    expected = pairs @ points / pairs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(_sugar._smoothed(points, cells, degrees, gamma), expected, rtol=1e-10)
    monkeypatch.setattr(_sugar, "BLOCK", 7)
    np.testing.assert_allclose(_sugar._smoothed(points, cells, degrees, gamma), expected, rtol=1e-10)
    far = np.vstack([points, np.full((1, 3), 1e3)])
    np.testing.assert_array_equal(_sugar._smoothed(far, cells, degrees, gamma)[-1], far[-1])


def test_points_are_drawn_with_the_covariance_of_the_neighbours(monkeypatch):
    monkeypatch.setattr(_sugar, "_smoothed", lambda points, *_: points)
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(6, 3)) @ rng.normal(size=(3, 3))
    model = object.__new__(ac.Sugar)
    model.equalise = False
    model.n_neighbors = 10  # more than there are: all cells are neighbours of each
    drawn = model._around(cells, 60_000, rng)
    # The spread of the seeds, each cell as often as the others, and that of the neighbours around each.
    expected = np.cov(cells, rowvar=False, ddof=0) + np.cov(cells, rowvar=False)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), expected, atol=0.03 * np.trace(expected))


def test_genes_are_scaled_as_published(fit, dense, logs):
    data = line()
    model = fit(ac.Sugar, data, rescale=True)
    reference = np.random.default_rng(model.seed)
    plain = fit(ac.Sugar, data.copy())
    pca = _sugar.fit_pcs(dense(data), 50)
    drawn = np.maximum(pca.inverse_transform(plain._around(pca.transform(dense(data)), 600, reference)), 0)
    scale = np.quantile(dense(data), 0.99, axis=0) / drawn.max(axis=0)
    np.testing.assert_allclose(dense(model.generate(30, seed=0)), dense(plain.generate(30, seed=0)) * scale, rtol=1e-3)
    np.testing.assert_allclose(_sugar._high_values(np.array([[0.0] * 200 + [3.0]]).T), 3)
    # A class's scale is its own, and not that of what is asked for.
    classes = fit(ac.Sugar, logs.copy(), rescale=True)
    alone, among = (dense(classes.generate(n, seed=0)) for n in ({"type_1": 40}, {"type_1": 40, "type_2": 40}))
    real = dense(logs[(logs.obs["cell_type"] == "type_1").to_numpy()])
    for made in (alone, among[:40]):
        assert (made.max(axis=0) <= 1.2 * real.max(axis=0) + 1e-6).all()


@pytest.mark.filterwarnings("ignore:Category .* has fewer than 3 cells")
def test_one_cell_and_batches(logs, fit, dense):
    single = logs[np.r_[0, np.flatnonzero(logs.obs["cell_type"] != logs.obs["cell_type"].iloc[0])]].copy()
    model = fit(ac.Sugar, single)
    made = dense(model.generate({single.obs["cell_type"].iloc[0]: 4}, seed=0))
    np.testing.assert_array_equal(made, np.repeat(made[:1], 4, axis=0))
    np.testing.assert_allclose(*(dense(model.generate(30, seed=2, batch_size=size)) for size in (30, 7)), rtol=1e-5)
    with pytest.raises(DataError, match="n_neighbors=1 must be at least 2"):
        fit(ac.Sugar, logs.copy(), n_neighbors=1)
