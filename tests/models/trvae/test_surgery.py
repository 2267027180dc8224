"""A study with new conditions is added to a trained model: it learns, and nothing of the reference is changed."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from lightning.pytorch import Callback
from mudata import MuData
from scipy import sparse

from altercell import CVAE, MMDCVAE, MMDAutoencoder, TrVAE
from altercell.errors import (
    DataError,
    GeneMismatchError,
    GroupError,
    KeyNotFoundError,
    ModelFileError,
    NotTrainedError,
    SpaceMismatchError,
)

SMALL = {"n_hidden": (32, 16), "n_latent": 6}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
# The response to "both" is made of those to "a" and "b", as that to two drugs at once may be. By name it comes first.
RESPONSES = {"control": (0.0, 0.0), "a": (1.0, 0.0), "b": (0.0, 1.0), "both": (0.6, 0.6)}
TYPES = ("B", "NK", "T")
SOURCE_TARGET = {"source": "control", "target": "a"}


def simulated(counts: bool = False, n_cells: int = 50, n_genes: int = 40, seed: int = 2) -> AnnData:
    """Draw Poisson counts of every type and condition, `n_cells` each."""
    rng = np.random.default_rng(seed)
    profiles = {kind: rng.gamma(1.0, 4.0, n_genes) for kind in TYPES}
    a, b = (rng.normal(size=n_genes) * 0.7 for _ in range(2))
    pairs = [(kind, name) for kind in TYPES for name in RESPONSES for _ in range(n_cells)]
    rates = [profiles[kind] * np.exp(RESPONSES[name][0] * a + RESPONSES[name][1] * b) for kind, name in pairs]
    x = rng.poisson(np.stack(rates) * rng.uniform(0.5, 2, (len(pairs), 1))).astype(np.float64)
    x[:, 0] += 1  # no cell is empty
    obs = pd.DataFrame(pairs, columns=["cell_type", "condition"], index=[f"cell_{n}" for n in range(len(pairs))])
    obs["total"] = x.sum(1) * 1.5
    values = x if counts else np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    whole = AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=[f"gene_{n}" for n in range(n_genes)]))
    return whole[rng.permutation(whole.n_obs)].copy()


def some(adata: AnnData, conditions, types=TYPES) -> AnnData:
    keep = adata.obs["condition"].isin(conditions) & adata.obs["cell_type"].isin(types)
    return adata[keep.to_numpy()].copy()


def query_cells(adata: AnnData, *others: str) -> AnnData:
    """The study: "both" without type T, and cells of other conditions."""
    return ad.concat([some(adata, ["both"], ["B", "NK"]), *(some(adata, [name]) for name in others)])


def fit(adata: AnnData, Model=TrVAE, setup=None, epochs=2, train=None, **options) -> TrVAE:
    Model.setup_anndata(adata, **{**KEYS, **(setup or {})})
    model = Model(adata, **{**SMALL, **options})
    model.train(max_epochs=epochs, **(train or {}), **QUIET)
    return model


def dense(adata: AnnData) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)


def state(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def trained_names(model) -> list[str]:
    return [name for name, value in model.module.named_parameters() if value.requires_grad]


def same_answers(first, second, adata, **asked) -> None:
    for batch_size in (None, 7):
        answers = [
            model.predict(adata, **{**SOURCE_TARGET, **asked}, batch_size=batch_size) for model in (first, second)
        ]
        np.testing.assert_array_equal(dense(answers[0]), dense(answers[1]))


@pytest.fixture(scope="module")
def whole() -> AnnData:
    return simulated()


@pytest.fixture(scope="module")
def reference(whole):
    """A model of control, a and b, shared: look at it, do not change it."""
    return fit(some(whole, ["control", "a", "b"]), epochs=60, train={"batch_size": 64, "plan_kwargs": {"lr": 1e-2}})


@pytest.fixture(scope="module")
def extended(reference, whole):
    """The reference with "both", trained on it alone, shared."""
    model = TrVAE.load_query_data(query_cells(whole), reference)
    model.train(max_epochs=30, batch_size=64, plan_kwargs={"lr": 2e-2}, **QUIET)
    return model


def test_it_learns_the_new_condition_for_a_type_that_the_study_does_not_hold(extended, whole):
    control, real = some(whole, ["control"], ["T"]), some(whole, ["both"], ["T"])
    predicted = extended.predict(control, source="control", target="both")
    means = [dense(cells).mean(0) for cells in (predicted, control, real)]
    assert ((means[0] - means[2]) ** 2).sum() < 0.7 * ((means[1] - means[2]) ** 2).sum()
    assert np.corrcoef(means[0] - means[1], means[2] - means[1])[0, 1] > 0.6


def test_training_betters_the_start(reference, extended, whole):
    control, real = some(whole, ["control"], ["B"]), some(whole, ["both"], ["B"])
    start = TrVAE.load_query_data(query_cells(whole), reference)
    z, target = torch.tensor(reference.get_latent_representation(control)), torch.full((control.n_obs, 1), 3)
    with torch.no_grad():
        errors = [
            ((model.module.generative(z, target)["mean"].mean(0).numpy() - dense(real).mean(0)) ** 2).sum()
            for model in (start, extended)
        ]
    assert errors[1] < 0.7 * errors[0]


def test_conditions_and_labels_are_the_references_and_then_the_new(reference, whole):
    study = query_cells(whole, "control")
    study.obs["cell_type"] = study.obs["cell_type"].replace({"NK": "A"})
    model = TrVAE.load_query_data(study, reference)
    assert list(reference.schema.conditions) == ["a", "b", "control"]
    assert list(model.schema.conditions) == ["a", "b", "control", "both"]
    assert list(model.schema.labels) == ["B", "NK", "T", "A"]
    assert model._constructor_arguments() == {**reference._constructor_arguments(), "n_reference_conditions": [3]}
    assert model.module.group_sizes.shape == (4, 4)
    np.testing.assert_array_equal(model.module.group_sizes[:3, :3], reference.module.group_sizes)
    assert model.module.group_sizes[3].sum() == model.module.group_sizes[:, 3].sum() == 0
    assert model.adata is study


def test_nothing_but_the_new_weights_is_moved(reference, whole):
    model = TrVAE.load_query_data(query_cells(whole, "control"), reference)
    before, known = state(model), state(reference)
    added = ["encoder.hidden.0.fc_layers.Layer 0.0.added.0", "first.block.0.fc_layers.Layer 0.0.added.0"]
    assert trained_names(model) == added
    model.train(max_epochs=3, batch_size=32, plan_kwargs={"weight_decay": 0.1, "lr": 0.1}, **QUIET)
    after = state(model)
    groups = {"latent_means", "group_sizes"}
    assert {name for name in after if not torch.equal(before[name], after[name])} == {*added, *groups}
    for name in set(known) - groups:
        assert torch.equal(known[name], after[name]), name
    optimiser = model.trainer.optimizers[0]
    given = [value for group in optimiser.param_groups for value in group["params"]]
    assert {id(value) for value in given} == {id(model.module.get_parameter(name)) for name in added}


def test_answers_between_known_conditions_are_those_of_the_reference_to_the_bit(reference, extended, whole):
    known = some(whole, ["control", "a", "b"])
    for source, target in (("control", "a"), ("b", "control")):
        same_answers(reference, extended, known, source=source, target=target)
    for verb in ("get_latent_representation", "get_mmd_representation"):
        np.testing.assert_array_equal(getattr(reference, verb)(known), getattr(extended, verb)(known))
    z = reference.get_latent_representation(known)
    np.testing.assert_array_equal(reference.decode(z, condition="a"), extended.decode(z, condition="a"))


def test_they_stay_so_when_training_goes_on(extended, whole, tmp_path):
    extended.save(tmp_path)
    further = TrVAE.load(tmp_path, adata=query_cells(whole, "a"))
    further.train(max_epochs=2, plan_kwargs={"lr": 0.1}, **QUIET)
    same_answers(extended, further, some(whole, ["control"]))
    answers = [
        model.predict(some(whole, ["control"]), source="control", target="both") for model in (extended, further)
    ]
    assert (dense(answers[0]) != dense(answers[1])).any()


def test_the_reference_is_not_changed(reference, whole):
    before = state(reference)
    answer = dense(reference.predict(**SOURCE_TARGET))
    TrVAE.load_query_data(query_cells(whole), reference).train(max_epochs=1, **QUIET)
    assert all(torch.equal(before[name], value) for name, value in reference.module.state_dict().items())
    assert len(trained_names(reference)) == len(list(reference.module.named_parameters()))
    np.testing.assert_array_equal(dense(reference.predict(**SOURCE_TARGET)), answer)
    assert reference.schema.conditions.tolist() == ["a", "b", "control"]


def test_batch_norms_stay_in_evaluation_mode_and_dropout_does_not(extended):
    module = extended.module
    assert not module.training
    for kind, training in ((torch.nn.BatchNorm1d, False), (torch.nn.Dropout, True)):
        assert {part.training for part in module.train().modules() if isinstance(part, kind)} == {training}
    assert not any(part.training for part in module.eval().modules())


def test_the_mmd_acts_among_the_conditions_of_the_study(extended, reference, whole):
    assert set(extended.history_["mmd_train"].iloc[:, 0]) == {0.0}
    assert set(extended.history_["mmd_validation"].iloc[:, 0]) == {0.0}
    two = TrVAE.load_query_data(query_cells(whole, "control"), reference)
    two.train(max_epochs=1, **QUIET)
    assert two.history_["mmd_train"].iloc[0, 0] > 0


def test_groups_are_counted_and_averaged_over_reference_and_study(reference, whole):
    study = query_cells(whole, "control")
    model = TrVAE.load_query_data(study, reference)
    for _ in range(2):  # a second training counts nothing twice
        model.train(max_epochs=1, **QUIET)
    cells = [some(whole, ["control", "a", "b"]), study]
    latent = np.concatenate([model.get_latent_representation(adata) for adata in cells]).astype(np.float64)
    obs = pd.concat([adata.obs for adata in cells])
    for code, condition in enumerate(model.schema.conditions):
        for place, label in enumerate(model.schema.labels):
            member = ((obs["condition"] == condition) & (obs["cell_type"] == label)).to_numpy()
            assert model.module.group_sizes[code, place] == member.sum()
            mean = latent[member].mean(0) if member.any() else np.zeros(6)
            np.testing.assert_allclose(model.module.latent_means[code, place].numpy(), mean, rtol=1e-4, atol=1e-5)


def test_the_new_condition_can_be_source_and_target(extended, whole):
    there = extended.predict(some(whole, ["control"]), source="control", target="both", labels=["T", "B"])
    assert set(there.obs["condition"]) == {"both"}
    assert "n_reference_conditions=[3]" in there.uns["altercell"]["arguments"]
    back = extended.predict(source="both", target="control")
    assert back.n_obs == 100
    with pytest.raises(GroupError, match="no cell has condition 'control'; there are 'both'"):
        extended.predict(source="control", target="both")


def test_before_it_is_trained_it_answers_nothing(reference, whole):
    model = TrVAE.load_query_data(query_cells(whole), reference)
    for ask in (lambda: model.predict(**SOURCE_TARGET), model.get_latent_representation):
        with pytest.raises(NotTrainedError, match="this TrVAE is not trained; call train"):
            ask()


def test_a_saved_model_answers_alike_and_is_frozen_alike(extended, whole, tmp_path):
    extended.save(tmp_path)
    loaded = TrVAE.load(tmp_path)
    control = some(whole, ["control"])
    same_answers(extended, loaded, control, target="both")
    assert trained_names(loaded) == trained_names(extended)
    assert not any(part.training for part in loaded.module.train().modules() if isinstance(part, torch.nn.BatchNorm1d))
    assert loaded.init_params_["non_kwargs"]["n_reference_conditions"] == [3]
    np.testing.assert_array_equal(loaded.module.reference_sizes, extended.module.reference_sizes)


def test_the_reference_may_be_a_folder(reference, whole, tmp_path):
    reference.save(tmp_path)
    models = [TrVAE.load_query_data(query_cells(whole), given) for given in (tmp_path, str(tmp_path), reference)]
    for model in models:
        model.train(max_epochs=1, **QUIET)
    first, *others = (state(model) for model in models)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_a_study_on_top_of_a_study(extended, whole, tmp_path):
    later = some(whole, ["b"])
    later.obs["condition"] = "c"
    both = query_cells(whole)
    both.obs["condition"] = "d"
    model = TrVAE.load_query_data(ad.concat([later, both], index_unique="-"), extended)
    assert list(model.schema.conditions) == ["a", "b", "control", "both", "c", "d"]
    assert model._constructor_arguments()["n_reference_conditions"] == [3, 4]
    assert all(name.endswith("added.1") for name in trained_names(model))
    model.train(max_epochs=2, plan_kwargs={"lr": 0.1}, **QUIET)
    known = some(whole, ["control", "a", "both"])
    same_answers(extended, model, known, target="both")
    same_answers(extended, model, known, source="both", target="b")
    assert model.module.group_sizes.sum(1).tolist() == [150, 150, 150, 100, 150, 100]
    model.save(tmp_path)
    same_answers(model, TrVAE.load(tmp_path), known, target="d")


class Die(Callback):
    """Stop the training in its second epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise RuntimeError("killed")


