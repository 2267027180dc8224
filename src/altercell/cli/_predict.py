"""``altercell predict``: held-out prediction on a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
from anndata import AnnData
from rich.console import Console

from altercell import __version__, benchmark
from altercell.cli._output import EpochProgress, honest_table, prepare_folder, progress_display
from altercell.cli._report import write_piece
from altercell.data import get_space, normalize
from altercell.errors import DataError, KeyNotFoundError, listing

SCORES, SUMMARY, SETTINGS = "scores.csv", "summary.csv", "settings.json"


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


def read_log_data(data: Path, layer: str | None, console: Console) -> AnnData:
    """Read a file as log data; counts are normalised, and that is said.

    Parameters
    ----------
    data
        An ``.h5ad`` file.
    layer
        Layer to read; None for X.
    console
        Where to say it.

    Raises
    ------
    DataError
        There is no such file, it is no h5ad, or its values are neither counts nor log data.
    KeyNotFoundError
        There is no such layer.
    """
    if not data.is_file():
        raise DataError(f"there is no file '{data}'")
    try:
        adata = ad.read_h5ad(data)
    except Exception as error:
        raise DataError(f"'{data}' cannot be read as an .h5ad file: {error}") from error
    if layer is not None and layer not in adata.layers:
        raise KeyNotFoundError(
            f"--layer '{layer}' is not in the file; there are {listing(name for name in adata.layers if name)}"
        )
    adata.obs_names_make_unique()
    space = get_space(adata, layer)
    if space == "counts":
        console.print(
            f"{'X' if layer is None else layer} holds counts: they are scaled to 10,000 a cell and log1p is taken"
        )
        return normalize(adata, layer=layer)
    if not space.startswith("log1p"):
        raise DataError(
            f"'{data}': {'X' if layer is None else layer} holds neither counts nor log data; give raw counts"
        )
    if layer is not None:
        adata.X = adata.layers[layer].copy()
        adata.uns["altercell"] = {**dict(adata.uns.get("altercell", {})), "space": space}
    return adata


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
    for key in (settings.batch_key, settings.labels_key):
        if key in adata.obs:
            adata.obs[key] = adata.obs[key].astype(str).astype("category")
    keys: dict[str, Any] = {
        "batch_key": settings.batch_key,
        "labels_key": settings.labels_key,
        "source": settings.source,
        "target": settings.target,
    }
    wanted = "each" if list(settings.hold_out) == ["all"] else list(settings.hold_out)
    labels = benchmark.labels_to_hold_out(adata, **keys, wanted=wanted, min_cells=settings.min_cells)
    out.mkdir(parents=True, exist_ok=True)
    _settings_file(out, data, settings, resume)
    if not resume:
        (out / SCORES).unlink(missing_ok=True)
    train = {"max_epochs": settings.max_epochs, "batch_size": settings.batch_size, "enable_progress_bar": False}
    table = _run_with_progress(adata, settings, keys, labels, out, train, console)
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
    candidates = [benchmark.scgen(), *benchmark.baselines()]
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
            path=out / SCORES,
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
