"""Tests of the benchmark of generators: what is kept back, what is asked, and what the scores say."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import altercell as ac
from altercell.benchmark import Candidate, generation, generation_baselines, generators
from altercell.benchmark._generation_task import BETTER, GenerationTask
from altercell.errors import DataError, KeyNotFoundError
from altercell.models.base import FittedModel, GenerativeModel
from altercell.models.samplers import ResampledCells

QUICK: dict[str, Any] = {"labels_key": "cell_type", "n_genes": 40, "n_trees": 8, "progress": False}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Log data with counts: 400 cells of three types, 60 genes."""
    return ac.data.normalize(ac.datasets.simulate_response(400, 60, 3, seed=0))


@pytest.fixture(scope="module")
def table(cells: AnnData) -> pd.DataFrame:
    """The baselines' table."""
    return generation(cells, [], marker_genes=["gene_3", "gene_5"], **QUICK)


def values(table: pd.DataFrame, metric: str) -> pd.Series:
    """Return the mean of a score for each model."""
    return table[table["metric"] == metric].groupby("model")["value"].mean()


class Oracle(FittedModel, GenerativeModel):
    """Returns cells that a test has put there, and notes what it is asked."""

    given: ClassVar[Any] = None
    asked: ClassVar[list[Any]] = []

    def generate(self, n: Any, *, labels: Any = None, seed: int | None = None, **options: Any) -> AnnData:
        self.asked.append((n, seed, self.adata.copy()))
        found = self.given(n)
        found.uns["altercell"] = {"space": self.space}
        return found


@pytest.fixture
def oracle() -> type[Oracle]:
    """The class, with nothing noted."""
    Oracle.asked.clear()
    return Oracle


def test_every_model_has_every_score(table: pd.DataFrame) -> None:
    assert table["error"].isna().all() or (table["error"].fillna("") == "").all()
    names = {candidate.name for candidate in generation_baselines()} | {"real against real"}
    assert set(table["model"]) == names
    for _, part in table.groupby("model"):
        assert set(part["metric"]) <= set(BETTER)
        assert set(part["metric"]) >= {name for name in BETTER if not name.startswith("class_")}
    classes = table[table["metric"] == "class_forest_auc"]
    assert set(classes["label"]) == {"type_0", "type_1", "type_2"}
    assert (table[table["metric"] == "forest_auc"]["label"].fillna("") == "").all()


def test_the_scores_tell_copies_and_cells_without_zeros(table: pd.DataFrame) -> None:
    assert values(table, "nearer_share")["resampled cells"] == 1
    assert values(table, "nearest_ratio")["resampled cells"] == pytest.approx(0, abs=1e-6)
    assert values(table, "nearer_share")["real against real"] < 0.2
    assert values(table, "forest_auc_genes")["Gaussian"] > 0.7
    assert values(table, "zeros_difference")["Gaussian"] < -0.05
    assert values(table, "forest_auc_genes")["neighbour bootstrap"] < 0.65
    assert values(table, "forest_auc")["SUGAR"] > 0.95
    assert 0.35 < values(table, "forest_auc")["real against real"] < 0.65
    # On components of all real cells, copies of training cells look better than on those of training cells.
    assert values(table, "forest_auc_all_pcs")["resampled cells"] < values(table, "forest_auc")["resampled cells"]


