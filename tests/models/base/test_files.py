import json
import pickle

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData
from scipy import sparse

from altercell import NoChange, ScGen, _datafile
from altercell.errors import GroupError, ModelFileError, NotTrainedError, SpaceMismatchError
from altercell.models.base._files import MODEL_FILE

ASK = {"source": "control", "target": "stimulated", "labels": "T"}


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def assert_same_model(first: ScGen, second: ScGen) -> None:
    a, b = first.module.state_dict(), second.module.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)
    assert first.init_params_ == second.init_params_
    assert (first.is_trained_, first.seed, first.space) == (second.is_trained_, second.seed, second.space)
    for name in ("train_indices_", "validation_indices_", "test_indices_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert list(first.history_) == list(second.history_)
    for name, frame in first.history_.items():
        pd.testing.assert_frame_equal(frame, second.history_[name])
    for name in ("genes", "conditions", "labels"):
        assert getattr(first.schema, name).tolist() == getattr(second.schema, name).tolist()


def test_without_data_the_verbs_take_theirs(model, folder, cells):
    loaded = ScGen.load(folder)
    assert_same_model(model, loaded)
    assert loaded.adata is None
    assert not loaded.module.training
    np.testing.assert_array_equal(loaded.predict(cells, **ASK).X, model.predict(**ASK).X)
    np.testing.assert_array_equal(loaded.get_delta("control", "stimulated"), model.get_delta("control", "stimulated"))
    assert repr(loaded) == repr(model)


def test_without_data_what_needs_them_says_so(folder):
    loaded = ScGen.load(folder)
    for verb in (
        lambda: loaded.predict(**ASK),
        loaded.get_latent_representation,
        lambda: loaded.classify(source="control", target="stimulated"),
        lambda: loaded.interpolate(**ASK),
    ):
        with pytest.raises(NotTrainedError, match=r"this ScGen has no AnnData \(it was loaded without\); give adata="):
            verb()
    for verb, message in (
        (lambda: loaded.get_delta("control", "stimulated", weights="resampled"), "draws from the training cells"),
        (loaded.remove_batch_effect, "corrects the registered cells"),
        (lambda: loaded.generate(3), "draws from the training cells"),
        (lambda: loaded.train(1), "has no AnnData; give datamodule="),
        (lambda: loaded.save(folder / "copy", save_anndata=True), "this model has no AnnData"),
    ):
        with pytest.raises(NotTrainedError, match=message):
            verb()


def test_with_data_of_the_same_cells(model, folder, cells):
    loaded = ScGen.load(folder, cells)
    assert_same_model(model, loaded)
    assert loaded.adata is cells
    np.testing.assert_array_equal(loaded.predict(**ASK).X, model.predict(**ASK).X)


def test_with_genes_in_another_order_the_answers_are_the_same(model, folder, cells):
    shuffled = cells[:, np.random.default_rng(0).permutation(30)].copy()
    loaded = ScGen.load(folder, shuffled)
    np.testing.assert_array_equal(loaded.predict(**ASK).X, model.predict(**ASK).X)
    assert loaded.predict(**ASK).var_names.tolist() == model.schema.genes.tolist()
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    corrected = loaded.remove_batch_effect()
    np.testing.assert_array_equal(corrected.X, model.remove_batch_effect().X)
    assert corrected.var["rank"].tolist() == list(range(30))
    # The order of the model's genes survives another round.
    loaded.save(folder / "again")
    np.testing.assert_array_equal(ScGen.load(folder / "again").predict(cells, **ASK).X, model.predict(**ASK).X)


def test_the_cells_can_be_saved_beside_the_model(model, tmp_path):
    model.save(tmp_path, save_anndata=True)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "adata.h5ad"}
    loaded = ScGen.load(tmp_path)
    assert_same_model(model, loaded)
    assert loaded.adata.obs_names.tolist() == model.adata.obs_names.tolist()
    np.testing.assert_array_equal(loaded.predict(**ASK).X, model.predict(**ASK).X)
    seeded = {"weights": "resampled", "seed": 4}
    np.testing.assert_array_equal(
        loaded.get_delta("control", "stimulated", **seeded), model.get_delta("control", "stimulated", **seeded)
    )


def test_saving_a_backed_anndata_leaves_it_on_its_file(cells, make_model, tmp_path):
    cells.X = sparse.csr_matrix(cells.X)
    cells.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    model = make_model(backed, epochs=1)
    model.save(tmp_path / "model", save_anndata=True)
    assert backed.filename == tmp_path / "a.h5ad"
    np.testing.assert_array_equal(ScGen.load(tmp_path / "model").predict(**ASK).X, model.predict(**ASK).X)
    backed.file.close()


def test_a_mudata_can_be_saved_beside_the_model(cells, tmp_path):
    mdata = MuData({"rna": cells})
    ScGen.setup_mudata(mdata, modality="rna", batch_key="condition", labels_key="cell_type")
    model = ScGen(mdata, n_hidden=4, n_latent=2)
    model.train(max_epochs=1, enable_progress_bar=False)
    model.save(tmp_path, save_anndata=True)
    loaded = ScGen.load(tmp_path)
    assert isinstance(loaded.adata, MuData)
    assert loaded.schema.modality == "rna"
    np.testing.assert_array_equal(loaded.predict(**ASK).X, model.predict(**ASK).X)


