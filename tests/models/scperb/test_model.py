import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

import altercell as ac
from altercell import ScPerb
from altercell.errors import DataError, GeneMismatchError, GroupError, ModelFileError
from altercell.models.base import Request
from altercell.models.base._ways import _moved_blocks

from .conftest import KEYS, QUIET, SMALL

ASK = {"source": "control", "target": "stimulated"}
# Codes of the conditions, in the order of their names.
CODES = {"control": 0, "other": 1, "stimulated": 2}


def close(a, b, rtol=1e-4, atol=1e-4) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ["perb", "latent_perb"])
@pytest.mark.parametrize(
    ("source", "target"),
    [("control", "stimulated"), ("control", "other"), ("other", "stimulated"), ("other", "control")],
)
@pytest.mark.parametrize("labels", [None, "T"])
def test_a_prediction_is_the_decoded_sum_of_mean_and_step(name, source, target, labels, oracle, rows, request):
    model = request.getfixturevalue(name)
    where = rows(model.adata, source, labels)
    paper = oracle(model.module)
    z = paper.encode(model.adata.X[where])[0]
    step = paper.delta(CODES[target], z) - paper.delta(CODES[source], z)
    predicted = model.predict(source=source, target=target, labels=labels)
    close(predicted.X, paper.decode(z + step))
    assert predicted.obs_names.tolist() == model.adata.obs_names[where].tolist()
    assert (predicted.obs["condition"] == target).all()


def test_cells_are_not_made_of_a_difference_from_decoded_controls(perb, oracle, rows):
    # The decoder has never seen a control cell: what it makes of one's own point means nothing.
    assert perb.cell_ways == ("decoded", "transport")
    with pytest.raises(DataError, match="cells='residual' is not among the ways"):
        perb.predict(**ASK, cells="residual")
    where, paper = rows(perb.adata, "control", "T"), oracle(perb.module)
    z = paper.encode(perb.adata.X[where])[0]
    decoded = paper.decode(z + paper.delta(CODES["stimulated"]) - paper.delta(CODES["control"]))
    blocks = perb_means(perb, where)
    close(blocks, decoded)


def perb_means(model, where) -> np.ndarray:
    """Return the cells whose mean those of ``cells="transport"`` are brought to."""
    cells = model.cells(None, where)
    codes = model.schema.cell_label_codes(cells.data)[cells.rows]
    request = Request(CODES["control"], CODES["stimulated"], codes, 64, 0, "transport")
    with model._inference(0):
        return np.concatenate([moved for _, moved in _moved_blocks(model, cells, request, {})])


def test_the_learned_deltas(perb, oracle):
    paper = oracle(perb.module)
    for target in ("stimulated", "other"):
        close(perb.get_delta("control", target), paper.delta(CODES[target]), atol=1e-5)
    there, back = perb.get_delta("other", "stimulated"), perb.get_delta("stimulated", "other")
    close(there, paper.delta(CODES["stimulated"]) - paper.delta(CODES["other"]), atol=1e-5)
    np.testing.assert_array_equal(there, -back)
    close(there, perb.get_delta("control", "stimulated") - perb.get_delta("control", "other"), atol=1e-6)
    assert (there.dtype, there.shape) == (np.float32, (4,))


def test_a_constant_delta_is_the_same_everywhere(perb):
    points = np.random.default_rng(0).normal(size=(7, 4))
    steps = perb.get_delta("control", "stimulated", latent=points)
    np.testing.assert_array_equal(steps, np.tile(perb.get_delta("control", "stimulated"), (7, 1)))


def test_a_latent_delta_depends_on_the_point(latent_perb, oracle, rows):
    paper, points = oracle(latent_perb.module), np.random.default_rng(0).normal(size=(7, 4))
    steps = latent_perb.get_delta("control", "stimulated", latent=points)
    close(steps, paper.delta(CODES["stimulated"], points), atol=1e-5)
    assert steps.std(axis=0).min() > 1e-4
    mean = paper.encode(latent_perb.adata.X[rows(latent_perb.adata, "control")])[0].mean(axis=0, keepdims=True)
    close(latent_perb.get_delta("control", "stimulated"), paper.delta(CODES["stimulated"], mean)[0], atol=1e-5)


@pytest.mark.parametrize("latent", [np.zeros(4), np.zeros((2, 3)), 0.0])
def test_points_of_another_shape_are_refused(perb, latent):
    with pytest.raises(DataError, match=r"latent has shape \(.*\); it must be \(n_cells, 4\)"):
        perb.get_delta("control", "stimulated", latent=latent)


def test_unknown_conditions_and_options(perb):
    with pytest.raises(GroupError, match="target='ifn' is no condition .*; there are 'control', 'other', 'stimulated'"):
        perb.get_delta("control", "ifn")
    with pytest.raises(TypeError, match=r"ScPerb.predict\(\) has no argument 'delta'"):
        perb.predict(**ASK, delta=np.zeros(4))


