"""The runner: failures, going on, workers, another kind of task."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from lightning.pytorch import Callback

from altercell import models
from altercell.benchmark import CEILING, Candidate, Task, WorkerError, candidate, holdout, run
from altercell.errors import DataError, GroupError

QUICK = {
    "add_baselines": False,
    "n_cells": 40,
    "n_trees": 10,
    "metrics": ["mse", "pearson_delta"],
    "progress": False,
    "subsamples": 0,
}
#: What a table is compared by: how long a piece takes is another each time.
MEASURED = ["seconds", "score_seconds", "peak_memory_mb"]


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task that other processes can import: they are started with this process's path."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    toy_task = importlib.import_module("toy_task")
    cells = AnnData(np.arange(12, dtype=np.float32).reshape(6, 2))
    cells.obs["part"] = ["a", "b"] * 3
    return toy_task.Sums(adata=cells)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=MEASURED)


def test_any_task_is_run(sums: Task) -> None:
    seen: list[str] = []
    both = [Candidate("none", object), Candidate("ten", object, {"plus": 10})]
    table = run(sums, both, [0, 1], on_step=seen.append)
    expected = [(0, "a", "none", 27), (0, "a", "ten", 37), (1, "a", "none", 28), (1, "a", "ten", 38)]
    expected += [(0, "b", "none", 39), (0, "b", "ten", 49), (1, "b", "none", 40), (1, "b", "ten", 50)]
    found = table[["seed", "split", "model", "value"]].itertuples(index=False, name=None)
    assert list(found) == expected
    assert seen[:2] == ["none: a, seed 0", "ten: a, seed 0"]
    assert set(table["task"]) == {"sums"}


def test_a_model_that_fails_is_a_row(small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]) -> None:
    class Failing(models.NoChange):
        def predict(self, *args: Any, **kwargs: Any) -> AnnData:
            raise GroupError("this one cannot")

    table = holdout(
        small_cells, [Candidate("failing", Failing), *quick], **keys, hold_out=["type_0"], n_genes=None, **QUICK
    )
    failed = table[table["model"] == "failing"]
    assert failed["error"].tolist() == ["GroupError: this one cannot"]
    assert failed["value"].isna().all()
    assert (table["model"] == "no change").any()


def test_what_is_there_is_not_run_again(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate], tmp_path: Path
) -> None:
    seen: list[str] = []

    def table(models_: list[Candidate], **options: Any) -> pd.DataFrame:
        return holdout(
            small_cells, models_, **keys, hold_out=["type_0"], n_genes=None, path=tmp_path / "results",
            on_piece=lambda piece: seen.append(piece.candidate.name), **{**QUICK, **options},
        )  # fmt: skip

    first, whole = table(quick[:1]), table(quick)
    assert seen == [quick[0].name, quick[1].name]
    assert not whole.duplicated(["model", "split", "label", "seed", "metric"]).any()
    pd.testing.assert_frame_equal(whole[whole["model"].isin(first["model"])], first, check_dtype=False)
    with pytest.raises(DataError, match="another question .evaluate was"):
        table(quick, n_trees=20)
    with pytest.raises(DataError, match="results of 'no change' with other settings"):
        table([Candidate("no change", models.MeanShift)])


def test_parts_of_a_table_make_the_whole(sums: Task, tmp_path: Path) -> None:
    both = [Candidate("none", object), Candidate("ten", object, {"plus": 10})]
    whole = run(sums, both, range(3), progress=False)
    done = [len(run(sums, both, range(3), path=tmp_path, part=(number, 5), progress=False)) for number in range(5)]
    assert done == [3, 6, 8, 10, 12]
    again: list[str] = []
    table = run(sums, both, range(3), path=tmp_path, on_step=again.append)
    assert not again
    pd.testing.assert_frame_equal(plain(table), plain(whole), check_dtype=False)
    with pytest.raises(DataError, match=r"part=\(4, 4\)"):
        run(sums, both, [0], part=(4, 4))


def spawned(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.mark.heavy
def test_workers_give_the_same_table(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate], tmp_path: Path
) -> None:
    tiny = candidate(models.ScGen, train={"max_epochs": 2}, n_hidden=8, n_latent=3)
    asked = {**keys, "hold_out": ["type_0", "type_1"], "n_genes": 40, **QUICK}
    here = holdout(small_cells, [tiny, *quick], **asked, threads=1)
    with spawned(2) as executor:
        there = holdout(small_cells, [tiny, *quick], **asked, executor=executor, path=tmp_path)
    pd.testing.assert_frame_equal(plain(there), plain(here))
    assert not list(tmp_path.glob("*.h5ad"))


@pytest.mark.heavy
def test_a_dask_cluster_gives_the_same_table(sums: Task, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    both = [Candidate("none", object), Candidate("ten", object, {"plus": 10})]
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = run(sums, both, [0, 1], executor=client.get_executor(), progress=False)
    pd.testing.assert_frame_equal(plain(there), plain(run(sums, both, [0, 1], progress=False)))


def test_threads_of_one_process_work_one_at_a_time(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    tiny = candidate(models.ScGen, train={"max_epochs": 2}, n_hidden=8, n_latent=3)
    asked = {**keys, "hold_out": ["type_0"], "n_genes": None, "seeds": 2, **QUICK}
    with ThreadPoolExecutor(3) as executor:
        there = holdout(small_cells, [tiny, *quick], **asked, executor=executor)
    pd.testing.assert_frame_equal(plain(there), plain(holdout(small_cells, [tiny, *quick], **asked, threads=1)))


def test_models_do_not_come_back_from_workers(sums: Task) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(DataError, match="on_piece= needs the models"):
        run(sums, [Candidate("none", object)], [0], executor=executor, on_piece=print)


class Broken(Executor):
    """An executor that cannot send a piece: what a model class that cannot be pickled makes of a pool of processes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(TypeError("cannot pickle 'Local'"))
        return future


