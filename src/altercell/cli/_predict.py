"""``altercell predict``: held-out prediction on a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from anndata import AnnData
from rich.console import Console

from altercell import __version__, benchmark
from altercell.cli._input import as_text, read_log_data
from altercell.cli._output import EpochProgress, honest_table, prepare_folder, progress_display
from altercell.cli._report import write_piece
from altercell.errors import DataError, listing
from altercell.models import ScGen

SCORES, SUMMARY, SETTINGS, RESULTS = "scores.csv", "summary.csv", "settings.json", "results"


@dataclass(frozen=True)
class Settings:
    """The options of the command, by the names that it shows.

    Attributes
    ----------
    source, target, hold_out, batch_key, labels_key, layer
        What is predicted, and where it stands in the file.
    n_genes, seeds, min_cells
        Genes a split, seeds, and least cells of a label.
    max_epochs, batch_size
        Of the training.
    n_cells, n_trees
        Of the scores.
    """

    source: str
    target: str
    hold_out: Sequence[str]
    batch_key: str
    labels_key: str
    layer: str | None
    n_genes: int
    seeds: int
    max_epochs: int
    batch_size: int
    min_cells: int
    n_cells: int
    n_trees: int


def run(data: Path, settings: Settings, *, out: Path, resume: bool, overwrite: bool, console: Console) -> None:
    """Hold out, train, predict, score; write models, cells, tables and plots.

    Parameters
    ----------
    data
        The file.
    settings
        The options.
    out, resume, overwrite
        Where to write, and whether a folder with files in it may be used.
    console
        Where to print.
    """
    mpl.use("Agg")
    prepare_folder(out, overwrite=overwrite, resume=resume)
    adata = read_log_data(data, settings.layer, console)
    as_text(adata, settings.batch_key, settings.labels_key)
    keys: dict[str, Any] = {
        "batch_key": settings.batch_key,
        "labels_key": settings.labels_key,
        "source": settings.source,
        "target": settings.target,
    }
    wanted = "each" if list(settings.hold_out) == ["all"] else list(settings.hold_out)
    splits = benchmark.labels_to_hold_out(adata, **keys, wanted=wanted, min_cells=settings.min_cells)
    labels = [name for split in splits for name in split]
    out.mkdir(parents=True, exist_ok=True)
    _settings_file(out, data, settings, resume)
    if not resume:
        shutil.rmtree(out / RESULTS, ignore_errors=True)
    train = {"max_epochs": settings.max_epochs, "batch_size": settings.batch_size, "enable_progress_bar": False}
    table = _run_with_progress(adata, settings, keys, labels, out, train, console)
    table.to_csv(out / SCORES, index=False)
    benchmark.summary(table).to_csv(out / SUMMARY)
    console.print(honest_table(table, f"{len(labels)} held-out set(s), {settings.seeds} seed(s)"))
    for metric in ("mse", "pearson_delta"):
        console.print(benchmark.verdict(table, "ScGen", "control + mean delta", metric))
    console.print(f"models, cells, tables (with every metric) and plots are in {out}")


def _run_with_progress(
    adata: AnnData,
    settings: Settings,
    keys: dict[str, Any],
    labels: list[str],
    out: Path,
    train: dict[str, Any],
    console: Console,
) -> Any:
    candidates = [benchmark.candidate(ScGen), *benchmark.baselines()]
    with progress_display(console) as progress:
        whole = progress.add_task("held-out predictions", total=len(labels) * settings.seeds * len(candidates))
        epochs = progress.add_task("epochs", total=settings.max_epochs, visible=False)

        def _finished(piece: benchmark.Piece) -> None:
            progress.advance(whole)
            if not piece.candidate.baseline and piece.seed == 0:
                write_piece(piece, out)

        return benchmark.holdout(
            adata,
            candidates,
            **keys,
            hold_out=labels,
            seeds=settings.seeds,
            n_genes=settings.n_genes,
            path=out / RESULTS,
            train={**train, "callbacks": [EpochProgress(progress, epochs)]},
            on_piece=_finished,
            on_step=lambda text: progress.update(whole, description=text),
            n_cells=settings.n_cells,
            n_trees=settings.n_trees,
        )


def _settings_file(out: Path, data: Path, settings: Settings, resume: bool) -> None:
    """Write the settings, or check that a run that goes on has the same."""
    mine = {"altercell": __version__, "data": data.name, **asdict(settings), "hold_out": list(settings.hold_out)}
    path = out / SETTINGS
    if resume and path.exists():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        different = [name for name in mine if theirs.get(name) != mine[name]]
        if different:
            raise DataError(f"--resume: '{path}' has other settings ({listing(different)}); choose another folder")
    path.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
