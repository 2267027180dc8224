"""The table of augmentation: what generated cells of a rare type are worth to a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from altercell import models as rooms
from altercell import presets
from altercell.benchmark._augmentation_task import AugmentationTask
from altercell.benchmark._runner import Piece, run
from altercell.benchmark._task import as_compared, as_seeds
from altercell.models.samplers import NeighbourBootstrap
from altercell.presets import Candidate


def augmentation(
    adata: AnnData,
    models: Sequence[str | Candidate | type] | None = None,
    *,
    labels_key: str,
    label: str,
    shares: Sequence[float] = (0.5, 0.1, 0.05, 0.02, 0.01),
    n_added: int = 500,
    test_share: float = 0.3,
    n_genes: int | None = 2_000,
    seeds: int | Iterable[int] = 3,
    n_trees: int = 1_000,
    path: str | Path | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    part: tuple[int, int] | None = None,
    progress: bool = True,
    train: Mapping[str, Any] | None = None,
    on_piece: Callable[[Piece], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Make a cell type rare, add generated cells of it, and see whether a classifier finds it in cells kept back.

    The experiment of :cite:p:`Marouf2020`. Of the training cells of `label` only a share is kept; those of a smaller
    share are among those of a larger one. A random forest learns, on 50 principal components, to tell the type from all
    others: from the cells that are left (``"cut"``), with copies of its own (``"upsampled"``), and with cells that a
    model has generated, which has learnt from the cells that are left. The classes are weighted by the inverse of their
    size in all arms. Cells kept back are seen by nothing: not by the choice of genes, the components, the generators or
    the forest; nor are the cells that were cut away, but in the row ``"not cut"``, which has the same genes.

    Parameters
    ----------
    adata
        All cells, log data with the counts in a layer (see :func:`altercell.data.normalize`).
    models
        Names of presets, model classes with ``augment``, and :class:`Candidate`, whose ``predict`` are arguments of
        ``augment``. A model that cannot be asked for a label is trained on the cells of `label` alone. None:
        :func:`augmenters`.
    labels_key, label
        Column of the cell types, and the one that is made rare.
    shares
        Shares of its training cells that are kept, above 0 and at most 1.
    n_added
        How many cells are added, copies or generated.
    test_share
        Share of the cells that is kept back, of every type.
    n_genes
        Number of variable genes, chosen on the cut training cells; None keeps all.
    seeds
        How many seeds (0, 1, ...), or which: each keeps other cells back, cuts others, and seeds models and forest.
    n_trees
        Trees of the forest.
    path, executor, threads, part, progress, on_piece, on_step
        As for :func:`holdout`.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of the candidates.

    Returns
    -------
    One row a number, with the columns of :func:`holdout` and ``share`` and ``method``, for
    :func:`altercell.pl.augmentation_curve`. The scores are ``f1``, ``precision``, ``recall`` and ``average_precision``
    of the type in the cells kept back.

    Raises
    ------
    KeyNotFoundError
        The column of labels or the layer of counts is missing.
    GroupError
        There are no cells of `label`, or of no other.
    DataError
        A share is out of range, or `path` holds the answers to another question.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=60, seed=0))
    >>> rare = {"labels_key": "cell_type", "label": "type_1", "shares": [0.1]}
    >>> table = augmentation(adata, [], **rare, seeds=1, n_trees=20, n_genes=None, progress=False)
    >>> table.loc[table["metric"] == "f1", "method"].tolist()
    ['not cut', 'cut', 'upsampled']
    """
    known = as_seeds(seeds)
    task = AugmentationTask(
        adata=adata,
        labels_key=labels_key,
        label=label,
        shares=tuple(float(share) for share in shares),
        n_added=n_added,
        test_share=test_share,
        n_genes=n_genes,
        cuts=tuple(known),
        train=train or {},
        n_trees=n_trees,
    )
    task.check()
    chosen = augmenters() if models is None else [as_compared(item, augmenters()) for item in models]
    table = run(
        task,
        presets.resolve(chosen),
        [0],
        path=path,
        executor=executor,
        threads=threads,
        part=part,
        progress=progress,
        on_piece=on_piece,
        on_step=on_step,
    )
    where = {split: task.place(split) for split in task.splits()}
    share, seed = (table["split"].map({split: place[i] for split, place in where.items()}) for i in (0, 1))
    return table.assign(seed=seed, share=share, method=table["model"])


def augmenters() -> list[Candidate]:
    """Return the models that :func:`augmentation` compares: three generators, and the neighbour bootstrap."""
    return [
        Candidate("CscGAN", rooms.CscGAN, counts=True, note="trained on all cells"),
        Candidate("ScGAN, type alone", rooms.ScGAN, counts=True, note="trained on the cells of the rare type"),
        Candidate("LatentGAN", rooms.LatentGAN, {"classes": "labels"}, counts=True, note="trained on all cells"),
        Candidate("neighbour bootstrap", NeighbourBootstrap, counts=True, baseline=True, note="counts of neighbours"),
    ]
