"""Why a decoded mean scores worse on the delta than on the mean: ``python -m benchmarks.reconstruction DATA OUT``.

Takes the models that ``altercell predict DATA --hold-out all --out OUT`` has saved. A decoder does not reproduce the
control cells' mean; the difference enters "predicted mean less control mean", with the sampling noise of the control
cells. Beside the decoded cells the script scores x + decode(z + delta) - decode(z), from which it cancels, with the
control cells of the truth's delta apart (as everywhere here) and shared (as in the literature), for the two ways to
choose the types of the delta.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import anndata as ad
import pandas as pd
from anndata import AnnData

import altercell as ac
from altercell.benchmark import Split, one_label
from altercell.cli._output import file_name


def cells_with(cells: AnnData, values: object) -> AnnData:
    """Return a copy of cells with other values.

    Parameters
    ----------
    cells
        The cells.
    values
        Values of their shape.
    """
    copy = cells.copy()
    copy.X = values
    return copy


def score(split: Split, pred: AnnData, name: str) -> dict[str, float]:
    """Score one set of predicted cells, with the truth's control cells apart and shared.

    Parameters
    ----------
    split
        The held-out set.
    pred
        Predicted cells.
    name
        Start of the columns' names.
    """
    apart = ac.metrics.evaluate(
        pred, split.questions[0].real, split.questions[0].control, metrics=["mse", "pearson_delta"]
    )["value"]
    shared = ac.metrics.evaluate(
        pred,
        split.questions[0].real,
        split.questions[0].control,
        truth_control=split.questions[0].control,
        metrics=["pearson_delta"],
    )["value"]
    return {
        f"{name}: mse": apart["mse"],
        f"{name}: pearson_delta": apart["pearson_delta"],
        f"{name}: pearson_delta, shared control": shared["pearson_delta"],
    }


def compare(model: ac.ScGen, split: Split) -> dict[str, float]:
    """Score the decoded cells and those with their own residual, and the mean delta beside them.

    Parameters
    ----------
    model
        Trained on the split.
    split
        The held-out set.
    """
    x, latent = split.questions[0].control.X.toarray(), model.get_latent_representation(split.questions[0].control)
    unmoved = model.decode(latent)
    row = {"mse of the control mean's reconstruction": float(((unmoved.mean(0) - x.mean(0)) ** 2).mean())}
    for types in ("shared", "all"):
        moved = model.decode(latent + model.get_delta(split.source, split.target, types=types))
        row |= score(split, cells_with(split.questions[0].control, moved), f"{types}, decoded")
        row |= score(split, cells_with(split.questions[0].control, x + moved - unmoved), f"{types}, residual")
    train = split.train.copy()
    ac.MeanShift.setup_anndata(train, batch_key=model.schema.batch_key, labels_key=model.schema.labels_key)
    baseline = ac.MeanShift(train)
    baseline.train()
    pred = baseline.predict(source=split.source, target=split.target, labels=split.questions[0].label)
    return row | score(split, pred, "mean delta")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    settings = json.loads((given.out / "settings.json").read_text(encoding="utf-8"))
    adata = ac.data.normalize(ad.read_h5ad(given.data))
    keys = {name: settings[name] for name in ("batch_key", "labels_key", "source", "target")}
    rows = {}
    for label in sorted(adata.obs[keys["labels_key"]].unique()):
        folder = given.out / file_name(label) / "model"
        if folder.exists():
            split = one_label(adata, label, **keys, n_genes=settings["n_genes"])
            rows[label] = compare(ac.ScGen.load(folder), split)
    table = pd.DataFrame(rows)
    print(table.assign(mean=table.mean(axis=1)).round(4).to_string())


if __name__ == "__main__":
    main()
