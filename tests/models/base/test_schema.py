import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from altercell import ScGen
from altercell.errors import DataError, GroupError, KeyNotFoundError
from altercell.models.base import Schema
from altercell.models.base._schema import as_list


@pytest.fixture
def schema() -> Schema:
    return Schema(
        genes=np.array(["gene_0", "gene_1"], dtype=object),
        conditions=np.array(["control", "stimulated"], dtype=object),
        labels=np.array(["B", "T"], dtype=object),
        batch_key="condition",
        labels_key="cell_type",
        size_factor_key=None,
        layer=None,
        modality=None,
        space="counts",
    )


@pytest.fixture
def adata() -> AnnData:
    obs = {"condition": ["stimulated", "control", "control"], "cell_type": ["T", "B", "NK"]}
    return AnnData(np.ones((3, 2), np.float32), obs=pd.DataFrame(obs, index=["a", "b", "c"]))


@pytest.fixture
def mdata(adata) -> MuData:
    protein = AnnData(np.ones((2, 1)), obs=pd.DataFrame(index=["a", "b"]), var=pd.DataFrame(index=["CD3"]))
    mdata = MuData({"rna": adata.copy(), "protein": protein})
    mdata.obs["batch"] = pd.Series({"a": "x", "b": "y", "c": "z"})
    return mdata


def replaced(schema: Schema, **changes) -> Schema:
    return Schema(**{**vars(schema), **changes})


def test_it_is_read_from_a_registry(cells):
    cells.uns["altercell"] = {"space": "log1p of counts per median"}
    ScGen.setup_anndata(cells, batch_key="condition", labels_key="cell_type", size_factor_key="total")
    schema = ScGen(cells, n_hidden=4, n_latent=2).schema
    assert schema.genes.tolist() == cells.var_names.tolist()
    assert schema.conditions.tolist() == ["control", "other", "stimulated"]
    assert schema.labels.tolist() == ["B", "NK", "T"]
    assert (schema.batch_key, schema.labels_key, schema.size_factor_key) == ("condition", "cell_type", "total")
    assert (schema.layer, schema.modality, schema.space) == (None, None, "log1p of counts per median")


def test_a_registry_of_others_has_an_unknown_space(cells):
    ScGen.setup_anndata(cells, batch_key="condition")
    registry = dict(ScGen(cells, n_hidden=4, n_latent=2).registry_)
    del registry["altercell"], registry["setup_args"]
    schema = Schema.from_registry(registry)
    assert (schema.space, schema.batch_key) == ("unknown", None)


def test_an_anndata_is_itself_and_a_mudata_its_modality(schema, adata, mdata):
    assert schema.anndata(adata) is adata
    assert replaced(schema, modality="rna").anndata(mdata) is mdata.mod["rna"]
    with pytest.raises(KeyNotFoundError, match="the MuData has no modality 'atac'; there are 'rna', 'protein'"):
        replaced(schema, modality="atac").anndata(mdata)


def test_columns_are_found_in_the_modality_then_in_the_mudata(schema, adata, mdata):
    schema = replaced(schema, modality="rna")
    assert schema.column(adata, "condition", "batch_key").tolist() == ["stimulated", "control", "control"]
    assert schema.column(mdata, "cell_type", "labels_key").tolist() == ["T", "B", "NK"]
    assert schema.column(mdata, "batch", "batch_key").tolist() == ["x", "y", "z"]
    with pytest.raises(KeyNotFoundError, match=r"obs has no column 'donor' \(batch_key of the model\); add it, for ex"):
        schema.column(mdata, "donor", "batch_key")


def test_codes_of_conditions(schema, adata):
    assert schema.condition_code("stimulated", "target") == 1
    assert schema.condition_codes(adata).tolist() == [1, 0, 0]
    assert replaced(schema, batch_key=None).condition_codes(adata).tolist() == [0, 0, 0]


def test_an_unknown_condition_is_named_with_those_that_are_known(schema, adata):
    with pytest.raises(
        GroupError, match=r"target='x' is no condition of obs\['condition'\] in training; there are 'control'"
    ):
        schema.condition_code("x", "target")
    with pytest.raises(GroupError, match="source=0 is no condition"):
        schema.condition_code(0, "source")
    adata.obs["condition"] = ["stimulated", "x", "y"]
    with pytest.raises(GroupError, match=r"obs\['condition'\] holds 'x', 'y', which training has not seen"):
        schema.condition_codes(adata)


def test_cells_without_a_condition_are_refused(schema, adata):
    adata.obs["condition"] = pd.Categorical(["stimulated", None, "control"])
    with pytest.raises(DataError, match=r"obs\['condition'\] has no value for 1 cells"):
        schema.condition_codes(adata)


def test_codes_of_labels_with_minus_one_for_unseen_ones(schema, adata):
    assert schema.label_code("T", "labels") == 1
    assert schema.label_codes(["T", "x", None]).tolist() == [1, -1, -1]
    assert schema.cell_label_codes(adata).tolist() == [1, 0, -1]
    assert schema.cell_label_codes(AnnData(np.ones((2, 2)))).tolist() == [-1, -1]
    assert replaced(schema, labels_key=None).cell_label_codes(adata).tolist() == [0, 0, 0]


def test_an_unknown_label_is_named_with_those_that_are_known(schema):
    with pytest.raises(
        GroupError, match=r"types='x' is no label of obs\['cell_type'\] in training; there are 'B', 'T'"
    ):
        schema.label_code("x", "types")
    with pytest.raises(GroupError, match="types='T' was given, but the model was set up without labels_key"):
        replaced(schema, labels_key=None).label_code("T", "types")


def test_integer_categories_are_no_positions(schema, adata):
    schema = replaced(schema, conditions=np.array([0, 7]), labels=np.array([7, 3]))
    adata.obs["condition"], adata.obs["cell_type"] = [7, 0, 0], [3, 7, 0]
    assert schema.condition_codes(adata).tolist() == [1, 0, 0]
    assert schema.cell_label_codes(adata).tolist() == [1, 0, -1]
    assert schema.condition_code(7, "source") == 1
    with pytest.raises(GroupError, match="source=1 is no condition .*; there are 0, 7"):
        schema.condition_code(1, "source")


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ("ab", None),
        (3, None),
        (None, None),
        (["a"], ["a"]),
        ((), []),
        (np.array([1, 2]), [1, 2]),
        (pd.Index(["a"]), ["a"]),
    ],
)
def test_one_name_or_several(names, listed):
    assert as_list(names) == listed


def test_a_condition_is_one(schema):
    with pytest.raises(GroupError, match=r"target=\['control'\] must be one condition; there are 'control', 'stim"):
        schema.condition_code(["control"], "target")


def test_data_can_add_conditions_and_labels(schema, adata):
    with pytest.raises(GroupError, match="no condition beside those that the model knows, 'control', 'stimulated'; th"):
        schema.check_extension(adata)
    adata.obs["condition"] = ["new", "control", "control"]
    schema.check_extension(adata)
    adata.obs["cell_type"] = [1, 2, 3]
    with pytest.raises(DataError, match=r"\(labels_key\) holds 1, 2, 3 of type int.*, and the model's are of type str"):
        schema.check_extension(adata)
    replaced(schema, labels_key=None).check_extension(adata)
    adata.obs["condition"] = [1.5, 2.5, 2.5]
    with pytest.raises(DataError, match=r"\(batch_key\) holds 1.5, 2.5 of type float.*, and the model's are of type"):
        schema.check_extension(adata)
