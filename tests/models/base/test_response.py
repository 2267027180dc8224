import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from altercell import __version__
from altercell.errors import DataError, GeneMismatchError, GroupError, KeyNotFoundError, SpaceMismatchError
from altercell.models.base import AltercellModel, ResponseModel

ASK = {"source": "control", "target": "stimulated"}
TARGETS = ["stimulated", "other"]
SEVERAL = {"source": "control", "target": TARGETS}


class Adding(ResponseModel, AltercellModel):
    """Adds 1 to the source cells, or noise where `noise` is asked: the smallest model with the verb."""

    _random_response = True
    _predict_options = ("noise",)

    def __init__(self, adata=None, registry=None):
        super().__init__(adata, registry)
        self.module = _Module()
        self.requests = []
        self.init_params_ = self._get_init_params(locals())

    def train(self):
        self.is_trained_ = True

    def _group_sizes(self):
        codes = self.schema.condition_codes(self.adata), self.schema.cell_label_codes(self.adata)
        sizes = np.zeros((len(self.schema.conditions), len(self.schema.labels)), dtype=int)
        np.add.at(sizes, codes, 1)
        return sizes

    def _respond(self, cells, request, noise=False):
        self.requests.append(request)
        rng = np.random.default_rng(request.seed)
        for start in range(0, len(cells), request.batch_size):
            block = cells.read(slice(start, start + request.batch_size))
            yield block + (rng.normal(size=block.shape) if noise else 1)


class _Module:
    training = False

    def eval(self):
        pass

    def train(self, mode):
        pass


@pytest.fixture
def adding(cells) -> Adding:
    Adding.setup_anndata(cells, batch_key="condition", labels_key="cell_type", categorical_covariate_keys=["donor"])
    model = Adding(cells)
    model.train()
    return model


def test_every_source_cell_is_answered_by_one_of_its_name(adding, cells, rows):
    predicted = adding.predict(**ASK)
    where = rows(cells, "control")
    assert predicted.obs_names.tolist() == cells.obs_names[where].tolist()
    np.testing.assert_array_equal(predicted.X, cells.X[where] + 1)
    assert predicted.X.dtype == np.float32
    assert (predicted.obs["condition"] == "stimulated").all()
    assert predicted.obs["condition"].cat.categories.tolist() == ["control", "other", "stimulated"]
    for column in ("cell_type", "donor", "total"):
        assert predicted.obs[column].tolist() == cells.obs[column].iloc[where].tolist()
    assert not any(name.startswith("_scvi") for name in predicted.obs)
    pd.testing.assert_frame_equal(predicted.var, cells.var)


def test_the_account_says_how_it_was_made(adding):
    account = adding.predict(**ASK, labels=["T", "B"], seed=5, noise=True).uns["altercell"]
    assert {key: value for key, value in account.items() if key not in ("labels", "trust")} == {
        "model": "Adding",
        "verb": "predict",
        "version": __version__,
        "source": "control",
        "target": "stimulated",
        "batch_key": "condition",
        "labels_key": "cell_type",
        "space": "log1p of counts per 10,000",
        "cells": "decoded",
        "seed": 5,
        "options": "noise=True",
    }
    assert account["labels"].tolist() == ["T", "B"]
    assert set(adding.predict(**ASK).uns["altercell"]["labels"]) == {"B", "NK", "T"}


@pytest.mark.parametrize(
    "labels", ["T", ["T"], ("T", "B"), np.array(["B", "NK"]), pd.Index(["NK"]), pd.Series(["T", "NK"])]
)
def test_one_label_or_several(adding, cells, labels):
    wanted = [labels] if isinstance(labels, str) else list(labels)
    predicted = adding.predict(**ASK, labels=labels)
    keep = (cells.obs["condition"] == "control") & cells.obs["cell_type"].isin(wanted)
    assert predicted.obs_names.tolist() == cells.obs_names[keep].tolist()
    assert predicted.uns["altercell"]["labels"].tolist() == wanted


