"""Memory of training from disk: ``python -m benchmarks.memory FOLDER --cells 20000 200000``.

Simulated counts are written to an h5ad file and to a zarr store; a new process opens each without reading it into
memory, trains ScGAN for some moves of the generator and lets it generate cells. Ten times as many cells should not need
ten times the memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac

PART = 10_000


def peak() -> float:
    """Return the process's peak memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def written(folder: Path, n_cells: int, n_genes: int, kind: str) -> Path:
    """Write simulated counts, a part at a time, where they are not there already.

    Parameters
    ----------
    folder, n_cells, n_genes
        Where, and how many.
    kind
        ``"h5ad"`` or ``"zarr"``.
    """
    path = folder / f"{n_cells}x{n_genes}.{kind}"
    if path.exists():
        return path
    parts = []
    for number in range(-(-n_cells // PART)):
        part = folder / f"part_{number}_{n_genes}.{kind}"
        if not part.exists():
            cells = ac.datasets.simulate_response(PART, n_genes, 5, seed=number)
            cells = ad.AnnData(cells.X, obs=cells.obs[["cell_type"]], var=pd.DataFrame(index=cells.var_names))
            cells.obs_names = [f"{number}_{name}" for name in cells.obs_names]
            getattr(cells, f"write_{kind}")(part)
        parts.append(part)
    ad.experimental.concat_on_disk(parts, path)
    return path


def opened(path: Path) -> ad.AnnData:
    """Return cells that stay on disk.

    Parameters
    ----------
    path
        Of the h5ad file or the zarr store.
    """
    if path.suffix == ".h5ad":
        return ad.read_h5ad(path, backed="r")
    import zarr
    from anndata.io import read_elem, sparse_dataset

    group = zarr.open_group(path, mode="r")
    return ad.AnnData(sparse_dataset(group["X"]), obs=read_elem(group["obs"]), var=read_elem(group["var"]))


def measured(path: Path, args: argparse.Namespace) -> dict[str, object]:
    """Train from disk in this process, and return what it took.

    Parameters
    ----------
    path, args
        The cells, and the command line's.
    """
    torch.set_num_threads(1)
    start = peak()
    cells = opened(path)
    ac.ScGAN.setup_anndata(cells)
    model = ac.ScGAN(cells)
    registered, began = peak(), time.perf_counter()
    model.train(n_steps=args.steps, accelerator="cpu", enable_progress_bar=False)
    seconds, trained = time.perf_counter() - began, peak()
    model.generate(1_000, seed=0)
    return {
        "cells": cells.n_obs,
        "genes": cells.n_vars,
        "kind": path.suffix[1:],
        "size_on_disk_mb": sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()) / 2**20,
        "at_start_mb": start,
        "registered_mb": registered,
        "trained_mb": trained,
        "generated_mb": peak(),
        "train_seconds": seconds,
    }


def main() -> None:
    """Measure every size and kind, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for the simulated cells (gigabytes)")
    parser.add_argument("--cells", type=int, nargs="*", default=[20_000, 200_000])
    parser.add_argument("--genes", type=int, default=5_000)
    parser.add_argument("--kinds", nargs="*", default=["h5ad", "zarr"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--csv", type=Path, help="where to write the table")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measured(args.one, args)))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in args.kinds:
        for n_cells in args.cells:
            path = written(args.folder, n_cells, args.genes, kind)
            command = [sys.executable, "-m", "benchmarks.memory", str(args.folder)]
            command += ["--steps", str(args.steps), "--one", str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(answer.stdout.strip().splitlines()[-1]))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    if args.csv is not None:
        table.to_csv(args.csv, index=False, float_format="%.6g")
    print(table.round(0).to_string())


if __name__ == "__main__":
    main()
