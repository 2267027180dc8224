"""What the benchmark's runner costs and gains: ``python -m benchmarks.runner --out runner.json``.

Overhead: the seconds of a run in one process less those of its pieces (training, prediction, scores) and of making the
splits, as a share of the pieces' seconds. Workers: the seconds of the same run in one process over those on two spawned
processes, which read the cells for themselves and import everything anew. All in one run, on simulated cells.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import HeldOut, Keys, ResponseTask, Split, run

KEYS = Keys("condition", "cell_type", "control")


@dataclass(frozen=True, kw_only=True)
class Timed(ResponseTask):
    """The task of responses, with the seconds that making splits takes.

    Attributes
    ----------
    spent
        Seconds of each split, filled in as they are made.
    """

    spent: list[float] = field(default_factory=list)

    def prepare(self, split: str) -> Split:
        """Make a split, and note how long that took.

        Parameters
        ----------
        split
            Its name.
        """
        start = time.perf_counter()
        made = super().prepare(split)
        self.spent.append(time.perf_counter() - start)
        return made


def make_task(given: argparse.Namespace) -> Timed:
    """Return the question.

    Parameters
    ----------
    given
        Arguments of the command line.
    """
    adata = ac.data.normalize(
        ac.datasets.simulate_response(n_cells=given.cells, n_genes=given.genes, n_types=4, seed=0)
    )
    held_out = [HeldOut(name, "stimulated", (name,), ("stimulated",)) for name in adata.obs["cell_type"].cat.categories]
    scores = {"n_cells": 200, "n_trees": 100}
    return Timed(adata=adata, keys=KEYS, held_out=held_out, n_genes=None, evaluate=scores, subsamples=20)


def timed(task: Timed, seeds: list[int], **options: Any) -> tuple[float, pd.DataFrame]:
    """Run everything, and return the seconds with the table.

    Parameters
    ----------
    task
        The question.
    seeds
        The seeds.
    **options
        Of the runner.
    """
    train = {"max_epochs": 30, "batch_size": 64, "early_stopping": False}
    models = [ac.benchmark.candidate(ac.ScGen, train=train), *ac.benchmark.baselines()]
    start = time.perf_counter()
    table = run(task, models, seeds, threads=1, progress=False, **options)
    return time.perf_counter() - start, table


def main() -> None:
    """Run the two parts and write the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cells", type=int, default=3_000)
    parser.add_argument("--genes", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(range(given.seeds))
    task = make_task(given)
    timed(task, seeds[:1])  # what the first call compiles and imports is not the runner's
    task.spent.clear()
    alone, table = timed(task, seeds)
    pieces = table.drop_duplicates(["model", "split", "seed"])
    work = float(pieces["seconds"].sum() + pieces["score_seconds"].sum())
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        two, _ = timed(task, seeds, executor=executor)
    result = {
        "altercell": ac.__version__,
        "pieces": len(pieces),
        "seconds_one_process": alone,
        "seconds_training_and_prediction": float(pieces["seconds"].sum()),
        "seconds_scores": float(pieces["score_seconds"].sum()),
        "seconds_splits": sum(task.spent),
        "overhead": (alone - work - sum(task.spent)) / work,
        "seconds_two_workers": two,
        "two_workers_are_faster_by": alone / two,
    }
    print(json.dumps(result, indent=2))
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
