"""Generators beside cells that none has seen: ``python -m benchmarks.generation pbmc3k.h5ad FOLDER --csv FILE``.

A quarter of the cells of every label is kept back, once for each split; the 2,000 genes are chosen on the others. The
GANs are trained for `--steps` moves of the generator (the papers have a million) with the papers' networks, and all
models are asked for as many cells of each label as were kept back. Pieces that are in the folder already are not run
again, so that a table can be spread over many sittings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import generation_baselines, generators

OVERALL = ["forest_auc", "forest_auc_genes", "forest_auc_all_pcs", "edistance_pcs", "coverage", "nearest_ratio"]
OVERALL += ["nearer_share", "zeros_difference", "variable_gene_overlap", "class_recall"]


def main() -> None:
    """Run what is missing, write the table and print its means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("folder", type=Path, help="folder to write to and to go on from")
    parser.add_argument("--csv", type=Path, help="where to write the whole table")
    parser.add_argument("--labels-key", default="cell_type")
    parser.add_argument("--genes", type=int, default=2_000, help="variable genes; 0 keeps all")
    parser.add_argument("--splits", type=int, default=1, help="how many times cells are kept back")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--steps", type=int, default=5_000, help="moves of the generators of the GANs")
    parser.add_argument("--models", nargs="*", help="names of models and baselines; all by default")
    parser.add_argument("--accelerator", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = [*generation_baselines(), *generators()]
    table = ac.benchmark.generation(
        ac.data.normalize(ad.read_h5ad(given.data)),
        [one for one in known if given.models is None or one.name in given.models],
        labels_key=given.labels_key,
        n_splits=given.splits,
        n_genes=given.genes or None,
        seeds=given.seeds,
        add_baselines=False,
        n_trees=200,
        path=given.folder,
        train={"n_steps": given.steps, "accelerator": given.accelerator},
        on_step=lambda step: print(step, flush=True),
    )
    if given.csv is not None:
        table.to_csv(given.csv, index=False, float_format="%.6g")
    with pd.option_context("display.width", 250, "display.max_columns", 40):
        print(table.pivot_table(index="model", columns="metric", values="value", sort=False)[OVERALL].round(3))
    print(table[table["error"].fillna("") != ""][["model", "split", "seed", "error"]])


if __name__ == "__main__":
    main()