def test_latent_points_and_decoded_points(perb, cells, oracle):
    paper = oracle(perb.module)
    mean, variance = paper.encode(cells.X)
    latent = perb.get_latent_representation()
    close(latent, mean)
    drawn = perb.get_latent_representation(give_mean=False, seed=1)
    spread = (drawn - mean) / np.sqrt(variance)
    assert abs(spread.std() - 1) < 0.1
    close(perb.decode(latent[:5]), paper.decode(latent[:5]))


def test_the_control_has_to_be_named(cells):
    ScPerb.setup_anndata(cells, **KEYS)
    with pytest.raises(GroupError, match="name it with control=; there are 'control', 'other', 'stimulated'"):
        ScPerb(cells)
    with pytest.raises(
        GroupError, match="control='ctrl' is no condition .*; there are 'control', 'other', 'stimulated'"
    ):
        ScPerb(cells, control="ctrl")


def test_the_control_has_to_be_named_with_two_conditions_too(cells):
    two = cells[(cells.obs["condition"] != "other").to_numpy()].copy()
    ScPerb.setup_anndata(two, **KEYS)
    with pytest.raises(GroupError, match="name it with control=; there are 'control', 'stimulated'"):
        ScPerb(two)


@pytest.mark.parametrize("control", ["stimulated", "other"])
def test_any_condition_can_be_the_control(cells, make_perb, control, oracle, rows):
    model = make_perb(cells, epochs=1, control=control)
    assert model.module.control == CODES[control]
    assert model.get_delta("control", "stimulated" if control == "other" else "other").std() > 0
    paper, where = oracle(model.module), rows(cells, "control")
    z = paper.encode(cells.X[where])[0]
    close(model.predict(source="control", target=control).X, paper.decode(z - paper.delta(0)))


def test_conditions_that_are_numbers(cells, make_perb, tmp_path):
    cells.obs["condition"] = cells.obs["condition"].map(CODES).astype(int)
    model = make_perb(cells, epochs=1, control=np.int64(0))
    predicted = model.predict(source=0, target=2)
    assert (predicted.obs["condition"].astype(int) == 2).all()
    model.save(tmp_path)
    np.testing.assert_array_equal(ScPerb.load(tmp_path, cells).predict(source=0, target=2).X, predicted.X)


def test_a_loaded_model_has_its_style_vectors_and_answers_the_same(perb, latent_perb, cells, tmp_path):
    for number, model in enumerate((perb, latent_perb)):
        model.save(tmp_path / str(number))
        loaded = ScPerb.load(tmp_path / str(number), cells)
        assert torch.equal(loaded.module.style_encoder.style, model.module.style_encoder.style)
        np.testing.assert_array_equal(loaded.predict(**ASK).X, model.predict(**ASK).X)
        np.testing.assert_array_equal(loaded.get_delta("other", "stimulated"), model.get_delta("other", "stimulated"))
        assert loaded.module.control == 0
        assert loaded.module.pairs_seen.tolist() == model.module.pairs_seen.tolist()


def test_the_style_vectors_are_drawn_from_the_models_seed(cells):
    ScPerb.setup_anndata(cells, **KEYS)
    styles = [ScPerb(cells, control="control", seed=seed, **SMALL).module.style_encoder.style for seed in (0, 0, 1)]
    assert torch.equal(styles[0], styles[1])
    assert not torch.equal(styles[0], styles[2])


def test_training_leaves_the_style_vectors_as_they_are(cells, make_perb):
    ScPerb.setup_anndata(cells, **KEYS)
    untrained = ScPerb(cells, control="control", **SMALL)
    style = untrained.module.style_encoder.style.clone()
    untrained.train(max_epochs=2, **QUIET)
    assert torch.equal(untrained.module.style_encoder.style, style)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": "none"}, "delta='none' is unknown; there are 'constant', 'latent'"),
        ({"pairing": "nearest"}, "pairing='nearest' is unknown; there are 'random', 'transport'"),
        ({"balance": "equal"}, "balance='equal' is unknown; there are 'larger', 'smaller'"),
        ({"kl_reduction": "max"}, "kl_reduction='max' is unknown; there are 'mean', 'sum'"),
        ({"output_activation": "tanh"}, "output_activation='tanh' is unknown; there are 'linear', 'relu', 'softplus'"),
        ({"smooth_l1_beta": -1}, "smooth_l1_beta=-1 must not be negative"),
    ],
)
def test_unknown_options_of_the_model(cells, options, message):
    ScPerb.setup_anndata(cells, **KEYS)
    with pytest.raises(DataError, match=message):
        ScPerb(cells, control="control", **options)


