import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData

from altercell import SCVI
from altercell.errors import DataError, KeyNotFoundError, SpaceMismatchError

ASK = {"source": "control", "target": "stimulated"}
KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
CONDITIONS = ("control", "other", "stimulated")
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def dense(adata: AnnData) -> np.ndarray:
    return adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray()


def one_hot(condition: str, n_cells: int) -> np.ndarray:
    return np.tile(np.eye(3)[CONDITIONS.index(condition)], (n_cells, 1))


def theirs(model: SCVI, adata: AnnData) -> scvi.model.SCVI:
    """A model of scvi-tools with the weights of ours, whose posterior has no variance, so that it decodes the mean."""
    scvi.model.SCVI.setup_anndata(adata, batch_key="condition")
    arguments = {"n_hidden", "n_latent", "n_layers", "dropout_rate", "gene_likelihood", "encode_covariates"}
    given = {name: value for name, value in model._constructor_arguments().items() if name in arguments}
    other = scvi.model.SCVI(adata, **given)
    state = model.module.state_dict()
    other.module.load_state_dict({name: state[name] for name in other.module.state_dict()})
    other.is_trained_ = True
    other.module.eval()
    return other


def without_noise(other: scvi.model.SCVI) -> scvi.model.SCVI:
    encoder = other.module.z_encoder
    encoder.var_eps = 0.0
    with torch.no_grad():
        encoder.var_encoder.weight.zero_()
        encoder.var_encoder.bias.fill_(-60.0)
    return other


@pytest.mark.parametrize("name", ["zinb", "with_totals"])
@pytest.mark.parametrize("target", ["stimulated", "other"])
def test_a_prediction_is_that_of_transform_batch(request, rows, name, target, make_cells):
    model, adata = request.getfixturevalue(name), make_cells(counts=True)
    where = rows(adata, "control")
    other = without_noise(theirs(model, adata))
    options = {"indices": where, "transform_batch": target, "return_numpy": True}
    share = other.get_normalized_expression(library_size=1, **options)
    total = adata.X[where].sum(1, keepdims=True)
    mean = other.get_normalized_expression(library_size="latent", **options)
    np.testing.assert_allclose(mean, share * total, rtol=1e-5)
    ours = model.predict(source="control", target=target)
    if name == "zinb":
        # They give the mean before technical zeros; ours is the expected count, which these thin.
        latent = torch.tensor(model.get_latent_representation(indices=where))
        codes = torch.full((len(where), 1), CONDITIONS.index(target))
        with torch.inference_mode():
            zeros = other.module.generative(latent, torch.zeros(len(where), 1), codes)["px"].zi_probs
        mean = mean * (1 - zeros.numpy())
    np.testing.assert_allclose(dense(ours), mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["zinb", "with_totals"])
