import anndata as ad
import numpy as np
import pandas as pd
import pytest

from altercell import ScGen
from altercell.errors import DataError, GroupError, NotTrainedError

BATCHES, TYPES = ("control", "other", "stimulated"), ("B", "NK", "T")


class Truth:
    """The paper's and the code's batch removal in NumPy, cell by cell."""

    def __init__(self, model, oracle) -> None:
        self.paper = oracle(model.module)
        self.obs = model.adata.obs
        self.latent = self.paper.encode(model.adata.X)[0]

    def rows(self, batch=None, kind=None) -> np.ndarray:
        keep = np.ones(len(self.obs), dtype=bool)
        if batch is not None:
            keep &= (self.obs["condition"] == batch).to_numpy()
        if kind is not None:
            keep &= (self.obs["cell_type"] == kind).to_numpy()
        return keep

    def corrected(self, reference: str | None, with_labels: bool) -> np.ndarray:
        latent = self.latent.copy()
        for kind in TYPES if with_labels else [None]:
            sizes = {batch: self.rows(batch, kind).sum() for batch in BATCHES}
            onto = reference if reference and sizes[reference] else max(sizes, key=sizes.get)
            goal = self.latent[self.rows(onto, kind)].mean(axis=0)
            for batch in BATCHES:
                rows = self.rows(batch, kind)
                if rows.any():
                    latent[rows] += goal - self.latent[rows].mean(axis=0)
        return latent


@pytest.fixture(scope="module")
def truth(model, oracle):
    return Truth(model, oracle)