@pytest.mark.parametrize("mask", [False, True])
def test_only_some_cells_are_considered(adding, cells, rows, mask):
    some = np.arange(0, 120, 2)
    given = np.isin(np.arange(120), some) if mask else some
    predicted = adding.predict(**ASK, labels="T", indices=given)
    wanted = [row for row in some if row in rows(cells, "control", "T")]
    assert predicted.obs_names.tolist() == cells.obs_names[wanted].tolist()


def test_the_order_of_the_indices_is_kept(adding, cells, rows):
    where = rows(cells, "control")[::-1]
    assert adding.predict(**ASK, indices=where).obs_names.tolist() == cells.obs_names[where].tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 1_000, None])
def test_the_batch_size_reaches_the_model_and_changes_nothing(adding, batch_size):
    whole = adding.predict(**ASK)
    np.testing.assert_array_equal(adding.predict(**ASK, batch_size=batch_size).X, whole.X)
    assert adding.requests[-1].batch_size == (batch_size or 1024)


def test_the_model_is_asked_in_codes(adding, cells):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"T": "new"})
    adding.predict(cells.copy(), **ASK, seed=3)
    request = adding.requests[-1]
    assert (request.source, request.target, request.seed) == (0, 2, 3)
    types = cells.obs["cell_type"][cells.obs["condition"] == "control"]
    assert request.label_codes.tolist() == types.map({"B": 0, "NK": 1, "new": -1}).tolist()


