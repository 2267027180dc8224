import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from altercell import ScGen
from altercell.errors import (
    DataError,
    GeneMismatchError,
    GroupError,
    KeyNotFoundError,
    NotTrainedError,
    SpaceMismatchError,
)
from altercell.models.base import AltercellModel

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
SMALL = {"n_hidden": 4, "n_latent": 2}


def snapshot(adata: AnnData) -> tuple:
    x = adata.X.toarray() if sparse.issparse(adata.X) else np.array(adata.X)
    own = [name for name in adata.obs if not name.startswith("_scvi")]
    uns = {key: value for key, value in adata.uns.items() if not key.startswith("_scvi")}
    return x, type(adata.X), adata.obs[own].copy(), adata.var.copy(), uns


def assert_unchanged(adata: AnnData, before: tuple) -> None:
    after = snapshot(adata)
    np.testing.assert_array_equal(after[0], before[0])
    assert after[1] is before[1]
    pd.testing.assert_frame_equal(after[2], before[2])
    pd.testing.assert_frame_equal(after[3], before[3])
    assert after[4] == before[4]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_setup_changes_nothing_but_scvis_own_columns(cells, form):
    cells.X = form(cells.X)
    before = snapshot(cells)
    ScGen.setup_anndata(cells, **KEYS)
    assert_unchanged(cells, before)
    assert {name for name in cells.obs if name.startswith("_scvi")} == {"_scvi_batch", "_scvi_labels"}
    ScGen(cells, **SMALL)
    assert_unchanged(cells, before)


def without(adata: AnnData, **changes) -> AnnData:
    for column, values in changes.items():
        adata.obs[column] = values
    return adata


def spoilt(value):
    def spoil(adata: AnnData) -> AnnData:
        adata.X[5, 3] = value
        return adata

    return spoil


def doubled_genes(adata: AnnData) -> AnnData:
    adata.var_names = ["gene_1", *adata.var_names[1:]]
    return adata


def no_value(adata: AnnData) -> AnnData:
    adata.obs["condition"] = adata.obs["condition"].cat.remove_categories("other")
    return adata


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (
            spoilt(np.nan),
            {},
            DataError,
            "adata.X holds NaN, for example in gene 'gene_3' of cell 'cell_5'; remove or fill",
        ),
        (spoilt(np.inf), {}, DataError, "adata.X holds infinite values, for example in gene 'gene_3' of cell 'cell_5'"),
        (doubled_genes, {}, DataError, "gene names stand more than once: 'gene_1'"),
        (no_value, {}, DataError, r"obs\['condition'\] \(batch_key\) has no value for 38 cells"),
        (lambda a: a[:1].copy(), {}, DataError, "the data have 1 cells; at least 2"),
        (lambda a: a[:0].copy(), {}, DataError, "the data have 0 cells"),
        (lambda a: a[:, :0].copy(), {}, DataError, "the data have 0 genes"),
        (lambda a: a[:, :20], {}, DataError, r"adata is a view of another AnnData; call adata = adata.copy\(\) first"),
        (
            lambda a: without(a, condition="control"),
            {},
            GroupError,
            r"\(batch_key\) holds one condition only, 'control'; ScGen",
        ),
        (
            lambda a: a,
            {"batch_key": None},
            KeyNotFoundError,
            "ScGen compares conditions: name their column with batch_key=",
        ),
        (
            lambda a: a,
            {"batch_key": "x"},
            KeyNotFoundError,
            "batch_key='x' is not a column of obs; there are 'cell_type'",
        ),
        (lambda a: a, {"labels_key": "x"}, KeyNotFoundError, "labels_key='x' is not a column of obs"),
        (lambda a: a, {"size_factor_key": "x"}, KeyNotFoundError, "size_factor_key='x' is not a column"),
        (lambda a: a, {"layer": "x"}, KeyNotFoundError, "layer='x' is not in adata.layers"),
        (
            lambda a: a,
            {"categorical_covariate_keys": ["donor", "x"]},
            KeyNotFoundError,
            "categorical_covariate_keys='x' is not a column",
        ),
        (
            lambda a: a,
            {"categorical_covariate_keys": "xyz"},
            KeyNotFoundError,
            "categorical_covariate_keys='xyz' is not a column",
        ),
    ],
)
def test_bad_data_are_refused_at_setup_and_stay_as_they_were(cells, change, arguments, error, message):
    adata = change(cells)
    columns, uns = list(adata.obs), list(adata.uns)
    with pytest.raises(error, match=message):
        ScGen.setup_anndata(adata, **{**KEYS, **arguments})
    assert list(adata.obs) == columns
    assert list(adata.uns) == uns