def test_killed_and_started_again_equals_uninterrupted(reference, whole, tmp_path):
    def build():
        return TrVAE.load_query_data(query_cells(whole, "control"), reference)

    uninterrupted, killed, again = build(), build(), build()
    options = {"max_epochs": 3, "batch_size": 64, "plan_kwargs": {"lr": 2e-2}, **QUIET}
    uninterrupted.train(**options)
    with pytest.raises(RuntimeError, match="killed"):
        killed.train(resume_dir=tmp_path, callbacks=[Die()], **options)
    again.train(resume_dir=tmp_path, **options)
    left, right = state(uninterrupted), state(again)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert again.history_["train_loss"].equals(uninterrupted.history_["train_loss"])


def test_a_run_on_another_reference_is_not_taken_up(reference, whole, tmp_path):
    TrVAE.load_query_data(query_cells(whole), reference).train(max_epochs=1, resume_dir=tmp_path, **QUIET)
    other = fit(some(whole, ["control", "a", "b"]), epochs=1)
    with pytest.raises(ModelFileError, match="belongs to another run: reference is"):
        TrVAE.load_query_data(query_cells(whole), other).train(max_epochs=1, resume_dir=tmp_path, **QUIET)


@pytest.mark.parametrize(
    ("Model", "options"),
    [
        (CVAE, {}),
        (CVAE, {"gene_likelihood": "nb", "n_hidden": (16,)}),
        (MMDCVAE, {}),
        (MMDCVAE, {"gene_likelihood": "zinb"}),
        (MMDAutoencoder, {}),
        (TrVAE, {"gene_likelihood": "nb", "batch_norm": "first"}),
        (TrVAE, {"gene_likelihood": "zinb", "mmd_on": "latent"}),
    ],
)
def test_every_class_and_likelihood(Model, options, tmp_path):
    counts = "gene_likelihood" in options
    whole = simulated(counts=counts, n_cells=15)
    setup = {"size_factor_key": "total"} if counts else {}
    reference = fit(some(whole, ["control", "a", "b"]), Model, setup, **options)
    model = Model.load_query_data(query_cells(whole, "control"), reference)
    assert type(model) is Model
    model.train(max_epochs=2, plan_kwargs={"lr": 0.1}, **QUIET)
    control = some(whole, ["control"])
    same_answers(reference, model, control)
    predicted = dense(model.predict(control, source="control", target="both"))
    assert np.isfinite(predicted).all()
    assert (predicted != dense(model.predict(control, **SOURCE_TARGET))).any()
    model.save(tmp_path)
    same_answers(model, Model.load(tmp_path), control, target="both")