def test_what_is_kept_back_reaches_no_model(cells: AnnData) -> None:
    task = GenerationTask(adata=cells, labels_key="cell_type", n_genes=30, n_splits=2)
    first, second = (task.prepare(split) for split in task.splits())
    assert not set(first.train.obs_names) & set(first.test.obs_names)
    assert set(first.train.obs_names) | set(first.test.obs_names) == set(cells.obs_names)
    assert set(first.test.obs_names) != set(second.test.obs_names)
    shares = [part.obs["cell_type"].value_counts(normalize=True).sort_index() for part in (first.train, first.test)]
    np.testing.assert_allclose(*shares, atol=0.01)
    # Other values in the kept cells: the same genes, the same answers.
    other = cells.copy()
    rows = cells.obs_names.isin(first.test.obs_names)
    rng = np.random.default_rng(0)
    other.layers["counts"] = other.layers["counts"].toarray()
    other.layers["counts"][rows] = rng.poisson(5.0, (rows.sum(), cells.n_vars))
    other.X = other.X.toarray()
    other.X[rows] = rng.uniform(0, 4, (rows.sum(), cells.n_vars))
    again = GenerationTask(adata=other, labels_key="cell_type", n_genes=30, n_splits=2).prepare("split 0")
    assert list(again.train.var_names) == list(first.train.var_names)
    for candidate in generation_baselines():
        answers = [task.answer(candidate, data, 0).cells.X for data in (first, again)]
        dense = [part.toarray() if hasattr(part, "toarray") else part for part in answers]
        np.testing.assert_allclose(*dense, rtol=1e-4, atol=1e-5)


def test_marker_genes_are_kept(cells: AnnData) -> None:
    unvaried = GenerationTask(adata=cells, n_genes=5).prepare("split 0").train.var_names
    marker = next(name for name in cells.var_names if name not in unvaried)
    data = GenerationTask(adata=cells, n_genes=5, marker_genes=(marker,)).prepare("split 0")
    assert set(data.train.var_names) == {*unvaried, marker}
    assert list(data.test.var_names) == list(data.train.var_names)
    assert data.train.uns["altercell"]["n_genes_total"] == 60
    with pytest.raises(KeyNotFoundError, match=r"marker_genes=.*'none'.* are not in adata.var_names"):
        generation(cells, [], marker_genes=["none"], **QUICK)


def test_as_many_cells_of_each_label_are_asked_for(cells: AnnData, oracle: type[Oracle]) -> None:
    task = GenerationTask(adata=cells, labels_key="cell_type", n_genes=None, n_trees=20)
    data = task.prepare("split 0")
    Oracle.given = staticmethod(lambda n: data.test.copy())
    answer = task.answer(Candidate("oracle", oracle), data, 7)
    (number, seed, seen) = oracle.asked[0]
    assert seed == 7
    assert number == data.test.obs["cell_type"].value_counts().to_dict()
    assert set(seen.obs_names) == set(data.train.obs_names)
    # Whoever returned the very cells that were kept back would have the best of every score.
    found = task.score(answer, data, 0).set_index(["metric", "label"])["value"]
    assert found["forest_auc_genes", ""] < 0.6
    assert found["mean_distance", ""] == pytest.approx(0, abs=1e-5)
    assert found["edistance_pcs", ""] < 0.05
    assert found["coverage", ""] == 1
    assert found["zeros_difference", ""] == 0
    assert found["variable_gene_overlap", ""] == 1


def test_counts_are_compared_as_logarithms(cells: AnnData, oracle: type[Oracle]) -> None:
    task = GenerationTask(adata=cells, labels_key="cell_type", n_genes=None, n_trees=20)
    data = task.prepare("split 0")

    def counts(n: Any) -> AnnData:
        found = data.test.copy()
        found.X = 3 * found.layers["counts"]  # three times as deep: the same logarithms per 10,000
        return found

    Oracle.given = staticmethod(counts)
    answer = task.answer(Candidate("oracle", oracle, counts=True), data, 0)
    assert answer.cells.uns["altercell"]["space"] == "counts"
    found = task.score(answer, data, 0).set_index(["metric", "label"])["value"]
    assert found["mean_distance", ""] == pytest.approx(0, abs=1e-4)


def test_a_model_that_does_not_generate_is_a_row_with_its_error(cells: AnnData) -> None:
    table = generation(cells, [Candidate("mean delta", ac.models.MeanShift)], add_baselines=False, **QUICK)
    said = table[table["model"] == "mean delta"]["error"].iloc[0]
    assert "'mean delta' does not generate cells" in said


