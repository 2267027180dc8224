"""The papers' own studies on kang_pbmc: ``python -m benchmarks.studies kang_pbmc.h5ad FOLDER --study delta``.

together  scGen's robustness: CD4 T cells are predicted while more and more other types are held out with them
delta     scGen: the balanced delta, the biased one, all types, the two and one types that are nearest to the asked one
kl        scGen: the weight of the divergence, 0 to a hundred times the paper's
mmd       trVAE: where the MMD acts, and its weight
scperb    scPerb: the delta that depends on the cell, pairs by transport, squares in place of the smooth L1 loss

The lengths are those of ``benchmarks/response.py``. Pieces that are in the folder already are not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import pandas as pd
import torch

import altercell as ac
from altercell.benchmark import Candidate, candidate

TYPES = ["CD4 T cells", "NK cells", "B cells"]
#: From the type that is asked for to all but the monocytes and two others: what is left to learn from grows thin.
TOGETHER = ["CD4 T cells", "CD8 T cells", "NK cells", "B cells", "Dendritic cells"]
SHORT = {"max_epochs": 50, "batch_size": 128}
SCGEN = {"max_epochs": 100, "batch_size": 128}


def delta(name: str, **predict: object) -> Candidate:
    """Return ScGen with another delta.

    Parameters
    ----------
    name
        Of the row.
    **predict
        Of its ``predict``.
    """
    return candidate(ac.ScGen, name, train=SCGEN, predict=predict)


def studies() -> dict[str, tuple[list[Candidate], list[str | list[str]]]]:
    """Return the models of each study, and what it holds out."""
    quadratic = {"smooth_l1_beta": 10.0, "style_weight": 10.0, "generation_weight": 10.0}
    scperb = {"control": "control", "train": SHORT}
    types: list[str | list[str]] = list(TYPES)
    return {
        "together": (
            [candidate(ac.ScGen, train=SCGEN)],
            [TOGETHER[0], *(TOGETHER[: number + 1] for number in range(1, len(TOGETHER)))],
        ),
        "delta": (
            [
                delta("balanced (default)"),
                delta("biased", weights="unbalanced"),
                delta("all types", types="all"),
                delta("2 nearest types", nearest=2),
                delta("nearest type", nearest=1),
            ],
            types,
        ),
        "kl": (
            [candidate(ac.ScGen, f"KL {w:g}", kl_weight=w, train=SCGEN) for w in (0.0, 5e-5, 5e-4, 5e-3)],
            types,
        ),
        "mmd": (
            [
                *(
                    candidate(ac.TrVAE, f"decoder, {w:g}", mmd_weight=w, train=SHORT)
                    for w in (0.0, 1.0, 10.0, 100.0, 1e3)
                ),
                *(
                    candidate(ac.TrVAE, f"latent, {w:g}", mmd_on="latent", mmd_weight=w, train=SHORT)
                    for w in (1.0, 10.0, 100.0)
                ),
            ],
            types,
        ),
        "scperb": (
            [
                candidate(ac.ScPerb, "paper", **scperb),
                candidate(ac.ScPerb, "latent delta", delta="latent", **scperb),
                candidate(ac.ScPerb, "transport", pairing="transport", **scperb),
                candidate(ac.ScPerb, "quadratic", **quadratic, **scperb),
                candidate(ac.ScPerb, "quadratic, transport", pairing="transport", **quadratic, **scperb),
                candidate(ac.ScPerb, "all three", pairing="transport", delta="latent", **quadratic, **scperb),
            ],
            types,
        ),
    }


def main() -> None:
    """Run what is missing of a study, write the table and print its means."""
    known = studies()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("folder", type=Path, help="folder to write to and to go on from; one a study is made in it")
    parser.add_argument("--study", choices=sorted(known), required=True)
    parser.add_argument("--csv", type=Path, help="where to write the whole table")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--accelerator", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    models, held_out = known[given.study]
    table = ac.benchmark.holdout(
        ac.data.normalize(ad.read_h5ad(given.data)),
        [*models, *ac.benchmark.baselines()],
        batch_key="condition",
        labels_key="cell_type",
        source="control",
        target="stimulated",
        hold_out=held_out,
        seeds=given.seeds,
        path=given.folder / given.study,
        train={"accelerator": given.accelerator},
        on_step=lambda step: print(step, flush=True),
        n_trees=200,
        n_cells=200,
    )
    if given.csv is not None:
        table.to_csv(given.csv, index=False, float_format="%.6g")
    asked = table[table["label"] == TOGETHER[0]] if given.study == "together" else table
    by = ["split", "model"] if given.study == "together" else "model"
    names = ["mse", "pearson_delta", "variance_pearson_r2", "edistance", "forest_auc"]
    with pd.option_context("display.width", 250, "display.max_columns", 40, "display.max_rows", 200):
        print(asked.pivot_table(index=by, columns="metric", values="value", sort=False)[names].round(4))


if __name__ == "__main__":
    main()