def test_the_representation_is_that_of_scvi_tools(request, name, make_cells):
    model = request.getfixturevalue(name)
    wanted = theirs(model, make_cells(counts=True)).get_latent_representation()
    np.testing.assert_allclose(model.get_latent_representation(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("labels", [None, "T", ["B", "NK"]])
def test_a_prediction_is_the_mean_decoded_under_the_target(zinb, scvi_oracle, rows, labels):
    predicted = zinb.predict(**ASK, labels=labels)
    wanted = [labels] if isinstance(labels, str) else labels or ["B", "NK", "T"]
    where = [row for row in rows(zinb.adata, "control") if zinb.adata.obs["cell_type"].iloc[row] in wanted]
    paper, x = scvi_oracle(zinb.module), zinb.adata.X[where]
    parts = paper.decode(paper.encode(x)[0], x.sum(1), one_hot("stimulated", len(x)))
    np.testing.assert_allclose(dense(predicted), parts.mean * (1 - parts.zero), rtol=1e-3)
    assert predicted.obs_names.tolist() == zinb.adata.obs_names[where].tolist()
    assert predicted.uns["altercell"]["space"] == zinb.space


def test_the_encoder_is_given_the_source(with_totals, scvi_oracle, rows):
    predicted = with_totals.predict(source="other", target="control")
    x = with_totals.adata.X[rows(with_totals.adata, "other")]
    paper = scvi_oracle(with_totals.module)
    mean = paper.encode(x, one_hot("other", len(x)))[0]
    wanted = paper.decode(mean, x.sum(1), one_hot("control", len(x))).mean
    np.testing.assert_allclose(dense(predicted), wanted, rtol=1e-3)


def test_only_an_encoder_that_sees_conditions_needs_them(zinb, with_totals, counts):
    del counts.obs["condition"]
    np.testing.assert_allclose(
        zinb.get_latent_representation(counts), zinb.get_latent_representation(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(KeyNotFoundError, match=r"obs has no column 'condition' \(batch_key of the model\)"):
        with_totals.get_latent_representation(counts)


def test_a_cell_keeps_the_share_of_its_counts_that_falls_on_these_genes(with_totals, rows):
    """The total of a prediction is that of the source cell's genes; in log space it is over the cell's own total."""
    source = with_totals.adata[rows(with_totals.adata, "control")]
    mean, log = with_totals.predict(**ASK), with_totals.predict(**ASK, output="log")
    of_genes, of_all = source.X.sum(1), source.obs["total"].to_numpy()
    np.testing.assert_allclose(dense(mean).sum(1), of_genes, rtol=1e-4)
    np.testing.assert_allclose(np.expm1(dense(log).astype(np.float64)).sum(1), 1e4 * of_genes / of_all, rtol=1e-4)
    np.testing.assert_allclose(dense(log), np.log1p(dense(mean) / of_all[:, None] * 1e4), rtol=1e-4, atol=1e-6)
    assert log.uns["altercell"]["space"] == "log1p of counts per 10,000"


def test_a_deeper_cell_with_these_counts_is_the_same_cell_with_a_smaller_share(with_totals, counts):
    counts.obs["total"] *= 2
    np.testing.assert_allclose(dense(with_totals.predict(counts, **ASK)), dense(with_totals.predict(**ASK)), rtol=1e-5)
    once, twice = (dense(with_totals.predict(data, **ASK, output="log")) for data in (None, counts))
    np.testing.assert_allclose(np.expm1(twice), np.expm1(once) / 2, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("way", ["decoded", "sampled"])
def test_a_cell_without_counts_of_these_genes_stays_without(with_totals, counts, rows, way):
    first = rows(counts, "control")[0]
    counts.X[first] = 0
    for output in ("model", "log"):
        values = dense(with_totals.predict(counts, **ASK, output=output, cells=way, seed=0))
        assert np.isfinite(values).all()
        assert (values[0] == 0).all()
        assert (values[1:].sum(1) > 0).all()


def test_without_size_factors_the_total_is_the_sum(zinb, rows):
    log, mean = zinb.predict(**ASK, output="log"), zinb.predict(**ASK)
    total = zinb.adata.X[rows(zinb.adata, "control")].sum(1, keepdims=True)
    np.testing.assert_allclose(dense(log), np.log1p(dense(mean) / total * 1e4), rtol=1e-4, atol=1e-6)


def test_log_space_of_a_choice_of_genes_needs_the_totals(counts, make_scvi):
    counts.uns["altercell"] = {"space": "counts", "n_genes_total": 2_000}
    with pytest.warns(UserWarning, match="a cell's total is the sum over 30 of 2000 genes; name the total"):
        model = make_scvi(counts, epochs=1)
    assert model.predict(**ASK).n_vars == 30
    with pytest.raises(DataError, match="output='log' needs each cell's total over all genes.*size_factor_key="):
        model.predict(**ASK, output="log")


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
def test_drawn_counts_have_the_likelihoods_mean(counts, make_scvi, likelihood):
    model, n = make_scvi(counts, gene_likelihood=likelihood), 4_000
    copies = np.repeat(np.flatnonzero(counts.obs["condition"] == "control")[0], n)
    obs = counts.obs.iloc[copies].set_axis([f"copy_{number}" for number in range(n)])
    same = AnnData(counts.X[copies], obs=obs, var=counts.var)
    drawn, mean = (dense(model.predict(same, **ASK, cells=way, seed=0)) for way in ("sampled", "decoded"))
    assert (drawn == np.rint(drawn)).all()
    np.testing.assert_array_less(np.abs(drawn.mean(0) - mean[0]), 5 * drawn.std(0) / np.sqrt(n) + 1e-4)
    assert (drawn.var(0) > 0.9 * drawn.mean(0)).all()  # counting noise at the least


def test_drawn_counts_are_a_function_of_their_seed_alone(zinb):
    first, again, other = (zinb.predict(**ASK, cells="sampled", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(dense(first), dense(again))
    assert (dense(first) != dense(other)).any()
    np.testing.assert_array_equal(dense(zinb.predict(**ASK, cells="sampled", seed=1, batch_size=7)), dense(first))
    assert first.uns["altercell"]["seed"] == 1
    assert "seed" not in zinb.predict(**ASK, seed=1).uns["altercell"]


def test_drawn_counts_come_in_log_space_too(with_totals, rows):
    drawn, log = (
        dense(with_totals.predict(**ASK, cells="sampled", seed=3, output=output)) for output in ("model", "log")
    )
    total = with_totals.adata.obs["total"].to_numpy()[rows(with_totals.adata, "control")]
    np.testing.assert_allclose(log, np.log1p(drawn / total[:, None] * 1e4), rtol=1e-5, atol=1e-6)


def test_the_defaults_are_those_of_scvi_tools(counts, monkeypatch):
    SCVI.setup_anndata(counts, **KEYS)
    model = SCVI(counts)
    scvi.model.SCVI.setup_anndata(counts, batch_key="condition")
    default = scvi.model.SCVI(counts)
    ours, own = model._constructor_arguments(), default.init_params_["non_kwargs"]
    assert {name: ours[name] for name in own if name in ours} == {name: own[name] for name in own if name in ours}
    assert set(ours) - set(own) == {"encode_covariates", "seed"}
    assert repr(model.module.z_encoder) == repr(default.module.z_encoder)
    assert repr(model.module.decoder) == repr(default.module.decoder)
    plan = scvi.train.TrainingPlan(default.module)
    assert SCVI._plan_defaults == {name: getattr(plan, name) for name in SCVI._plan_defaults}
    asked = {}
    monkeypatch.setattr("altercell.models.base.TrainingMixin.train", lambda self, *a, **k: asked.update(k, epochs=a[0]))
    model.train()
    assert asked == {"epochs": 400, "batch_size": 128, "early_stopping": False}
    monkeypatch.setattr(model, "summary_stats", {"n_cells": 80_000})
    model.train()
    assert asked["epochs"] == 100


def test_the_divergence_is_warmed_up(zinb):
    history = {name: frame.iloc[:, 0].to_numpy() for name, frame in zinb.history_.items()}
    np.testing.assert_allclose(history["kl_weight"], np.arange(3) / 400)
    for mode, weight in (("train", history["kl_weight"]), ("validation", 1.0)):
        wanted = history[f"reconstruction_loss_{mode}"] + weight * history[f"kl_divergence_z_{mode}"]
        np.testing.assert_allclose(history[f"{mode}_loss"], wanted, rtol=1e-5)


def test_the_warm_up_goes_on_in_a_second_training(counts):
    SCVI.setup_anndata(counts, **KEYS)
    model = SCVI(counts, n_hidden=8)
    for _ in range(2):
        model.train(2, plan_kwargs={"n_epochs_kl_warmup": 3, "max_kl_weight": 0.6}, **QUIET)
    np.testing.assert_allclose(model.history_["kl_weight"].iloc[:, 0], [0, 0.2, 0.4, 0.6])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gene_likelihood": "gaussian"}, "gene_likelihood='gaussian' is unknown; there are 'zinb', 'nb', 'poisson'"),
        ({"dispersion": "gene-label"}, "dispersion='gene-label' is unknown; there are 'gene', 'gene-batch', 'gene-"),
    ],
)
def test_unknown_options_of_the_model(counts, options, message):
    SCVI.setup_anndata(counts, **KEYS)
    with pytest.raises(DataError, match=message):
        SCVI(counts, **options)


def test_log_data_are_refused(cells, zinb):
    SCVI.setup_anndata(cells, **KEYS)
    with pytest.raises(DataError, match="counts"):
        SCVI(cells)
    cells.uns["altercell"] = {"space": "log1p of counts per 10,000"}
    zinb.adata.uns.setdefault("altercell", {})
    counted = zinb.schema.space
    assert counted != "log1p of counts per 10,000"
    with pytest.raises((DataError, SpaceMismatchError), match="log1p"):
        zinb.predict(cells, **ASK)


def test_unknown_options_of_predict(zinb):
    with pytest.raises(DataError, match="output='counts' is unknown; there are 'model', 'log'"):
        zinb.predict(**ASK, output="counts")
    with pytest.raises(TypeError, match="unexpected keyword argument 'delta'"):
        zinb.predict(**ASK, delta=1)


@pytest.mark.parametrize("dispersion", ["gene-batch", "gene-cell"])
def test_other_dispersions_train_predict_and_draw(counts, make_scvi, dispersion):
    model = make_scvi(counts, epochs=1, dispersion=dispersion, gene_likelihood="nb")
    drawn = dense(model.predict(**ASK, cells="sampled", seed=0))
    np.testing.assert_allclose(drawn.sum(), dense(model.predict(**ASK)).sum(), rtol=0.1)


def test_a_saved_model_answers_as_before(with_totals, counts, tmp_path):
    with_totals.save(tmp_path / "model")
    again = SCVI.load(tmp_path / "model")
    np.testing.assert_array_equal(dense(again.predict(counts, **ASK)), dense(with_totals.predict(counts, **ASK)))
    np.testing.assert_array_equal(again._group_sizes(), with_totals._group_sizes())
