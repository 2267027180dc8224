"""What a model knows of the data that it was set up with: genes, conditions, labels, and where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError, GroupError, KeyNotFoundError, listing, named

REGISTRY_ENTRY = "altercell"


def as_names(names: str | Sequence[str] | None) -> list[str] | None:
    """Return names of columns as a list, also where one alone is given; None for none.

    Parameters
    ----------
    names
        A name, several, or None.
    """
    return ([names] if isinstance(names, str) else list(names)) if names else None


def as_list(names: object) -> list[object] | None:
    """Return several names as a list; None where there is but one.

    Parameters
    ----------
    names
        A name, or a sequence of names.
    """
    several = isinstance(names, Sequence | np.ndarray | pd.Index | pd.Series) and not isinstance(names, str)
    return list(names) if several else None  # type: ignore[call-overload]


@dataclass(frozen=True)
class Schema:
    """The names that a model was set up with; it outlives the data, in memory and in a model file.

    Attributes
    ----------
    genes
        Names of the genes, in the network's order, shape ``(n_genes,)``.
    conditions, labels
        The groups of ``batch_key`` and of ``labels_key``, in the order of their codes.
    batch_key, labels_key, size_factor_key, layer, modality
        Where they stand in the AnnData (or in which modality of a MuData); None where not given.
    space
        The space of the values, for example ``"log1p of counts per 10,000"``.
    """

    genes: np.ndarray
    conditions: np.ndarray
    labels: np.ndarray
    batch_key: str | None
    labels_key: str | None
    size_factor_key: str | None
    layer: str | None
    modality: str | None
    space: str

    @classmethod
    def from_registry(cls, registry: Mapping[str, Any]) -> Schema:
        """Read the schema from a registry of scvi-tools.

        Parameters
        ----------
        registry
            Registry of an AnnDataManager, of a model file, or of a data module.
        """
        fields, arguments = registry["field_registries"], registry.get("setup_args") or {}
        own = registry.get(REGISTRY_ENTRY, {})
        return cls(
            genes=np.asarray(fields["X"]["state_registry"]["column_names"], dtype=object),
            conditions=np.asarray(fields["batch"]["state_registry"]["categorical_mapping"]),
            labels=np.asarray(fields["labels"]["state_registry"]["categorical_mapping"]),
            batch_key=arguments.get("batch_key"),
            labels_key=arguments.get("labels_key"),
            size_factor_key=arguments.get("size_factor_key"),
            layer=arguments.get("layer"),
            modality=arguments.get("modality"),
            space=own.get("space", "unknown"),
        )

    def anndata(self, data: AnnData | MuData) -> AnnData:
        """Return the AnnData that holds the genes: `data` itself, or its modality.

        Parameters
        ----------
        data
            AnnData or MuData.

        Raises
        ------
        KeyNotFoundError
            The MuData has no such modality.
        """
        if not isinstance(data, MuData):
            return data
        if self.modality not in data.mod:
            raise KeyNotFoundError(f"the MuData has no modality '{self.modality}'; there are {listing(data.mod)}")
        return data.mod[self.modality]

    def column(self, data: AnnData | MuData, key: str, argument: str) -> pd.Series:
        """Return a column of the table of cells, looked up in the modality first, then in the MuData itself.

        Parameters
        ----------
        data
            AnnData or MuData.
        key, argument
            The column and what it is, for the error.

        Raises
        ------
        KeyNotFoundError
            There is no such column.
        """
        adata = self.anndata(data)
        if key in adata.obs:
            return adata.obs[key]
        if isinstance(data, MuData) and key in data.obs:
            return data.obs[key].reindex(adata.obs_names)
        raise KeyNotFoundError(
            f"obs has no column '{key}' ({argument} of the model); add it, for example adata.obs['{key}'] = ..."
        )

    def condition_code(self, condition: object, argument: str) -> int:
        """Return the code of a condition.

        Parameters
        ----------
        condition
            A value of ``obs[batch_key]``.
        argument
            Which argument named it, for the error.

        Raises
        ------
        GroupError
            The model has not seen it, or there are several.
        """
        if as_list(condition) is not None:
            raise GroupError(f"{argument}={condition} must be one condition; there are {listing(self.conditions)}")
        hits = np.flatnonzero(self.conditions == condition)
        if len(hits) == 0:
            raise GroupError(
                f"{argument}={named(condition)} is no condition of obs['{self.batch_key}'] in training; there are "
                f"{listing(self.conditions)}"
            )
        return int(hits[0])

    def label_codes(self, labels: Sequence[object] | pd.Series) -> np.ndarray:
        """Return the codes of labels; -1 for a label that training has not seen.

        Parameters
        ----------
        labels
            Values of ``obs[labels_key]``.
        """
        return pd.Index(self.labels).get_indexer(pd.Index(labels))

    def label_code(self, label: object, argument: str) -> int:
        """Return the code of one label.

        Parameters
        ----------
        label
            A value of ``obs[labels_key]``.
        argument
            Which argument named it, for the error.

        Raises
        ------
        GroupError
            The model has not seen it, or has no labels.
        """
        if self.labels_key is None:
            raise GroupError(f"{argument}={named(label)} was given, but the model was set up without labels_key")
        code = int(self.label_codes([label])[0])
        if code < 0:
            raise GroupError(
                f"{argument}={named(label)} is no label of obs['{self.labels_key}'] in training; there are "
                f"{listing(self.labels)}"
            )
        return code

    def condition_codes(self, data: AnnData | MuData) -> np.ndarray:
        """Return the code of every cell's condition.

        Parameters
        ----------
        data
            AnnData or MuData with the column of conditions.

        Raises
        ------
        GroupError
            Some cells are of a condition that training has not seen.
        DataError
            Some cells have no condition.
        """
        if self.batch_key is None:
            return np.zeros(self.anndata(data).n_obs, dtype=np.int64)
        column = self.column(data, self.batch_key, "batch_key")
        if column.isna().any():
            raise DataError(f"obs['{self.batch_key}'] has no value for {int(column.isna().sum())} cells")
        codes = pd.Index(self.conditions).get_indexer(pd.Index(column))
        if (codes < 0).any():
            unknown = pd.unique(column[codes < 0])
            raise GroupError(
                f"obs['{self.batch_key}'] holds {listing(unknown)}, which training has not seen; there are "
                f"{listing(self.conditions)}"
            )
        return codes

    def check_extension(self, data: AnnData | MuData) -> None:
        """Check that data can add conditions, and labels, to those that there are.

        Parameters
        ----------
        data
            AnnData or MuData with the columns of conditions and, where there are any, of labels.

        Raises
        ------
        GroupError
            There is no new condition.
        DataError
            The new names are numbers and the known ones text, or the reverse.
        """
        if self.batch_key is not None and len(self._new_names(data, self.batch_key, "batch_key", self.conditions)) == 0:
            raise GroupError(
                f"obs['{self.batch_key}'] holds no condition beside those that the model knows, "
                f"{listing(self.conditions)}; there is nothing to add: give the cells to the verbs as adata="
            )
        if self.labels_key is not None:
            self._new_names(data, self.labels_key, "labels_key", self.labels)

    def _new_names(self, data: AnnData | MuData, key: str, argument: str, known: np.ndarray) -> list[object]:
        new = [name for name in pd.unique(self.column(data, key, argument)) if name not in set(known)]
        if new and len({isinstance(name, str) for name in (*known, *new)}) > 1:
            raise DataError(
                f"obs['{key}'] ({argument}) holds {listing(new)} of type {type(new[0]).__name__}, and the model's are "
                f"of type {type(known[0]).__name__}; turn them into that type first"
            )
        return new

    def cell_label_codes(self, data: AnnData | MuData) -> np.ndarray:
        """Return the code of every cell's label; -1 where training has not seen it, or where there are no labels.

        Parameters
        ----------
        data
            AnnData or MuData; the column of labels may be missing.
        """
        n_cells = self.anndata(data).n_obs
        if self.labels_key is None:
            return np.zeros(n_cells, dtype=np.int64)
        try:
            return self.label_codes(self.column(data, self.labels_key, "labels_key"))
        except KeyNotFoundError:
            return np.full(n_cells, -1)
