import numpy as np
import pytest
import torch
from scipy import sparse

from altercell import CVAE, MMDCVAE, MMDAutoencoder, TrVAE
from altercell.errors import DataError, GroupError

SMALL = {"n_hidden": (16, 8), "n_latent": 4}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
KEYS = {"batch_key": "condition", "labels_key": "cell_type"}


def dense(adata):
    return adata.X.toarray() if sparse.issparse(adata.X) else adata.X


def trained(adata, Model=TrVAE, epochs=3, setup=None, **options):
    Model.setup_anndata(adata, **{**KEYS, **(setup or {})})
    model = Model(adata, **{**SMALL, **options})
    model.train(max_epochs=epochs, **QUIET)
    return model


def test_predict_decodes_the_latent_point_of_the_source_under_the_target(cells):
    model = trained(cells)
    answer = model.predict(source="control", target="stimulated", labels="T")
    where = np.flatnonzero((cells.obs["condition"] == "control") & (cells.obs["cell_type"] == "T"))
    latent = model.get_latent_representation(indices=where)
    np.testing.assert_allclose(dense(answer), model.decode(latent, condition="stimulated"), rtol=1e-5, atol=1e-6)
    assert list(answer.obs_names) == list(cells.obs_names[where])
    assert set(answer.obs["condition"]) == {"stimulated"}
    other = model.predict(source="control", target="other", labels="T")
    assert np.abs(dense(other) - dense(answer)).max() > 1e-3


def test_any_condition_can_be_the_source(cells):
    model = trained(cells)
    back = model.predict(source="stimulated", target="control", labels=["B", "NK"])
    assert back.n_obs == 28
    with pytest.raises(GroupError, match="no cell of condition 'stimulated' has cell_type 'T'"):
        model.predict(source="stimulated", target="control", labels="T")


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_counts(counts, likelihood):
    model = trained(counts, gene_likelihood=likelihood, setup={"size_factor_key": "total"})
    answer = model.predict(source="control", target="stimulated", output="log")
    assert answer.uns["altercell"]["space"] == "log1p of counts per 10,000"
    as_counts = model.predict(source="control", target="stimulated")
    total = as_counts.obs["total"].to_numpy()[:, None]
    np.testing.assert_allclose(dense(answer), np.log1p(dense(as_counts) / total * 1e4), rtol=1e-4, atol=1e-5)
    assert as_counts.uns["altercell"]["space"] == "counts"


def test_counts_decode_needs_a_total(counts):
    model = trained(counts, gene_likelihood="nb")
    with pytest.raises(DataError, match="a count model decodes to counts of a total; give size_factor="):
        model.decode(np.zeros((2, 4)), condition="control")


def test_the_mmd_layer_is_that_of_each_cells_own_condition(cells):
    model = trained(cells)
    layer = model.get_mmd_representation(batch_size=50)
    assert layer.shape == (120, 8)
    np.testing.assert_allclose(model.get_mmd_representation(indices=[3, 70]), layer[[3, 70]], rtol=1e-4, atol=1e-5)
    other = cells[[3, 70]].copy()
    np.testing.assert_allclose(model.get_mmd_representation(other), layer[[3, 70]], rtol=1e-4, atol=1e-5)


def test_the_mmd_pulls_the_conditions_together(cells):
    TrVAE.setup_anndata(cells, **KEYS)
    codes = torch.tensor(cells.obs["condition"].cat.codes.to_numpy().astype(np.int64))

    def discrepancy(weight):
        model = TrVAE(cells, **SMALL, mmd_weight=weight, reconstruction_weight=1.0)
        model.train(max_epochs=30, batch_size=40, train_size=1.0, plan_kwargs={"lr": 1e-2}, **QUIET)
        return float(model.module.mmd(torch.tensor(model.get_mmd_representation()), codes))

    assert discrepancy(1000.0) < 0.3 * discrepancy(0.0)


def test_training_batches_hold_all_conditions_alike(cells):
    cells.obs["condition"] = cells.obs["condition"].cat.add_categories("unused")
    TrVAE.setup_anndata(cells, **KEYS)
    model = TrVAE(cells, **SMALL)
    data = model._data_module(1.0, 30, 0, 0)
    for batch in data.train_dataloader():
        assert np.bincount(batch["batch"].numpy().ravel(), minlength=3)[:3].tolist() == [10, 10, 10]


def test_validation_batches_mix_the_conditions(cells):
    ordered = cells[np.argsort(cells.obs["condition"], kind="stable")].copy()
    TrVAE.setup_anndata(ordered, **KEYS)
    model = TrVAE(ordered, **SMALL)
    data = model._data_module(0.5, 30, 0, 0)
    assert sorted(np.concatenate(list(data.val_batches))) == sorted(data.val_idx)
    order = model._training_cells().condition_codes[np.concatenate(list(data.val_batches))]
    assert (np.diff(order) < 0).any()


def test_history_has_every_term(cells):
    model = trained(cells, epochs=2)
    for name in ("train_loss", "mmd_train", "kl_local_train", "reconstruction_loss_validation", "mmd_validation"):
        assert len(model.history[name]) == 2


