"""A transitional type that was cut: ``python -m benchmarks.transition paul15.h5ad --csv FILE``.

Of one type a tenth of the cells is kept, and generators that have learnt from the cells that are left add as many as
were taken. Do its connections to the other types come back? PAGA's connectivities (50 components, 15 neighbours) of the
type with every other are compared with those of all cells (mean absolute difference), and the added cells with those
that were taken away, which nothing has seen: E-distance in components and a forest's AUC. ``copies`` are copies of the
cells that are left.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch

import altercell as ac
from altercell.metrics._pcs import project_on_pcs

KEYS = {"layer": "counts", "size_factor_key": "size_factor"}


def connections(cells: ad.AnnData, labels_key: str, label: str) -> pd.Series:
    """Return PAGA's connectivity of a type with every other.

    Parameters
    ----------
    cells
        Log data.
    labels_key, label
        Column of the types, and the type.
    """
    part = ad.AnnData(cells.X.copy(), obs=cells.obs[[labels_key]].copy())
    part.obs[labels_key] = part.obs[labels_key].astype("category")
    sc.pp.pca(part, n_comps=50, random_state=0)
    sc.pp.neighbors(part, n_neighbors=15, random_state=0)
    sc.tl.paga(part, groups=labels_key)
    names = part.obs[labels_key].cat.categories
    matrix = part.uns["paga"]["connectivities"].toarray()
    row = pd.Series(matrix[names.get_loc(label)], index=names.astype(str))
    return row.drop(label)


def generators(train: ad.AnnData, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return trained generators.

    Parameters
    ----------
    train, args, seed
        The cells that are left, the command line's, and the seed.
    """
    found: dict[str, Any] = {}
    chosen: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
        "CscGAN": (ac.CscGAN, {}, {"n_steps": args.steps}),
        "LatentGAN": (
            ac.LatentGAN,
            {"classes": "labels"},
            {"n_steps": args.latent_steps, "vae": {"max_epochs": 100}},
        ),
        "neighbour bootstrap": (ac.NeighbourBootstrap, {}, {}),
    }
    for name, (cls, arguments, how) in chosen.items():
        cells = train.copy()
        cls.setup_anndata(cells, labels_key=args.labels_key, **KEYS)
        model = cls(cells, seed=seed, **arguments)
        model.train(**({**how, "accelerator": "cpu", "enable_progress_bar": False} if how else {}))
        found[name] = model
    return found


def main() -> None:
    """Cut, train, add, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("--csv", type=Path, help="where to write the table")
    parser.add_argument("--labels-key", default="cell_type")
    parser.add_argument("--label", default="Multipotent progenitors", help="the transitional type")
    parser.add_argument("--share", type=float, default=0.1, help="share of it that is kept")
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=500, help="moves of CscGAN's generator")
    parser.add_argument("--latent-steps", type=int, default=2_000, help="moves of LatentGAN's generator")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = ac.data.normalize(ad.read_h5ad(args.data))
    rows = []
    for seed in args.seeds:
        own = np.flatnonzero(cells.obs[args.labels_key] == args.label)
        taken = np.random.default_rng(seed).permutation(own)[round(args.share * len(own)) :]
        left = np.setdiff1d(np.arange(cells.n_obs), taken)
        train = ac.data.select_genes(cells[left].copy(), args.genes)
        whole, real = cells[:, train.var_names].copy(), cells[taken, train.var_names].copy()
        few = train[train.obs[args.labels_key] == args.label]
        copies = few[np.random.default_rng(seed).integers(few.n_obs, size=len(taken))].copy()
        copies.obs_names = [f"copy_{number}" for number in range(len(taken))]
        arms = {"all cells": whole, "cut": train, "copies": ad.concat([train, copies])}
        added = {"copies": copies}
        for name, model in generators(train, args, seed).items():
            both = model.augment({args.label: len(taken)}, seed=seed)
            arms[name], added[name] = both, both[both.obs["generated"].to_numpy(dtype=bool)].copy()
            model.deregister_manager()
        truth = connections(whole, args.labels_key, args.label)
        for name, part in arms.items():
            row = connections(part, args.labels_key, args.label)
            found = {"error": float((row - truth).abs().mean()), **{f"to {other}": row[other] for other in row.index}}
            if name in added:
                options: dict[str, Any] = {"seed": seed, "n_trees": 200}
                found["forest_auc"] = ac.metrics.forest_auc(added[name].X, real.X, train.X, **options)
                points = project_on_pcs(added[name].X, real.X, train.X, seed=seed)
                found["edistance_pcs"] = ac.metrics.edistance(*points)
            rows.append({"arm": name, "seed": seed, **found})
        print(pd.DataFrame(rows)[lambda table: table["seed"] == seed].round(3).to_string(), flush=True)  # noqa: B023
    table = pd.DataFrame(rows)
    if args.csv is not None:
        table.to_csv(args.csv, index=False, float_format="%.6g")
    print(table.drop(columns="seed").groupby("arm", sort=False).agg(["mean", "std"]).round(3).T.to_string())


if __name__ == "__main__":
    main()
