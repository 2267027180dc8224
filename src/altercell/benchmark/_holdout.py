"""The honest table: every model, every baseline and the ceiling, on cells that nothing has seen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from altercell import metrics
from altercell.benchmark._response import ResponseTask
from altercell.benchmark._runner import Piece, run
from altercell.benchmark._split import (
    HeldOut,
    Hide,
    Keys,
    Wanted,
    as_names,
    as_targets,
    column_held_out,
    groups_held_out,
    types_held_out,
)
from altercell.benchmark._task import as_seeds
from altercell.data import check_column, get_space
from altercell.errors import DataError, GroupError, KeyNotFoundError, check_choice, listing
from altercell.presets import Candidate, baselines, resolve


def holdout(
    adata: AnnData,
    models: str | Candidate | type | Sequence[str | Candidate | type] = "scgen",
    *,
    batch_key: str,
    labels_key: str,
    source: object,
    target: object | Iterable[object],
    hold_out: Wanted = "each",
    hide: Hide = "target",
    group_key: str | None = None,
    split_key: str | None = None,
    add_baselines: bool = True,
    seeds: int | Iterable[int] = 1,
    n_genes: int | None = 2_000,
    min_cells: int = 20,
    subsamples: int = 100,
    path: str | Path | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    part: tuple[int, int] | None = None,
    progress: bool = True,
    train: dict[str, Any] | None = None,
    on_piece: Callable[[Piece], None] | None = None,
    on_step: Callable[[str], None] | None = None,
    **evaluate: Any,
) -> pd.DataFrame:
    """Hold cells out, predict them with every model, and score the predictions.

    Nothing of the held-out cells is seen: not by the choice of genes, not by the training, not by the delta. The table
    has the baselines beside the models, and the row ``"real against real"``: one half of the held-out cells scored
    against the other, the ceiling.

    What is held out is one of

    * each cell type in turn under the asked condition (``hold_out="each"``), or the types that `hold_out` names, in
      turn; a name that is a list of names holds these out at once, and each of them is scored;
    * each group of the column `group_key` in turn, such as a donor, with all its cells: its cells of `source` are given
      to the trained model, which has never seen that donor. A type of the donor with too few cells is not asked for;
    * the cells that the column `split_key` calls ``"test"``. Those that it calls ``"validation"`` are training cells,
      by whose loss models that stop early stop.

    In the last two, the type that is asked for has been measured under both conditions, in other cells. There is then
    one more baseline, ``"control + own delta"``: the difference of that type itself.

    Parameters
    ----------
    adata
        All cells, log data (see :func:`altercell.data.normalize`, which also keeps the counts for count models).
    models
        What to compare: names of presets (:func:`altercell.presets.available`), model classes, :class:`Candidate`
        for any class with any arguments.
    batch_key, labels_key
        Columns of the conditions and of the labels.
    source, target
        Condition to predict from, and condition or conditions to predict.
    hold_out
        ``"each"``, or the labels (with `group_key` the groups) to hold out.
    hide
        Where there are more than two conditions: ``"target"`` holds a type out under the asked condition, ``"all"``
        under every condition but `source` (trVAE's protocol).
    group_key, split_key
        Column of groups such as donors; column of the user's own split.
    add_baselines
        Whether all baselines are added to `models`. A score without them says nothing.
    seeds
        How many seeds (0, 1, ...), or which.
    n_genes
        Number of variable genes, chosen on the training cells of each split; None keeps all.
    min_cells
        Least number of cells in each condition for a label to be held out by ``"each"``, or scored in a group.
    subsamples
        Random subsamples of cells for the column ``sd_cells``, the spread of the scores of means and variances over
        cells (:func:`altercell.metrics.subsample_spread`); 0 for none.
    path
        A folder that each piece (one model, one split, one seed) is written to as it ends. Pieces that are in it
        already are not run again, so a run that was stopped goes on; models that failed are tried again.
    executor
        Any :class:`concurrent.futures.Executor` of processes to run the pieces on; None: here, one by one.
    threads
        Threads of each piece; None: one on an executor's workers, and what this process has otherwise.
    part
        ``(i, n)``: only the i-th of n parts of the pieces (0, ..., n - 1), for n jobs that write into one folder. The
        table holds what is done so far.
    progress
        Whether to show a bar with the time left.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of presets and
        candidates, for example ``{"max_epochs": 5}`` to try things out.
    on_piece
        Called with each finished piece, its model and its cells; not with an executor.
    on_step
        Called with the name of what is done next, in place of the bar.
    **evaluate
        Arguments of :func:`altercell.metrics.evaluate`, such as ``n_cells`` or ``n_trees``.

    Returns
    -------
    One row a number: ``task``, ``model``, ``split``, ``label``, ``seed``, ``metric``, ``value``, ``sd_cells``,
    ``genes``, ``better``, ``kind`` (``"model"``, ``"baseline"`` or ``"reference"``), ``seconds`` (of training and
    prediction), ``score_seconds``, ``peak_memory_mb`` (of the process, while the model was trained and asked),
    ``version``, ``error``. A model that failed has one row with its ``error``.

    Raises
    ------
    KeyNotFoundError
        A column is missing, or a name is no preset's.
    GroupError
        A condition, a label or a group is unknown or has too few cells.
    DataError
        `path` holds the answers to another question, two models or two cells have one name, or arguments exclude each
        other.
    TypeError
        :func:`altercell.metrics.evaluate` has no such argument.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> table = holdout(
    ...     adata, "no change", batch_key="condition", labels_key="cell_type", source="control", target="stimulated",
    ...     hold_out="type_1", n_cells=40, n_trees=20, progress=False,
    ... )
    >>> table[table["metric"] == "mse"].set_index("model")["value"].idxmin()
    'real against real'
    """
    seen = group_key is not None or split_key is not None
    candidates = resolve([*as_names(models), *(baselines(own_type=seen) if add_baselines else [])])
    mute = [model.name for model in candidates if not hasattr(model.model, "predict")]
    if mute:
        raise DataError(f"{listing(mute)} cannot predict responses; for generated cells there is benchmark.generation")
    check_choice("hide", hide, ("target", "all"))
    _check_scores(evaluate)
    numbers, targets = as_seeds(seeds), as_targets(target)
    keys = Keys(batch_key, labels_key, str(source))
    if get_space(adata) == "counts":
        raise DataError(
            "X holds counts; give log data: ac.data.normalize(adata) also keeps the counts for count models"
        )
    adata = _with_text(adata, batch_key=batch_key, labels_key=labels_key, group_key=group_key, split_key=split_key)
    keys.check(adata, targets)
    asked = _what_is_held_out(adata, keys, targets, hold_out, hide, group_key, split_key, min_cells)
    task = ResponseTask(
        adata=adata,
        keys=keys,
        held_out=asked,
        n_genes=n_genes,
        train=train or {},
        evaluate=evaluate,
        subsamples=subsamples,
    )
    return run(
        task,
        candidates,
        numbers,
        path=path,
        executor=executor,
        threads=threads,
        part=part,
        progress=progress,
        on_piece=on_piece,
        on_step=on_step,
    )


def _check_scores(evaluate: Mapping[str, Any]) -> None:
    """Check the arguments of the scores before anything is trained."""
    known = set(inspect.signature(metrics.evaluate).parameters)
    # These are the split's: which control cells, which basis, which seed.
    known -= {"pred", "real", "control", "truth_control", "basis", "seed"}
    unknown = sorted(set(evaluate) - known)
    if unknown:
        raise TypeError(f"holdout() has no argument {listing(unknown)}; the scores take {listing(sorted(known))}")
    if evaluate.get("metrics") is not None:
        names, there = as_names(evaluate["metrics"]), metrics.metric_names(evaluate.get("n_top", 100))
        wrong = [name for name in names if name not in there]
        if wrong:
            raise KeyNotFoundError(f"no such metric: {listing(wrong)}; there are {listing(there, limit=len(there))}")


def _with_text(adata: AnnData, **keys: str | None) -> AnnData:
    """Return the cells with their groups as text, as they are named; the caller's object is not touched."""
    if not adata.obs_names.is_unique:
        raise DataError("the names of cells are not unique; call adata.obs_names_make_unique() first")
    whole = adata.to_memory() if adata.isbacked else adata
    obs = whole.obs.copy()
    for argument, key in keys.items():
        if key is not None:
            check_column(obs, key, argument)
            obs[key] = obs[key].astype(str).astype("category")
    layers = {name: values for name, values in whole.layers.items() if name is not None}
    return AnnData(whole.X, obs=obs, var=whole.var, uns=dict(whole.uns), layers=layers)


def _what_is_held_out(
    adata: AnnData,
    keys: Keys,
    targets: Sequence[str],
    hold_out: Wanted,
    hide: Hide,
    group_key: str | None,
    split_key: str | None,
    min_cells: int,
) -> list[HeldOut]:
    plain = isinstance(hold_out, str) and hold_out == "each"
    if split_key is not None and (group_key is not None or not plain):
        raise DataError("split_key= says what is held out; leave out group_key= and hold_out=")
    if hide != "target" and (split_key is not None or group_key is not None):
        raise DataError(f"hide='{hide}' is about types that are held out; leave it out with group_key= and split_key=")
    if split_key is not None:
        asked = column_held_out(adata, keys, targets, split_key, min_cells)
    elif group_key is not None:
        asked = groups_held_out(adata, keys, targets, group_key, hold_out, min_cells)
    else:
        asked = types_held_out(adata, keys, targets, hold_out, hide, min_cells)
    found = list(asked)
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise GroupError(f"{listing(twice)} is held out twice; name it once")
    return found