def test_a_prefix_keeps_models_apart(model, nb_model, tmp_path):
    model.save(tmp_path, prefix="log_")
    nb_model.save(tmp_path, prefix="counts_")
    assert {path.name for path in tmp_path.iterdir()} == {"log_model.safetensors", "counts_model.safetensors"}
    assert_same_model(ScGen.load(tmp_path, prefix="log_"), model)
    assert ScGen.load(tmp_path, prefix="counts_").counts
    with pytest.raises(ModelFileError, match=r"there is no model file at '.*model.safetensors'"):
        ScGen.load(tmp_path)


def test_an_existing_model_is_overwritten_only_when_told(model, nb_model, folder):
    with pytest.raises(ModelFileError, match="model.safetensors' exists; choose another folder or give overwrite=True"):
        nb_model.save(folder)
    assert not ScGen.load(folder).counts
    nb_model.save(str(folder), overwrite=True)
    assert ScGen.load(str(folder)).counts


def test_cells_that_are_there_are_not_replaced_untold(model, tmp_path):
    (tmp_path / "adata.h5ad").write_text("precious")
    with pytest.raises(ModelFileError, match="adata.h5ad' exists; choose another folder or give overwrite=True"):
        model.save(tmp_path, save_anndata=True)
    assert [path.name for path in tmp_path.iterdir()] == ["adata.h5ad"]
    # Without cells of its own a model leaves them alone, and does not take them for its own.
    model.save(tmp_path)
    assert (tmp_path / "adata.h5ad").read_text() == "precious"
    assert ScGen.load(tmp_path).adata is None


def test_cells_of_the_model_before_are_not_taken_for_the_new_ones(model, nb_model, tmp_path):
    nb_model.save(tmp_path, save_anndata=True)
    model.save(tmp_path, overwrite=True)
    assert ScGen.load(tmp_path).adata is None
    model.save(tmp_path, overwrite=True, save_anndata=True)
    np.testing.assert_array_equal(ScGen.load(tmp_path).adata.X, model.adata.X)
    (tmp_path / "adata.h5ad").unlink()
    assert ScGen.load(tmp_path).adata is None


def test_the_registry_alone_can_be_read(model, folder):
    registry = ScGen.load_registry(folder)
    assert registry["setup_args"]["batch_key"] == "condition"
    conditions = registry["field_registries"]["batch"]["state_registry"]["categorical_mapping"]
    assert conditions.tolist() == ["control", "other", "stimulated"]


def test_pickled_files_of_others_are_not_converted(tmp_path):
    with pytest.raises(
        ModelFileError, match="altercell reads no pickled model files, since reading one runs code from it"
    ):
        ScGen.convert_legacy_save(tmp_path, tmp_path)


def test_other_cells_must_be_in_the_models_space(folder, cells, counts):
    with pytest.raises(SpaceMismatchError, match="adata is 'counts' but 'log1p of counts per 10,000' is needed"):
        ScGen.load(folder, counts)
    cells.X = np.round(cells.X, 2)
    assert ScGen.load(folder, cells).space == "log1p of counts per 10,000"


def test_many_cells_do_not_burden_the_head_of_the_file(folder):
    head = int.from_bytes((folder / MODEL_FILE).read_bytes()[:8], "little")
    loaded = ScGen.load(folder)
    loaded.train_indices_ = np.arange(1_000_000)
    loaded.save(folder / "many")
    assert int.from_bytes((folder / "many" / MODEL_FILE).read_bytes()[:8], "little") < head + 1_000
    assert len(ScGen.load(folder / "many").train_indices_) == 1_000_000


def test_an_untrained_model_can_be_saved(cells, tmp_path):
    ScGen.setup_anndata(cells, batch_key="condition")
    model = ScGen(cells, n_hidden=4, n_latent=2)
    model.save(tmp_path)
    loaded = ScGen.load(tmp_path)
    assert (loaded.is_trained_, loaded.history_) == (False, None)
    with pytest.raises(NotTrainedError, match="not trained"):
        loaded.predict(cells, source="control", target="stimulated")


@pytest.mark.parametrize("numbers", [np.int64, bool])
def test_groups_that_are_no_text_come_back_as_they_were(cells, make_model, tmp_path, numbers):
    codes = cells.obs["condition"].cat.codes.to_numpy()
    cells.obs["condition"] = pd.Categorical((codes * 5).astype(numbers) if numbers is np.int64 else codes > 0)
    source, target = (0, 10) if numbers is np.int64 else (False, True)
    model = make_model(cells, epochs=1)
    model.save(tmp_path)
    loaded = ScGen.load(tmp_path)
    assert loaded.schema.conditions.tolist() == model.schema.conditions.tolist()
    predicted = loaded.predict(cells, source=source, target=target)
    np.testing.assert_array_equal(predicted.X, model.predict(source=source, target=target).X)
    assert (predicted.obs["condition"] == target).all()
    with pytest.raises(GroupError, match="target=3 is no condition"):
        loaded.predict(cells, source=source, target=3)


