"""Tests of the experiment of augmentation: what is cut, what is added, and what the forest finds."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import altercell as ac
from altercell.benchmark import AugmentationTask, Candidate, augmentation, augmenters
from altercell.errors import DataError, GroupError, KeyNotFoundError
from altercell.models.base import Augmentation, FittedModel
from altercell.models.samplers import NeighbourBootstrap

RARE: dict[str, Any] = {"labels_key": "cell_type", "label": "type_1"}
QUICK: dict[str, Any] = {**RARE, "n_genes": None, "n_trees": 30, "progress": False}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Log data with counts: 600 cells of three types, 60 genes."""
    return ac.data.normalize(ac.datasets.simulate_response(600, 60, 3, seed=0))


class Oracle(Augmentation, FittedModel):
    """Returns cells that a test has put there, and notes what it is asked."""

    given: ClassVar[Any] = None
    asked: ClassVar[list[Any]] = []
    knows: ClassVar[bool] = True

    @property
    def classes(self) -> str | None:
        return "labels" if self.knows else None

    def generate(self, n: Any, *, labels: Any = None, seed: int | None = None, **options: Any) -> AnnData:
        self.asked.append((n, seed, self.adata.copy(), options))
        found = self.given(n)
        found.uns["altercell"] = {"space": self.space}
        return found


@pytest.fixture
def oracle(cells: AnnData, monkeypatch: pytest.MonkeyPatch) -> type[Oracle]:
    """The class, which gives measured cells of the rare type, with nothing noted."""
    real = cells[cells.obs["cell_type"] == "type_1"]

    def given(n: Any) -> AnnData:
        number = sum(n.values()) if isinstance(n, dict) else n
        rows = np.random.default_rng(0).integers(real.n_obs, size=number)
        return AnnData(real.X[rows], obs=pd.DataFrame(index=[f"made_{i}" for i in range(number)]), var=real.var)

    monkeypatch.setattr(Oracle, "asked", [])
    monkeypatch.setattr(Oracle, "knows", True)
    monkeypatch.setattr(Oracle, "given", staticmethod(given))
    return Oracle


def values(table: pd.DataFrame, metric: str = "f1") -> pd.Series:
    """Return the mean of a score for each method."""
    return table[table["metric"] == metric].groupby("method")["value"].mean()


def test_cuts_are_nested_and_other_types_whole(cells: AnnData) -> None:
    task = AugmentationTask(adata=cells, **RARE, shares=(1.0, 0.5, 0.1, 0.01), cuts=(0, 3), n_genes=None)
    found = [task.prepare(split) for split in task.splits()]
    names = cells.obs["cell_type"]
    for cut in (found[:4], found[4:]):
        assert all(list(part.test.obs_names) == list(cut[0].test.obs_names) for part in cut)
        assert list(cut[0].whole.obs_names) == list(cut[0].train.obs_names)
        rare = [set(part.train.obs_names[part.train.obs["cell_type"] == "type_1"]) for part in cut]
        assert rare[0] > rare[1] > rare[2] > rare[3]
        assert [len(part) for part in rare] == [len(rare[0]), round(len(rare[0]) / 2), round(len(rare[0]) / 10), 2]
        for part in cut:
            assert not set(part.whole.obs_names) & set(part.test.obs_names)
            others = part.train.obs["cell_type"].value_counts().drop("type_1")
            kept = part.test.obs["cell_type"].value_counts()
            for name, number in others.items():
                assert kept[name] == int(0.3 * (names == name).sum())
                assert number + kept[name] == (names == name).sum()
    assert set(found[0].test.obs_names) != set(found[4].test.obs_names)
    assert (found[0].seed, found[4].seed) == (0, 3)


def test_what_is_cut_or_kept_back_chooses_no_genes(cells: AnnData) -> None:
    task = AugmentationTask(adata=cells, **RARE, shares=(0.1,), cuts=(0,), n_genes=25)
    data = task.prepare(task.splits()[0])
    other = cells.copy()
    unseen = ~other.obs_names.isin(data.train.obs_names)
    counts, logs = other.layers["counts"].toarray(), other.X.toarray()
    counts[unseen] = np.random.default_rng(0).poisson(5.0, (unseen.sum(), cells.n_vars))
    logs[unseen] = np.random.default_rng(0).uniform(0, 4, (unseen.sum(), cells.n_vars))
    other.X, other.layers["counts"] = logs, counts
    again = AugmentationTask(adata=other, **RARE, shares=(0.1,), cuts=(0,), n_genes=25).prepare(task.splits()[0])
    assert list(again.train.var_names) == list(data.train.var_names)
    assert len(data.train.var_names) == 25


def test_real_cells_of_the_rare_type_restore_what_the_cut_took(cells: AnnData, oracle: type[Oracle]) -> None:
    table = augmentation(cells, [oracle], shares=[0.5, 0.01], n_added=80, seeds=2, **QUICK)
    rare = table[table["share"] == 0.01]
    assert values(rare)["cut"] < 0.3
    assert values(rare)["Oracle"] > values(rare)["cut"] + 0.4
    assert values(rare)["not cut"] > 0.7
    assert values(rare, "recall")["cut"] < values(rare, "recall")["Oracle"]
    assert set(table["metric"]) == {"f1", "precision", "recall", "average_precision"}
    assert (table["better"] == "higher").all()
    assert set(table["seed"]) == {0, 1}
    assert set(table["label"]) == {"type_1"}
    ac.pl.augmentation_curve(table)