def test_the_seed_decides_and_is_recorded(adding):
    first, again, other = (adding.predict(**ASK, seed=seed, noise=True).X for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    free = adding.predict(**ASK, noise=True)
    np.testing.assert_array_equal(adding.predict(**ASK, noise=True, seed=free.uns["altercell"]["seed"]).X, free.X)


def test_other_cells_with_genes_shuffled_and_more(adding, cells):
    noise = np.random.default_rng(0).random((120, 3), dtype=np.float32)
    extra = AnnData(noise, obs=cells.obs, var=pd.DataFrame(index=["x", "y", "z"]))
    other = ad.concat([extra, cells[:, ::-1]], axis=1)
    other.obs = cells.obs.drop(columns=["donor"])
    predicted = adding.predict(other, **ASK)
    np.testing.assert_array_equal(predicted.X, adding.predict(**ASK).X)
    assert predicted.var_names.tolist() == cells.var_names.tolist()
    assert "donor" not in predicted.obs


def test_other_cells_may_be_of_unseen_types_or_have_no_types(adding, cells):
    other = cells.copy()
    other.obs["cell_type"] = "new"
    predicted = adding.predict(other, **ASK, labels="new")
    assert predicted.n_obs == (cells.obs["condition"] == "control").sum()
    assert f"{predicted.n_obs} cells are of a type that training has not seen" in predicted.uns["altercell"]["trust"]
    del other.obs["cell_type"]
    assert adding.predict(other, **ASK).uns["altercell"]["labels"].tolist() == []
    with pytest.raises(KeyNotFoundError, match=r"obs has no column 'cell_type' \(labels_key of the model\)"):
        adding.predict(other, **ASK, labels="T")


def test_a_view_stays_a_view(adding, cells):
    view = cells[10:90]
    predicted = adding.predict(view, **ASK)
    assert view.is_view
    assert set(predicted.obs_names) < set(cells.obs_names[10:90])


def test_the_cells_that_are_asked_stay_as_they_were(adding, cells):
    other = cells.copy()
    before = other.copy()
    adding.predict(other, **ASK).X[:] = 0
    np.testing.assert_array_equal(other.X, before.X)
    pd.testing.assert_frame_equal(other.obs, before.obs)


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_cells_that_share_a_name_are_all_answered(adding, cells):
    other = cells.copy()
    other.obs_names = ["cell"] * 120
    np.testing.assert_array_equal(adding.predict(other, **ASK).X, adding.predict(**ASK).X)


def test_an_answer_on_disk_is_the_one_in_memory(adding, tmp_path):
    backed = adding.predict(**ASK, path=tmp_path / "a.h5ad", batch_size=7)
    assert backed.isbacked
    backed.file.close()
    read, kept = ad.read_h5ad(tmp_path / "a.h5ad"), adding.predict(**ASK)
    np.testing.assert_array_equal(read.X, kept.X)
    pd.testing.assert_frame_equal(read.obs.astype(str), kept.obs.astype(str), check_index_type=False)
    assert read.uns["altercell"]["target"] == "stimulated"
    with pytest.raises(DataError, match=r"a.h5ad' exists; remove it or choose another"):
        adding.predict(**ASK, path=tmp_path / "a.h5ad")


def test_several_targets_are_answered_one_after_another(adding, cells, rows):
    predicted = adding.predict(**SEVERAL, labels=["T", "B"], seed=4, noise=True)
    single = [adding.predict(**{**SEVERAL, "target": name}, labels=["T", "B"], seed=4, noise=True) for name in TARGETS]
    np.testing.assert_array_equal(predicted.X, np.concatenate([part.X for part in single]))
    names = single[0].obs_names.tolist()
    assert predicted.obs_names.tolist() == [f"{cell}-{target}" for target in TARGETS for cell in names]
    assert predicted.obs["source_cell"].tolist() == names * 2
    assert predicted.obs["condition"].tolist() == [name for name in TARGETS for _ in names]
    assert predicted.obs["condition"].cat.categories.tolist() == ["control", "other", "stimulated"]
    for column in ("cell_type", "donor", "total"):
        assert predicted.obs[column].tolist() == [value for part in single for value in part.obs[column]]
        assert predicted.obs[column].dtype == single[0].obs[column].dtype
    pd.testing.assert_frame_equal(predicted.var, cells.var)
    assert "source_cell" not in single[0].obs


@pytest.mark.parametrize("targets", [tuple(TARGETS), np.array(TARGETS), pd.Index(TARGETS), pd.Series(TARGETS)])
def test_targets_may_be_any_sequence(adding, targets):
    predicted = adding.predict(source="control", target=targets)
    np.testing.assert_array_equal(predicted.X, adding.predict(**SEVERAL).X)
    assert predicted.obs_names.is_unique


def test_a_list_of_one_target_is_a_list(adding):
    predicted, single = (
        adding.predict(source="control", target=["other"]),
        adding.predict(source="control", target="other"),
    )
    np.testing.assert_array_equal(predicted.X, single.X)
    assert predicted.obs["source_cell"].tolist() == single.obs_names.tolist()
    assert predicted.obs_names.tolist() == [f"{name}-other" for name in single.obs_names]
    assert predicted.uns["altercell"]["target"].tolist() == ["other"]
    assert single.uns["altercell"]["target"] == "other"


def test_the_account_and_the_doubts_name_all_targets(adding, rows, cells):
    account = adding.predict(**SEVERAL, indices=rows(cells, "control")[:3]).uns["altercell"]
    assert account["target"].tolist() == TARGETS
    told = list(account["trust"])
    assert "target 'stimulated', 'other': only 3 source cells" in told
    for name, reason in (("stimulated", "only 2 cell types were seen"), ("other", "training held cells of an asked")):
        about = [text for text in told if f"'{name}'" in text.split(":")[0] and reason in text]
        assert len(about) == 1, told
    for name in TARGETS:
        single = adding.predict(source="control", target=name, indices=rows(cells, "control")[:3])
        about = [text.split(": ", 1)[1] for text in told if f"'{name}'" in text.split(":")[0]]
        assert about == list(single.uns["altercell"]["trust"])


def test_several_targets_on_disk_and_in_small_batches(adding, tmp_path):
    backed = adding.predict(**SEVERAL, path=tmp_path / "a.h5ad", batch_size=7)
    backed.file.close()
    read, kept = ad.read_h5ad(tmp_path / "a.h5ad"), adding.predict(**SEVERAL)
    np.testing.assert_array_equal(read.X, kept.X)
    pd.testing.assert_frame_equal(read.obs.astype(str), kept.obs.astype(str), check_index_type=False)
    assert read.uns["altercell"]["target"].tolist() == TARGETS


def test_an_own_column_of_that_name_in_the_cells_stays_as_it_was(adding, cells):
    other = cells.copy()
    other.obs["source_cell"] = "mine"
    assert (adding.predict(other, **ASK).obs["source_cell"] == "mine").all()
    with pytest.raises(DataError, match="obs has a column 'source_cell', which the answer for several targets"):
        adding.predict(other, **SEVERAL)
    assert (other.obs["source_cell"] == "mine").all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([], "target is empty; give at least one of 'control', 'other', 'stimulated'"),
        (["other", "control"], "source and target are both 'control'; there is nothing to predict"),
        (["other", "x"], "target='x' is no condition"),
        (["other", "stimulated", "other"], "target names 'other' more than once"),
    ],
)
def test_targets_that_cannot_be_asked(adding, target, message, tmp_path):
    with pytest.raises(GroupError, match=message):
        adding.predict(source="control", target=target, path=tmp_path / "a.h5ad")
    assert adding.requests == []
    assert not list(tmp_path.iterdir())


