"""A second process for the slow checks: one that is killed, and one whose memory is measured."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import torch

from altercell import _datafile
from altercell.errors import ModelFileError
from altercell.testing._callbacks import AtBatch
from altercell.testing._data import SOURCE, TARGET
from altercell.testing._registry import NotApplicable
from altercell.testing._subject import Subject

#: Where Linux tells a process's peak memory.
PEAK = Path("/proc/self/status")
SETTINGS = ("arguments", "train_arguments", "setup_arguments")


def run_child(subject: Subject, **task: Any) -> subprocess.CompletedProcess[str]:
    """Run a task of this file in a new process.

    Parameters
    ----------
    subject
        The model under test.
    **task
        ``task``, the name of the function, and what it takes; plain data.

    Raises
    ------
    NotApplicable
        Another process cannot import the model, or its arguments are no plain data.
    """
    Model = subject.Model
    try:
        found = getattr(importlib.import_module(Model.__module__), Model.__qualname__, None)
    except ImportError:
        found = None
    if found is not Model or Model.__module__ == "__main__":
        raise NotApplicable(f"{Model.__qualname__} cannot be imported by another process")
    try:
        settings = {name: _datafile.encode(dict(getattr(subject, name))) for name in SETTINGS}
    except ModelFileError as error:
        raise NotApplicable(f"another process cannot be given the arguments: {error}") from error
    words = {
        "model": [Model.__module__, Model.__qualname__],
        "data": subject.data,
        "settings": settings,
        "threads": torch.get_num_threads(),
        **task,
    }
    command = [sys.executable, "-m", "altercell.testing._child", json.dumps(words)]
    # The child must find the package, and the user's model, where this process finds them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in [*sys.path, os.getcwd()] if path)}
    # Freed memory returns to the system at once, so that what is measured is what is used.
    environment |= {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "1000000"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def train_and_die(subject: Subject, folder: str, epochs: int, epoch: int) -> None:
    """Train with a state file, and be killed by the operating system in the middle of an epoch.

    Parameters
    ----------
    subject
        The model under test.
    folder
        Of the state file.
    epochs, epoch
        How many to train, and in which to die.
    """

    def _die(trainer: Any, plan: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    subject.train(subject.make(), epochs, resume_dir=folder, callbacks=[AtBatch(_die, epoch=epoch, batch=1)])


def peak_memory(subject: Subject, path: str, answer: str) -> None:
    """Train on a backed file, predict from it to a file, and write the peak memory after each step, in MiB.

    Parameters
    ----------
    subject
        The model under test.
    path, answer
        File with cells, and the file that the prediction is written to.
    """
    adata = ad.read_h5ad(path, backed="r")
    model = subject.train(subject.make(adata), 1, **({"batch_size": 512} if subject.gradient else {}))
    peaks = {"train": _peak()}
    if hasattr(model, "predict"):
        model.predict(source=SOURCE, target=TARGET, seed=0, path=answer).file.close()
        peaks["predict"] = _peak()
    sys.stdout.write(f"\n{json.dumps(peaks)}\n")


def _peak() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    # Linux counts the parent's memory into getrusage's figure, and not into this one.
    text = PEAK.read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def _main(words: Mapping[str, Any]) -> None:
    torch.set_num_threads(words["threads"])
    module, name = words["model"]
    settings = {key: _datafile.decode(value) for key, value in words["settings"].items()}
    subject = Subject(getattr(importlib.import_module(module), name), data=words["data"], **settings)
    tasks: dict[str, Callable[..., None]] = {"train_and_die": train_and_die, "peak_memory": peak_memory}
    known = {"task", "model", "data", "settings", "threads"}
    tasks[words["task"]](subject, **{key: value for key, value in words.items() if key not in known})


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
