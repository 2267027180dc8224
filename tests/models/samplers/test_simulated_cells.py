"""Tests of the simulator that is fitted to the data."""

import numpy as np
import pytest
from anndata import AnnData

import altercell as ac
from altercell.errors import DataError


def negative_binomial(n=4_000, n_genes=25):
    """Return counts with known rates, log-normal totals and dispersions, of two classes."""
    rng = np.random.default_rng(0)
    rates, phi = rng.dirichlet(np.full(n_genes, 2.0), 2), rng.uniform(0.1, 1.5, n_genes)
    classes = np.repeat([0, 1], n // 2)
    totals = np.exp(np.array([5.0, 6.0])[classes] + np.array([0.2, 0.4])[classes] * rng.normal(size=n))
    mu = totals[:, None] * rates[classes]
    data = AnnData(rng.poisson(mu * rng.gamma(1 / phi, phi, mu.shape)).astype(np.float32))
    data.obs["cell_type"] = np.array(["a", "b"])[classes]
    return data, rates, phi


def test_rates_totals_and_dispersions_come_back(fit, dense):
    data, rates, phi = negative_binomial()
    model = fit(ac.SimulatedCells, data)
    made = model.generate({"a": 3_000, "b": 3_000}, seed=0)
    for number, name in enumerate("ab"):
        mine = dense(made)[(made.obs["cell_type"] == name).to_numpy()].astype(float)
        np.testing.assert_allclose(mine.sum(axis=0) / mine.sum(), rates[number], rtol=0.1, atol=2e-3)
        measured = dense(data)[(data.obs["cell_type"] == name).to_numpy()]
        np.testing.assert_allclose((mine == 0).mean(axis=0), (measured == 0).mean(axis=0), atol=0.04)
        totals, real = np.log(mine.sum(axis=1)), np.log(measured.sum(axis=1))
        assert totals.mean() == pytest.approx(real.mean(), abs=0.1)
    fitted = model.module.dispersion.numpy()
    assert np.corrcoef(fitted, phi)[0, 1] > 0.9
    np.testing.assert_allclose(np.median(fitted / phi), 1, atol=0.15)


def test_genes_are_independent_within_a_class(fit, dense):
    data, _, _ = negative_binomial()
    values = dense(data).copy()
    values[:, 1] = values[:, 0]
    data.X = values
    made = dense(fit(ac.SimulatedCells, data).generate({"a": 3_000}, seed=0))
    shares = made / made.sum(axis=1, keepdims=True)
    assert abs(np.corrcoef(shares[:, 0], shares[:, 1])[0, 1]) < 0.2


def test_it_needs_no_cells_and_no_batches(counts, logs, fit, dense, tmp_path):
    model = fit(ac.SimulatedCells, counts.copy())
    model.save(tmp_path / "model")
    alone = ac.SimulatedCells.load(tmp_path / "model")
    np.testing.assert_array_equal(
        *(dense(one.generate(9, seed=1, batch_size=size)) for one, size in ((model, 9), (alone, 2)))
    )
    with pytest.raises(DataError, match="counts"):
        fit(ac.SimulatedCells, logs.copy())