def test_the_defaults_are_the_papers(cells, monkeypatch):
    ScPerb.setup_anndata(cells, **KEYS)
    model = ScPerb(cells, control="control")
    assert model.init_params_["non_kwargs"] == {
        "control": "control",
        "n_hidden": 800,
        "n_layers": 2,
        "n_latent": 100,
        "n_style": None,
        "dropout_rate": 0.2,
        "style_weight": 1.0,
        "kl_weight_control": 0.005,
        "kl_weight_perturbed": 0.0,
        "generation_weight": 1.0,
        "kl_reduction": "mean",
        "smooth_l1_beta": 1.0,
        "delta": "constant",
        "n_hidden_delta": 128,
        "pairing": "random",
        "balance": "larger",
        "output_activation": "linear",
        "seed": 0,
    }
    assert model.module.style_encoder.style.shape == (3, 30)
    asked = {}
    monkeypatch.setattr("altercell.models.base.TrainingMixin.train", lambda self, *a, **k: asked.update(k, epochs=a[0]))
    model.train()
    assert asked == {"epochs": 500, "batch_size": 256}


def test_the_optimiser_is_adamw_as_torch_has_it(cells):
    ScPerb.setup_anndata(cells, **KEYS)
    model = ScPerb(cells, control="control", **SMALL)
    model.train(max_epochs=1, **QUIET)
    (optimizer,) = model.trainer.optimizers
    assert type(optimizer) is torch.optim.AdamW
    (group,) = optimizer.param_groups
    assert (group["lr"], group["eps"], group["weight_decay"], group["betas"]) == (1e-3, 1e-8, 0.01, (0.9, 0.999))


def test_arguments_reach_the_module(cells):
    ScPerb.setup_anndata(cells, **KEYS)
    given = {"style_weight": 2.0, "kl_weight_control": 3.0, "kl_weight_perturbed": 4.0, "generation_weight": 5.0}
    model = ScPerb(cells, control="other", smooth_l1_beta=0.5, kl_reduction="sum", **given, **SMALL)
    found = {name: getattr(model.module, name) for name in (*given, "smooth_l1_beta", "kl_scale", "control")}
    assert found == {**given, "smooth_l1_beta": 0.5, "kl_scale": 1.0, "control": 1}


def test_a_step_from_another_condition_is_doubted_where_it_depends_on_the_cell(perb, latent_perb):
    ask = {"source": "other", "target": "stimulated"}
    assert not any("delta='latent'" in line for line in perb.predict(**ask).uns["altercell"]["trust"])
    trust = latent_perb.predict(**ask).uns["altercell"]["trust"]
    assert any("learnt at cells of 'control'; here it is read at cells of 'other'" in line for line in trust)


def test_a_prediction_of_the_control_is_doubted(perb):
    trust = perb.predict(source="stimulated", target="control").uns["altercell"]["trust"]
    assert any("it has never made a cell of 'control'" in line for line in trust)
    assert not any("never made" in line for line in perb.predict(**ASK).uns["altercell"]["trust"])


def test_cells_and_genes_in_another_order_and_more_genes(perb, cells):
    wanted = perb.predict(**ASK)
    noise = np.random.default_rng(0).random((120, 4), dtype=np.float32)
    more = ad.concat([AnnData(noise, cells.obs, pd.DataFrame(index=list("wxyz"))), cells], axis=1)
    more.obs = cells.obs
    rng = np.random.default_rng(1)
    predicted = perb.predict(more[rng.permutation(120), rng.permutation(34)].copy(), **ASK)[wanted.obs_names]
    close(predicted.X, wanted.X, rtol=1e-5, atol=1e-5)
    with pytest.raises(GeneMismatchError, match="3 of the model's 30 genes are missing: 'gene_0', 'gene_1', 'gene_2'"):
        perb.predict(cells[:, 3:].copy(), **ASK)


def test_counts_are_refused(counts):
    ScPerb.setup_anndata(counts, **KEYS)
    with pytest.raises(DataError, match=r"normalize_total.*log1p"):
        ScPerb(counts, control="control")


def test_setup_with_conditions_alone_pairs_all_cells(cells, make_perb, caplog):
    with caplog.at_level(logging.INFO):
        model = make_perb(cells, {"labels_key": None}, epochs=1)
    assert "no labels_key: all cells are paired as if they were of one type" in caplog.text
    assert np.isfinite(model.predict(**ASK).X).all()


def test_a_file_with_another_style_does_not_fit(perb, tmp_path, cells):
    perb.save(tmp_path)
    meta, tensors = ac._datafile.read(tmp_path / "model.safetensors", "model")
    meta["arguments"]["n_style"] = 5
    ac._datafile.write(tmp_path / "model.safetensors", "model", meta, tensors)
    with pytest.raises(ModelFileError, match="do not fit ScPerb"):
        ScPerb.load(tmp_path, cells)


def test_it_can_be_compared_with_the_baselines(make_cells):
    candidate = ac.benchmark.Candidate(
        "ScPerb", ScPerb, {"control": "control", **SMALL}, {"max_epochs": 2, "batch_size": 16, **QUIET}
    )
    scores = ac.benchmark.holdout(
        make_cells(),
        [candidate, *ac.benchmark.baselines()[:1]],
        **KEYS,
        **ASK,
        hold_out=["B"],
        n_genes=None,
        metrics=["mse"],
        add_baselines=False,
    )
    assert set(scores["model"]) == {"ScPerb", "no change", "real against real"}
    assert (scores["error"] == "").all()
