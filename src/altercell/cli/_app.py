"""The commands. Heavy imports wait until a command runs, so that ``--help`` is quick."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from altercell.errors import AltercellError

app = typer.Typer(name="altercell", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()
errors = Console(stderr=True)

USAGE_ERROR = 2


@app.callback()
def root(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the library logs.")] = False) -> None:
    """Predict how single cells respond to a perturbation."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")


def plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an error of altercell, or of a file, into one line and exit code 2.

    Parameters
    ----------
    command
        A command of the app.
    """

    @functools.wraps(command)
    def _run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (AltercellError, OSError) as error:
            errors.print(f"[bold red]error:[/] {' '.join(str(error).split())}", highlight=False, soft_wrap=True)
            raise typer.Exit(USAGE_ERROR) from error

    return _run


@app.command()
@plain_errors
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the cells, the table and the plots.")] = Path("altercell-demo"),
    max_epochs: Annotated[int, typer.Option(min=1, help="Passes over the training cells, at most.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the simulator and of the training.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that is not empty.")] = False,
) -> None:
    """Predict a held-out response on simulated cells, and show how much to believe it (about a minute)."""
    from altercell.cli import _demo

    _demo.run(out=out, max_epochs=max_epochs, seed=seed, overwrite=overwrite, console=console)


@app.command()
@plain_errors
def predict(
    data: Annotated[Path, typer.Argument(help="An .h5ad file with counts, or log data, in X.")],
    source: Annotated[str, typer.Option(help="Condition to predict from, e.g. control.")],
    target: Annotated[str, typer.Option(help="Condition to predict, e.g. stimulated.")],
    hold_out: Annotated[
        list[str], typer.Option("--hold-out", help="Label to hold out; may be repeated; 'all' for each in turn.")
    ],
    batch_key: Annotated[str, typer.Option("--batch-key", help="Column of obs with the condition.")] = "condition",
    labels_key: Annotated[str, typer.Option("--labels-key", help="Column of obs with the cell type.")] = "cell_type",
    layer: Annotated[str | None, typer.Option(help="Layer to read in place of X.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for models, cells, tables and plots.")] = Path("altercell-predict"),
    n_genes: Annotated[int, typer.Option(min=2, help="Number of variable genes, chosen on training cells.")] = 2_000,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1,
    max_epochs: Annotated[int, typer.Option(min=1, help="Passes over the training cells, at most.")] = 100,
    batch_size: Annotated[int, typer.Option(min=2, help="Cells a training step.")] = 32,
    min_cells: Annotated[int, typer.Option(min=2, help="With 'all': least cells of a label in each condition.")] = 20,
    n_cells: Annotated[int, typer.Option(min=10, help="Cells an arm in the metrics of distributions.")] = 200,
    n_trees: Annotated[int, typer.Option(min=1, help="Trees of the random forest test.")] = 1_000,
    resume: Annotated[bool, typer.Option(help="Go on in the folder of a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that is not empty.")] = False,
) -> None:
    """Predict held-out cells of a file with ScGen, beside every baseline and the ceiling."""
    from altercell.cli import _predict

    _predict.run(
        data,
        _predict.Settings(
            source=source,
            target=target,
            hold_out=hold_out,
            batch_key=batch_key,
            labels_key=labels_key,
            layer=layer,
            n_genes=n_genes,
            seeds=seeds,
            max_epochs=max_epochs,
            batch_size=batch_size,
            min_cells=min_cells,
            n_cells=n_cells,
            n_trees=n_trees,
        ),
        out=out,
        resume=resume,
        overwrite=overwrite,
        console=console,
    )


@app.command()
@plain_errors
def benchmark(
    data: Annotated[Path, typer.Argument(help="An .h5ad file with counts, or log data, in X.")],
    source: Annotated[str, typer.Option(help="Condition to predict from, e.g. control.")],
    target: Annotated[list[str], typer.Option(help="Condition to predict, e.g. stimulated; may be repeated.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Preset to compare (see altercell models); may be repeated.")
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            "--hold-out", help="Label to hold out; may be repeated; 'A + B' holds both out at once; each by default."
        ),
    ] = None,
    hide: Annotated[
        str, typer.Option(help="Conditions to hold a label out of: 'target', or 'all' but source.")
    ] = "target",
    group_key: Annotated[
        str | None, typer.Option("--group-key", help="Column of donors or batches to hold out in place of labels.")
    ] = None,
    split_key: Annotated[
        str | None, typer.Option("--split-key", help="Column that says train, validation or test of each cell.")
    ] = None,
    batch_key: Annotated[str, typer.Option("--batch-key", help="Column of obs with the condition.")] = "condition",
    labels_key: Annotated[str, typer.Option("--labels-key", help="Column of obs with the cell type.")] = "cell_type",
    layer: Annotated[str | None, typer.Option(help="Layer to read in place of X.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results and the report.")] = Path("altercell-benchmark"),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Processes to run on.")] = 1,
    accelerator: Annotated[str, typer.Option(help="Where to train: auto, cpu, gpu.")] = "auto",
    n_genes: Annotated[int, typer.Option(min=2, help="Number of variable genes, chosen on training cells.")] = 2_000,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every network, in place of its own.")] = None,
    min_cells: Annotated[int, typer.Option(min=2, help="Least cells of a label in each condition.")] = 20,
    subsamples: Annotated[int, typer.Option(min=0, help="Subsamples for the spread over cells.")] = 100,
    n_cells: Annotated[int, typer.Option(min=10, help="Cells an arm in the metrics of distributions.")] = 1_000,
    n_trees: Annotated[int, typer.Option(min=1, help="Trees of the random forest test.")] = 1_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: at most 1 seed, 200 cells an arm, 100 trees, 20 subsamples.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Start again in a folder that has files in it.")] = False,
) -> None:
    """Which model to trust on your data: presets and baselines on held-out cells, with a report.

    A run that was stopped goes on when it is started again with the same options.
    """
    from altercell.cli import _benchmark

    if quick:
        seeds, n_cells, n_trees, subsamples = 1, min(n_cells, 200), min(n_trees, 100), min(subsamples, 20)

    _benchmark.run(
        data,
        _benchmark.Settings(
            source=source,
            target=target,
            models=model or ["scgen"],
            hold_out=hold_out or [],
            hide=hide,
            group_key=group_key,
            split_key=split_key,
            batch_key=batch_key,
            labels_key=labels_key,
            layer=layer,
            n_genes=n_genes,
            seeds=seeds,
            min_cells=min_cells,
            subsamples=subsamples,
            max_epochs=max_epochs,
            n_cells=n_cells,
            n_trees=n_trees,
        ),
        out=out,
        workers=workers,
        accelerator=accelerator,
        overwrite=overwrite,
        console=console,
    )


@app.command()
@plain_errors
def models() -> None:
    """List the models that the benchmark knows by name."""
    from altercell.cli import _benchmark

    _benchmark.show_models(console)


def main() -> None:
    """Run the command line."""
    app()