def test_there_is_one_source(adding):
    with pytest.raises(GroupError, match=r"source=\['control', 'other'\] must be one condition; there are 'control',"):
        adding.predict(source=["control", "other"], target="stimulated")


def test_several_targets_of_a_model_with_options_of_its_own(model):
    several = model.predict(**SEVERAL, weights="unbalanced", batch_size=16)
    for number, name in enumerate(TARGETS):
        part = several[several.obs["condition"] == name]
        single = model.predict(source="control", target=name, weights="unbalanced", batch_size=16)
        np.testing.assert_array_equal(part.X, single.X)
        assert (np.flatnonzero(several.obs["condition"] == name) // single.n_obs == number).all()
    with pytest.raises(GroupError, match="delta= is the step to one condition; give that as target=, not a list"):
        model.predict(**SEVERAL, delta=model.get_delta("control", "other"))
    with pytest.raises(GroupError, match=r"target=\['stimulated', 'other'\] must be one condition; there are"):
        model.interpolate(**SEVERAL)


def doubts(predicted: AnnData) -> str:
    return "; ".join(predicted.uns["altercell"]["trust"])


def test_doubts_are_told_where_there_are_reasons(adding, rows, cells):
    assert "only 2 cell types were seen in both conditions; a response that differs" in doubts(adding.predict(**ASK))
    seen = "training held cells of an asked type under the target condition"
    assert doubts(adding.predict(source="control", target="other")).startswith(seen)
    few = adding.predict(source="control", target="other", indices=rows(cells, "control")[:3])
    assert next(iter(few.uns["altercell"]["trust"])) == "only 3 source cells"
    sizes = adding._group_sizes()
    held = [
        name
        for name, size in zip(
            adding.schema.labels, sizes[adding.schema.condition_code(ASK["target"], "target")], strict=True
        )
        if size == 0
    ]
    assert held
    assert seen not in doubts(adding.predict(**ASK, labels=held))


def test_without_labels_types_are_no_reason_for_doubt(cells):
    Adding.setup_anndata(cells, batch_key="condition")
    model = Adding(cells)
    model.train()
    assert doubts(model.predict(**ASK)) == ""
    with pytest.raises(GroupError, match="labels were given, but the model was set up without labels_key"):
        model.predict(**ASK, labels="T")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"source": "control", "target": "control"},
            GroupError,
            "source and target are both 'control'; there is nothing",
        ),
        ({"source": "x", "target": "control"}, GroupError, "source='x' is no condition"),
        (
            {"source": "control", "target": "x"},
            GroupError,
            "target='x' is no condition .* there are 'control', 'other', 'stim",
        ),
        ({**ASK, "labels": []}, GroupError, "labels is empty; give at least one, or None for all"),
        ({**ASK, "labels": "x"}, GroupError, "no cell of condition 'control' has cell_type 'x'; there are '"),
        ({**ASK, "labels": ["T", "x"]}, GroupError, "has cell_type 'x'; there are"),
        (
            {"source": "stimulated", "target": "control", "labels": "T"},
            GroupError,
            "no cell of condition 'stimulated' has cell_type",
        ),
        ({**ASK, "indices": []}, GroupError, "no cell has condition 'control'; there are none"),
        ({**ASK, "indices": [120]}, DataError, "indices must lie between 0 and 119"),
        ({**ASK, "indices": [True]}, DataError, r"the mask of cells has shape \(1,\), but there are 120 cells"),
        ({**ASK, "batch_size": 0}, DataError, "batch_size=0 must be at least 1"),
        ({**ASK, "colour": 1}, TypeError, "colour"),
    ],
)
def test_what_cannot_be_asked(adding, options, error, message):
    with pytest.raises(error, match=message):
        adding.predict(**options)


