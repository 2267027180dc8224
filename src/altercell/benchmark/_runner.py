"""The runner: every model on every split with every seed, each once, here or on workers."""

from __future__ import annotations

import gc
import json
import logging
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from altercell import __version__
from altercell.benchmark._measure import Measure
from altercell.benchmark._progress import Display
from altercell.benchmark._store import COLUMNS, Key, Store
from altercell.benchmark._task import Task, forget_cells
from altercell.errors import AltercellError, DataError, listing
from altercell.presets import Candidate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """One model on one split with one seed.

    Attributes
    ----------
    candidate, seed
        What was run.
    data
        The cells of the split.
    answer
        The trained model and its answer.
    seconds, peak_memory_mb
        Of training and answering; the memory is that of the whole process.
    """

    candidate: Candidate
    seed: int
    data: Any
    answer: Any
    seconds: float
    peak_memory_mb: float


class WorkerError(AltercellError, RuntimeError):
    """A worker died, for example for lack of memory."""


def run(
    task: Task,
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    *,
    path: str | Path | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    part: tuple[int, int] | None = None,
    progress: bool = True,
    on_piece: Callable[[Piece], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Run what is missing and return the whole table.

    Parameters
    ----------
    task
        The question.
    candidates
        The models.
    seeds
        The seeds.
    path
        Folder of the results; None keeps them in memory.
    executor
        Where to run; None: in this process.
    threads
        Threads of each piece; None: one on workers, and what the process has otherwise.
    part
        ``(i, n)``: only every n-th piece from the i-th on (0, ..., n - 1), for n processes that write into one folder.
    progress
        Whether to show a bar with the time left.
    on_piece
        Called with each finished piece, before it is let go of; not with an executor.
    on_step
        Called with the name of what is done next, or with an executor of what has been done; there is then no bar.

    Returns
    -------
    The rows of all pieces, in the order of splits, seeds and models.
    """
    if executor is not None and on_piece is not None:
        raise DataError("on_piece= needs the models in this process; leave out executor=")
    by_name = {candidate.name: candidate for candidate in candidates}
    taken = sorted(set(by_name) & set(task.reference_names))
    if taken:
        raise DataError(f"{listing(taken)} is the name of a reference row; give the model another")
    store = Store(path)
    if store.folder is not None:
        store.check(task.describe(), candidates, {split: task.define(split) for split in task.splits()})
    names = [*task.reference_names, *by_name]
    order = [Key(name, split, seed) for split in task.splits() for seed in seeds for name in names]
    first, step = (0, 1) if part is None else _checked(part)
    # Parts are of the whole, done or not, so that jobs that start at different times leave nothing out.
    missing = [key for key in order[first::step] if key not in store.pieces]
    with Display(order[first::step], missing, store, shown=progress and on_step is None) as display:
        pieces = (
            _here(task, by_name, missing, threads, on_piece, on_step or display.begins)
            if executor is None
            else _on_workers(task, by_name, missing, threads, executor, store.folder)
        )
        for key, rows in pieces:
            store.add(key, rows)
            display.ends(key, rows)
            if executor is not None and on_step is not None:
                on_step(str(key))
    return store.table(order)


def _checked(part: tuple[int, int]) -> tuple[int, int]:
    which, number = part
    if not 0 <= which < number:
        raise DataError(f"part={part} must be (i, n) with i from 0 to n - 1")
    return which, number


def _here(
    task: Task,
    by_name: dict[str, Candidate],
    missing: Sequence[Key],
    threads: int | None,
    on_piece: Callable[[Piece], None] | None,
    on_step: Callable[[str], None],
) -> Iterator[tuple[Key, pd.DataFrame]]:
    split, data = None, None
    with nullcontext() if threads is None else limited_threads(threads):
        for key in missing:
            on_step(str(key))
            candidate = by_name.get(key.model)
            if key.split != split:
                try:
                    split, data = key.split, task.prepare(key.split)
                except Exception as error:  # noqa: BLE001 - a split that cannot be made must not end the run
                    split = None
                    yield key, _failed(task, candidate, key, error, Measure())
                    continue
            yield key, run_piece(task, candidate, key, data, on_piece)


def _on_workers(
    task: Task,
    by_name: dict[str, Candidate],
    missing: Sequence[Key],
    threads: int | None,
    executor: Executor,
    folder: Path | None,
) -> Iterator[tuple[Key, pd.DataFrame]]:
    with nullcontext(str(folder)) if folder is not None else tempfile.TemporaryDirectory() as place:
        # A file of its own: several runs may share the folder.
        far = task.stored(Path(place).absolute() / f"data-{uuid.uuid4().hex}.h5ad") if missing else task
        futures: dict[Future[pd.DataFrame], Key] = {}
        try:
            for key in missing:
                futures[executor.submit(_work, far, by_name.get(key.model), key, threads or 1)] = key
            for future in as_completed(futures):
                key = futures[future]
                try:
                    yield key, future.result()
                except BrokenExecutor:
                    raise
                except Exception as error:  # noqa: BLE001 - what cannot be sent to a worker must not end the run
                    yield key, _failed(task, by_name.get(key.model), key, error, Measure())
        except BrokenExecutor as error:
            raise WorkerError(
                "a worker died; too little memory is the usual reason. What was finished is kept where path= was "
                "given: start again, with fewer workers"
            ) from error
        finally:
            # Where the workers are threads, what they keep is in this process.
            _prepared.clear()
            forget_cells()
            for future in futures:
                future.cancel()
            if isinstance(far.adata, Path) and far is not task:
                far.adata.unlink(missing_ok=True)


_prepared: dict[str, Any] = {}
# Threads of one process share torch's random state: of an executor's threads, one works at a time.
_one_at_a_time = threading.Lock()


def _work(task: Task, candidate: Candidate | None, key: Key, threads: int) -> pd.DataFrame:
    """Run a piece on a worker, which keeps the cells of its last split."""
    name = json.dumps([str(task), key.split])
    with _one_at_a_time, limited_threads(threads):
        if name not in _prepared:
            _prepared.clear()
            _prepared[name] = task.prepare(key.split)
        return run_piece(task, candidate, key, _prepared[name])


@contextmanager
def limited_threads(number: int) -> Iterator[None]:
    """Limit the threads of torch and of the linear algebra, so that workers do not fight for the cores.

    Parameters
    ----------
    number
        Threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number), _numba_threads(number):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _numba_threads(number: int) -> Iterator[None]:
    numba = sys.modules.get("numba")  # where nothing has imported it, it starts no threads
    if numba is None:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def run_piece(
    task: Task,
    candidate: Candidate | None,
    key: Key,
    data: Any,
    on_piece: Callable[[Piece], None] | None = None,
) -> pd.DataFrame:
    """Train, ask and score; a model that fails is a row with its error.

    Parameters
    ----------
    task
        The question.
    candidate
        The model; None for a reference.
    key
        Which piece.
    data
        The cells of the split.
    on_piece
        Called with the finished piece.
    """
    measure, scoring, answer = Measure(), Measure(), None
    try:
        try:
            if candidate is not None:
                with measure:
                    answer = task.answer(candidate, data, key.seed)
            with scoring:
                scores = (
                    task.reference(key.model, data, key.seed)
                    if candidate is None
                    else task.score(answer, data, key.seed)
                )
        except Exception as error:
            logger.warning("%s failed: %s", key, error)
            logger.debug("%s", key, exc_info=True)
            return _failed(task, candidate, key, error, measure)
        if on_piece is not None and candidate is not None:
            on_piece(Piece(candidate, key.seed, data, answer, measure.seconds, measure.peak_memory_mb))
    finally:
        if answer is not None:
            task.release(answer)
            del answer
        if candidate is not None and not candidate.baseline:
            gc.collect()  # a trained network and its trainer refer to each other
    return _rows(task, candidate, key, scores, measure).assign(score_seconds=scoring.seconds)[COLUMNS]


def _rows(task: Task, candidate: Candidate | None, key: Key, scores: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    return scores.assign(
        task=task.name,
        **key._asdict(),
        kind="reference" if candidate is None else "baseline" if candidate.baseline else "model",
        seconds=measure.seconds,
        score_seconds=0.0,
        peak_memory_mb=measure.peak_memory_mb if candidate is not None else float("nan"),
        version=__version__,
        error="",
    )[COLUMNS]


def _failed(task: Task, candidate: Candidate | None, key: Key, error: Exception, measure: Measure) -> pd.DataFrame:
    empty = {"metric": "", "value": float("nan"), "sd_cells": float("nan"), "label": "", "genes": "", "better": ""}
    said = f"{type(error).__name__}: {error}"
    return _rows(task, candidate, key, pd.DataFrame([empty]), measure).assign(error=said)
