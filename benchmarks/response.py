"""The table of response models: ``python -m benchmarks.response kang_pbmc.h5ad results.csv``.

Every label is held out in turn under the target condition; genes are chosen and models trained on the rest. Pieces that
are in the results file already are not run again, so a long table may be run in parts, one process a file:
``--labels`` and ``--models`` say which part, and ``--merge`` puts files together. What was asked is written beside the
results, and another question (other data, another length) is refused there.

The paper's training lengths are out of reach on two cores. The networks of the trVAE family and ScPerb are trained for
50 epochs in batches of 128 (1,200 to 1,800 updates, as the data have cells), ScGen for at most 100, SCVI for 100, the
style-transfer GAN for its 1,000 updates; of the first three the weights of the best epoch are kept, judged by a random
tenth of the training cells. ``--epochs 2`` doubles all lengths but SCVI's warm-up, to see what the length changes.
"""

from __future__ import annotations

import argparse
import json
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

    warmup = {"max_kl_weight": 0.25, "n_epochs_kl_warmup": round(100 * length)}
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
        candidate(ac.StyleTransferGAN, train={} if length == 1 else epochs(77)),
        # The weight of the divergence rises to .25, a quarter of scvi-tools' warm-up, whatever the length.
        candidate(ac.SCVI, train=epochs(100, plan_kwargs=warmup), predict={"draw": True}),
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
    remember(args)
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


def question_file(results: Path) -> Path:
    """Return where the question of a results file is written.

    Parameters
    ----------
    results
        The results file.
    """
    return results.with_suffix(".json")


def remember(args: argparse.Namespace) -> None:
    """Write what was asked beside the results, or refuse where something else was asked there before.

    Parameters
    ----------
    args
        The command line's.
    """
    names = ("batch_key", "labels_key", "source", "target", "min_cells", "epochs")
    asked = {"data": args.data.name, "altercell": ac.__version__, **{name: getattr(args, name) for name in names}}
    path = question_file(args.results)
    if path.exists() and json.loads(path.read_text()) != asked:
        raise SystemExit(f"{args.results} holds the answers to another question, {path.read_text()}; take another file")
    path.write_text(json.dumps(asked, indent=2) + "\n")


def merge(files: Sequence[Path], into: Path) -> pd.DataFrame:
    """Put results files of one question together, each piece once, and write them.

    Parameters
    ----------
    files
        Results files.
    into
        The file to write.
    """
    questions = {question_file(path).read_text() for path in files}
    if len(questions) > 1:
        raise SystemExit(f"the files answer different questions: {' '.join(questions)}")
    keys = ["model", "label", "seed", "metric"]
    rows = pd.concat([ac.benchmark.read_results(path) for path in files])
    rows = rows.drop_duplicates(keys).sort_values(keys).reset_index(drop=True)
    rows.to_csv(into, index=False, float_format="%.6g")
    question_file(into).write_text(questions.pop())
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
