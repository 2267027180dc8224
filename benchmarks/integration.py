"""Batch removal on cells of known lines: ``python -m benchmarks.integration sc_mixology.h5ad FOLDER --csv FILE``.

1,408 cells of five cell lines, measured in five batches (protocols and plates). Every method sees all cells; in the
split ``labels held out`` the methods that read labels are given predicted ones for half of the cells, and all methods
are scored on that half. ScGen, TrVAE and SCVI are trained for `--epochs` epochs in batches of 128. Pieces that are in
the folder already are not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac


def main() -> None:
    """Run what is missing, write the table and print its means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("folder", type=Path, help="folder to write to and to go on from")
    parser.add_argument("--csv", type=Path, help="where to write the whole table")
    parser.add_argument("--batch-key", default="batch")
    parser.add_argument("--labels-key", default="cell_line")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--accelerator", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = ac.benchmark.integration(
        ac.data.normalize(ad.read_h5ad(given.data)),
        batch_key=given.batch_key,
        labels_key=given.labels_key,
        seeds=given.seeds,
        path=given.folder,
        train={"max_epochs": given.epochs, "batch_size": 128, "accelerator": given.accelerator},
        on_step=lambda step: print(step, flush=True),
    )
    if given.csv is not None:
        table.to_csv(given.csv, index=False, float_format="%.6g")
    with pd.option_context("display.width", 250, "display.max_columns", 40):
        for split, rows in table.groupby("split", sort=False):
            print(split, rows.pivot_table(index="model", columns="metric", values="value").round(3), sep="\n")
    print(table[table["error"] != ""][["model", "split", "seed", "error"]])


if __name__ == "__main__":
    main()
