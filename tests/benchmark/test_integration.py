from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

import altercell as ac
from altercell import metrics
from altercell.benchmark import Candidate, IntegrationTask, batch_models, integration
from altercell.benchmark._batch_cells import random_half
from altercell.benchmark._integration_task import reads_labels
from altercell.benchmark._integrators import PCS
from altercell.errors import DataError, GroupError, KeyNotFoundError

KEYS: dict[str, Any] = {"batch_key": "batch", "labels_key": "type"}
QUICK: dict[str, Any] = {**KEYS, "n_genes": None, "n_pcs": 8, "scib": False, "progress": False}
TINY = {"n_hidden": 16, "n_latent": 4}


class Reader:
    """Puts each cell where the label that it was given belongs; it can do nothing else."""

    seen: ClassVar[list[pd.DataFrame]] = []
    _keys: ClassVar[dict[str, Any]] = {}

    def __init__(self, adata: AnnData, seed: int = 0) -> None:
        self.adata = adata

    @classmethod
    def setup_anndata(cls, adata: AnnData, **keys: Any) -> None:
        cls._keys = keys
        cls.seen.append(adata.obs.copy())

    def train(self, **arguments: Any) -> None:
        self.arguments = arguments

    def predict(self, output: str = "log") -> None:
        raise NotImplementedError

    def get_latent_representation(self) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(self.adata.n_obs, 3))

    def remove_batch_effect(self, use_labels: bool | None = None) -> AnnData:
        codes = pd.Categorical(self.adata.obs[self._keys["labels_key"]]).codes
        noise = 0.01 * np.random.default_rng(0).normal(size=(self.adata.n_obs, 3))
        return AnnData(obs=self.adata.obs[[]], obsm={"X_altercell": np.eye(3)[codes] + noise})

    def deregister_manager(self, adata: AnnData) -> None:
        assert adata is self.adata


@pytest.fixture
def task(batched_cells: AnnData) -> IntegrationTask:
    return IntegrationTask(adata=batched_cells, **KEYS, n_genes=None, n_pcs=8, scib=False)


def test_half_of_every_batch_and_label_is_drawn() -> None:
    batches, labels = np.repeat(["x", "y"], [61, 40]), np.tile(["a", "b", "c", "c"], 26)[:101]
    half = random_half(batches, labels, seed=1)
    for (_, _), rows in pd.DataFrame({"b": batches, "l": labels}).groupby(["b", "l"]).indices.items():
        assert abs(half[rows].sum() - len(rows) / 2) <= 0.5
    np.testing.assert_array_equal(half, random_half(batches, labels, seed=1))
    assert (half != random_half(batches, labels, seed=2)).any()
    # A group of one cell is hidden in about half of all draws.
    single = [random_half(np.array(["x"]), np.array(["a"]), seed)[0] for seed in range(200)]
    assert 60 < sum(single) < 140


def test_hidden_labels_are_predicted_from_the_other_half(task: IntegrationTask) -> None:
    data = task.prepare("labels held out")
    hidden, given, points = data.scored(5), data.given(5), np.asarray(data.cells.obsm[PCS])
    np.testing.assert_array_equal(given[~hidden], data.labels[~hidden])
    seen = np.flatnonzero(~hidden)
    near = NearestNeighbors(n_neighbors=15).fit(points[seen]).kneighbors(points[hidden], return_distance=False)
    votes = [pd.Series(data.labels[seen[row]]).mode()[0] for row in near]
    np.testing.assert_array_equal(given[hidden], votes)
    assert 0.5 < task.reference("labels as given", data, 5)["value"].item() < 1


def test_all_labels_are_given_as_they_are(task: IntegrationTask) -> None:
    data = task.prepare("all labels")
    assert data.scored(0).all()
    np.testing.assert_array_equal(data.given(0), data.labels)
    reference = task.reference("labels as given", data, 0)
    assert reference[["metric", "value"]].values.tolist() == [["label_accuracy", 1.0]]


