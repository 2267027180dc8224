"""Tests of Gaussian mixtures in principal components."""

import numpy as np
import pytest
from anndata import AnnData

import altercell as ac
from altercell.errors import DataError


def blobs(centres, n=400, n_genes=6):
    """Return log data far above 0 around centres, each with its own covariance, all of one class."""
    rng = np.random.default_rng(0)
    parts = [centre + rng.normal(size=(n, n_genes)) @ (0.2 * rng.normal(size=(n_genes, n_genes))) for centre in centres]
    data = AnnData(np.concatenate(parts).astype(np.float32))
    data.obs["cell_type"] = "one"
    return data


def test_means_and_covariances_are_those_of_the_cells(fit, dense):
    data = blobs([8.0])
    made = dense(fit(ac.GaussianCells, data, n_pcs=5).generate(20_000, seed=0)).astype(float)
    values = dense(data).astype(float)
    np.testing.assert_allclose(made.mean(axis=0), values.mean(axis=0), atol=0.02)
    centred = values - values.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    plane = vectors[:, 1:] @ vectors[:, 1:].T  # all components but the smallest
    expected = plane @ np.cov(values, rowvar=False) @ plane
    np.testing.assert_allclose(np.cov(made, rowvar=False), expected, atol=0.03 * np.abs(expected).max())


def test_several_gaussians_find_what_one_does_not(fit, dense):
    data = blobs([5.0, 9.0])
    near = {}
    for n_components in (1, 2):
        model = fit(ac.GaussianCells, data.copy(), n_components=n_components)
        means = dense(model.generate(2_000, seed=0)).mean(axis=1)
        near[n_components] = ((means > 6.5) & (means < 7.5)).mean()
    assert near[1] > 0.1
    assert near[2] < 0.02


@pytest.mark.filterwarnings("ignore:Category .* has fewer than 3 cells")
def test_few_cells(logs, fit, dense):
    single = logs[np.r_[0, np.flatnonzero(logs.obs["cell_type"] != logs.obs["cell_type"].iloc[0])]].copy()
    name = single.obs["cell_type"].iloc[0]
    made = dense(fit(ac.GaussianCells, single, n_components=5, n_pcs=300).generate({name: 50}, seed=0))
    np.testing.assert_allclose(made.mean(axis=0), dense(single)[0], atol=0.1)
    assert (made >= 0).all()


def test_it_needs_no_cells_once_it_is_fitted(logs, fit, dense, tmp_path):
    model = fit(ac.GaussianCells, logs.copy(), n_components=2)
    model.save(tmp_path / "model")
    alone = ac.GaussianCells.load(tmp_path / "model")
    whole, parts = (dense(one.generate(9, seed=1, batch_size=size)) for one, size in ((model, 9), (alone, 2)))
    np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-5)


def test_what_it_refuses(logs, counts, fit):
    with pytest.raises(DataError, match="log"):
        fit(ac.GaussianCells, counts.copy())
    with pytest.raises(DataError, match="n_components=0 and n_pcs=50 must be at least 1"):
        fit(ac.GaussianCells, logs.copy(), n_components=0)


def test_few_training_cells_and_others_attached(logs, fit, dense, tmp_path):
    model = fit(ac.GaussianCells, logs[:30].copy())
    model.save(tmp_path / "model")
    other = ac.GaussianCells.load(tmp_path / "model", adata=logs[:30].copy())
    np.testing.assert_array_equal(*(dense(one.generate(9, seed=1)) for one in (model, other)))
    wider = ac.GaussianCells.load(tmp_path / "model", adata=logs.copy())
    np.testing.assert_array_equal(*(dense(one.generate(9, seed=1)) for one in (model, wider)))
