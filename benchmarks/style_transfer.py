"""The style transfer GAN on real data, by length of training: ``python -m benchmarks.style_transfer DATA [OUT.csv]``.

Holds one type's stimulated cells out, trains with the published batch normalisation of the discriminators and with
joint batches, and scores after a quarter, a half and all of the paper's 1,000 moves. A longer training takes up the
shorter one (``resume_dir``), so that each row is what a training of that length gives. Seconds are of processor
time on one core, and writing the state after each epoch is part of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import Split, one_label

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
ENDS = {"source": "control", "target": "stimulated"}
METRICS = ["mse", "pearson_r2", "pearson_delta", "edistance"]
TERMS = ("generator", "cycle", "discriminator")


def made(Model: type, split: Split, **options: Any) -> Any:
    """Return a model on a copy of the training cells.

    Parameters
    ----------
    Model
        Its class.
    split
        The held-out set.
    **options
        Of the constructor.
    """
    cells = split.train.copy()
    Model.setup_anndata(cells, **KEYS)  # type: ignore[attr-defined]
    return Model(cells, **options)


def scored(model: Any, split: Split, name: str, **more: float) -> dict[str, Any]:
    """Return a row of the table.

    Parameters
    ----------
    model
        Trained on the split.
    split
        The held-out set.
    name
        Of the row.
    **more
        Further columns.
    """
    pred = model.predict(**ENDS, labels=split.questions[0].label)
    return {
        "model": name,
        **more,
        **ac.metrics.evaluate(pred, split.questions[0].real, split.questions[0].control, metrics=METRICS)["value"],
    }


def trained(split: Split, batches: str, size: int, lengths: list[int]) -> list[dict[str, Any]]:
    """Train to each length in turn, and return a row of each.

    Parameters
    ----------
    split
        The held-out set.
    batches
        How the discriminators normalise.
    size
        Cells a step.
    lengths
        Numbers of epochs, rising.
    """
    rows, before = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for epochs in lengths:
            model, start = made(ac.StyleTransferGAN, split, discriminator_batches=batches), time.process_time()
            model.train(epochs, batch_size=size, resume_dir=folder, accelerator="cpu", enable_progress_bar=False)
            seconds = (time.process_time() - start) / (epochs - before)
            before = epochs
            losses = {name: float(model.history_[f"{name}_loss_train"].iloc[-1, 0]) for name in TERMS}
            rows.append(scored(model, split, batches, epochs=epochs, seconds_per_epoch=seconds, **losses))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--hold-out", default="CD4 T cells")
    parser.add_argument("--n-genes", type=int, default=2_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, nargs="+", default=[18, 36, 72])
    given = parser.parse_args()
    torch.set_num_threads(1)
    adata = ac.data.normalize(ad.read_h5ad(given.data))
    split = one_label(adata, given.hold_out, **KEYS, **ENDS, n_genes=given.n_genes)
    rows = []
    for Baseline in (ac.NoChange, ac.MeanShift, ac.StimulatedMean):
        model = made(Baseline, split)
        model.train()
        rows.append(scored(model, split, Baseline.__name__))
    for batches in ("separate", "joint"):
        rows += trained(split, batches, given.batch_size, given.epochs)
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False))
    if given.out is not None:
        table.to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