def test_a_condition_without_a_cell_is_named(cells):
    cells.obs["condition"] = cells.obs["condition"].cat.add_categories("unused")
    Adding.setup_anndata(cells, batch_key="condition")
    model = Adding(cells)
    model.train()
    with pytest.raises(GroupError, match="target='unused' (has no training cell|is no condition)"):
        model.predict(source="control", target="unused")


def test_other_cells_that_cannot_be_used(adding, cells, counts):
    with pytest.raises(GeneMismatchError, match="1 of the model's 30 genes are missing: 'gene_4'"):
        adding.predict(cells[:, cells.var_names != "gene_4"].copy(), **ASK)
    with pytest.raises(SpaceMismatchError, match="adata is 'counts' but 'log1p of counts per 10,000' is needed"):
        adding.predict(counts, **ASK)
    other = cells.copy()
    del other.obs["condition"]
    with pytest.raises(KeyNotFoundError, match=r"obs has no column 'condition' \(batch_key of the model\)"):
        adding.predict(other, **ASK)
    with pytest.raises(GroupError, match="no cell has condition 'control'; there are 'other'"):
        adding.predict(cells[cells.obs["condition"] == "other"].copy(), **ASK)
    spoilt = cells.copy()
    spoilt.X[(cells.obs["condition"] == "control").to_numpy(), 2] = np.nan
    with pytest.raises(DataError, match="the values hold NaN or infinite ones, for example in gene 'gene_2' of cell"):
        adding.predict(spoilt, **ASK)


def test_nan_in_the_condition_of_other_cells_means_not_asked(adding, cells):
    other = cells.copy()
    other.obs["condition"] = other.obs["condition"].cat.remove_categories("other")
    np.testing.assert_array_equal(adding.predict(other, **ASK).X, adding.predict(**ASK).X)


def test_an_option_that_the_model_does_not_have_is_refused(adding):
    with pytest.raises(TypeError, match=r"Adding.predict\(\) has no argument 'nonsense', 'output'"):
        adding.predict(**ASK, output="log", nonsense=3)


def test_names_that_would_stand_twice_are_refused(make_cells):
    cells = make_cells()
    cells.obs["condition"] = cells.obs["condition"].cat.rename_categories({"stimulated": "other-other"})
    cells.obs_names = [f"{name}-other" if number % 2 else name for number, name in enumerate(cells.obs_names)]
    first, second = cells.obs_names[cells.obs["condition"] == "control"][:2]
    cells.obs_names = [{first: "a", second: "a-other"}.get(name, name) for name in cells.obs_names]
    Adding.setup_anndata(cells, batch_key="condition", labels_key="cell_type")
    model = Adding(cells)
    model.train()
    with pytest.raises(DataError, match="cells and targets give the same name 'a-other-other'; ask for one target"):
        model.predict(source="control", target=["other", "other-other"])
