import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from altercell import ScGen
from altercell.errors import DataError, GeneMismatchError, GroupError, KeyNotFoundError

ASK = {"source": "control", "target": "stimulated"}
KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
SMALL = {"n_hidden": 16, "n_latent": 4}


@pytest.fixture(scope="session")
def zinb_model(make_cells, make_model):
    """Zero-inflated counts whose totals are over more genes than are registered."""
    return make_model(make_cells(counts=True), {"size_factor_key": "total"}, gene_likelihood="zinb")


def close(a, b, rtol=1e-4, atol=1e-4) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("target", ["stimulated", "other"])
@pytest.mark.parametrize("labels", [None, "T", ["B", "NK"]])
def test_a_prediction_is_the_decoded_sum_of_mean_and_delta(model, oracle, rows, target, labels):
    predicted = model.predict(source="control", target=target, labels=labels)
    wanted = labels or ["B", "NK", "T"]
    where = [row for row in rows(model.adata, "control") if model.adata.obs["cell_type"].iloc[row] in wanted]
    paper = oracle(model.module)
    z = paper.encode(model.adata.X[where])[0] + model.get_delta("control", target)
    close(predicted.X, paper.decode(z))
    assert predicted.obs_names.tolist() == model.adata.obs_names[where].tolist()
    assert (predicted.obs["condition"] == target).all()


@pytest.mark.parametrize(
    "options",
    [
        {"types": "all"},
        {"types": ["NK"]},
        {"weights": "unbalanced"},
        {"weights": "unbalanced", "types": "all"},
        {"weights": "resampled", "seed": 3},
    ],
)
def test_the_options_of_the_delta_reach_it(model, options):
    delta = model.get_delta("control", "stimulated", **options)
    given = model.predict(**ASK, delta=delta)
    np.testing.assert_array_equal(model.predict(**ASK, **options).X, given.X)
    assert np.abs(given.X - model.predict(**ASK).X).max() > 1e-3


@pytest.mark.parametrize("labels", ["T", ["T"], ("T",), np.array(["T"])])
def test_the_nearest_types_are_those_near_to_the_asked_one(model, labels):
    delta = model.get_delta("control", "stimulated", nearest=1, nearest_to="T")
    np.testing.assert_array_equal(
        model.predict(**ASK, labels=labels, nearest=1).X, model.predict(**ASK, labels="T", delta=delta).X
    )


@pytest.mark.parametrize("labels", [None, ["B", "T"]])
def test_nearest_needs_one_type(model, labels):
    with pytest.raises(GroupError, match="nearest= needs the one cell type to be near to; give it as labels="):
        model.predict(**ASK, labels=labels, nearest=1)


def test_no_delta_is_the_reconstruction(model, oracle, rows):
    where = rows(model.adata, "control")
    paper = oracle(model.module)
    predicted = model.predict(**ASK, delta=np.zeros(4))
    close(predicted.X, paper.decode(paper.encode(model.adata.X[where])[0]))


@pytest.mark.parametrize("delta", [np.zeros(3), np.zeros((1, 4)), 0.0])
def test_a_delta_of_another_shape_is_refused(model, delta):
    with pytest.raises(DataError, match=r"delta has shape \(.*\); the latent space has \(4,\)"):
        model.predict(**ASK, delta=delta)


def test_the_account_says_which_delta(model):
    account = model.predict(**ASK, labels="T").uns["altercell"]
    assert account["options"] == "weights=balanced, types=shared, output=model"
    assert account["arguments"].startswith("n_hidden=16, n_layers=2, n_latent=4, dropout_rate=0.2, kl_weight=5e-05")
    assert "seed" not in account
    account = model.predict(**ASK, labels="T", nearest=1, delta=np.zeros(4)).uns["altercell"]
    assert account["options"] == "delta=given, weights=balanced, types=shared, output=model, nearest=1, nearest_to=T"


def test_the_seed_of_a_random_delta_is_recorded(model):
    free = model.predict(**ASK, weights="resampled")
    again = model.predict(**ASK, weights="resampled", seed=free.uns["altercell"]["seed"])
    np.testing.assert_array_equal(free.X, again.X)
    assert (model.predict(**ASK, weights="resampled", seed=1).X != free.X).any()