def test_gans_are_compared_by_default(cells: AnnData) -> None:
    names = {candidate.name for candidate in generators()}
    assert {"scgan", "cscgan", "wgan-cells", "cscgan-counts", "latent-gan-labels"} <= names
    assert not any("paper" in name for name in names)
    unlabelled = {candidate.name for candidate in generators(labels=False)}
    assert unlabelled == {"scgan", "scgan-counts", "scgan-poisson", "wgan-cells", "latent-gan"}
    small = [
        replace(one, arguments={**one.arguments, "n_hidden": (8, 16), "n_latent": 4}, train={}) for one in generators()
    ]
    table = generation(cells, small, add_baselines=False, train={"n_steps": 2, "accelerator": "cpu"}, **QUICK)
    assert (table["error"].fillna("") == "").all()
    assert values(table, "zeros_difference")["cscgan"] < values(table, "zeros_difference")["cscgan-counts"]
    assert "class_recall" not in set(table[table["model"] == "scgan"]["metric"])
    assert "class_recall" in set(table[table["model"] == "cscgan"]["metric"])


def test_without_labels(cells: AnnData) -> None:
    table = generation(cells, [], labels_key=None, n_genes=20, n_trees=20, progress=False)
    assert not table["metric"].str.startswith("class_").any()
    assert values(table, "nearer_share")["resampled cells"] == 1


def test_what_is_refused(cells: AnnData) -> None:
    with pytest.raises(DataError, match="test_share=1.5 must be between 0 and 1"):
        generation(cells, [], test_share=1.5, **QUICK)
    with pytest.raises(DataError, match="of 400 cells, 4 would be kept back; at least 10 are needed of both"):
        generation(cells, [], test_share=0.01, **QUICK)
    bare = cells.copy()
    del bare.layers["counts"]
    with pytest.raises(KeyNotFoundError, match=r"layers\['counts'\] is missing; ac.data.normalize"):
        generation(bare, [], **QUICK)
    with pytest.raises(KeyNotFoundError, match="labels_key='none'"):
        generation(cells, [], **{**QUICK, "labels_key": "none"})


def test_results_are_kept_and_gone_on_with(cells: AnnData, tmp_path: Path) -> None:
    copies, done = [Candidate("resampled cells", ResampledCells)], []
    only = {"add_baselines": False, "path": tmp_path / "run", "on_piece": done.append, **QUICK}
    first = generation(cells, copies, **only)
    assert len(done) == 1
    second = generation(cells, copies, **only)
    assert len(done) == 1
    pd.testing.assert_frame_equal(first, second)
    with pytest.raises(DataError, match="another question"):
        generation(cells, copies, **{**only, "n_genes": 20})


def test_bare_classes_are_given_what_they_read(cells: AnnData) -> None:
    table = generation(cells, [ac.NeighbourBootstrap, ac.GaussianCells], add_baselines=False, **QUICK)
    assert (table["error"].fillna("") == "").all()
    assert set(table["model"]) == {"NeighbourBootstrap", "GaussianCells", "real against real"}


def test_cells_in_another_space_are_not_compared(cells: AnnData) -> None:
    other = ac.data.normalize(ac.datasets.simulate_response(200, 60, 3, seed=0), target_sum=500)
    arguments = {"n_hidden": (8, 16), "n_latent": 4}
    models = [Candidate("ScGAN", ac.ScGAN, arguments, counts=True, predict={"output": "log"})]
    table = generation(other, models, add_baselines=False, train={"n_steps": 2, "accelerator": "cpu"}, **QUICK)
    assert "per 500" in table[table["model"] == "ScGAN"]["error"].iloc[0]
    counts = ac.datasets.simulate_response(200, 60, 3, seed=0)
    counts.layers["counts"] = counts.X
    with pytest.raises(DataError, match="X holds counts; call ac.data.normalize"):
        generation(counts, [], **QUICK)
