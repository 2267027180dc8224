"""Classes of type and condition together: ``python -m benchmarks.classes kang_pbmc.h5ad --csv FILE``.

A quarter of the cells of every class (a cell type in a condition) is kept back, and the genes are chosen on the others.
Generators that know both are asked for as many cells of each class; which class of the cells kept back are they nearest
to? Beside them stand training cells, real ones of the class.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch

import altercell as ac
from altercell.data._normalize import log_of_counts


def kept_back(classes: pd.Series, share: float, seed: int) -> np.ndarray:
    """Return which cells are kept back, of every class in its share.

    Parameters
    ----------
    classes
        The class of each cell.
    share, seed
        Share, and seed of the choice.
    """
    place = pd.Series(np.random.default_rng(seed).permutation(len(classes)), index=classes.index)
    found: np.ndarray = (place.groupby(classes).rank(pct=True) <= share).to_numpy()
    return found


def made_by(model: Any, test: ad.AnnData, args: argparse.Namespace, seed: int) -> ad.AnnData:
    """Return a trained model's cells, as many of each class as were kept back.

    Parameters
    ----------
    model, test, args, seed
        The model, the cells kept back, the command line's and the seed.
    """
    parts = []
    for condition in test.obs[args.batch_key].cat.categories:
        here = test.obs.loc[test.obs[args.batch_key] == condition, args.labels_key].value_counts()
        wanted = {label: int(number) for label, number in here.items() if number}
        parts.append(model.generate(wanted, condition=condition, seed=seed, output="counts"))
    return ad.concat(parts)


def main() -> None:
    """Train, generate, and write how far classes are confused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("--csv", type=Path, help="where to write the tables")
    parser.add_argument("--batch-key", default="condition")
    parser.add_argument("--labels-key", default="cell_type")
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=500, help="moves of CscGAN's generator")
    parser.add_argument("--latent-steps", type=int, default=2_000, help="moves of LatentGAN's generator")
    parser.add_argument("--least", type=int, default=40, help="least number of cells of a class")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = ac.data.normalize(ad.read_h5ad(args.data))
    sizes = pd.crosstab(cells.obs[args.labels_key], cells.obs[args.batch_key]).min(axis=1)
    cells = cells[cells.obs[args.labels_key].isin(sizes.index[sizes >= args.least])].copy()
    cells.obs[args.labels_key] = cells.obs[args.labels_key].cat.remove_unused_categories()
    classes = cells.obs[args.labels_key].astype(str) + ", " + cells.obs[args.batch_key].astype(str)
    rows = []
    for seed in args.seeds:
        kept = kept_back(classes, 0.25, seed)
        train = ac.data.select_genes(cells[~kept].copy(), args.genes)
        test = cells[kept, train.var_names].copy()
        real, names = log_of_counts(test.layers["counts"]), classes[kept].to_numpy()
        both: dict[str, Any] = {"classes": "both", "seed": seed}
        models = {
            "CscGAN": (ac.CscGAN(registered(train, ac.CscGAN, args), **both), {"n_steps": args.steps}),
            "LatentGAN": (
                ac.LatentGAN(registered(train, ac.LatentGAN, args), **both),
                {"n_steps": args.latent_steps, "vae": {"max_epochs": 100}},
            ),
        }
        tables = {"training cells": confusion(log_of_counts(train.layers["counts"]), classes[~kept], real, names, seed)}
        for name, (model, how) in models.items():
            model.train(**how, accelerator="cpu", enable_progress_bar=False)
            made = made_by(model, test, args, seed)
            asked = made.obs[args.labels_key].astype(str) + ", " + made.obs[args.batch_key].astype(str)
            tables[name] = confusion(log_of_counts(made.X), asked, real, names, seed)
            model.deregister_manager()
        for name, table in tables.items():
            rows.append(table.assign(model=name, seed=seed))
            own = table[table["asked"] == table["nearest"]]["share"].mean()
            alike = table[table["asked"].str.split(", ").str[0] == table["nearest"].str.split(", ").str[0]]
            of_type = alike.groupby("asked")["share"].sum().mean()
            print(
                f"seed {seed}, {name}: nearest to their own class {own:.3f}, to their own type {of_type:.3f}",
                flush=True,
            )
    found = pd.concat(rows)
    if args.csv is not None:
        found.to_csv(args.csv, index=False, float_format="%.6g")
    for name, part in found.groupby("model", sort=False):
        print(name)
        print(part.pivot_table(index="asked", columns="nearest", values="share", sort=False).round(2).to_string())


def registered(train: ad.AnnData, model: Any, args: argparse.Namespace) -> ad.AnnData:
    """Return a copy of training cells that is registered with a model.

    Parameters
    ----------
    train, model, args
        The cells, the class, and the command line's.
    """
    cells = train.copy()
    model.setup_anndata(
        cells, layer="counts", size_factor_key="size_factor", batch_key=args.batch_key, labels_key=args.labels_key
    )
    return cells


def confusion(x: Any, classes: pd.Series, y: Any, y_classes: np.ndarray, seed: int) -> pd.DataFrame:
    """Return the confusion of classes, a row a pair.

    Parameters
    ----------
    x, classes, y, y_classes, seed
        See `ac.metrics.class_confusion`.
    """
    table = ac.metrics.class_confusion(x, classes.to_numpy(), y, y_classes, seed=seed)
    return table.reset_index().melt(id_vars="asked", var_name="nearest", value_name="share")


if __name__ == "__main__":
    main()