def test_cells_that_a_method_gets_hold_no_labels(task: IntegrationTask, batched_cells: AnnData) -> None:
    before = batched_cells.copy()
    data = task.prepare("labels held out")
    assert set(data.cells.obs) == {"batch", "size_factor"}
    assert set(data.cells.layers) - {None} == {"counts"}
    assert (data.cells.obs_names == batched_cells.obs_names).all()
    Reader.seen.clear()
    task.answer(Candidate("reader", Reader), data, 0)
    np.testing.assert_array_equal(Reader.seen[-1]["type"].astype(str), data.given(0))
    pd.testing.assert_frame_equal(batched_cells.obs, before.obs)


def test_scores_are_those_of_the_hidden_half(task: IntegrationTask) -> None:
    data = task.prepare("labels held out")
    answer = np.random.default_rng(0).normal(size=(data.cells.n_obs, 3))
    rows = data.scored(2)
    wanted = metrics.integration(answer[rows], data.batches[rows], data.labels[rows], scib=False, seed=2)
    table = task.score(answer, data, 2)
    assert set(table) == {"metric", "value", "label", "genes", "better", "sd_cells"}
    np.testing.assert_array_equal(table.set_index("metric")["value"], wanted["value"])


def test_a_method_that_only_reads_labels_is_perfect_until_they_are_held_out(batched_cells: AnnData) -> None:
    table = integration(batched_cells, [Candidate("oracle", Reader), "no correction"], **QUICK)
    assert (table["error"] == "").all()
    assert set(table["model"]) == {"oracle (reads labels)", "no correction", "labels as given"}
    assert table.groupby("model")["kind"].first().to_dict() == {
        "oracle (reads labels)": "model",
        "no correction": "baseline",
        "labels as given": "reference",
    }
    values = table.set_index(["split", "model", "metric"])["value"].sort_index()
    accuracy = values["labels held out", "labels as given", "label_accuracy"]
    assert values["all labels", "oracle (reads labels)", "ari_kmeans"] == 1
    held_out = values["labels held out", "oracle (reads labels)"]
    assert held_out["ari_kmeans"] < 0.95
    assert held_out["cross_batch_accuracy"] <= accuracy + 0.05
    assert held_out["cross_batch_accuracy"] < values["all labels", "oracle (reads labels)", "cross_batch_accuracy"]


def test_models_are_asked_by_their_verbs(batched_cells: AnnData) -> None:
    short = {"max_epochs": 1}
    asked = [
        Candidate("ScGen", ac.ScGen, TINY),
        Candidate("ScGen, no labels", ac.ScGen, TINY, predict={"use_labels": False}),
        Candidate("trVAE", ac.TrVAE, {"n_hidden": (16, 8), "n_latent": 4}),
        ac.benchmark.candidate(ac.ScGen, "counts", gene_likelihood="nb", **TINY),
    ]
    table = integration(batched_cells, asked, **QUICK, train=short, splits=["labels held out"])
    assert (table["error"] == "").all(), table["error"].unique()
    names = ["ScGen (reads labels)", "ScGen, no labels", "trVAE", "counts (reads labels)"]
    assert list(dict.fromkeys(table["model"]))[1:] == names
    values = table.pivot_table(index="model", columns="metric", values="value")
    assert values.loc["ScGen (reads labels)", "silhouette_batch"] != values.loc["ScGen, no labels", "silhouette_batch"]


def test_the_corrected_points_are_those_of_the_model(task: IntegrationTask) -> None:
    data = task.prepare("labels held out")
    reader = Candidate("ScGen", ac.ScGen, TINY, train={"max_epochs": 1, "batch_size": 64})
    found = task.answer(reader, data, 4)
    cells = data.cells.copy()
    cells.obs["type"] = pd.Categorical(data.given(4))
    ac.ScGen.setup_anndata(cells, **KEYS)
    model = ac.ScGen(cells, **TINY, seed=4)
    model.train(max_epochs=1, batch_size=64, enable_progress_bar=False)
    np.testing.assert_array_equal(found, model.remove_batch_effect().obsm["X_altercell"])
    # A model that only has a latent space is given no labels.
    plain = Candidate("cvae", ac.CVAE, {"n_hidden": (16, 8), "n_latent": 4}, train={"max_epochs": 1})
    assert not reads_labels(plain)
    assert reads_labels(replace(plain, predict={"use_labels": True}))
    assert task.answer(plain, data, 0).shape == (data.cells.n_obs, 4)


