"""What the commands write and print: folders, tables, plots."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from altercell.benchmark import CEILING, in_words, summary
from altercell.errors import DataError

# Six columns of six characters and the longest name fit a terminal of 80; the CSV has every metric.
HEADINGS: Mapping[str, str] = {
    "mse": "MSE\n\n↓",
    "pearson_delta": "r of\ndelta\n↑",
    "pearson_r2": "r² of\nmeans\n↑",
    "variance_pearson_r2": "r² of\nvar.\n↑",
    "edistance": "E-\ndist.\n↓",
    "forest_auc": "RF\nAUC\n↓ .5",
}


def prepare_folder(out: Path, *, overwrite: bool, resume: bool = False) -> Path:
    """Check that the folder can be written to; it is made only by :func:`make_folder`.

    Parameters
    ----------
    out
        The folder.
    overwrite, resume
        Whether it may hold files.

    Raises
    ------
    DataError
        It is a file, or it is not empty.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"--out '{out}' is a file")
    if out.is_dir() and any(out.iterdir()) and not (overwrite or resume):
        raise DataError(f"--out '{out}' is not empty; choose another folder, or give --overwrite")
    return out


def file_name(text: str) -> str:
    """Return a label as a file name: letters, digits, dashes and underscores.

    Parameters
    ----------
    text
        The label.
    """
    return re.sub(r"[^A-Za-z0-9_+-]+", "-", text).strip("-") or "label"


def honest_table(table: pd.DataFrame, title: str) -> Table:
    """Return the table of scores for the terminal: models, baselines, and the ceiling below a line.

    Parameters
    ----------
    table
        What :func:`altercell.benchmark.holdout` returned.
    title
        Its title.
    """
    rows = summary(table, tuple(HEADINGS))
    names = list(dict.fromkeys(rows.columns.get_level_values(0)))
    shown = Table(title=title, title_justify="left", header_style="bold")
    shown.add_column("model", no_wrap=True)
    for name in names:
        shown.add_column(HEADINGS[name], justify="right", no_wrap=True)
    for model in rows.index:
        if model == CEILING:
            shown.add_section()
        cells = [_cell(rows.loc[model, (name, "mean")], rows.loc[model, (name, "sd")]) for name in names]
        shown.add_row(str(model), *cells, style="bold" if model == rows.index[0] else None)
    return shown


def _cell(value: float, spread: float) -> str:
    """Write a mean, and its spread over seeds below it where there is one."""
    text = in_words(value, float("nan"))
    return (
        text if not math.isfinite(spread) else f"{text}\n±" + (f"{spread:.1f}" if spread >= 1 else f"{spread:.4f}"[1:])
    )


class EpochProgress(Callback):
    """Move a rich progress bar by one a training epoch.

    Parameters
    ----------
    progress, task
        The display, and the bar in it.
    """

    def __init__(self, progress: Progress, task: Any) -> None:
        self.progress, self.task = progress, task

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the bar anew.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        self.progress.reset(self.task, total=trainer.max_epochs, visible=True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Move the bar.

        Parameters
        ----------
        trainer, pl_module
            Given by Lightning.
        """
        self.progress.advance(self.task)


@contextmanager
def progress_display(console: Console) -> Iterator[Progress]:
    """Show progress bars with time gone and time left while the block runs.

    Parameters
    ----------
    console
        Where to show them.

    Yields
    ------
    The display.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress
