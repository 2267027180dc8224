"""Cross-study prediction as in Figure 4 of scGen's paper: ``python -m benchmarks.cross_study --data FOLDER``.

Trained on kang_pbmc (control and stimulated); the study effect to pbmc3k (control only) is a latent difference; the
stimulated cells of pbmc3k are predicted. There is no truth: as the paper does, the predicted cells are compared with
pbmc3k's own control cells (they should be nearer to them than kang's stimulated cells are), and the response genes are
looked at (they should be as high as in kang's stimulated cells).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData

import altercell as ac

#: Names of the types in kang_pbmc by those in pbmc3k.
TYPES = {
    "Naive CD4 T": "CD4 T cells",
    "Memory CD4 T": "CD4 T cells",
    "CD8 T": "CD8 T cells",
    "B": "B cells",
    "NK": "NK cells",
    "CD14+ Mono": "CD14+ Monocytes",
    "FCGR3A+ Mono": "FCGR3A+ Monocytes",
    "DC": "Dendritic cells",
    "Platelet": "Megakaryocytes",
}
GENES = ("ISG15", "IFI6", "IFIT1", "IFIT3", "ISG20")


def mean(cells: AnnData) -> np.ndarray:
    """Return the mean cell, shape (n_genes,).

    Parameters
    ----------
    cells
        Cells, dense or sparse.
    """
    return np.asarray(cells.X.mean(axis=0)).ravel()


def studies(folder: Path, n_genes: int) -> tuple[AnnData, AnnData]:
    """Return the two studies on common genes, normalised; the genes are chosen on the first.

    Parameters
    ----------
    folder
        Where the files are.
    n_genes
        How many genes.
    """
    first = ac.data.normalize(ad.read_h5ad(folder / "kang_pbmc.h5ad"))
    second = ac.data.normalize(ad.read_h5ad(folder / "pbmc3k.h5ad"))
    common = first.var_names.intersection(second.var_names)
    first = ac.data.select_genes(first[:, common].copy(), n_genes)
    second = second[:, first.var_names].copy()
    second.obs["cell_type"] = (
        second.obs["cell_type"].astype(str).map(lambda name: TYPES.get(name, name)).astype("category")
    )
    return first, second


def compare(model: ac.ScGen, first: AnnData, second: AnnData) -> pd.DataFrame:
    """Score every type that both studies have.

    Parameters
    ----------
    model
        Trained on the first study.
    first, second
        The studies.

    Returns
    -------
    A row a type: pearson_r2 of means with the second study's control, of the predicted cells (from the first study's
    stimulated cells, and from the second study's own cells) and of the first study's stimulated cells; and the mean of
    the response genes in each.
    """
    rows = []
    for label in sorted(set(second.obs["cell_type"]) & set(first.obs["cell_type"])):
        own = second[second.obs["cell_type"] == label]
        stimulated = first[(first.obs["cell_type"] == label) & (first.obs["condition"] == "stimulated")]
        ends = {"source": "control", "target": "stimulated", "labels": label}
        moved = model.predict_study(second, **ends, start="reference")
        shifted = model.predict_study(second, **ends, start="study")
        genes = [name for name in GENES if name in second.var_names]
        rows.append(
            {
                "label": label,
                "r2 stimulated A": ac.metrics.pearson_r2(mean(stimulated), mean(own)),
                "r2 predicted (A moved)": ac.metrics.pearson_r2(mean(moved), mean(own)),
                "r2 predicted (B shifted)": ac.metrics.pearson_r2(mean(shifted), mean(own)),
                "genes control B": mean(own[:, genes]).mean(),
                "genes stimulated A": mean(stimulated[:, genes]).mean(),
                "genes predicted (A moved)": mean(moved[:, genes]).mean(),
                "genes predicted (B shifted)": mean(shifted[:, genes]).mean(),
            }
        )
    return pd.DataFrame(rows).set_index("label")


def main() -> None:
    """Train, predict, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    first, second = studies(given.data, given.genes)
    ac.ScGen.setup_anndata(first, batch_key="condition", labels_key="cell_type")
    model = ac.ScGen(first, seed=given.seed)
    model.train(given.max_epochs, batch_size=given.batch_size, enable_progress_bar=False)
    table = compare(model, first, second)
    print(table.round(3).to_string())
    print(table.mean().round(3).to_string())


if __name__ == "__main__":
    main()