@pytest.mark.parametrize(
    ("network", "side", "n_cells"), [("conv", 16, 6), pytest.param("unet", 32, 3, marks=pytest.mark.heavy)]
)
def test_images(network, side, n_cells):
    whole = simulated(n_cells=n_cells, n_genes=side**2)
    options = {"network": network, "image_shape": (1, side, side), "n_hidden": (8,), "n_latent": 3}
    reference = fit(some(whole, ["control", "a"]), epochs=1, train={"batch_size": 6}, **options)
    model = TrVAE.load_query_data(query_cells(whole), reference)
    before = state(model)
    model.train(max_epochs=1, batch_size=4, plan_kwargs={"lr": 0.1}, **QUIET)
    control = some(whole, ["control"])
    same_answers(reference, model, control)
    after = state(model)
    moved = {name for name in after if not torch.equal(before[name], after[name])} - {"latent_means", "group_sizes"}
    assert moved == set(trained_names(model))
    assert len(moved) == 2
    assert np.isfinite(dense(model.predict(control, source="control", target="both"))).all()


def test_genes_in_another_order_are_put_right(reference, whole):
    study = query_cells(whole)
    models = [TrVAE.load_query_data(adata, reference) for adata in (study, study[:, ::-1].copy())]
    for model in models:
        model.train(max_epochs=1, **QUIET)
    assert models[1].schema.genes.tolist() == reference.schema.genes.tolist()
    first, second = (state(model) for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_groups_that_are_numbers_and_a_new_one_that_is_0(whole):
    adata = some(whole, ["control", "a", "both"])
    adata.obs["condition"] = adata.obs["condition"].map({"control": 1, "a": 2, "both": 0}).astype(int)
    reference = fit(adata[adata.obs["condition"] > 0].copy(), epochs=1)
    model = TrVAE.load_query_data(adata[adata.obs["condition"] == 0].copy(), reference)
    assert list(model.schema.conditions) == [1, 2, 0]
    model.train(max_epochs=1, **QUIET)
    assert model.predict(source=0, target=1).n_obs == 150


def test_without_labels_and_from_a_mudata(whole):
    mdata = MuData({"rna": some(whole, ["control", "a"])})
    TrVAE.setup_mudata(mdata, modality="rna", batch_key="condition")
    reference = TrVAE(mdata, **SMALL)
    reference.train(max_epochs=1, **QUIET)
    model = TrVAE.load_query_data(MuData({"rna": query_cells(whole)}), reference)
    assert list(model.schema.conditions) == ["a", "control", "both"]
    model.train(max_epochs=1, **QUIET)
    assert model.module.group_sizes.ravel().tolist() == [150, 150, 100]
    assert model.predict(source="both", target="a").n_obs == 100


@pytest.mark.filterwarnings("ignore:a cell's total is the sum over 40 of 2000 genes:UserWarning")
def test_that_the_genes_are_a_choice_is_not_forgotten():
    whole = simulated(counts=True, n_cells=15)
    known = some(whole, ["control", "a"])
    known.uns["altercell"] = {"space": "counts", "n_genes_total": 2_000}
    reference = fit(known, gene_likelihood="nb", epochs=1)
    model = TrVAE.load_query_data(query_cells(whole), reference)
    model.train(max_epochs=1, **QUIET)
    with pytest.raises(DataError, match="output='log' needs each cell's total over all genes"):
        model.predict(source="both", target="a", output="log")


def lacks(column: str):
    def without(study: AnnData) -> AnnData:
        del study.obs[column]
        return study

    return without


def with_values(column: str, values):
    def replaced(study: AnnData) -> AnnData:
        study.obs[column] = values
        return study

    return replaced


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (with_values("condition", "a"), GroupError, "no condition beside those that the model knows, 'a', 'b', 'cont"),
        (lambda study: study[:, 1:].copy(), GeneMismatchError, "1 of the model's 40 genes are missing: 'gene_0'"),
        (
            lambda study: ad.concat([study, study[:, :1].copy()], axis=1, join="outer", merge="first"),
            DataError,
            "stand more than once|gene names",
        ),
        (with_values("condition", 7), DataError, "holds 7 of type int.*, and the model's are of type str"),
        (with_values("cell_type", 7), DataError, r"\(labels_key\) holds 7 of type int.*, and the model's are of typ"),
        (with_values("condition", None), DataError, "condition"),
        (lacks("condition"), KeyNotFoundError, "condition"),
        (lacks("cell_type"), KeyNotFoundError, "cell_type"),
        (lambda study: simulated(counts=True, n_cells=5), SpaceMismatchError, "adata is 'counts' but 'log1p of counts"),
    ],
)
@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
def test_a_study_that_cannot_be_added(reference, whole, change, error, message):
    study = change(query_cells(whole))
    before = study.copy()
    with pytest.raises(error, match=message):
        TrVAE.load_query_data(study, reference)
    pd.testing.assert_frame_equal(study.obs, before.obs)
    assert study.uns.keys() == before.uns.keys()