OPTIONS = {
    "n_layers": 1,
    "dropout_rate": 0.1,
    "kl_weight": 0.01,
    "kl": "variance_only",
    "output_activation": "softplus",
    "seed": 9,
}


def test_every_argument_of_the_model_survives(cells, make_model, tmp_path):
    model = make_model(cells, epochs=1, **OPTIONS)
    model.save(tmp_path)
    loaded = ScGen.load(tmp_path)
    assert loaded.init_params_["non_kwargs"] == {**model.init_params_["non_kwargs"]}
    assert {name: loaded.init_params_["non_kwargs"][name] for name in OPTIONS} == OPTIONS
    np.testing.assert_array_equal(loaded.predict(cells, **ASK).X, model.predict(**ASK).X)


def test_training_goes_on_after_loading(folder, cells):
    loaded = ScGen.load(folder, cells)
    before = len(loaded.history_["train_loss"])
    loaded.train(max_epochs=2, enable_progress_bar=False)
    assert len(loaded.history_["train_loss"]) == before + 2
    assert loaded.history_["train_loss"].iloc[-1, 0] < loaded.history_["train_loss"].iloc[0, 0]


def test_another_class_is_named(folder, cells, tmp_path):
    with pytest.raises(ModelFileError, match="holds a ScGen, not a NoChange; call ScGen.load"):
        NoChange.load(folder)
    NoChange.setup_anndata(cells, batch_key="condition")
    model = NoChange(cells)
    model.train()
    model.save(tmp_path / "other")
    with pytest.raises(ModelFileError, match="holds a NoChange, not a ScGen; call NoChange.load"):
        ScGen.load(tmp_path / "other")


def rewritten(path, change) -> None:
    """Write a model file anew, with a right checksum, after a change of its content."""
    meta, tensors = _datafile.read(path, "model")
    change(meta, tensors)
    _datafile.write(path, "model", meta, tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda meta, _: meta["arguments"].update(n_hidden=7),
            "the weights in '.*' do not fit ScGen of this version: .*size",
        ),
        (lambda meta, _: meta.pop("history"), "model.safetensors' lacks 'history'; save the model again"),
        (
            lambda _, tensors: tensors.pop("decoder.output.bias"),
            "do not fit ScGen of this version: .*decoder.output.bias",
        ),
        (
            lambda meta, _: meta["arguments"].update(new_option=1),
            r"arguments that ScGen of this version does not have: \['new",
        ),
    ],
)
def test_files_of_other_versions(folder, change, message):
    rewritten(folder / MODEL_FILE, change)
    with pytest.raises(ModelFileError, match=message):
        ScGen.load(folder)


def test_another_format_version(model, tmp_path, monkeypatch):
    monkeypatch.setattr(_datafile, "FORMAT", 2)
    model.save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(
        ModelFileError, match="has file format 2; this altercell reads format 1: use the version that wrote"
    ):
        ScGen.load(tmp_path)


def test_the_file_chooses_no_method_to_call(folder, cells, monkeypatch):
    rewritten(folder / MODEL_FILE, lambda meta, _: meta["registry"].update(setup_method_name="planted"))
    monkeypatch.setattr(ScGen, "planted", lambda *_, **__: pytest.fail("called"), raising=False)
    ScGen.load(folder, cells)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "trailing", "empty"])
def test_a_damaged_file_is_refused(folder, damage):
    path = folder / MODEL_FILE
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "truncated": whole[:-100],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :],
            "trailing": whole + b"more",
            "empty": b"",
        }[damage]
    )
    with pytest.raises(ModelFileError, match="damaged|not a whole model file"):
        ScGen.load(folder)


class Payload:
    ran = False

    def __reduce__(self):
        return (setattr, (Payload, "ran", True))


def test_a_planted_pickle_does_not_run(folder, cells):
    for plant in (
        lambda path: path.write_bytes(pickle.dumps(Payload())),
        lambda path: torch.save({"model_state_dict": Payload()}, path),
    ):
        plant(folder / MODEL_FILE)
        torch.save({"model_state_dict": Payload()}, folder / "model.pt")
        with pytest.raises(ModelFileError, match="not a whole model file of altercell"):
            ScGen.load(folder, cells)
    assert not Payload.ran


def test_the_file_is_one_of_tensors_and_json(folder, model):
    from safetensors import safe_open

    with safe_open(folder / MODEL_FILE, framework="np") as handle:
        head = handle.metadata()
        names = {name for name in handle.keys() if not name.startswith("state.")}  # noqa: SIM118 - not a mapping
        assert names == set(model.module.state_dict())
    content = json.loads(head["altercell"])
    assert (content["kind"], content["format"], content["meta"]["class"]) == ("model", 1, "ScGen")
    assert "condition" in json.dumps(content["meta"]["registry"])