def test_a_model_that_cannot_be_sent_is_a_row(sums: Task) -> None:
    table = run(sums, [Candidate("local", object)], [0], executor=Broken(), progress=False)
    assert table["error"].tolist() == ["TypeError: cannot pickle 'Local'"] * 2


@pytest.mark.heavy
def test_a_worker_that_dies_ends_the_run_and_loses_nothing(sums: Task, tmp_path: Path) -> None:
    good, deadly = Candidate("good", object), Candidate("deadly", object, {"dies": True})
    run(sums, [good], [0], path=tmp_path, progress=False)
    with spawned(1) as executor, pytest.raises(WorkerError, match="a worker died; too little memory"):
        run(sums, [good, deadly], [0], path=tmp_path, executor=executor, progress=False)
    assert run(sums, [good], [0], path=tmp_path, progress=False)["value"].tolist() == [27, 39]


SCRIPT = """
import sys
from altercell.benchmark import candidate, baselines, holdout
from altercell import models
import altercell as ac
cells = ac.data.normalize(ac.datasets.simulate_response(n_cells=360, n_genes=60, n_types=3, seed=1))
tiny = candidate(models.ScGen, train={"max_epochs": 2}, n_hidden=8, n_latent=3)
holdout(cells, [tiny, *baselines()[:2]], batch_key="condition", labels_key="cell_type", source="control",
        target="stimulated", n_genes=40, n_cells=40, n_trees=10, metrics=["mse", "pearson_delta"], subsamples=0,
        seeds=2, path=sys.argv[1], threads=1, add_baselines=False, on_step=lambda step: print(step, flush=True))
"""


