"""The table of batch removal: every method, with all labels and with labels that it has not read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from altercell import presets
from altercell.benchmark._integration_task import ALL_LABELS, LABELS_HELD_OUT, IntegrationTask, reads_labels
from altercell.benchmark._integrators import INTEGRATORS, integrator, integrators
from altercell.benchmark._runner import Piece, run
from altercell.benchmark._task import as_seeds
from altercell.presets import Candidate

READS_LABELS = "(reads labels)"


def integration(
    adata: AnnData,
    models: Sequence[str | Candidate | type] | None = None,
    *,
    batch_key: str,
    labels_key: str,
    splits: Sequence[str] = (ALL_LABELS, LABELS_HELD_OUT),
    seeds: int | Iterable[int] = 1,
    n_genes: int | None = 2_000,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    scib: bool | None = None,
    path: str | Path | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    part: tuple[int, int] | None = None,
    progress: bool = True,
    train: Mapping[str, Any] | None = None,
    on_piece: Callable[[Piece], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Remove the batch effects with every method, and score how batches mix and whether cell types stay apart.

    A method that reads the labels can put every cell where its label belongs, and scores that compare the same labels
    then say little. So there are two splits:

    * ``"all labels"``: methods read all labels, and are scored on all cells;
    * ``"labels held out"``: the labels of half of the cells, of every batch and label, are hidden. Methods that read
      labels are given for these cells what a nearest-neighbour classifier predicts from the principal components of the
      other half. All methods, also those that read none, are scored on the hidden half alone, so that they compare.

    The names of the methods that read labels end in ``"(reads labels)"``. The others are not given them.

    Parameters
    ----------
    adata
        All cells, log data (see :func:`altercell.data.normalize`, which also keeps the counts for count models).
    models
        What to compare: names (those of :func:`integrator`, and of presets), model classes, and :class:`Candidate`.
        A model with ``remove_batch_effect`` is asked for its corrected latent points and reads the labels, but for
        ``predict={"use_labels": False}``; any other model for its latent representation, and it reads labels only with
        ``predict={"use_labels": True}``. None: :func:`integrators`, what is installed of the published methods, and
        :func:`batch_models`.
    batch_key, labels_key
        Columns of the batches and of the labels.
    splits
        ``"all labels"``, ``"labels held out"`` or both.
    seeds
        How many seeds (0, 1, ...), or which. The half that is hidden depends on the seed, and not on the method.
    n_genes
        Number of variable genes, chosen on all cells: no cell is held out, only labels. None keeps all.
    n_pcs
        Principal components of the log data, which Harmony, bbknn and the classifier of hidden labels read.
    n_neighbors
        Of that classifier.
    scib
        Whether to compute the scores of scib-metrics; None: where it is installed.
    path, executor, threads, part, progress, on_piece, on_step
        As for :func:`holdout`.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of presets and
        candidates.

    Returns
    -------
    One row a number, with the columns of :func:`holdout`; the metrics are those of
    :func:`altercell.metrics.integration`. The row ``"labels as given"`` has the share of right labels among the cells
    that are scored. ``sd_cells`` is not computed.

    Raises
    ------
    KeyNotFoundError
        A column is missing, or there is no such split or method.
    DataError
        Cells have no batch or label, two methods have one name, or `path` holds the answers to another question.
    GroupError
        There is only one batch, or only one label.
    ModuleNotFoundError
        A method or `scib` was asked for, and its package is not installed.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> table = integration(
    ...     adata, ["no correction", "shuffled cells"], batch_key="condition", labels_key="cell_type", scib=False,
    ...     splits=["all labels"], progress=False,
    ... )
    >>> table[table["metric"] == "silhouette_batch"].set_index("model")["value"].idxmax()
    'shuffled cells'
    """
    task = IntegrationTask(
        adata=adata,
        batch_key=batch_key,
        labels_key=labels_key,
        asked=tuple(splits),
        n_genes=n_genes,
        n_pcs=n_pcs,
        n_neighbors=n_neighbors,
        scib=scib,
        train=train or {},
    )
    task.check()
    found = [*integrators(), *batch_models("counts" in adata.layers)] if models is None else _resolved(models)
    return run(
        task,
        presets.resolve([_named(candidate) for candidate in found]),
        as_seeds(seeds),
        path=path,
        executor=executor,
        threads=threads,
        part=part,
        progress=progress,
        on_piece=on_piece,
        on_step=on_step,
    )


def batch_models(counts: bool = False) -> list[Candidate]:
    """Return the models of altercell that :func:`integration` compares, with the training of their presets.

    Parameters
    ----------
    counts
        Whether there are counts, which SCVI needs.
    """
    scgen = replace(presets.get("scgen"), name="ScGen")
    unlabelled = replace(scgen, name="ScGen, no labels", predict={"use_labels": False})
    found = [_named(scgen), unlabelled, replace(presets.get("trvae"), name="TrVAE")]
    return [*found, replace(presets.get("scvi"), name="SCVI")] if counts else found


def _resolved(wanted: Sequence[str | Candidate | type]) -> list[Candidate]:
    items = [wanted] if isinstance(wanted, str | Candidate | type) else wanted
    known = [integrator(item) if isinstance(item, str) and item in INTEGRATORS else item for item in items]
    return presets.resolve(known)


def _named(candidate: Candidate) -> Candidate:
    """Return the candidate with a name that says whether it reads labels."""
    if not reads_labels(candidate) or READS_LABELS in candidate.name:
        return candidate
    return replace(candidate, name=f"{candidate.name} {READS_LABELS}")
