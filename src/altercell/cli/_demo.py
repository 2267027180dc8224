"""``altercell demo``: the main job on simulated cells, start to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich.console import Console

from altercell import benchmark
from altercell.cli._output import EpochProgress, honest_table, prepare_folder, progress_display
from altercell.cli._report import write_piece
from altercell.data import normalize
from altercell.datasets import simulate_response
from altercell.models import ScGen

HELD_OUT, SOURCE, TARGET = "type_0", "control", "stimulated"
# Twice the paper's, so that the demo takes about a minute on a laptop.
BATCH_SIZE = 64


def run(*, out: Path, max_epochs: int, seed: int, overwrite: bool, console: Console) -> None:
    """Simulate, hold out, train, predict, score; write cells, table and plots.

    Parameters
    ----------
    out, overwrite
        Where to write, and whether a folder with files in it may be used.
    max_epochs, seed
        Of the training; the seed is the simulator's too.
    console
        Where to print.
    """
    mpl.use("Agg")
    prepare_folder(out, overwrite=overwrite)
    adata = normalize(simulate_response(seed=seed))
    out.mkdir(parents=True, exist_ok=True)
    console.print(
        f"{adata.n_obs:,} simulated cells, {adata.n_vars} genes; the {TARGET} cells of {HELD_OUT} are held out, "
        f"and predicted from its {SOURCE} cells"
    )
    candidates = [benchmark.candidate(ScGen), *benchmark.baselines()]
    with progress_display(console) as progress:
        whole = progress.add_task("models", total=len(candidates))
        epochs = progress.add_task("epochs", total=max_epochs, visible=False)

        def _finished(piece: Any) -> None:
            progress.advance(whole)
            if not piece.candidate.baseline:
                write_piece(piece, out)

        table = benchmark.holdout(
            adata,
            candidates,
            batch_key="condition",
            labels_key="cell_type",
            source=SOURCE,
            target=TARGET,
            hold_out=[HELD_OUT],
            seeds=[seed],
            n_genes=None,
            train={
                "max_epochs": max_epochs,
                "batch_size": BATCH_SIZE,
                "enable_progress_bar": False,
                "callbacks": [EpochProgress(progress, epochs)],
            },
            on_piece=_finished,
            on_step=lambda text: progress.update(whole, description=text),
            n_cells=200,
            n_trees=200,
        )
    table.to_csv(out / "scores.csv", index=False)
    console.print(honest_table(table, f"held out: {HELD_OUT}, {TARGET}"))
    for metric in ("mse", "pearson_delta"):
        console.print(benchmark.verdict(table, "ScGen", "control + mean delta", metric))
    console.print(
        "read the last row first: it is what real cells score against real cells; then the baselines; then the model"
    )
    console.print(f"cells, model, table (with every metric) and plots are in {out}")