def test_further_genes_are_refused_with_what_to_do(reference, whole):
    study = query_cells(whole)
    more = AnnData(np.zeros((study.n_obs, 1), dtype=np.float32), obs=study.obs, var=pd.DataFrame(index=["new"]))
    study = ad.concat([study, more], axis=1, merge="same")
    with pytest.raises(GeneMismatchError, match=r"have 41 genes and the model 40; attach .*schema.genes\].copy\(\)$"):
        TrVAE.load_query_data(study, reference)


def test_a_reference_that_cannot_be_extended(reference, whole, tmp_path):
    study = query_cells(whole)
    with pytest.raises(DataError, match="the reference is a TrVAE, not a CVAE; call load_query_data of its own class"):
        CVAE.load_query_data(study, reference)
    reference.save(tmp_path)
    with pytest.raises(ModelFileError, match=r"holds a TrVAE, not a CVAE; call TrVAE.load"):
        CVAE.load_query_data(study, tmp_path)
    adata = some(whole, ["control", "a"])
    TrVAE.setup_anndata(adata, **KEYS)
    with pytest.raises(NotTrainedError, match="this TrVAE is not trained"):
        TrVAE.load_query_data(study, TrVAE(adata, **SMALL))
    with pytest.raises(
        DataError, match=r"n_reference_conditions=\[2\] must be numbers that rise from at least 1 to be"
    ):
        TrVAE(adata, **SMALL, n_reference_conditions=[2])


def test_an_ordinary_transfer_is_as_strict_as_before(reference, whole, tmp_path):
    reference.save(tmp_path)
    with pytest.raises(GroupError, match="holds 'both', which training has not seen; there are 'a', 'b', 'control'"):
        TrVAE.load(tmp_path, adata=query_cells(whole))
    with pytest.raises(TypeError, match=r"setup_anndata\(\): extend_categories= adds to a source_registry="):
        TrVAE.setup_anndata(query_cells(whole), **KEYS, extend_categories=True)
    with pytest.raises(TypeError, match=r"setup_anndata\(\) has no argument 'colour'"):
        TrVAE.setup_anndata(query_cells(whole), **KEYS, colour=1)