def test_an_interrupt_ends_the_run_and_keeps_no_half_trained_model(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate], tmp_path: Path
) -> None:
    class Interrupt(Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 2:
                raise KeyboardInterrupt

    tiny = candidate(models.ScGen, train={"max_epochs": 4, "early_stopping": False}, n_hidden=8, n_latent=3)
    asked = {**keys, "hold_out": ["type_0"], "n_genes": None, "path": tmp_path, **QUICK}
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="training was interrupted"):
        holdout(small_cells, [quick[0], tiny, quick[1]], **asked, train={"callbacks": [Interrupt()]})
    made = {name.split("-type")[0] for name in os.listdir(tmp_path / "pieces")}
    assert made == {"real-against-real", "no-change"}
    epochs: list[int] = []
    holdout(
        small_cells, [quick[0], tiny, quick[1]], **asked,
        on_piece=lambda piece: epochs.append(len(piece.answer.model.history["train_loss"]))
        if piece.candidate is tiny
        else None,
    )  # fmt: skip
    assert epochs == [4]


def test_another_target_under_the_same_split_is_refused(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate], tmp_path: Path
) -> None:
    cells = small_cells.copy()
    conditions = cells.obs["condition"].astype(str).to_numpy(copy=True)
    conditions[np.flatnonzero(conditions == "stimulated")[::2]] = "other"
    cells.obs["condition"] = conditions
    asked = {**keys, "n_genes": None, "path": tmp_path, **QUICK}
    holdout(cells, quick[:1], **asked, hold_out="type_0", hide="all")
    holdout(cells, quick[:1], **asked, hold_out=["type_0", "type_1"], hide="all")
    for change in ({"target": "other", "hide": "all"}, {"hide": "target"}):
        with pytest.raises(DataError, match="results of 'type_0' with other settings"):
            holdout(cells, quick[:1], **{**asked, **change}, hold_out="type_0")
    changed = cells.copy()
    changed.layers["counts"] = changed.layers["counts"] * 2
    with pytest.raises(DataError, match="another question .data was"):
        holdout(changed, quick[:1], **asked, hold_out="type_0", hide="all")


def test_a_split_that_cannot_be_made_and_a_callers_error(sums: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: Task, split: str) -> np.ndarray:
        if split == "a":
            raise ValueError("no such part")
        return np.ones(3)

    monkeypatch.setattr(type(sums), "prepare", prepare)
    table = run(sums, [Candidate("none", object)], [0], progress=False)
    assert table["error"].tolist() == ["ValueError: no such part", ""]

    def broken(piece: Any) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run(sums, [Candidate("none", object)], [0], progress=False, on_piece=broken)


def test_models_that_fail_leave_nothing_behind(small_cells: AnnData, keys: dict[str, Any]) -> None:
    from scvi.model.base import BaseModelClass

    before = len(BaseModelClass._setup_adata_manager_store), len(BaseModelClass._per_instance_manager_store)
    bad = candidate(models.ScGen, train={"max_epochs": -1}, n_hidden=8, n_latent=3)
    table = holdout(small_cells, [bad], **keys, hold_out="type_0", n_genes=None, **QUICK)
    assert "max_epochs=-1 must be at least 1" in table["error"].iloc[-1]
    assert len(BaseModelClass._per_instance_manager_store) == before[1]


@pytest.mark.heavy
def test_a_run_that_is_killed_goes_on_to_the_same_table(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate], tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    begun = [process.stdout.readline().strip() for _ in range(7)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert begun[0] == f"{CEILING}: type_0, seed 0"
    made = len(list((tmp_path / "pieces").glob("*.csv")))
    assert 6 <= made < 24
    tiny = candidate(models.ScGen, train={"max_epochs": 2}, n_hidden=8, n_latent=3)
    asked = {**keys, "n_genes": 40, "seeds": 2, "threads": 1, **QUICK}
    again: list[str] = []
    resumed = holdout(small_cells, [tiny, *quick], **{**asked, "on_step": again.append}, path=tmp_path)
    assert len(again) == 24 - made
    assert begun[0] not in again
    pd.testing.assert_frame_equal(
        plain(resumed), plain(holdout(small_cells, [tiny, *quick], **asked)), check_dtype=False, rtol=0, atol=1e-12
    )