@pytest.mark.parametrize(
    ("Model", "wanted"),
    [
        (CVAE, {"mmd_weight": 0, "kl_weight": 1e-3, "reconstruction_weight": 1}),
        (MMDCVAE, {"mmd_weight": 1, "kl_weight": 1e-3, "reconstruction_weight": 1, "mmd_on": "latent"}),
        (MMDAutoencoder, {"mmd_weight": 1, "kl_weight": 0, "mmd_on": "latent", "variational": False, "n_latent": 20}),
    ],
)
def test_presets_are_trvae_with_other_arguments(cells, tmp_path, Model, wanted):
    Model.setup_anndata(cells, **KEYS)
    model = Model(cells)
    assert {name: getattr(model.module, name) for name in wanted} == wanted
    small = trained(cells, Model, epochs=2, **({"n_latent": 4} if Model is MMDAutoencoder else {}))
    answer = small.predict(source="control", target="stimulated")
    small.save(tmp_path)
    loaded = Model.load(tmp_path)
    again = loaded.predict(cells, source="control", target="stimulated")
    np.testing.assert_array_equal(dense(again), dense(answer))
    assert isinstance(loaded, Model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mmd_on": "encoder"}, "mmd_on='encoder' is unknown; there are 'decoder', 'latent'"),
        ({"mmd_estimator": "w"}, "mmd_estimator='w' is unknown"),
        ({"network": "transformer"}, "network='transformer' is unknown; there are 'mlp', 'conv', 'unet'"),
        ({"batch_norm": "none"}, "batch_norm='none' is unknown"),
        ({"output_activation": "tanh"}, "output_activation='tanh' is unknown"),
        ({"n_hidden": 800}, "n_hidden=800 must be the widths of the hidden blocks"),
        ({"n_hidden": np.array([])}, "must be the widths of the hidden blocks"),
        ({"kernel_widths": [1.0, 0.0]}, "kernel_widths=.* must be numbers above 0"),
        ({"mmd_weight": -1.0}, "must not be negative"),
        ({"image_shape": (1, 5, 6)}, "image_shape= belongs to network='conv' or network='unet'"),
        ({"network": "conv"}, r"network='conv' needs image_shape=\(channels, height, width\)"),
        (
            {"network": "conv", "image_shape": (1, 28, 28)},
            r"image_shape=\(1, 28, 28\) has 784 pixels, but the data have 30 genes",
        ),
        (
            {"network": "conv", "image_shape": (1, 5, 6), "batch_norm": "first"},
            "batch_norm='first' belongs to network='mlp'",
        ),
    ],
)
def test_arguments_that_cannot_be(cells, options, message):
    TrVAE.setup_anndata(cells, **KEYS)
    with pytest.raises(DataError, match=message):
        TrVAE(cells, **options)


def test_image_networks_refuse_counts(counts):
    TrVAE.setup_anndata(counts, **KEYS)
    with pytest.raises(DataError, match="network='conv' draws pixels, not counts"):
        TrVAE(counts, network="conv", image_shape=(1, 5, 6), gene_likelihood="nb")
    with pytest.raises(DataError, match="X holds pixels up to .*; scale them to 0..1, such as adata.X = adata.X / "):
        TrVAE(counts, network="conv", image_shape=(1, 5, 6))


def test_negative_values_need_a_linear_output(cells):
    cells.X = dense(cells) - 1
    TrVAE.setup_anndata(cells, **KEYS)
    with pytest.raises(
        DataError, match=r"X holds negative values \(down to -1\), .*output_activation='relu' cannot give"
    ):
        TrVAE(cells, **SMALL)
    answer = trained(cells, output_activation="linear").predict(source="control", target="stimulated")
    assert "the model was set up on values down to -1, which no logarithms" in " ".join(
        answer.uns["altercell"]["trust"]
    )


def test_training_sees_every_condition(cells):
    other = np.flatnonzero(cells.obs["condition"] == "other")
    rare = cells[np.setdiff1d(np.arange(120), other[1:])]
    for seed in range(12):
        data = rare.copy()
        with pytest.warns(UserWarning, match="fewer than 3 cells"):
            TrVAE.setup_anndata(data, **KEYS)
        model = TrVAE(data, seed=seed, **SMALL)
        model.train(max_epochs=1, train_size=0.5, **QUIET)
        assert "other" in set(data.obs["condition"].iloc[model.train_indices_])
        assert not set(model.train_indices_) & set(model.validation_indices_)
        assert len(model.train_indices_) + len(model.validation_indices_) == data.n_obs
    model = trained(cells, epochs=1)
    with pytest.raises(GroupError, match="validation_indices= has every cell of condition 'other', of which nothing"):
        model.train(max_epochs=1, validation_indices=other, **QUIET)


def test_logarithms_of_expected_counts_are_doubted(counts):
    model = trained(counts, gene_likelihood="nb", setup={"size_factor_key": "total"})
    ask = {"source": "control", "target": "stimulated", "output": "log", "seed": 0}
    said = {way: " ".join(model.predict(cells=way, **ask).uns["altercell"]["trust"]) for way in ("decoded", "sampled")}
    assert "cells='sampled' draws counts" in said["decoded"]
    assert "sampled" not in said["sampled"]


def test_one_hidden_block_is_enough(cells):
    answer = trained(cells, n_hidden=[8]).predict(source="control", target="stimulated")
    assert answer.shape == (54, 30)