def test_random_cells_do_not_help(cells: AnnData, oracle: type[Oracle], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = oracle.given

    def noise(n: Any) -> AnnData:
        made = usual(n)
        made.X = np.random.default_rng(1).uniform(0, 3, made.shape).astype(np.float32)
        return made

    monkeypatch.setattr(Oracle, "given", staticmethod(noise))
    table = augmentation(cells, [oracle], shares=[0.01], n_added=80, seeds=2, **QUICK)
    assert values(table)["Oracle"] < values(table)["cut"] + 0.2


def test_a_model_that_knows_labels_is_asked_for_the_rare_one(cells: AnnData, oracle: type[Oracle]) -> None:
    augmentation(cells, [oracle], shares=[0.1], n_added=7, seeds=[4], **QUICK)
    ((asked, seed, seen, options),) = oracle.asked
    assert asked == {"type_1": 7}
    assert seed == 4
    assert set(seen.obs["cell_type"]) == {"type_0", "type_1", "type_2"}
    assert not options


def test_a_model_without_labels_learns_from_the_rare_type_alone(
    cells: AnnData, oracle: type[Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Oracle, "knows", False)
    given = Candidate("given", oracle, predict={"way": "other"})
    augmentation(cells, [given], shares=[0.1], n_added=7, seeds=1, **QUICK)
    ((asked, _, seen, options),) = oracle.asked
    assert asked == 7
    assert set(seen.obs["cell_type"]) == {"type_1"}
    n = int((cells.obs["cell_type"] == "type_1").sum())
    assert seen.n_obs == round(0.1 * (n - int(0.3 * n)))
    assert options == {"way": "other"}


def test_a_sampler_of_the_package(cells: AnnData) -> None:
    table = augmentation(cells, [NeighbourBootstrap], shares=[0.05], n_added=60, seeds=1, **QUICK)
    assert table["error"].fillna("").eq("").all()
    assert values(table)["NeighbourBootstrap"] > values(table)["cut"]


def test_the_networks_run(cells: AnnData) -> None:
    table = augmentation(cells, shares=[0.1], n_added=20, seeds=1, train={"n_steps": 2, "accelerator": "cpu"}, **QUICK)
    assert table["error"].fillna("").eq("").all()
    assert set(table["method"]) == {one.name for one in augmenters()} | {"not cut", "cut", "upsampled"}


def test_the_rows_do_not_depend_on_where_they_run(cells: AnnData, tmp_path: Any) -> None:
    first = augmentation(cells, [NeighbourBootstrap], shares=[0.1, 0.5], n_added=9, seeds=1, path=tmp_path, **QUICK)
    again = augmentation(cells, [NeighbourBootstrap], shares=[0.1, 0.5], n_added=9, seeds=1, path=tmp_path, **QUICK)
    one = augmentation(cells, [NeighbourBootstrap], shares=[0.5], n_added=9, seeds=1, **QUICK)
    columns = ["method", "share", "seed", "metric", "value"]
    pd.testing.assert_frame_equal(first[columns], again[columns])
    half = first.loc[first["share"] == 0.5, columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(half, one[columns])


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"shares": [0.0]}, DataError, r"shares=\[0.0\] must be numbers above 0"),
        ({"shares": [0.5, 0.5]}, DataError, "that differ"),
        ({"shares": []}, DataError, "shares="),
        ({"test_share": 1.0}, DataError, "test_share=1.0 must be between 0 and 1"),
        ({"n_added": 0}, DataError, "n_added=0 above 0"),
        ({"label": "type_9"}, GroupError, "label='type_9' is not in obs"),
        ({"labels_key": "none"}, KeyNotFoundError, "labels_key='none'"),
    ],
)
def test_what_cannot_be_asked(cells: AnnData, given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        augmentation(cells, [], **{**QUICK, **given})


def test_cells_without_counts_or_others(cells: AnnData) -> None:
    bare = cells.copy()
    del bare.layers["counts"]
    with pytest.raises(KeyNotFoundError, match=r"layers\['counts'\] is missing"):
        augmentation(bare, [], **QUICK)
    counts = ac.datasets.simulate_response(100, 20, 3, seed=0)
    counts.layers["counts"] = counts.X
    with pytest.raises(DataError, match="X holds counts"):
        augmentation(counts, [], **QUICK)
    alone = cells[cells.obs["cell_type"] == "type_1"].copy()
    with pytest.raises(GroupError, match="there must be others"):
        augmentation(alone, [], **QUICK)


def test_a_model_that_cannot_add_cells_is_a_row_with_its_error(cells: AnnData) -> None:
    table = augmentation(cells, [ac.NoChange], shares=[0.5], seeds=1, **QUICK)
    assert table.loc[table["method"] == "NoChange", "error"].str.contains("no augment").all()