def test_what_a_model_cannot_do_is_said(batched_cells: AnnData, task: IntegrationTask) -> None:
    data = task.prepare("all labels")
    with pytest.raises(DataError, match="'shift' has no latent representation"):
        task.answer(Candidate("shift", ac.MeanShift), data, 0)
    with pytest.raises(DataError, match="'reader' has options that remove_batch_effect does not take: 'refrence'"):
        task.answer(Candidate("reader", Reader, predict={"refrence": "x", "output": "log"}), data, 0)
    # In a table, one method that fails is one row.
    table = integration(batched_cells, [ac.MeanShift, "no correction"], **QUICK, splits=["all labels"])
    assert table.groupby("model")["error"].first()["no correction"] == ""
    assert "has no latent representation" in table.groupby("model")["error"].first()["MeanShift"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"splits": ["none"]}, KeyNotFoundError, "no such split: 'none'; there are 'all labels', 'labels held out'"),
        ({"splits": []}, KeyNotFoundError, "no such split: none"),
        ({"batch_key": "donor"}, KeyNotFoundError, "batch_key='donor' is not a column"),
        ({"labels_key": "same"}, GroupError, "one value of obs.'same'. .labels_key."),
        ({"models": ["combat"]}, KeyNotFoundError, "there is no preset 'combat'"),
        ({"models": ["cvae", Candidate("cvae", ac.TrVAE)]}, DataError, "two models have the name 'cvae'"),
    ],
)
def test_a_wrong_question_is_refused_before_anything_runs(
    batched_cells: AnnData, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    cells = batched_cells.copy()
    cells.obs["same"] = "a"
    with pytest.raises(error, match=message):
        integration(cells, **{"models": ["no correction"], **QUICK, **change})


def test_default_models_say_who_reads_labels() -> None:
    names = [candidate.name for candidate in batch_models(counts=True)]
    assert names == ["ScGen (reads labels)", "ScGen, no labels", "TrVAE", "SCVI"]
    assert [reads_labels(candidate) for candidate in batch_models(counts=True)] == [True, False, False, False]
    assert "SCVI" not in [candidate.name for candidate in batch_models()]


def test_a_run_goes_on_and_knows_its_question(batched_cells: AnnData, tmp_path: Path) -> None:
    steps: list[str] = []
    options = {**QUICK, "seeds": [0, 1], "path": tmp_path / "results", "on_step": steps.append}
    first = integration(batched_cells, ["no correction"], **options)
    assert len(steps) == 8
    again = integration(batched_cells, ["no correction", "shuffled cells"], **options)
    assert [step for step in steps[8:] if not step.startswith("shuffled cells")] == []
    pd.testing.assert_frame_equal(again[again["model"] == "no correction"].reset_index(drop=True),
                                  first[first["model"] == "no correction"].reset_index(drop=True))  # fmt: skip
    with pytest.raises(DataError, match="another question .n_pcs was 8, is 5"):
        integration(batched_cells, ["no correction"], **{**options, "n_pcs": 5})


def test_the_question_is_plain_data(task: IntegrationTask) -> None:
    found = task.describe()
    assert found["task"] == "integration"
    assert found["genes_chosen_on"] == "all cells"
    assert found["labels_read_by"] == "the models whose names say so"
    assert found["scib"] is False
    assert replace(task, train={"enable_progress_bar": True}).describe() == found
    assert replace(task, train={"max_epochs": 2}).describe() != found