def test_cells_and_genes_in_another_order_and_more_genes(model, cells):
    wanted = model.predict(**ASK)
    noise = np.random.default_rng(0).random((120, 4), dtype=np.float32)
    more = ad.concat([AnnData(noise, cells.obs, pd.DataFrame(index=list("wxyz"))), cells], axis=1)
    more.obs = cells.obs
    rng = np.random.default_rng(1)
    shuffled = more[rng.permutation(120), rng.permutation(34)].copy()
    predicted = model.predict(shuffled, **ASK)[wanted.obs_names]
    close(predicted.X, wanted.X, rtol=1e-5, atol=1e-5)
    assert predicted.var_names.tolist() == wanted.var_names.tolist()


def test_a_subset_of_the_prediction_is_the_prediction_of_the_subset(model, cells):
    whole = model.predict(**ASK)
    some = cells[np.random.default_rng(0).permutation(120)[:40]].copy()
    predicted = model.predict(some, **ASK)
    close(predicted.X, whole[predicted.obs_names].X, rtol=1e-5, atol=1e-5)
    for batch_size in (1, 53, 54):  # 54 control cells: a last batch of one, and none
        close(model.predict(**ASK, batch_size=batch_size).X, whole.X, rtol=1e-5, atol=1e-5)


def test_missing_genes_are_named(model, cells):
    with pytest.raises(GeneMismatchError, match="3 of the model's 30 genes are missing: 'gene_0', 'gene_1', 'gene_2'"):
        model.predict(cells[:, 3:].copy(), **ASK)


def test_a_prediction_on_disk_is_the_one_in_memory(model, nb_model, tmp_path):
    for number, (subject, options) in enumerate([(model, {}), (nb_model, {"output": "log"})]):
        path = tmp_path / f"{number}.h5ad"
        backed = subject.predict(**ASK, path=path, batch_size=7, **options)
        backed.file.close()
        close(ad.read_h5ad(path).X, subject.predict(**ASK, **options).X, rtol=1e-5, atol=1e-5)
        assert (
            ad.read_h5ad(path).uns["altercell"]["options"]
            == subject.predict(**ASK, **options).uns["altercell"]["options"]
        )


@pytest.mark.parametrize("name", ["nb_model", "zinb_model"])
@pytest.mark.parametrize("labels", [None, "T"])
def test_predicted_counts_are_the_expected_ones_of_the_cells_total(name, labels, oracle, rows, request):
    model = request.getfixturevalue(name)
    adata, paper = model.adata, oracle(model.module)
    where = rows(adata, "control", labels)
    total = adata.X[where].sum(axis=1) if name == "nb_model" else adata.obs["total"].to_numpy()[where]
    total = total.astype(np.float64)
    z = paper.encode(adata.X[where], total)[0] + model.get_delta("control", "stimulated")
    decoded = paper.decode_counts(z, total)
    expected = decoded.mean * (1 - decoded.zero)
    predicted = model.predict(**ASK, labels=labels)
    close(predicted.X, expected, rtol=1e-3, atol=1e-3)
    assert predicted.uns["altercell"]["space"] == "counts"
    log = model.predict(**ASK, labels=labels, output="log")
    close(log.X, np.log(1 + expected / total[:, None] * 10_000), rtol=1e-3, atol=1e-3)
    assert log.uns["altercell"]["space"] == "log1p of counts per 10,000"


def test_totals_over_all_genes_leave_room_for_the_others(zinb_model):
    predicted = zinb_model.predict(**ASK)
    assert (np.asarray(predicted.X.sum(axis=1)).ravel() < predicted.obs["total"]).all()
    assert zinb_model.module.decoder.share.out_features == 31


def test_size_factors_of_other_cells_are_read_and_needed(zinb_model, counts):
    wanted = zinb_model.predict(**ASK)
    counts.obs["total"] *= 2
    deeper = zinb_model.predict(counts, **ASK)
    assert (np.asarray(deeper.X.sum(axis=1)) > 1.5 * np.asarray(wanted.X.sum(axis=1))).all()
    del counts.obs["total"]
    with pytest.raises(KeyNotFoundError, match=r"obs has no column 'total' \(size_factor_key of the model\); add it"):
        zinb_model.predict(counts, **ASK)


