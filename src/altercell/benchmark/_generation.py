"""The table of generators: every model and baseline beside cells that none has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from altercell import models as rooms
from altercell import presets
from altercell.benchmark._generation_task import GenerationTask
from altercell.benchmark._runner import Piece, run
from altercell.benchmark._task import as_compared, as_seeds
from altercell.models.samplers import GaussianCells, NeighbourBootstrap, ResampledCells, SimulatedCells, Sugar
from altercell.presets import Candidate


def generation(
    adata: AnnData,
    models: Sequence[str | Candidate | type] | None = None,
    *,
    labels_key: str | None = None,
    n_splits: int = 1,
    test_share: float = 0.25,
    n_genes: int | None = 2_000,
    seeds: int | Iterable[int] = 1,
    add_baselines: bool = True,
    n_trees: int = 1_000,
    n_cells: int | None = None,
    marker_genes: Sequence[str] | None = None,
    path: str | Path | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    part: tuple[int, int] | None = None,
    progress: bool = True,
    train: Mapping[str, Any] | None = None,
    on_piece: Callable[[Piece], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Keep cells back, let every model generate as many, and score them beside those that were kept.

    Nothing of the cells that are kept back is seen: not by the choice of genes, not by the training. A model that knows
    labels is asked for as many cells of each as were kept back. The row ``"real against real"`` is one half of these
    against the other. Principal components are those of the training cells: on those of all real cells (the papers'
    basis, ``forest_auc_all_pcs``) copies of training cells score best.

    Parameters
    ----------
    adata
        All cells, log data with the counts in a layer (see :func:`altercell.data.normalize`).
    models
        What to compare: names of presets (:func:`altercell.presets.generators`), model classes with ``generate``, and
        :class:`Candidate`, whose ``predict`` are arguments of ``generate``. None: :func:`generators`.
    labels_key
        Column of the cell types; None for none.
    n_splits
        How many times cells are kept back at random, each time others.
    test_share
        Share of the cells that is kept back.
    n_genes
        Number of variable genes, chosen on the training cells; None keeps all.
    seeds
        How many seeds (0, 1, ...), or which.
    add_baselines
        Whether the baselines (:func:`generation_baselines`) are added. A score without them says nothing.
    n_trees, n_cells
        Of the forests: trees, and cells of either kind at most.
    marker_genes
        Genes that tell types apart, for ``marker_correlation`` (see :func:`altercell.metrics.marker_correlation`); they
        are kept whether or not they are variable. None for none.
    path, executor, threads, part, progress, on_piece, on_step
        As for :func:`holdout`.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of the candidates.

    Returns
    -------
    One row a number, with the columns of :func:`holdout`. Scores whose names begin with ``class_`` are of one class
    each, which is the row's label; the others are of all cells.

    Raises
    ------
    KeyNotFoundError
        The column of labels, the layer of counts or a marker gene is missing.
    DataError
        The share is out of range, or `path` holds the answers to another question.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=200, n_genes=60, seed=0))
    >>> table = generation(adata, [], labels_key="cell_type", n_trees=20, progress=False)
    >>> table[table["metric"] == "nearer_share"].set_index("model")["value"].idxmax()
    'resampled cells'
    """
    task = GenerationTask(
        adata=adata,
        labels_key=labels_key,
        n_splits=n_splits,
        test_share=test_share,
        n_genes=n_genes,
        train=train or {},
        n_trees=n_trees,
        n_cells=n_cells,
        marker_genes=None if marker_genes is None else tuple(marker_genes),
    )
    task.check()
    usual = [*generators(), *generation_baselines()]
    found = generators(labels_key is not None) if models is None else [as_compared(item, usual) for item in models]
    return run(
        task,
        presets.resolve([*found, *(generation_baselines() if add_baselines else [])]),
        as_seeds(seeds),
        path=path,
        executor=executor,
        threads=threads,
        part=part,
        progress=progress,
        on_piece=on_piece,
        on_step=on_step,
    )


def generators(labels: bool = True) -> list[Candidate]:
    """Return the models that :func:`generation` compares: the presets, but for those of the papers' length.

    Parameters
    ----------
    labels
        Whether there are labels, which some of them need.
    """
    return [
        preset
        for preset in presets.generators()
        if not preset.name.endswith("-paper")
        and (labels or not (preset.model is rooms.CscGAN or preset.arguments.get("classes") == "labels"))
    ]


def generation_baselines() -> list[Candidate]:
    """Return what a generator has to beat, in the order of the tables."""
    return [
        Candidate("neighbour bootstrap", NeighbourBootstrap, counts=True, baseline=True, note="counts of neighbours"),
        Candidate("resampled cells", ResampledCells, counts=True, baseline=True, note="copies of training cells"),
        Candidate("Gaussian", GaussianCells, baseline=True, note="one in principal components, for each class"),
        Candidate("Gaussian mixture", GaussianCells, {"n_components": 5}, baseline=True, note="five for each class"),
        Candidate("simulator", SimulatedCells, counts=True, baseline=True, note="negative binomial, gene by gene"),
        Candidate("SUGAR", Sugar, baseline=True, note="points around cells, smoothed"),
    ]