@pytest.mark.parametrize("reference", [None, "control", "other", "stimulated"])
@pytest.mark.parametrize("use_labels", [None, True, False])
def test_the_latent_points_are_moved_as_stated_and_decoded(model, truth, reference, use_labels):
    corrected = model.remove_batch_effect(reference=reference, use_labels=use_labels)
    wanted = truth.corrected(reference, with_labels=use_labels is not False)
    np.testing.assert_allclose(corrected.obsm["X_altercell"], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(corrected.X, truth.paper.decode(wanted), rtol=1e-3, atol=1e-3)


def test_afterwards_the_batches_of_a_type_have_one_mean(model, truth):
    latent = model.remove_batch_effect(reference="other").obsm["X_altercell"]
    for kind in TYPES:
        goal = truth.latent[truth.rows("other", kind)].mean(axis=0)
        for batch in BATCHES:
            if truth.rows(batch, kind).any():
                np.testing.assert_allclose(latent[truth.rows(batch, kind)].mean(axis=0), goal, rtol=1e-3, atol=1e-4)


def test_cells_of_the_reference_stay(model, truth):
    latent = model.remove_batch_effect(reference="other").obsm["X_altercell"]
    rows = truth.rows("other")
    np.testing.assert_allclose(latent[rows], truth.latent[rows], rtol=1e-4, atol=1e-5)
    latent = model.remove_batch_effect(reference="other", use_labels=False).obsm["X_altercell"]
    np.testing.assert_allclose(latent[rows], truth.latent[rows], rtol=1e-4, atol=1e-5)


@pytest.fixture
def lonely(cells):
    """Cells of which the type T is seen in one batch only."""
    keep = (cells.obs["cell_type"] != "T") | (cells.obs["condition"] == "control")
    return cells[keep.to_numpy()].copy()


@pytest.mark.parametrize("reference", [None, "stimulated"])
def test_a_type_seen_in_one_batch_stays(lonely, make_model, oracle, reference):
    model = make_model(lonely, epochs=1)
    truth = Truth(model, oracle)
    corrected = model.remove_batch_effect(reference=reference)
    rows = truth.rows(kind="T")
    np.testing.assert_allclose(corrected.obsm["X_altercell"][rows], truth.latent[rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(corrected.X[rows], truth.paper.decode(truth.latent[rows]), rtol=1e-3, atol=1e-3)
    others = truth.rows("other", "B")
    assert np.abs(corrected.obsm["X_altercell"][others] - truth.latent[others]).max() > 1e-3


def test_cells_of_a_pair_that_training_has_not_seen_stay(model, cells, oracle, tmp_path):
    model.save(tmp_path)
    cells.obs["condition"] = cells.obs["condition"].where(cells.obs["cell_type"] != "T", "stimulated")
    corrected = ScGen.load(tmp_path, cells).remove_batch_effect()
    latent = oracle(model.module).encode(cells.X)[0]
    moved = np.abs(corrected.obsm["X_altercell"] - latent).max(axis=1) > 1e-3
    assert not moved[(cells.obs["cell_type"] == "T").to_numpy()].any()
    assert moved.any()


def test_every_row_is_paired_with_its_own_cell(model, cells, tmp_path):
    corrected = model.remove_batch_effect()
    assert corrected.obs_names.tolist() == model.adata.obs_names.tolist()
    model.save(tmp_path)
    order = np.random.default_rng(0).permutation(120)
    other = ScGen.load(tmp_path, cells[order].copy())
    again = other.remove_batch_effect()
    assert again.obs_names.tolist() == cells.obs_names[order].tolist()
    np.testing.assert_allclose(again[corrected.obs_names].X, corrected.X, rtol=1e-4, atol=1e-4)
    assert np.abs(again.X - corrected.X).max() > 0.1


@pytest.fixture
def rich(cells):
    """Cells with layers and obsm of several kinds."""
    cells.layers["counts"] = np.expm1(cells.X)
    cells.obsm["X_pca"] = cells.X[:, :3].copy()
    cells.obsm["table"] = pd.DataFrame({"a": range(120)}, index=cells.obs_names)
    return cells


def test_obs_var_layers_and_obsm_are_kept(rich, make_model):
    before = rich.copy()
    model = make_model(rich, epochs=1)
    corrected = model.remove_batch_effect()
    pd.testing.assert_frame_equal(corrected.obs, before.obs)
    pd.testing.assert_frame_equal(corrected.var, before.var)
    np.testing.assert_array_equal(corrected.layers["counts"], before.layers["counts"])
    np.testing.assert_array_equal(corrected.obsm["X_pca"], before.obsm["X_pca"])
    pd.testing.assert_frame_equal(corrected.obsm["table"], before.obsm["table"])
    assert set(corrected.obsm) == {"X_pca", "table", "X_altercell"}
    corrected.layers["counts"][:] = 0
    corrected.obsm["X_pca"][:] = 0
    np.testing.assert_array_equal(rich.layers["counts"], before.layers["counts"])
    np.testing.assert_array_equal(rich.obsm["X_pca"], before.obsm["X_pca"])
    np.testing.assert_array_equal(rich.X, before.X)


def test_layers_follow_the_models_order_of_genes(rich, make_model, tmp_path):
    make_model(rich, epochs=1).save(tmp_path)
    shuffled = rich[:, np.random.default_rng(0).permutation(30)].copy()
    corrected = ScGen.load(tmp_path, shuffled).remove_batch_effect()
    assert corrected.var_names.tolist() == rich.var_names.tolist()
    np.testing.assert_array_equal(corrected.layers["counts"], rich.layers["counts"])


def test_on_disk_it_is_the_same(rich, make_model, tmp_path):
    model = make_model(rich, epochs=1)
    backed = model.remove_batch_effect(path=tmp_path / "a.h5ad", batch_size=50)
    assert backed.isbacked
    backed.file.close()
    read, kept = ad.read_h5ad(tmp_path / "a.h5ad"), model.remove_batch_effect()
    np.testing.assert_allclose(read.X, kept.X, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(read.layers["counts"], kept.layers["counts"])
    np.testing.assert_allclose(read.obsm["X_altercell"], kept.obsm["X_altercell"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "reference", "labels_read"),
    [
        ({}, "the largest batch of each type", True),
        ({"use_labels": False}, "the largest batch", False),
        ({"reference": "other"}, "other", True),
    ],
)
def test_the_account_says_what_was_read(model, options, reference, labels_read):
    account = model.remove_batch_effect(**options).uns["altercell"]
    assert (account["verb"], account["reference"]) == ("remove_batch_effect", reference)
    assert account["labels_read"] == labels_read
    doubts = ["labels were read: scores on the same labels are optimistic"] if labels_read else []
    assert account["trust"].tolist() == doubts


def test_a_batch_that_is_named_0_is_a_reference(cells, make_model, oracle):
    cells.obs["condition"] = pd.Categorical((cells.obs["condition"] != "stimulated").astype(int))
    model = make_model(cells, epochs=1)
    corrected = model.remove_batch_effect(reference=0, use_labels=False)
    latent = oracle(model.module).encode(cells.X)[0]
    stay = (cells.obs["condition"] == 0).to_numpy()
    np.testing.assert_allclose(corrected.obsm["X_altercell"][stay], latent[stay], rtol=1e-4, atol=1e-5)
    assert corrected.uns["altercell"]["reference"] == "0"


def test_without_labels_there_is_the_papers_form(cells, make_model, oracle):
    model = make_model(cells, {"labels_key": None}, epochs=1)
    corrected = model.remove_batch_effect()
    np.testing.assert_allclose(
        corrected.obsm["X_altercell"], Truth(model, oracle).corrected(None, with_labels=False), rtol=1e-3, atol=1e-4
    )
    with pytest.raises(GroupError, match="use_labels=True needs labels_key at setup"):
        model.remove_batch_effect(use_labels=True)


def test_counts_keep_their_totals(nb_model):
    corrected = nb_model.remove_batch_effect(batch_size=50)
    np.testing.assert_allclose(corrected.X.sum(axis=1), nb_model.adata.X.sum(axis=1), rtol=1e-4)
    assert corrected.uns["altercell"]["space"] == "counts"


def test_what_cannot_be_asked(model, tmp_path):
    with pytest.raises(GroupError, match="reference='x' is no condition of obs"):
        model.remove_batch_effect(reference="x")
    with pytest.raises(DataError, match=r"path='.*' must end in .h5ad"):
        model.remove_batch_effect(path=tmp_path / "a.zarr")
    model.save(tmp_path)
    with pytest.raises(
        NotTrainedError, match=r"corrects the registered cells, and this model has none; give load\(\) an adata="
    ):
        ScGen.load(tmp_path).remove_batch_effect()
