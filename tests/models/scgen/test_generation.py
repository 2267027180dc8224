import anndata as ad
import numpy as np
import pandas as pd
import pytest

from altercell import ScGen
from altercell.errors import DataError, GroupError, NotTrainedError


def close(a, b, rtol=1e-4, atol=1e-4) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def test_generated_cells_come_from_posteriors_of_training_cells(model, oracle):
    made = model.generate(40, seed=0)
    assert made.shape == (40, 30)
    assert made.obs_names[:2].tolist() == ["generated_0", "generated_1"]
    seeds = model.adata.obs.loc[made.obs["seed_cell"]]
    assert made.obs["cell_type"].tolist() == seeds["cell_type"].tolist()
    assert made.obs["condition"].tolist() == seeds["condition"].tolist()
    assert not any(name.startswith("_scvi") for name in made.obs)
    account = made.uns["altercell"]
    assert (account["verb"], account["origin"], account["seed"]) == ("generate", "posterior", 0)
    assert "too little variance" in account["trust"][0]
    pd.testing.assert_frame_equal(made.var, model.adata.var)


def test_a_generated_cell_scatters_around_its_seed_cell_as_its_posterior_does(cells, make_model, oracle):
    model = make_model(cells, epochs=1)
    paper = oracle(model.module)
    where = np.flatnonzero((cells.obs["condition"] == "other") & (cells.obs["cell_type"] == "NK"))
    mean, variance = paper.encode(cells.X[where])
    noise = np.random.default_rng(0).normal(size=(300, *mean.shape))
    wanted = paper.decode((mean + np.sqrt(variance) * noise).reshape(-1, 4))
    made = model.generate(3_000, condition="other", labels="NK", seed=0).X
    spread = wanted.std(axis=0) / np.sqrt(len(made))
    assert (np.abs(made.mean(axis=0) - wanted.mean(axis=0)) < 6 * spread).all()
    close(made.std(axis=0), wanted.std(axis=0), rtol=0.1)


def test_cells_from_the_prior_decode_standard_normal_points(model, oracle):
    made = model.generate(4_000, origin="prior", seed=0)
    wanted = oracle(model.module).decode(np.random.default_rng(0).normal(size=(20_000, 4)))
    assert (np.abs(made.X.mean(axis=0) - wanted.mean(axis=0)) < 6 * wanted.std(axis=0) / np.sqrt(4_000)).all()
    close(made.X.std(axis=0), wanted.std(axis=0), rtol=0.1)
    assert list(made.obs) == []
    assert made.var_names.tolist() == model.schema.genes.tolist()


@pytest.mark.parametrize("origin", ["prior", "posterior"])
def test_generated_cells_are_a_function_of_their_seed(model, origin):
    first, again, other, free = (model.generate(20, origin=origin, seed=seed) for seed in (1, 1, 2, None))
    np.testing.assert_array_equal(first.X, again.X)
    assert (first.X != other.X).any()
    np.testing.assert_array_equal(model.generate(20, origin=origin, seed=free.uns["altercell"]["seed"]).X, free.X)


def test_any_number_of_cells_of_any_group(model):
    assert model.generate(1).n_obs == 1
    made = model.generate(300, condition="other", labels="T", batch_size=64)
    assert made.n_obs == 300
    assert set(made.obs["condition"]) == {"other"}
    assert set(made.obs["cell_type"]) == {"T"}
    assert set(model.generate(50, labels="B").obs["cell_type"]) == {"B"}


def test_generated_cells_on_disk(model, tmp_path):
    backed = model.generate(25, seed=1, path=tmp_path / "a.h5ad", batch_size=10)
    backed.file.close()
    close(ad.read_h5ad(tmp_path / "a.h5ad").X, model.generate(25, seed=1, batch_size=25).X)


def test_generated_counts_have_a_total(nb_model):
    made = nb_model.generate(30, seed=0)
    total = nb_model.adata[made.obs["seed_cell"]].X.sum(axis=1)
    close(made.X.sum(axis=1), total, rtol=1e-4)
    close(nb_model.generate(5, size_factor=1_000.0, seed=0).X.sum(axis=1), 1_000, rtol=1e-4)
    middle = np.sort(nb_model.adata.X.sum(axis=1))[59]  # of 120, the lower of the two in the middle
    close(nb_model.generate(5, origin="prior", seed=0).X.sum(axis=1), middle, rtol=1e-4)
    close(nb_model.generate(5, origin="prior", size_factor=50.0, seed=0).X.sum(axis=1), 50, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, DataError, "n=0 must be at least 1"),
        ({"n": 3, "origin": "posteriors"}, DataError, "origin='posteriors' is unknown; there are 'posterior', 'prior'"),
        ({"n": 3, "origin": "prior", "labels": "B"}, GroupError, "the prior knows no groups; use origin='posterior'"),
        ({"n": 3, "origin": "prior", "condition": "other"}, GroupError, "the prior knows no groups"),
        ({"n": 3, "condition": "x"}, GroupError, "condition='x' is no condition"),
        ({"n": 3, "labels": "x"}, GroupError, "labels='x' is no label"),
        (
            {"n": 3, "condition": "stimulated", "labels": "T"},
            GroupError,
            "no training cell is of condition 'stimulated' and label 'T'",
        ),
    ],
)
def test_what_cannot_be_generated(model, options, error, message):
    with pytest.raises(error, match=message):
        model.generate(**options)


def test_without_cells_only_the_prior_can_be_sampled(model, nb_model, tmp_path):
    model.save(tmp_path, prefix="log_")
    nb_model.save(tmp_path, prefix="nb_")
    loaded, counts = ScGen.load(tmp_path, prefix="log_"), ScGen.load(tmp_path, prefix="nb_")
    np.testing.assert_array_equal(
        loaded.generate(7, origin="prior", seed=0).X, model.generate(7, origin="prior", seed=0).X
    )
    with pytest.raises(
        NotTrainedError, match="origin='posterior' draws from the training cells, and this model has none"
    ):
        loaded.generate(7)
    with pytest.raises(
        NotTrainedError, match="size_factor= is needed: this model has no training cells to take a total from"
    ):
        counts.generate(7, origin="prior")
    assert counts.generate(7, origin="prior", size_factor=100.0).n_obs == 7
