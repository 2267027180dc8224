"""``altercell benchmark``: every model and baseline on held-out cells of a file, and a report."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData
from rich.console import Console

from altercell import __version__, benchmark, presets
from altercell.benchmark import RESULTS, Candidate
from altercell.cli._input import as_text, read_log_data
from altercell.cli._output import honest_table
from altercell.errors import DataError, listing


@dataclass(frozen=True)
class Settings:
    """The options of the command, by the names that it shows.

    Attributes
    ----------
    source, target, hold_out, hide, group_key, split_key, batch_key, labels_key, layer
        What is predicted, and where it stands in the file.
    models
        Names of presets.
    n_genes, seeds, min_cells, subsamples, max_epochs
        Genes a split, seeds, least cells of a label, subsamples for the spread over cells, and a limit of epochs.
    n_cells, n_trees
        Of the scores.
    """

    source: str
    target: Sequence[str]
    models: Sequence[str]
    hold_out: Sequence[str]
    hide: str
    group_key: str | None
    split_key: str | None
    batch_key: str
    labels_key: str
    layer: str | None
    n_genes: int
    seeds: int
    min_cells: int
    subsamples: int
    max_epochs: int | None
    n_cells: int
    n_trees: int


def run(
    data: Path,
    settings: Settings,
    *,
    out: Path,
    workers: int,
    accelerator: str,
    overwrite: bool,
    console: Console,
) -> None:
    """Run what is missing, and write the report.

    Parameters
    ----------
    data
        The file.
    settings
        The options.
    out
        The folder. Where it holds results of the same question, the run goes on.
    workers
        Processes to run on.
    accelerator
        Where to train, as in Lightning.
    overwrite
        Whether to start again in a folder that has files in it.
    console
        Where to print.
    """
    candidates = presets.resolve(settings.models)
    _check(out, overwrite)
    adata = read_log_data(data, settings.layer, console)
    as_text(adata, settings.batch_key, settings.labels_key, settings.group_key, settings.split_key)
    if overwrite:
        shutil.rmtree(out / RESULTS, ignore_errors=True)
    n_genes = None if settings.n_genes >= adata.n_vars else settings.n_genes
    held = adata.obs.get(settings.group_key or settings.labels_key, pd.Series(dtype=str))
    known = set(held.astype(str))
    if (out / RESULTS).is_dir():
        console.print(f"what is in {out / RESULTS} already is not run again")
    with _told_when_stopped(out, console), _executor(workers) as executor:
        table = benchmark.holdout(
            adata,
            candidates,
            batch_key=settings.batch_key,
            labels_key=settings.labels_key,
            source=settings.source,
            target=list(settings.target) if len(settings.target) > 1 else settings.target[0],
            hold_out=[_names(text, known) for text in settings.hold_out] or "each",
            hide=settings.hide,  # type: ignore[arg-type]
            group_key=settings.group_key,
            split_key=settings.split_key,
            seeds=settings.seeds,
            n_genes=n_genes,
            min_cells=settings.min_cells,
            subsamples=settings.subsamples,
            path=out / RESULTS,
            executor=executor,
            threads=max(1, (os.cpu_count() or 1) // workers) if executor is not None else None,
            train={
                **({} if settings.max_epochs is None else {"max_epochs": settings.max_epochs}),
                **({} if accelerator == "auto" else {"accelerator": accelerator}),
            },
            on_step=None if console.is_terminal else lambda step: console.print(step, highlight=False, soft_wrap=True),
            n_cells=settings.n_cells,
            n_trees=settings.n_trees,
        )
    # Models and sets of earlier calls are of the same question, and in the report as well.
    table = pd.concat([benchmark.read_results(out / RESULTS), table[table["error"] != ""]], ignore_index=True)
    _report(table, adata, data, settings, candidates, out, console)


def _names(text: str, there: Collection[str]) -> str | list[str]:
    """Return the labels that one --hold-out names; several with a plus between them are held out at once."""
    if text in there or " + " not in text:
        return text
    return [name.strip() for name in text.split(" + ")]


def _check(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"--out '{out}' is a file")
    if out.is_dir() and any(out.iterdir()) and not overwrite and not (out / RESULTS).is_dir():
        raise DataError(
            f"--out '{out}' is not empty and holds no results to go on with; choose another folder, or give --overwrite"
        )


@contextlib.contextmanager
def _told_when_stopped(out: Path, console: Console) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"stopped; what is finished is kept in {out / RESULTS}: the same command goes on from there")
        raise


@contextlib.contextmanager
def _executor(workers: int) -> Iterator[Executor | None]:
    if workers == 1:
        yield None
        return
    # Not forked: a forked process inherits torch's threads in an unknown state.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        yield executor


def _report(
    table: pd.DataFrame,
    adata: AnnData,
    data: Path,
    settings: Settings,
    candidates: Sequence[Candidate],
    out: Path,
    console: Console,
) -> None:
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    cells: dict[str, Any] = {
        "file": data.name,
        "cells": f"{adata.n_obs:,}",
        "genes": f"{adata.n_vars:,}",
        "conditions": ", ".join(_sizes(adata, settings.batch_key)),
        "cell types": ", ".join(_sizes(adata, settings.labels_key)),
    }
    shown = {name: value for name, value in asdict(settings).items() if value not in (None, [], ())}
    notes = {f"model {model.name}": model.note for model in candidates if model.note}
    path = benchmark.report(table, out, data=cells, settings={"altercell": __version__, **shown, **notes})
    failed = table[table["error"] != ""].drop_duplicates(["model", "split", "seed"])
    scored = table[table["error"] == ""]
    if not scored.empty:
        n_splits, n_seeds = scored["split"].nunique(), scored["seed"].nunique()
        console.print(honest_table(scored, f"{n_splits} held-out set(s), {n_seeds} seed(s)"))
    for _, row in failed.iterrows():
        console.print(f"failed: {row['model']} on {row['split']}, seed {row['seed']}: {row['error']}", highlight=False)
    console.print(f"the verdict, every metric and the plots are in {path}")
    unscored = {model.name for model in candidates} - set(scored["model"])
    if unscored:
        raise DataError(f"{listing(sorted(unscored))} failed on every held-out set")


def _sizes(adata: AnnData, key: str) -> list[str]:
    return [f"{name} ({size:,})" for name, size in adata.obs[key].value_counts().items()]


def show_models(console: Console) -> None:
    """List the presets.

    Parameters
    ----------
    console
        Where to print.
    """
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in ("name", "class", "what it is"):
        table.add_column(heading, no_wrap=heading != "what it is")
    for preset in presets.available():
        table.add_row(preset.name, preset.model.__name__, preset.note)
    table.add_section()
    for preset in presets.generators():
        table.add_row(preset.name, preset.model.__name__, f"{preset.note} (benchmark.generation)")
    console.print(table)
