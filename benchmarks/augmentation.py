"""A rare type and generated cells of it: ``python -m benchmarks.augmentation pbmc3k.h5ad FOLDER --csv FILE``.

The experiment of the cscGAN paper at the size of the data: `ac.benchmark.augmentation` for one type that is cut to
shares of its cells, with the generators and the neighbour bootstrap. The GANs of genes make `--steps` moves of the
generator, LatentGAN `--latent-steps`. Pieces that are in the folder already are not run again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import augmenters


def main() -> None:
    """Run what is missing, write the table and the curve, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("folder", type=Path, help="folder to write to and to go on from")
    parser.add_argument("--csv", type=Path, help="where to write the whole table")
    parser.add_argument("--plot", type=Path, help="where to write the curve")
    parser.add_argument("--labels-key", default="cell_type")
    parser.add_argument("--label", default="CD8 T", help="the type that is made rare")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.1, 0.05, 0.02, 0.01])
    parser.add_argument("--added", type=int, default=500)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=500, help="moves of the generators of genes")
    parser.add_argument("--latent-steps", type=int, default=2_000, help="moves of the generator of latent points")
    parser.add_argument("--models", nargs="*", help="names of models; all by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    steps = {"LatentGAN": {"n_steps": given.latent_steps, "vae": {"max_epochs": 100}}}
    learning = {"CscGAN", "ScGAN, type alone", "LatentGAN"}
    models = [
        replace(one, train={"accelerator": "cpu", **steps.get(one.name, {"n_steps": given.steps})})
        if one.name in learning
        else one
        for one in augmenters()
        if given.models is None or one.name in given.models
    ]
    table = ac.benchmark.augmentation(
        ac.data.normalize(ad.read_h5ad(given.data)),
        models,
        labels_key=given.labels_key,
        label=given.label,
        shares=given.shares,
        n_added=given.added,
        n_genes=given.genes,
        seeds=given.seeds,
        path=given.folder,
        on_step=lambda step: print(step, flush=True),
    )
    if given.csv is not None:
        table.to_csv(given.csv, index=False, float_format="%.6g")
    if given.plot is not None:
        ac.pl.augmentation_curve(table).figure.savefig(given.plot, bbox_inches="tight", dpi=150)
    scores = table[table["error"].fillna("") == ""]
    by = scores.groupby(["metric", "share", "method"], sort=False)["value"].agg(["mean", "std"]).round(3)
    with pd.option_context("display.width", 250, "display.max_rows", 400):
        print(by.unstack("share"))
    print(table[table["error"].fillna("") != ""][["method", "split", "error"]])


if __name__ == "__main__":
    main()
