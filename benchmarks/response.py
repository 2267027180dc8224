"""The table of response models: ``python -m benchmarks.response kang_pbmc.h5ad FOLDER --csv results.csv``.

Every label is held out in turn under the target condition (or, with ``--group-key``, every donor with all its cells);
genes are chosen and models trained on the rest. Pieces that are in the folder already are not run again, so a long
table may be run in parts, by ``--labels``, ``--models`` and ``--seeds``, and by several processes on one folder.
``--start CSV`` puts the pieces of a recorded table into the folder first.

The papers' training lengths are out of reach on two cores. The networks of the trVAE family and ScPerb are trained for
50 epochs in batches of 128 (1,200 to 1,800 updates, as the data have cells), ScGen for at most 100, SCVI for 100, the
style-transfer GAN for its 1,000 updates; of the first three the weights of the best epoch are kept, judged by a random
tenth of the training cells. ``--epochs 2`` doubles all lengths but SCVI's warm-up, to see what the length changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import Candidate, candidate
from altercell.benchmark._store import Key, Store


def candidates(source: str, length: float = 1.0) -> list[Candidate]:
    """Return the models of the table.

    Parameters
    ----------
    source
        Condition to predict from.
    length
        Factor on the number of epochs.
    """

    def epochs(number: int, **options: object) -> dict[str, object]:
        return {"max_epochs": round(number * length), **options}

    warmup = {"max_kl_weight": 0.25, "n_epochs_kl_warmup": round(100 * length)}
    small = {"batch_size": 128}  # four times the updates of the paper's batches of 512 for the same arithmetic
    scperb = {"control": source, "train": epochs(50, batch_size=128)}
    # Differences of log expression and of latent means are below 10, so that both losses are squares here, as curved at
    # zero as the default is.
    quadratic = {"smooth_l1_beta": 10.0, "style_weight": 10.0, "generation_weight": 10.0}
    return [
        *ac.benchmark.baselines(),
        candidate(ac.ResponseStack),
        candidate(ac.TrVAE, train=epochs(50, **small)),
        candidate(ac.TrVAE, "TrVAE, no MMD", mmd_weight=0.0, train=epochs(50, **small)),
        candidate(ac.CVAE, train=epochs(50, **small)),
        candidate(ac.MMDCVAE, train=epochs(50, **small)),
        candidate(ac.MMDAutoencoder, train=epochs(50, **small)),
        candidate(ac.ScPerb, **scperb),
        candidate(ac.ScPerb, "ScPerb, latent delta", delta="latent", **scperb),
        candidate(ac.ScPerb, "ScPerb, transport", pairing="transport", **scperb),
        candidate(ac.ScPerb, "ScPerb, quadratic", **quadratic, **scperb),
        candidate(ac.ScPerb, "ScPerb, quadratic, transport", pairing="transport", **quadratic, **scperb),
        candidate(ac.WGAN, train={"n_steps": round(1_000 * length)}),
        candidate(ac.StyleTransferGAN, train={} if length == 1 else epochs(77)),
        # The weight of the divergence rises to .25, a quarter of scvi-tools' warm-up, whatever the length.
        candidate(ac.SCVI, train=epochs(100, plan_kwargs=warmup), predict={"cells": "sampled"}),
        candidate(ac.ScGen, train=epochs(100, **small)),
    ]


def table(args: argparse.Namespace) -> pd.DataFrame:
    """Run what is asked and missing, and return the rows.

    Parameters
    ----------
    args
        The command line's.
    """
    adata = ac.data.normalize(ad.read_h5ad(args.data))
    models = candidates(args.source, args.epochs)
    if args.models:
        unknown = set(args.models) - {model.name for model in models}
        if unknown:
            raise SystemExit(f"no model {sorted(unknown)}; there are {[model.name for model in models]}")
        models = [model for model in models if model.name in args.models]
    if args.start is not None:
        start(args.start, args.folder)
    return ac.benchmark.holdout(
        adata,
        models,
        batch_key=args.batch_key,
        labels_key=args.labels_key,
        source=args.source,
        target=args.target,
        hold_out=args.labels or "each",
        seeds=args.seeds,
        group_key=args.group_key,
        n_genes=min(args.n_genes, adata.n_vars),
        min_cells=args.min_cells,
        path=args.folder,
        train={"accelerator": args.accelerator},
        on_step=lambda step: print(step, flush=True),
        n_trees=200,
        n_cells=200,
    )


def start(csv: Path, folder: Path) -> None:
    """Put the pieces of a recorded table into a folder of results.

    Parameters
    ----------
    csv
        The table; it has to be the answer to the same question.
    folder
        The folder; what is there already stays.
    """
    store = Store(folder)
    for (model, split, seed), rows in ac.benchmark.read_results(csv).groupby(["model", "split", "seed"], sort=False):
        key = Key(str(model), str(split), int(seed))
        if key not in store.pieces:
            store.add(key, rows)


def show(rows: pd.DataFrame) -> None:
    """Print the summary of a table, and how many pieces each row stands on.

    Parameters
    ----------
    rows
        The table.
    """
    with pd.option_context("display.width", 250, "display.max_columns", 40, "display.max_rows", 200):
        print(ac.benchmark.summary(rows))
        print(rows.drop_duplicates(["model", "split", "seed"]).groupby("model").size().rename("pieces"))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("folder", type=Path, help="folder to write to and to go on from")
    parser.add_argument("--start", type=Path, help="recorded table to go on from")
    parser.add_argument("--csv", type=Path, help="where to write the whole table")
    parser.add_argument("--batch-key", default="condition")
    parser.add_argument("--labels-key", default="cell_type")
    parser.add_argument("--source", default="control")
    parser.add_argument("--target", default="stimulated")
    parser.add_argument("--labels", nargs="*", help="labels to hold out; all with enough cells by default")
    parser.add_argument("--min-cells", type=int, default=40)
    parser.add_argument("--models", nargs="*", help="names of models; all by default")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=1.0, help="factor on the training length")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--group-key", help="hold out the groups of this column in place of labels")
    parser.add_argument("--n-genes", type=int, default=2_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    show(table(args))
    if args.csv is not None:
        keys = ["model", "split", "label", "seed", "metric"]
        ac.benchmark.read_results(args.folder).sort_values(keys).to_csv(args.csv, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
