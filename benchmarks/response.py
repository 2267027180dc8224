"""The table of response models: ``python -m benchmarks.response kang_pbmc.h5ad results.csv``.

Every label is held out in turn under the target condition; genes are chosen and models trained on the rest. Pieces that
are in the results file already are not run again, so a long table may be run in parts, one process a file:
``--labels`` and ``--models`` say which part, and ``--merge`` puts files together.

The paper's training lengths are out of reach on two cores, so the networks are trained for a stated number of updates;
``--epochs 2`` doubles it, to see what the length changes. Early stopping looks at a tenth of the training cells.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import Candidate, candidate


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

    small = {"batch_size": 128}  # four times the updates of the paper's batches of 512 for the same arithmetic
    scperb = {"control": source, "train": epochs(50, batch_size=128)}
    return [
        *ac.benchmark.baselines(),
        candidate(ac.TrVAE, train=epochs(50, **small)),
        candidate(ac.TrVAE, "TrVAE, no MMD", mmd_weight=0.0, train=epochs(50, **small)),
        candidate(ac.CVAE, train=epochs(50, **small)),
        candidate(ac.MMDCVAE, train=epochs(50, **small)),
        candidate(ac.MMDAutoencoder, train=epochs(50, **small)),
        candidate(ac.ScPerb, **scperb),
        candidate(ac.ScPerb, "ScPerb, latent delta", delta="latent", **scperb),
        candidate(ac.ScPerb, "ScPerb, transport", pairing="transport", **scperb),
        candidate(ac.StyleTransferGAN, train=epochs(72)),  # of batches of 256: the paper's 1,000 moves of each player
        candidate(ac.SCVI, train=epochs(100), predict={"draw": True}),  # its weight of the divergence is then .25
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
    return ac.benchmark.holdout(
        adata,
        models,
        batch_key=args.batch_key,
        labels_key=args.labels_key,
        source=args.source,
        target=args.target,
        hold_out=args.labels or "each",
        seeds=args.seeds,
        n_genes=min(2_000, adata.n_vars),
        min_cells=args.min_cells,
        path=args.results,
        train={"accelerator": args.accelerator, "enable_progress_bar": False},
        on_step=lambda step: print(step, flush=True),
        n_trees=200,
        n_cells=200,
    )


def merge(files: Sequence[Path], into: Path) -> pd.DataFrame:
    """Put results files together, each piece once, and write them.

    Parameters
    ----------
    files
        Results files.
    into
        The file to write.
    """
    rows = pd.concat([pd.read_csv(path, keep_default_na=False, na_values={"value": [""]}) for path in files])
    keys = ["model", "label", "seed", "metric"]
    rows = rows[rows["error"] == ""].drop_duplicates(keys).sort_values(keys).reset_index(drop=True)
    rows.to_csv(into, index=False, float_format="%.6g")
    return rows


def show(rows: pd.DataFrame) -> None:
    """Print the summary of a table, and how many pieces each row stands on.

    Parameters
    ----------
    rows
        The table.
    """
    with pd.option_context("display.width", 250, "display.max_columns", 40, "display.max_rows", 200):
        print(ac.benchmark.summary(rows))
        print(rows.drop_duplicates(["model", "label", "seed"]).groupby("model").size().rename("pieces"))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="h5ad of raw counts")
    parser.add_argument("results", type=Path, help="CSV file to write to and to go on from")
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
    parser.add_argument("--merge", type=Path, nargs="*", help="results files to put together; nothing is run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    show(merge(args.merge, args.results) if args.merge else table(args))


if __name__ == "__main__":
    main()
