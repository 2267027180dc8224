"""Speed of training beside a bare PyTorch loop, and of ``predict`` on many cells: ``python -m benchmarks.speed``.

``--part train --model TrVAE`` times the training of another model, ``--part simulate`` the simulators. Ratios are
of one run, the two sides in turn, so that the machine's drift touches both.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import psutil
import torch
from anndata import AnnData
from lightning.pytorch import Callback
from scipy import sparse
from scvi.module.base import BaseModuleClass

import altercell as ac


def synthetic(n_cells: int, n_genes: int, density: float, seed: int = 0) -> AnnData:
    """Return log-like sparse data of two conditions and four types.

    Parameters
    ----------
    n_cells, n_genes
        Size.
    density
        Share of values that are not zero.
    seed
        Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    values = sparse.random(n_cells, n_genes, density=density, format="csr", dtype=np.float32, random_state=rng)
    values.data = np.log1p(values.data * 20).astype(np.float32)
    obs = pd.DataFrame(
        {"condition": rng.choice(["control", "stimulated"], n_cells), "cell_type": rng.choice(list("abcd"), n_cells)},
        index=[f"cell_{number}" for number in range(n_cells)],
    )
    return AnnData(values, obs=obs, uns={"altercell": {"space": "log1p of counts"}})


def bare_epoch(
    module: BaseModuleClass,
    optimizer: torch.optim.Optimizer,
    values: sparse.csr_matrix,
    conditions: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
) -> None:
    """Train one epoch with nothing but PyTorch: shuffle, slice, forward, backward, step.

    Parameters
    ----------
    module
        The network, in training mode.
    optimizer
        Its optimiser.
    values
        Cells, shape (n_cells, n_genes).
    conditions
        Codes of their conditions, shape (n_cells,).
    batch_size
        Cells a step.
    rng
        Of the order.
    """
    order = rng.permutation(values.shape[0])
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = {"X": torch.from_numpy(values[rows].toarray()), "batch": torch.from_numpy(conditions[rows])[:, None]}
        optimizer.zero_grad()
        inference, generative = module(batch, compute_loss=False)
        loss = module.loss(batch, inference, generative).loss
        loss.backward()
        optimizer.step()


