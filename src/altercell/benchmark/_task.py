"""What the benchmark asks of a task: splits, answers and scores. The runner, the store and the report know no more."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from altercell.errors import DataError, listing
from altercell.models.base import TrainingMixin
from altercell.presets import Candidate

#: Arguments of ``train`` that say where and how it is shown, not what is computed.
NO_SETTINGS = frozenset({"enable_progress_bar", "callbacks", "accelerator", "devices"})
QUIET = {"enable_progress_bar": False}  # the runner shows its own


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A question to models, asked on several splits of the data.

    Attributes
    ----------
    adata
        All cells, or the h5ad file that holds them, which every worker reads for itself.
    """

    adata: AnnData | Path

    #: Its name, a column of the table.
    name: ClassVar[str]
    #: Rows that need no model, such as the ceiling.
    reference_names: ClassVar[tuple[str, ...]] = ()

    @property
    def cells(self) -> AnnData:
        """All cells, in memory."""
        return self.adata if isinstance(self.adata, AnnData) else _read(self.adata, self.adata.stat().st_mtime_ns)

    def stored(self, path: Path) -> Self:
        """Return the task with its cells in a file, so that it can be sent to other processes and machines.

        Of the cells, X, the layer of counts, obs and the description of the values are written; the caller's object is
        not touched.

        Parameters
        ----------
        path
            The h5ad file to write, where the cells are in memory.
        """
        if not isinstance(self.adata, AnnData):
            return self
        whole = self.adata
        cells = AnnData(
            whole.X,
            obs=whole.obs.copy(),
            var=pd.DataFrame(index=whole.var_names),
            layers={name: whole.layers[name] for name in ("counts",) if name in whole.layers},
            uns={name: whole.uns[name] for name in ("altercell", "log1p") if name in whole.uns},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        cells.write_h5ad(path)
        return replace(self, adata=path)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the question, as plain data; results of another question are not mixed with its own.

        The data are identified by the names of cells and genes and by all values of X and of the counts.
        """
        adata = self.cells
        digest = hashlib.blake2b(digest_size=8)
        for names in (adata.obs_names, adata.var_names):
            digest.update("\n".join(names.astype(str)).encode())
        for values in (adata.X, adata.layers.get("counts")):
            for array in _arrays(values):
                digest.update(np.ascontiguousarray(array))
        return {"task": self.name, "n_cells": adata.n_obs, "n_genes": adata.n_vars, "data": digest.hexdigest()}

    def define(self, split: str) -> dict[str, Any]:
        """Return what a split is, as plain data: a stored split of this name with another definition is refused.

        Parameters
        ----------
        split
            Its name.
        """
        return {}

    @abstractmethod
    def splits(self) -> list[str]:
        """Return the names of the splits, in the order of the table."""

    @abstractmethod
    def prepare(self, split: str) -> Any:
        """Return the cells of a split.

        Parameters
        ----------
        split
            Its name.
        """

    @abstractmethod
    def answer(self, candidate: Candidate, data: Any, seed: int) -> Any:
        """Train a model and ask it.

        Parameters
        ----------
        candidate
            The model.
        data
            What :meth:`prepare` returned.
        seed
            Seed of everything random.
        """

    @abstractmethod
    def score(self, answer: Any, data: Any, seed: int) -> pd.DataFrame:
        """Score an answer.

        Parameters
        ----------
        answer
            What :meth:`answer` returned.
        data
            What :meth:`prepare` returned.
        seed
            Seed of everything random.

        Returns
        -------
        Columns ``metric``, ``value``, ``label``, ``genes``, ``better`` and ``sd_cells``.
        """

    def reference(self, name: str, data: Any, seed: int) -> pd.DataFrame:
        """Score a row that needs no model, one of `reference_names`.

        Parameters
        ----------
        name
            Which.
        data
            What :meth:`prepare` returned.
        seed
            Seed of everything random.

        Returns
        -------
        The same columns as :meth:`score`.
        """
        raise KeyError(name)

    def release(self, answer: Any) -> None:  # noqa: B027 - most tasks hold nothing
        """Let go of what an answer holds outside itself, once it is scored.

        Parameters
        ----------
        answer
            What :meth:`answer` returned.
        """


def _arrays(values: Any) -> list[np.ndarray]:
    """Return the arrays that hold a matrix; none for None."""
    if values is None:
        return []
    if sp.issparse(values):
        rows = values.tocsr()
        return [rows.indptr, rows.indices, rows.data]
    return [np.asarray(values)]


@lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> AnnData:
    """Read a file once a process, and again when it has changed."""
    return ad.read_h5ad(path)


def forget_cells() -> None:
    """Let go of the file that was read last."""
    _read.cache_clear()


def trained(model: Any, **arguments: Any) -> Any:
    """Train a model, and let an interrupt end the run: scvi-tools' models keep it to themselves.

    Parameters
    ----------
    model
        The model.
    **arguments
        Of its ``train``.

    Raises
    ------
    KeyboardInterrupt
        The user interrupted the training.
    """
    model.train(**arguments)
    if getattr(model, "interrupted_", False):
        raise KeyboardInterrupt
    return model


def let_go(model: Any) -> None:
    """Let scvi-tools' class-wide store forget a model's cells, which it would keep for every piece.

    Parameters
    ----------
    model
        A model of scvi-tools' or of any other kind.
    """
    if hasattr(model, "deregister_manager") and getattr(model, "adata", None) is not None:
        model.deregister_manager(model.adata)


def as_compared(item: str | Candidate | type, usual: Sequence[Candidate]) -> str | Candidate:
    """Return a bare class as it is usually compared: of counts where it reads them, in the space of the data.

    Parameters
    ----------
    item
        The name of a preset, a candidate, or a class.
    usual
        Candidates, of which the first of the class is taken, under the name of the class.
    """
    if not isinstance(item, type):
        return item
    known = next((one for one in usual if one.model is item), Candidate(item.__name__, item))
    return replace(known, name=item.__name__)


def registered(candidate: Candidate, cells: AnnData, seed: int, labels_key: str | None) -> Any:
    """Return a generator of a copy of cells, not trained.

    Parameters
    ----------
    candidate
        The model.
    cells
        Log data with the counts in a layer.
    seed
        Of the model, where the candidate has none.
    labels_key
        Column of the cell types; None for none.
    """
    cells = cells.copy()
    extra = {"layer": "counts", "size_factor_key": "size_factor"} if candidate.counts else {}
    candidate.model.setup_anndata(cells, labels_key=labels_key, **extra)  # type: ignore[attr-defined]
    return candidate.model(cells, **{"seed": seed, **candidate.arguments})


def train_registered(model: Any, candidate: Candidate, train: Mapping[str, Any]) -> Any:
    """Train a generator; what is for gradient descent is left out for others.

    Parameters
    ----------
    model, candidate
        The model, and what it was made of.
    train
        Arguments above those of the candidate, for models that are trained by gradient descent.
    """
    learns = isinstance(model, TrainingMixin)
    return trained(model, **{**(QUIET if learns else {}), **candidate.train, **(train if learns else {})})


def as_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return seeds as a list: a number stands for 0, 1, ...

    Parameters
    ----------
    seeds
        How many, or which.

    Raises
    ------
    DataError
        There is none, or one stands twice.
    """
    found = list(range(int(seeds))) if isinstance(seeds, int | np.integer) else [int(seed) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise DataError(f"seeds={listing(found) if found else seeds} must be a number of seeds, or seeds that differ")
    return found