def test_other_objects_and_other_arguments_are_refused(cells):
    with pytest.raises(
        DataError, match="setup_anndata takes an AnnData, not a DataFrame; for a MuData there is setup_mudata"
    ):
        ScGen.setup_anndata(pd.DataFrame(), **KEYS)
    with pytest.raises(
        DataError, match="setup_mudata takes a MuData, not a AnnData; for an AnnData there is setup_anndata"
    ):
        ScGen.setup_mudata(cells, modality="rna", **KEYS)
    with pytest.raises(TypeError, match=r"ScGen.setup_anndata\(\) has no argument 'stim_key'"):
        ScGen.setup_anndata(cells, stim_key="condition")
    with pytest.raises(TypeError, match=r"ScGen.setup_mudata\(\) has no argument 'stim_key'"):
        ScGen.setup_mudata(muon(cells), modality="rna", stim_key="condition")


def test_counts_where_log_data_are_expected_and_the_reverse(cells, counts):
    ScGen.setup_anndata(counts, **KEYS)
    with pytest.raises(
        DataError, match=r"adata.X holds counts .*, but ScGen works on log data: call sc.pp.normalize_total"
    ):
        ScGen(counts, **SMALL)
    ScGen.setup_anndata(cells, **KEYS)
    with pytest.raises(DataError, match="adata.X holds values that are not whole numbers, but ScGen needs counts"):
        ScGen(cells, gene_likelihood="nb", **SMALL)


def test_an_empty_cell_is_no_fault_of_log_data_but_of_counts(cells, counts):
    cells.X[3], counts.X[3] = 0, 0
    ScGen.setup_anndata(cells, **KEYS)
    ScGen(cells, **SMALL)
    ScGen.setup_anndata(counts, **KEYS)
    with pytest.raises(DataError, match="adata.X: no count in cell 'cell_3'; remove empty cells"):
        ScGen(counts, gene_likelihood="nb", **SMALL)


def test_a_layer_is_checked_and_named(cells, counts):
    cells.layers["counts"] = counts.X
    ScGen.setup_anndata(cells, layer="counts", **KEYS)
    assert ScGen(cells, gene_likelihood="nb", **SMALL).space == "counts"
    with pytest.raises(DataError, match=r"adata.layers\['counts'\] holds counts"):
        ScGen(cells, **SMALL)
    cells.layers["counts"][2, 2] = np.nan
    with pytest.raises(DataError, match=r"adata.layers\['counts'\] holds NaN"):
        ScGen.setup_anndata(cells, layer="counts", **KEYS)


def test_an_unused_category_is_no_condition(cells):
    cells.obs["condition"] = pd.Categorical(["control"] * 120, categories=["control", "stimulated"])
    with pytest.raises(GroupError, match="holds one condition only, 'control'"):
        ScGen.setup_anndata(cells, **KEYS)


def test_a_model_without_setup_is_refused(cells):
    with pytest.raises(ValueError, match="Please set up your AnnData with ScGen.setup_anndata first"):
        ScGen(cells, **SMALL)


def muon(adata: AnnData) -> MuData:
    protein = AnnData(np.ones((adata.n_obs, 1), np.float32), obs=adata.obs[[]], var=pd.DataFrame(index=["CD3"]))
    return MuData({"rna": adata, "protein": protein})


def test_a_mudata_gives_what_its_modality_gives(cells, make_cells, make_model):
    other = make_model(make_cells())
    mdata = muon(cells)
    ScGen.setup_mudata(mdata, modality="rna", **KEYS)
    model = ScGen(mdata, n_hidden=16, n_latent=4)
    model.train(max_epochs=3, enable_progress_bar=False)
    ask = {"source": "control", "target": "stimulated", "labels": "T"}
    predicted = model.predict(**ask)
    np.testing.assert_array_equal(predicted.X, other.predict(**ask).X)
    assert predicted.obs_names.tolist() == other.predict(**ask).obs_names.tolist()
    np.testing.assert_array_equal(model.predict(muon(make_cells()), **ask).X, predicted.X)
    np.testing.assert_array_equal(model.predict(make_cells(), **ask).X, predicted.X)