def training_ratio(Model: Any, adata: AnnData, batch_size: int, rounds: int) -> dict[str, Any]:
    """Time epochs of ``train`` and of the bare loop in turn.

    Parameters
    ----------
    Model
        The class, with its default network.
    adata
        The cells.
    batch_size
        Cells a step.
    rounds
        How many epochs of each are timed.

    Returns
    -------
    Seconds per epoch of both, and the median of the pairs' ratios.
    """
    Model.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    model, twin = Model(adata), Model(adata)
    module = twin.module.train()
    optimizer = torch.optim.Adam(module.parameters(), **Model._plan_defaults, fused=True)
    conditions = pd.Categorical(adata.obs["condition"]).codes.astype(np.int64)
    rng = np.random.default_rng(0)
    ours, bare = [], []
    clock = EpochClock()
    for number in range(rounds + 1):
        model.train(2, batch_size=batch_size, train_size=1.0, enable_progress_bar=False, callbacks=[clock])
        start = time.perf_counter()
        bare_epoch(module, optimizer, adata.X, conditions, batch_size, rng)
        if number:  # the first round warms both up
            ours.append(clock.seconds[-1])
            bare.append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return {
        "model": Model.__name__,
        "batch_size": batch_size,
        "seconds_per_epoch_altercell": statistics.median(ours),
        "seconds_per_epoch_bare": statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


class EpochClock(Callback):
    """Take the time from the start of an epoch to the start of the next: the second epoch of each call of train.

    The second, because the first contains the start of the trainer, which is paid once a training.
    """

    def __init__(self) -> None:
        self.started, self.seconds = 0.0, list[float]()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop the clock after the last epoch, its bookkeeping included."""
        self.seconds.append(time.perf_counter() - self.started)


def prepare_prediction(folder: Path, n_cells: int, n_genes: int, density: float) -> None:
    """Write a trained model and the cells that it will be asked for; in a process of its own, for its memory.

    Parameters
    ----------
    folder
        Where to write.
    n_cells, n_genes, density
        The cells, all of them asked for.
    """
    train = synthetic(512, n_genes, density)
    ac.ScGen.setup_anndata(train, batch_key="condition", labels_key="cell_type")
    model = ac.ScGen(train)
    model.train(1, batch_size=128, train_size=1.0, enable_progress_bar=False)
    model.save(folder / "model")
    asked = synthetic(n_cells, n_genes, density, seed=1)
    asked.obs["condition"] = "control"
    asked.write_h5ad(folder / "asked.h5ad")


def predict_speed(folder: Path, batch_size: int) -> dict[str, Any]:
    """Time ``predict`` of backed cells to a file, and measure by how much the peak memory grows.

    A first prediction of one batch loads what is loaded once; what grows after it is what the number of cells costs.

    Parameters
    ----------
    folder
        Where :func:`prepare_prediction` wrote.
    batch_size
        Cells a batch.
    """
    model = ac.ScGen.load(folder / "model")
    backed = ad.read_h5ad(folder / "asked.h5ad", backed="r")
    asked: dict[str, Any] = {"source": "control", "target": "stimulated", "batch_size": batch_size}
    model.predict(backed, **asked, indices=np.arange(batch_size), path=folder / "one_batch.h5ad")
    one_batch = peak_memory()
    start = time.perf_counter()
    model.predict(backed, **asked, path=folder / "predicted.h5ad")
    seconds = time.perf_counter() - start
    return {
        "cells": backed.n_obs,
        "cells_per_second": backed.n_obs / seconds,
        "seconds": seconds,
        "peak_MiB_one_batch": one_batch,
        "peak_MiB_all": peak_memory(),
    }


def simulators() -> dict[str, Any]:
    """Time each simulator at its own size, 10,000 cells and 2,000 genes or a little more."""
    made: dict[str, Any] = {
        "simulate_response": lambda: ac.datasets.simulate_response(10_000, 2_000, 10),
        "simulate_factors": ac.datasets.simulate_factors,
        "simulate_branches": ac.datasets.simulate_branches,
    }
    result: dict[str, Any] = {}
    for name, make in made.items():
        start, busy = time.perf_counter(), time.process_time()
        shape = make().shape
        result[name] = {"shape": shape, "seconds": time.perf_counter() - start, "busy": time.process_time() - busy}
    return result


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MiB.

    Of the process itself where Linux tells it: the resource module counts the parent's memory at the fork too.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def predict_runs(sizes: list[int], shape: list[str]) -> list[dict[str, Any]]:
    """Run :func:`predict_speed` for several numbers of cells, each in a process that has made nothing else.

    Parameters
    ----------
    sizes
        Numbers of cells.
    shape
        Arguments of the command line for the shape of the data.
    """
    results = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            place = ["--folder", folder, "--predict-cells", str(size)]
            subprocess.run([sys.executable, "-m", "benchmarks.speed", *shape, *place, "--part", "prepare"], check=True)
            results.append(in_subprocess([*place, "--part", "predict"]))
    return results


def in_subprocess(arguments: list[str]) -> dict[str, Any]:
    """Run one part of this script in a process of its own, so that its peak memory is its own.

    Parameters
    ----------
    arguments
        Of the command line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Run the parts and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=16_000)
    parser.add_argument("--genes", type=int, default=7_000)
    parser.add_argument("--density", type=float, default=0.08)
    parser.add_argument("--model", default="ScGen", help="a model of altercell that is trained by gradient descent")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--predict-cells", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--part", choices=["all", "train", "prepare", "predict", "simulate"], default="all")
    given = parser.parse_args()
    shape = ["--cells", str(given.cells), "--genes", str(given.genes), "--density", str(given.density)]
    if given.part == "prepare":
        prepare_prediction(given.folder, given.predict_cells[0], given.genes, given.density)
        return
    if given.part == "train":
        cells = synthetic(given.cells, given.genes, given.density)
        result: dict[str, Any] = training_ratio(getattr(ac, given.model), cells, given.batch_size, given.rounds)
        result["peak_MiB"] = peak_memory()
    elif given.part == "simulate":
        result = simulators()
    elif given.part == "predict":
        result = predict_speed(given.folder, 1_024)
    else:
        training = [
            "--model",
            given.model,
            "--batch-size",
            str(given.batch_size),
            "--rounds",
            str(given.rounds),
            "--part",
            "train",
        ]
        result = {
            "machine": {
                "processor": platform.machine(),
                "cores": psutil.cpu_count(),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            },
            "train": in_subprocess([*shape, *training]),
            "predict": predict_runs(given.predict_cells, shape),
        }
    print(json.dumps(result, indent=2 if given.part == "all" else None))


if __name__ == "__main__":
    main()
