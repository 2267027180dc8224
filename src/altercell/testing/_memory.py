"""C11: with cells on disk, memory does not grow with their number."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from altercell.testing._child import PEAK, run_child
from altercell.testing._data import BATCH_KEY, LABELS_KEY, SOURCE, TARGET, Data
from altercell.testing._registry import NotApplicable, check
from altercell.testing._subject import Subject

# Registration reads 8,000,000 values at a time, and both sizes are several of these blocks.
SMALL, LARGE = 20_000, 60_000
N_GENES, DENSITY = 1_000, 0.3

# Names and groups of the cells are in memory, and should be far less than their values.
ALLOWED_SHARE = 0.25


@functools.cache
def _files(data: Data) -> tuple[list[Path], float]:
    """Write a small and a large file, once in a process; return them and how much the values differ, in MiB."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    paths = [folder / f"{number}.h5ad" for number in (SMALL, LARGE)]
    small, large = (_write(path, number, data) for path, number in zip(paths, (SMALL, LARGE), strict=True))
    return paths, large - small


def _write(path: Path, n_cells: int, data: Data) -> float:
    """Write cells with random values; return the size of the values in memory, in MiB."""
    rng = np.random.default_rng(0)
    values = sparse.random_array((n_cells, N_GENES), density=DENSITY, format="csr", rng=rng, dtype=np.float32)
    counts = 1 + np.floor(values.data * 9)
    values.data = (counts if data == "counts" else np.log1p(counts)).astype(np.float32)
    number = np.arange(n_cells)
    obs = pd.DataFrame(
        {
            BATCH_KEY: pd.Categorical.from_codes(number % 2, [SOURCE, TARGET]),
            LABELS_KEY: pd.Categorical.from_codes(number // 2 % 4, [f"type_{kind}" for kind in range(4)]),
            "size_factor": np.asarray(values.sum(axis=1), dtype=np.float64).ravel() + 1,
        },
        index=[f"cell_{cell}" for cell in number],
    )
    AnnData(sparse.csr_matrix(values), obs=obs).write_h5ad(path)
    return (values.data.nbytes + values.indices.nbytes) / 2**20


def _peaks(subject: Subject) -> tuple[dict[str, float], ...]:
    """Return the peak memory after each step, in MiB, for the small and for the large file."""
    if not PEAK.exists():
        raise NotApplicable("this system does not tell a process's peak memory")
    found = []
    for path in _files(subject.data)[0]:
        with tempfile.TemporaryDirectory() as folder:
            # A process each: what one has freed may stay with it.
            ended = run_child(subject, task="peak_memory", path=str(path), answer=str(Path(folder) / path.name))
        assert ended.returncode == 0, f"the process failed and said: {ended.stderr[-800:]}"
        found.append(json.loads(ended.stdout.strip().splitlines()[-1]))
    return tuple(found)


def _flat(subject: Subject, step: str) -> None:
    small, large = subject.once("peak memory", lambda: _peaks(subject))
    grown, values = large[step] - small[step], _files(subject.data)[1]
    assert grown <= ALLOWED_SHARE * values, (
        f"{step} of {LARGE:,} backed cells takes {grown:.0f} MiB more than of {SMALL:,}, whose values are "
        f"{values:.0f} MiB less"
    )


@check("C11", heavy=True)
def training(subject: Subject) -> None:
    """Training on a backed file takes no more memory for three times as many cells."""
    _flat(subject, "train")


@check("C11", heavy=True, verbs=("predict",))
def prediction(subject: Subject) -> None:
    """`predict` from a backed file to a file takes no more memory for three times as many cells."""
    _flat(subject, "predict")