def test_a_mudata_without_the_modality_or_the_column(cells):
    mdata = muon(cells)
    with pytest.raises(KeyNotFoundError, match="modality='atac' is not in the MuData; there are 'rna', 'protein'"):
        ScGen.setup_mudata(mdata, modality="atac", **KEYS)
    with pytest.raises(KeyNotFoundError, match="batch_key='condition' is not a column of obs"):
        ScGen.setup_mudata(mdata, modality="protein", **KEYS)


def test_a_model_shows_what_it_is(cells, model):
    assert repr(model) == (
        "ScGen (trained): 30 genes in log1p of counts per 10,000, conditions 'control', 'other', 'stimulated', "
        "labels 'B', 'NK', 'T'"
    )
    ScGen.setup_anndata(cells, batch_key="condition")
    assert repr(ScGen(cells, **SMALL)).startswith("ScGen (not trained): 30 genes")
    assert repr(ScGen(cells, **SMALL)).endswith("labels none")


def test_without_labels_a_log_line_says_what_follows(cells, caplog):
    ScGen.setup_anndata(cells, batch_key="condition")
    with caplog.at_level(logging.INFO, logger="altercell"):
        ScGen(cells, **SMALL)
    assert "no labels_key: the delta is unbalanced over cell types" in caplog.text


def test_the_space_is_that_of_the_data(cells, counts):
    ScGen.setup_anndata(cells, **KEYS)
    assert ScGen(cells, **SMALL).space == "log1p of counts per 10,000"
    cells.uns["altercell"] = {"space": "log1p of counts per median"}
    ScGen.setup_anndata(cells, **KEYS)
    assert ScGen(cells, **SMALL).space == "log1p of counts per median"


def test_cells_are_the_registered_ones_or_others_that_are_checked(cells, counts, model):
    assert model.cells().adata is model.adata
    assert not model.cells().checked
    assert not model.cells(model.adata).checked
    assert model.cells(cells, [3, 1]).checked
    assert model.cells(cells, [3, 1]).obs().index.tolist() == ["cell_3", "cell_1"]
    with pytest.raises(SpaceMismatchError, match="adata is 'counts' but 'log1p of counts per 10,000' is needed"):
        model.cells(counts)
    counts.X = np.log1p(counts.X / counts.X.sum(1, keepdims=True) * 1e3)
    with pytest.raises(
        SpaceMismatchError, match="adata is 'log1p of counts per 1,000' but 'log1p of counts per 10,000'"
    ):
        model.cells(counts)
    counts.X = np.expm1(cells.X)
    with pytest.raises(SpaceMismatchError, match="adata is 'unknown' but"):
        model.cells(counts)


def test_log_data_are_refused_where_counts_are_needed(cells, counts, nb_model):
    with pytest.raises(SpaceMismatchError, match="adata is 'log1p of counts per 10,000' but 'counts' is needed"):
        nb_model.cells(cells)
    assert len(nb_model.cells(counts[:0])) == 0


def test_verbs_before_training_say_so(cells):
    ScGen.setup_anndata(cells, **KEYS)
    model = ScGen(cells, **SMALL)
    for verb in (
        lambda: model.predict(source="control", target="stimulated"),
        model.get_latent_representation,
        lambda: model.decode(np.zeros((1, 2))),
        lambda: model.get_delta("control", "stimulated"),
        model.group_means,
        lambda: model.generate(1),
        model.remove_batch_effect,
    ):
        with pytest.raises(NotTrainedError, match=r"this ScGen is not trained; call train\(\) first"):
            verb()


def test_verbs_leave_mode_gradients_and_generators_alone(model):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    for training in (True, False):
        model.module.train(training)
        model.get_latent_representation(give_mean=False)
        model.generate(3)
        model.predict(source="control", target="stimulated")
        assert model.module.training is training
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002
    assert torch.is_grad_enabled()


