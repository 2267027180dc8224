"""Tests of measured cells with generated ones behind them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import altercell as ac
from altercell.errors import DataError, NotTrainedError


def dense(values):
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


@pytest.fixture(scope="module")
def counts():
    data = ac.datasets.simulate_response(300, 40, 3, seed=0)
    data.obs["tidy"], data.obs["score"] = True, np.arange(300)
    data.obs["donor"] = pd.Categorical(np.where(np.arange(300) % 2, "x", "y"))
    data.var["symbol"] = [name.upper() for name in data.var_names]
    return data


def sampler(data, Model=ac.NeighbourBootstrap, **keys):
    Model.setup_anndata(data, labels_key="cell_type", **keys)
    model = Model(data)
    model.train()
    return model


def test_generated_counts_follow_the_measured_ones(counts, tmp_path):
    model = sampler(counts.copy())
    both = model.augment({"type_1": 30}, seed=0)
    assert both.obs["generated"].tolist() == [False] * 300 + [True] * 30
    np.testing.assert_array_equal(dense(both.X)[:300], dense(counts.X))
    np.testing.assert_array_equal(dense(both.X)[300:], dense(model.generate({"type_1": 30}, seed=0).X))
    assert (both.obs["cell_type"][300:] == "type_1").all()
    assert both.obs["cell_type"].cat.categories.equals(counts.obs["cell_type"].cat.categories)
    assert both.obs["tidy"].tolist()[:300] == [True] * 300
    assert both.obs[["tidy", "score", "donor"]][300:].isna().all(axis=None)
    assert both.var["symbol"].tolist() == counts.var["symbol"].tolist()
    assert both.uns["altercell"]["generated"]["model"] == "NeighbourBootstrap"
    assert not any(name.startswith("_scvi") for name in both.obs)
    both.write_h5ad(tmp_path / "both.h5ad")
    again = ad.read_h5ad(tmp_path / "both.h5ad")
    assert again.obs["generated"].sum() == 30
    sampler(ac.data.normalize(again), ac.GaussianCells)  # it goes on as any other data do


def test_log_data_are_scaled_as_the_measured_cells(counts):
    logs = ac.data.select_genes(ac.data.normalize(counts), 20)
    model = sampler(logs, layer="counts", size_factor_key="size_factor")
    with pytest.raises(DataError, match="size_factor"):
        model.augment(10, seed=0)  # a sampler of the chosen genes alone does not know the cells' totals
    whole = ac.data.normalize(counts, target_sum=5_000)
    both = sampler(whole, layer="counts").augment(50, seed=0)
    made = both[both.obs["generated"].to_numpy()]
    values, totals = dense(made.layers["counts"]), made.obs["size_factor"].to_numpy()
    np.testing.assert_array_equal(values, np.rint(values))
    np.testing.assert_array_equal(totals, values.sum(axis=1))
    np.testing.assert_allclose(dense(made.X), np.log1p(5_000 * values / totals[:, None]), rtol=1e-5)
    np.testing.assert_array_equal(dense(both.layers["counts"])[:300], dense(counts.X))
    sc.pp.pca(both, n_comps=5)


def test_a_gan_of_chosen_genes(counts):
    logs = ac.data.select_genes(ac.data.normalize(counts), 20)
    ac.CscGAN.setup_anndata(logs, layer="counts", labels_key="cell_type", size_factor_key="size_factor")
    model = ac.CscGAN(logs, n_hidden=(8, 16), n_latent=4)
    model.train(n_steps=2, batch_size=50, accelerator="cpu", enable_progress_bar=False)
    both = model.augment(40, labels="type_2", seed=0)
    made = both[both.obs["generated"].to_numpy()]
    assert both.n_vars == 20
    assert both.uns["altercell"]["n_genes_total"] == 40
    totals = made.obs["size_factor"].to_numpy()[:, None]
    np.testing.assert_allclose(dense(made.X), np.log1p(1e4 * dense(made.layers["counts"]) / totals), rtol=1e-5)
    assert totals.sum() > dense(made.layers["counts"]).sum()
    assert (made.obs["cell_type"] == "type_2").all()


def test_other_cells_and_a_second_time(counts):
    model = sampler(counts.copy())
    other = ac.datasets.simulate_response(50, 40, 3, seed=1)[:, ::-1].copy()
    both = model.augment(5, adata=other, seed=0)
    assert list(both.var_names) == list(counts.var_names)
    np.testing.assert_array_equal(dense(both[:50].X), dense(other[:, counts.var_names].X))
    twice = model.augment(5, adata=both, seed=1, key="again")
    assert twice.n_obs == 60
    assert twice.obs_names.is_unique
    with pytest.raises(DataError, match="key='generated' is a column of adata.obs already"):
        model.augment(5, adata=both)


def test_what_it_refuses(counts, tmp_path):
    logs = ac.data.normalize(counts)
    with pytest.raises(DataError, match="makes 'log1p of counts per 10,000', which cannot be brought to .*'counts'"):
        sampler(logs, ac.GaussianCells).augment(5, adata=counts)
    model = sampler(counts.copy(), ac.SimulatedCells)
    model.save(tmp_path / "model")
    with pytest.raises(NotTrainedError, match="this SimulatedCells has no cells to append to; give adata="):
        ac.SimulatedCells.load(tmp_path / "model").augment(5)
    with pytest.raises(NotTrainedError):
        ac.SimulatedCells(model.adata).augment(5)


def test_cells_on_disk_and_of_dask(counts, tmp_path):
    data = counts.copy()
    data.X = sparse.csr_matrix(data.X)
    model = sampler(data)
    data.write_h5ad(tmp_path / "cells.h5ad")
    whole = model.augment(5, seed=0)
    backed = model.augment(5, adata=ad.read_h5ad(tmp_path / "cells.h5ad", backed="r"), seed=0)
    np.testing.assert_array_equal(dense(whole.X), dense(backed.X))
    import dask.array as da

    lazy = data.copy()
    lazy.X = da.from_array(dense(data.X), chunks=(100, -1)).map_blocks(sparse.csr_matrix)
    np.testing.assert_array_equal(dense(whole.X), dense(model.augment(5, adata=lazy, seed=0).X))
