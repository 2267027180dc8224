"""The task of batch removal: an embedding of the cells, scored on cells whose labels the method has not read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell import metrics
from altercell.benchmark._batch_cells import BatchCells
from altercell.benchmark._integrators import PCS, Integrator
from altercell.benchmark._task import NO_SETTINGS, QUIET, Task, let_go, trained
from altercell.data import check_column, select_genes
from altercell.errors import DataError, GroupError, KeyNotFoundError, listing
from altercell.metrics import _scib
from altercell.metrics._matrix import as_matrix
from altercell.metrics._pcs import project_on_pcs
from altercell.models.base import TrainingMixin
from altercell.models.scgen._integration import CORRECTED_LATENT
from altercell.presets import Candidate

ALL_LABELS, LABELS_HELD_OUT = "all labels", "labels held out"
LABELS_GIVEN = "labels as given"


@dataclass(frozen=True, kw_only=True)
class IntegrationTask(Task):
    """Batch removal, scored by :func:`altercell.metrics.integration`; see :func:`integration`.

    Attributes
    ----------
    batch_key, labels_key
        Columns of the batches and of the labels.
    asked
        Names of the splits.
    n_genes
        Number of variable genes, chosen on all cells: no cell is held out, only labels. None keeps all.
    n_pcs
        Principal components of the log data.
    n_neighbors
        Of the classifier of hidden labels.
    scib
        Whether to compute the scores of scib-metrics; None: where it is installed.
    train
        Arguments of ``train`` for the models that are trained by gradient descent, above those of the candidates.
    """

    batch_key: str
    labels_key: str
    asked: tuple[str, ...] = (ALL_LABELS, LABELS_HELD_OUT)
    n_genes: int | None = 2_000
    n_pcs: int = 50
    n_neighbors: int = 15
    scib: bool | None = None
    train: Mapping[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "integration"
    reference_names: ClassVar[tuple[str, ...]] = (LABELS_GIVEN,)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the question, as plain data."""
        settings = ("batch_key", "labels_key", "n_genes", "n_pcs", "n_neighbors")
        scib = _scib.installed() if self.scib is None else self.scib
        return {
            **super().describe(),
            **{name: getattr(self, name) for name in settings},
            "genes_chosen_on": "all cells",
            "labels_read_by": "the models whose names say so",
            "scib": scib,
            "train": {name: value for name, value in self.train.items() if name not in NO_SETTINGS},
        }

    def check(self) -> None:
        """Check the splits, the columns and their groups before anything is run.

        Raises
        ------
        KeyNotFoundError
            There is no such split, or a column is missing.
        DataError
            Cells have no batch or label.
        GroupError
            There is only one batch, or only one label.
        ModuleNotFoundError
            scib-metrics is asked for and is not installed.
        """
        known = (ALL_LABELS, LABELS_HELD_OUT)
        unknown = [split for split in self.asked if split not in known]
        if unknown or not self.asked:
            raise KeyNotFoundError(f"no such split: {listing(unknown)}; there are {listing(known)}")
        if self.scib:
            _scib.package()
        obs = self.cells.obs
        for argument in ("batch_key", "labels_key"):
            key = getattr(self, argument)
            check_column(obs, key, argument)
            if obs[key].nunique() < 2:
                raise GroupError(
                    f"all cells have one value of obs['{key}'] ({argument}); integration needs two or more"
                )

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return list(self.asked)

    def prepare(self, split: str) -> BatchCells:
        """Choose genes, compute principal components, and take the labels out of the cells.

        Parameters
        ----------
        split
            Its name.
        """
        cells = self.cells if self.n_genes is None else select_genes(self.cells, self.n_genes)
        batches, labels = (
            cells.obs[key].astype(str).to_numpy(dtype=object) for key in (self.batch_key, self.labels_key)
        )
        kept = [name for name in ("size_factor",) if name in cells.obs]
        bare = AnnData(
            cells.X,
            obs=cells.obs[[self.batch_key, *kept]],
            var=pd.DataFrame(index=cells.var_names),
            layers={name: cells.layers[name] for name in ("counts",) if name in cells.layers},
            uns={name: cells.uns[name] for name in ("altercell", "log1p") if name in cells.uns},
        ).copy()
        values = as_matrix(bare.X)
        bare.obsm[PCS] = project_on_pcs(values[:1], values, n_pcs=self.n_pcs)[1]
        return BatchCells(bare, batches, labels, split == LABELS_HELD_OUT, self.n_neighbors)

    def answer(self, candidate: Candidate, data: BatchCells, seed: int) -> np.ndarray:
        """Return an embedding of all cells, shape ``(n_cells, n_dims)``.

        Parameters
        ----------
        candidate
            The method. It is given labels only where it reads them.
        data
            The split.
        seed
            Seed of everything random, and which half of the labels is hidden.
        """
        cells = data.cells.copy()
        if issubclass(candidate.model, Integrator):
            return candidate.model(**candidate.arguments).embed(cells, self.batch_key, seed)
        if reads_labels(candidate):
            cells.obs[self.labels_key] = pd.Categorical(data.given(seed))
        return self._model_embedding(candidate, cells, seed)

    def _model_embedding(self, candidate: Candidate, cells: AnnData, seed: int) -> np.ndarray:
        cls: Any = candidate.model
        if not hasattr(cls, "get_latent_representation"):
            raise DataError(f"'{candidate.name}' has no latent representation: it cannot remove batch effects")
        labels_key = self.labels_key if reads_labels(candidate) else None
        extra = {"layer": "counts", "size_factor_key": "size_factor"} if candidate.counts else {}
        cls.setup_anndata(cells, batch_key=self.batch_key, labels_key=labels_key, **extra)
        model = cls(cells, **{"seed": seed, **candidate.arguments})
        learns = issubclass(cls, TrainingMixin)
        try:
            trained(model, **{**(QUIET if learns else {}), **candidate.train, **(self.train if learns else {})})
            if not hasattr(model, "remove_batch_effect"):
                return np.asarray(model.get_latent_representation())
            corrected = model.remove_batch_effect(**_options(candidate))
            return np.asarray(corrected.obsm[CORRECTED_LATENT])
        finally:
            let_go(model)

    def score(self, answer: np.ndarray, data: BatchCells, seed: int) -> pd.DataFrame:
        """Score an embedding on the cells that are scored.

        Parameters
        ----------
        answer
            The embedding.
        data
            The split.
        seed
            Which half is scored; seed of the clusters.
        """
        rows = data.scored(seed)
        before = np.asarray(data.cells.obsm[PCS])[rows]
        table = metrics.integration(
            answer[rows], data.batches[rows], data.labels[rows], before=before, scib=self.scib, seed=seed
        )
        return table.reset_index().assign(label="", sd_cells=float("nan"))

    def reference(self, name: str, data: BatchCells, seed: int) -> pd.DataFrame:
        """Return the share of right labels among those that methods may read, of the cells that are scored.

        Parameters
        ----------
        name
            Its name.
        data
            The split.
        seed
            Which half is hidden.
        """
        rows = data.scored(seed)
        share = float((data.given(seed)[rows] == data.labels[rows]).mean())
        found = {"metric": "label_accuracy", "value": share, "genes": "all", "better": "higher"}
        return pd.DataFrame([{**found, "label": "", "sd_cells": float("nan")}])


def reads_labels(candidate: Candidate) -> bool:
    """Return whether a method is given the labels.

    Parameters
    ----------
    candidate
        The method.
    """
    asked = candidate.predict.get("use_labels")
    return hasattr(candidate.model, "remove_batch_effect") if asked is None else bool(asked)


def _options(candidate: Candidate) -> dict[str, Any]:
    """Return the options of ``predict`` that batch removal takes; those of the response alone say nothing here."""
    verb, response = (
        inspect.signature(getattr(candidate.model, name)).parameters for name in ("remove_batch_effect", "predict")
    )
    unknown = [name for name in candidate.predict if name not in verb and name not in response]
    if unknown:
        raise DataError(f"'{candidate.name}' has options that remove_batch_effect does not take: {listing(unknown)}")
    return {name: value for name, value in candidate.predict.items() if name in verb}