def test_building_and_training_leave_the_generators_alone(cells, make_model):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    make_model(cells, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002


def test_the_seed_decides_the_first_weights(cells):
    ScGen.setup_anndata(cells, **KEYS)
    first, again, other = (ScGen(cells, seed=seed, **SMALL).module.encoder.mean_encoder.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_to_device_returns_the_model(model):
    assert model.to_device("cpu") is model


def test_a_model_of_ones_own_needs_two_conditions_only_where_it_says_so(cells):
    class Own(AltercellModel):
        def train(self):
            self.is_trained_ = True

    Own.setup_anndata(cells)
    model = Own(cells, seed=4)
    assert (model.seed, model.schema.batch_key, model.schema.conditions.tolist()) == (4, None, [0])
    model.train()
    model.cells()


@pytest.mark.parametrize("form", ["h5ad", "zarr", "dask"])
def test_data_on_disk_are_set_up_and_trained_as_in_memory(cells, make_cells, make_model, form, tmp_path):
    wanted = make_model(make_cells(), epochs=2)
    cells.X = sparse.csr_matrix(cells.X)
    if form == "h5ad":
        cells.write_h5ad(tmp_path / "a.h5ad")
        adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    elif form == "dask":
        lazy = pytest.importorskip("dask.array").from_array(cells.X.toarray(), chunks=(50, -1))
        adata = AnnData(lazy.map_blocks(sparse.csr_matrix), obs=cells.obs, var=cells.var)
    else:
        zarr = pytest.importorskip("zarr")
        cells.write_zarr(tmp_path / "a.zarr")
        on_disk = ad.io.sparse_dataset(zarr.open(tmp_path / "a.zarr", mode="r")["X"])
        adata = AnnData(on_disk, obs=cells.obs, var=cells.var)
    model = make_model(adata, epochs=2)
    for name, tensor in model.module.state_dict().items():
        torch.testing.assert_close(tensor, wanted.module.state_dict()[name], rtol=0, atol=0)
    ask = {"source": "control", "target": "stimulated", "labels": "T"}
    np.testing.assert_array_equal(model.predict(**ask).X, wanted.predict(**ask).X)
    if form == "h5ad":
        adata.file.close()


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, sparse.csc_matrix, sparse.csr_array])
def test_every_form_of_counts_trains_to_the_same_weights(counts, make_cells, make_model, form, dtype):
    wanted = make_model(make_cells(counts=True), epochs=1, gene_likelihood="nb").module.state_dict()
    counts.X = form(counts.X.astype(dtype))
    found = make_model(counts, epochs=1, gene_likelihood="nb").module.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_genes_missing_at_transfer(cells, model, tmp_path):
    model.save(tmp_path)
    with pytest.raises(GeneMismatchError, match="1 of the model's 30 genes are missing: 'gene_0'"):
        ScGen.load(tmp_path, cells[:, 1:].copy())
    more = ad.concat([cells, AnnData(np.ones((120, 1), np.float32), cells.obs, pd.DataFrame(index=["x"]))], axis=1)
    more.obs = cells.obs
    with pytest.raises(
        GeneMismatchError, match=r"the data have 31 genes and the model 30; attach adata\[:, model.schema"
    ):
        ScGen.load(tmp_path, more)


def test_groups_unseen_at_transfer(cells, model, tmp_path):
    model.save(tmp_path)
    cells.obs["condition"] = "new"
    with pytest.raises(GroupError, match=r"obs\['condition'\] holds 'new', which training has not seen"):
        ScGen.load(tmp_path, cells)
    cells.obs["condition"], cells.obs["cell_type"] = "control", "new"
    with pytest.raises(
        GroupError, match=r"obs\['cell_type'\] holds 'new', .*; load without data and give them to the verb"
    ):
        ScGen.load(tmp_path, cells)


def test_one_condition_is_enough_at_transfer(cells, model, tmp_path):
    model.save(tmp_path)
    control = cells[cells.obs["condition"] == "control"].copy()
    loaded = ScGen.load(tmp_path, control)
    predicted = loaded.predict(source="control", target="stimulated")
    np.testing.assert_array_equal(predicted.X, model.predict(cells, source="control", target="stimulated").X)
