"""What the benchmark asks of a task: splits, answers and scores. The runner, the store and the report know no more."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from altercell.presets import Candidate

# Of the data, so many cells are compared value by value when a run goes on.
DIGEST_CELLS = 256


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

        Parameters
        ----------
        path
            The h5ad file to write, where the cells are in memory.
        """
        if not isinstance(self.adata, AnnData):
            return self
        path.parent.mkdir(parents=True, exist_ok=True)
        self.adata.write_h5ad(path)
        return replace(self, adata=path)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the question, as plain data; results of another question are not mixed with its own.

        The data are identified by their names and groups and by the values of some cells.
        """
        adata = self.cells
        digest = hashlib.sha256()
        for names in (adata.obs_names, adata.var_names):
            digest.update("\n".join(names.astype(str)).encode())
        for name in sorted(adata.obs.columns.astype(str)):
            digest.update(f"{name}\n".encode() + "\n".join(adata.obs[name].astype(str)).encode())
        rows = np.linspace(0, adata.n_obs - 1, min(DIGEST_CELLS, adata.n_obs)).astype(int)
        values = adata.X[rows]
        digest.update(np.ascontiguousarray(values.toarray() if sp.issparse(values) else values).tobytes())
        return {"task": self.name, "n_cells": adata.n_obs, "n_genes": adata.n_vars, "data": digest.hexdigest()[:16]}

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


@lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> AnnData:
    """Read a file once a process, and again when it has changed."""
    return ad.read_h5ad(path)