def test_a_choice_of_genes_without_totals_is_warned_of(counts):
    counts.uns["altercell"] = {"space": "counts", "n_genes_total": 2_000}
    ScGen.setup_anndata(counts, **KEYS)
    with pytest.warns(
        UserWarning, match="a cell's total is the sum over 30 of 2000 genes; name the total .*size_factor_key="
    ):
        ScGen(counts, gene_likelihood="nb", **SMALL)
    ScGen.setup_anndata(counts, size_factor_key="total", **KEYS)
    ScGen(counts, gene_likelihood="nb", **SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl": "none"}, "kl='none' is unknown; there are 'standard', 'variance_only'"),
        ({"gene_likelihood": "poisson"}, "gene_likelihood='poisson' is unknown; there are 'gaussian', 'nb', 'zinb'"),
        ({"output_activation": "tanh"}, "output_activation='tanh' is unknown; there are 'linear', 'relu', 'softplus'"),
    ],
)
def test_unknown_options_of_the_model(cells, options, message):
    ScGen.setup_anndata(cells, **KEYS)
    with pytest.raises(DataError, match=message):
        ScGen(cells, **options)


def test_unknown_options_of_predict(model):
    with pytest.raises(DataError, match="output='counts' is unknown; there are 'model', 'log'"):
        model.predict(**ASK, output="counts")
    with pytest.raises(TypeError, match="unexpected keyword argument 'stim'"):
        model.predict(**ASK, stim=1)
    with pytest.raises(DataError, match="weights='even' is unknown"):
        model.predict(**ASK, weights="even")


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_an_output_that_cannot_be_negative(cells, make_model, activation, oracle, rows):
    model = make_model(cells, epochs=1, output_activation=activation)
    predicted = model.predict(**ASK)
    values = predicted.X if isinstance(predicted.X, np.ndarray) else predicted.X.toarray()
    assert values.min() >= 0
    paper = oracle(model.module)
    linear = paper.decode(paper.encode(cells.X[rows(cells, "control")])[0] + model.get_delta("control", "stimulated"))
    close(values, np.maximum(linear, 0) if activation == "relu" else np.logaddexp(0, linear))


def test_the_papers_modified_divergence_trains_another_model(cells, make_cells, make_model):
    standard, modified = make_model(cells, kl_weight=1.0), make_model(make_cells(), kl="variance_only", kl_weight=1.0)
    assert modified.history_["kl_local_train"].iloc[-1, 0] != standard.history_["kl_local_train"].iloc[-1, 0]
    for model in (standard, modified):
        frame = {name: values.iloc[-1, 0] for name, values in model.history_.items()}
        wanted = frame["reconstruction_loss_train"] + 0.5 * frame["kl_local_train"]
        assert frame["train_loss"] == pytest.approx(wanted, rel=1e-5)


def test_the_defaults_are_the_papers(cells, monkeypatch):
    ScGen.setup_anndata(cells, **KEYS)
    model = ScGen(cells)
    assert model.init_params_["non_kwargs"] == {
        "n_hidden": 800,
        "n_layers": 2,
        "n_latent": 100,
        "dropout_rate": 0.2,
        "kl_weight": 5e-5,
        "kl": "standard",
        "gene_likelihood": "gaussian",
        "output_activation": "linear",
        "seed": 0,
    }
    asked = {}
    monkeypatch.setattr("altercell.models.base.TrainingMixin.train", lambda self, *a, **k: asked.update(k, epochs=a[0]))
    model.train()
    assert asked == {"epochs": 100, "batch_size": 32}


def test_setup_with_conditions_alone_is_enough(cells, make_model, oracle, rows):
    model = make_model(cells, {"labels_key": None}, epochs=1)
    predicted = model.predict(**ASK)
    paper = oracle(model.module)
    latent = paper.encode(cells.X)[0]
    delta = latent[rows(cells, "stimulated")].mean(axis=0) - latent[rows(cells, "control")].mean(axis=0)
    close(predicted.X, paper.decode(latent[rows(cells, "control")] + delta))
    assert "labels_key" not in predicted.uns["altercell"]
