"""The base of every model: registration of the data, the constructor's checks, and what a model shows of itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager, fields
from scvi.model.base import BaseModelClass

from altercell._random import isolated_rng
from altercell._space import check_space, get_space
from altercell.data._checks import (
    ValueSummary,
    check_column,
    check_columns,
    check_counts,
    check_log,
    check_matrix,
    check_names,
    check_not_negative,
    check_pixels,
)
from altercell.errors import DataError, GeneMismatchError, GroupError, KeyNotFoundError, NotTrainedError, listing
from altercell.models.base._cells import Cells, align_genes, matrix_of
from altercell.models.base._files import FileMixin
from altercell.models.base._schema import REGISTRY_ENTRY, Schema, as_names


class AltercellModel(FileMixin, BaseModelClass):
    """What all models share: `setup_anndata`, checks, safe files, and randomness that stays inside.

    Parameters
    ----------
    adata
        AnnData (or MuData) registered with :meth:`setup_anndata` (or :meth:`setup_mudata`). None with `registry`.
    registry
        Registry of a model file or of a data module, where there is no AnnData.
    seed
        Seed of the initial weights, and of :meth:`train` where that is given none.
    """

    #: Whether the model needs at least two conditions.
    _needs_conditions: ClassVar[bool] = False

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry)
        self.schema = Schema.from_registry(self.registry_)
        if not isinstance(seed, int | np.integer):
            raise DataError(f"seed={seed!r} must be a whole number")
        self.seed = int(seed)

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        size_factor_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register an AnnData with the model class, after checking that it can be used.

        The object is not changed, but for the columns and the identifier that scvi-tools registers.

        Parameters
        ----------
        adata
            The training cells. Held-out cells must not be in it: see :func:`altercell.data.hold_out`.
        layer
            Layer to read; None for X.
        batch_key
            Column of obs with the condition (or, for integration, the batch).
        labels_key
            Column of obs with the cell type.
        categorical_covariate_keys
            Further columns (donor, technical batch); checked here and kept for every predicted cell.
        size_factor_key
            Column of obs with each cell's total count over all genes, for count likelihoods.
        **kwargs
            `source_registry`, when a model file is loaded; `extend_categories`, when a study is added to a model.

        Raises
        ------
        KeyNotFoundError
            A column or a layer is missing.
        DataError
            NaN, infinite values, repeated gene names, cells without a group, no genes, fewer than 2 cells, a view.
        GroupError
            There is only one condition, and the model needs two.
        """
        source, extend = cls._transfer_options("setup_anndata", **kwargs)
        if not isinstance(adata, AnnData):
            raise DataError(
                f"setup_anndata takes an AnnData, not a {type(adata).__name__}; for a MuData there is setup_mudata"
            )
        arguments = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            layer=layer,
            batch_key=batch_key,
            labels_key=labels_key,
            categorical_covariate_keys=as_names(categorical_covariate_keys),
            size_factor_key=size_factor_key,
        )
        arguments[REGISTRY_ENTRY] = cls._check(adata, arguments["setup_args"], source)
        anndata_fields = [
            fields.LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False, correct_data_format=False),
            fields.CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key),
            fields.CategoricalObsField(REGISTRY_KEYS.LABELS_KEY, labels_key),
        ]
        cls._register(adata, anndata_fields, arguments, source, extend)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        modality: str,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        size_factor_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register one modality of a MuData, as :meth:`setup_anndata` does an AnnData.

        Parameters
        ----------
        mdata
            The training cells.
        modality
            The modality with the genes, for example ``"rna"``. The columns are looked up in its obs.
        layer, batch_key, labels_key, categorical_covariate_keys, size_factor_key
            As in :meth:`setup_anndata`.
        **kwargs
            As in :meth:`setup_anndata`.

        Raises
        ------
        KeyNotFoundError
            There is no such modality, column or layer.
        """
        source, extend = cls._transfer_options("setup_mudata", **kwargs)
        if not isinstance(mdata, MuData):
            raise DataError(
                f"setup_mudata takes a MuData, not a {type(mdata).__name__}; for an AnnData there is setup_anndata"
            )
        if modality not in mdata.mod:
            raise KeyNotFoundError(f"modality='{modality}' is not in the MuData; there are {listing(mdata.mod)}")
        arguments = cls._get_setup_method_args(
            cls=cls,
            mdata=mdata,
            modality=modality,
            layer=layer,
            batch_key=batch_key,
            labels_key=labels_key,
            categorical_covariate_keys=as_names(categorical_covariate_keys),
            size_factor_key=size_factor_key,
        )
        arguments[REGISTRY_ENTRY] = cls._check(mdata.mod[modality], arguments["setup_args"], source)
        mudata_fields = [
            fields.MuDataLayerField(
                REGISTRY_KEYS.X_KEY,
                layer,
                mod_key=modality,
                mod_required=True,
                is_count_data=False,
                correct_data_format=False,
            ),
            fields.MuDataCategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key, mod_key=modality),
            fields.MuDataCategoricalObsField(REGISTRY_KEYS.LABELS_KEY, labels_key, mod_key=modality),
        ]
        cls._register(mdata, mudata_fields, arguments, source, extend)

    @classmethod
    def _transfer_options(
        cls, verb: str, source_registry: Mapping[str, Any] | None = None, extend_categories: bool = False, **rest: Any
    ) -> tuple[Mapping[str, Any] | None, bool]:
        """Return the registry to transfer from, and whether new conditions and labels are added to it."""
        if rest:
            raise TypeError(f"{cls.__name__}.{verb}() has no argument {listing(rest)}")
        if extend_categories and source_registry is None:
            raise TypeError(f"{cls.__name__}.{verb}(): extend_categories= adds to a source_registry=")
        return source_registry, extend_categories

    @classmethod
    def _check(cls, adata: AnnData, arguments: Mapping[str, Any], source: Mapping[str, Any] | None) -> dict[str, Any]:
        """Check the data and return what the registry keeps of them beside scvi-tools' own entries."""
        if adata.is_view:
            raise DataError("adata is a view of another AnnData; call adata = adata.copy() first")
        check_names(adata.var_names, adata.obs_names)
        for argument in ("batch_key", "labels_key", "size_factor_key"):
            if arguments[argument] is not None:
                check_column(adata.obs, arguments[argument], argument)
        check_columns(adata.obs, arguments["categorical_covariate_keys"], "categorical_covariate_keys")
        cls._check_conditions_seen(adata, arguments["batch_key"], source)
        place = "adata.X" if arguments["layer"] is None else f"adata.layers['{arguments['layer']}']"
        values = check_matrix(matrix_of(adata, arguments["layer"]), place, adata.var_names, adata.obs_names)
        return {
            "space": get_space(adata, arguments["layer"]),
            "place": place,
            "largest": values.largest,
            "smallest": values.smallest,
            "whole": values.whole,
            "empty_cells": values.empty_cells,
            "n_genes_total": int(dict(adata.uns.get("altercell", {})).get("n_genes_total", adata.n_vars)),
        }

    @classmethod
    def _check_conditions_seen(cls, adata: AnnData, batch_key: str | None, source: Mapping[str, Any] | None) -> None:
        if not cls._needs_conditions or source is not None:
            return
        if batch_key is None:
            raise KeyNotFoundError(
                f"{cls.__name__} compares conditions: name their column with batch_key=; obs has "
                f"{listing(adata.obs.columns, 12)}"
            )
        groups = adata.obs[batch_key].unique()
        if len(groups) < 2:
            raise GroupError(
                f"obs['{batch_key}'] (batch_key) holds one condition only, {listing(groups)}; {cls.__name__} "
                "needs two or more"
            )

    @classmethod
    def _register(
        cls,
        data: AnnData | MuData,
        data_fields: list[Any],
        arguments: dict[str, Any],
        source: Mapping[str, Any] | None,
        extend: bool = False,
    ) -> None:
        if source is not None:
            cls._check_transfer(data, source, extend)
            entry = arguments[REGISTRY_ENTRY]
            # The model's space is that of its training; the data were just checked against it.
            entry["space"] = Schema.from_registry(source).space
            # So is the number of genes that the model's were chosen from, which these data need not tell.
            entry["n_genes_total"] = max(entry["n_genes_total"], source.get(REGISTRY_ENTRY, {}).get("n_genes_total", 0))
        manager = AnnDataManager(fields=data_fields, setup_method_args=arguments)
        options = {"extend_categories": True} if extend else {}
        manager.register_fields(data, source_registry=source, **options)
        if source is not None:
            # The network's order of genes is that of its training, whatever the order in these data.
            state = manager.registry["field_registries"]["X"]["state_registry"]
            state["column_names"] = source["field_registries"]["X"]["state_registry"]["column_names"]
        cls.register_manager(manager)

    @classmethod
    def _check_transfer(cls, data: AnnData | MuData, source: Mapping[str, Any], extend: bool = False) -> None:
        schema = Schema.from_registry(source)
        adata = schema.anndata(data)
        align_genes(adata.var_names, schema.genes)
        if adata.n_vars != len(schema.genes):
            other = "" if extend else ", or load without data and give them to the verb as adata="
            raise GeneMismatchError(
                f"the data have {adata.n_vars} genes and the model {len(schema.genes)}; attach adata[:, "
                f"model.schema.genes].copy(){other}"
            )
        check_space(adata, schema.space, schema.layer)
        if extend:
            schema.check_extension(data)
            return
        schema.condition_codes(data)
        unknown = schema.cell_label_codes(data) < 0
        if unknown.any() and schema.labels_key is not None:
            names = pd.unique(schema.column(data, schema.labels_key, "labels_key")[unknown])
            raise GroupError(
                f"obs['{schema.labels_key}'] holds {listing(names)}, which training has not seen; load without "
                "data and give them "
                "to the verb as adata="
            )

    def _value_summary(self) -> ValueSummary | None:
        """Return what registration found of the values; None where only a data module's registry is known."""
        entry = self.registry_.get(REGISTRY_ENTRY)
        if entry is None:
            return None
        return ValueSummary(entry["largest"], entry["smallest"], entry["whole"], np.asarray(entry["empty_cells"]), 0)

    def _require_log(self) -> None:
        """Raise where the registered values cannot be log data."""
        values = self._value_summary()
        if values is not None:
            check_log(values, self.registry_[REGISTRY_ENTRY]["place"], type(self).__name__)

    def _require_pixels(self) -> None:
        """Raise where registered values are too large for what a network of images is trained on."""
        values = self._value_summary()
        if values is not None:
            check_pixels(values, self.registry_[REGISTRY_ENTRY]["place"])

    def _require_reachable(self, output_activation: str) -> None:
        """Raise where registered values are negative, and what follows the decoder cannot be."""
        values = self._value_summary()
        if values is not None and output_activation != "linear":
            check_not_negative(values, self.registry_[REGISTRY_ENTRY]["place"], output_activation)

    def _require_counts(self) -> None:
        """Raise where the registered values cannot be counts."""
        values = self._value_summary()
        if values is not None and self.adata is not None:
            names = self.schema.anndata(self.adata).obs_names
            check_counts(values, self.registry_[REGISTRY_ENTRY]["place"], type(self).__name__, names)

    def _total_is_of_a_subset(self) -> bool:
        """Return whether a cell's total is the sum of registered genes that were chosen from more."""
        entry = self.registry_.get(REGISTRY_ENTRY, {})
        return self.schema.size_factor_key is None and entry.get("n_genes_total", 0) > len(self.schema.genes)

    @property
    def space(self) -> str:
        """The space of the values that the model works on, for example ``"log1p of counts per 10,000"``."""
        return self.schema.space

    def cells(
        self, data: AnnData | MuData | None = None, rows: Sequence[int] | np.ndarray | None = None, **options: Any
    ) -> Cells:
        """Read cells as the model does, in batches, genes aligned by name.

        Parameters
        ----------
        data
            AnnData or MuData; None for the one that the model was made with. Other data are checked: their space now,
            and that the values are finite as they are read.
        rows
            Row numbers or a mask; None for all.
        **options
            Of :class:`~altercell.models.base.Cells`.

        Raises
        ------
        NotTrainedError
            `data` is None and the model has none, because it was loaded without.
        SpaceMismatchError
            `data` are in another space than the model's.
        """
        if data is None and self.adata is None:
            raise NotTrainedError(f"this {type(self).__name__} has no AnnData (it was loaded without); give adata=")
        if data is None or data is self.adata:
            return Cells(self.adata, self.schema, rows, **options)
        cells = Cells(data, self.schema, rows, checked=True, **options)
        if cells.adata.n_obs:
            check_space(cells.adata, self.space, self.schema.layer)
        return cells

    def _check_trained(self) -> None:
        if not self.is_trained_:
            raise NotTrainedError(f"this {type(self).__name__} is not trained; call train() first")

    @contextlib.contextmanager
    def _inference(self, seed: int | None = None) -> Iterator[int]:
        """Evaluate without gradients, leaving the caller's random generators as they were."""
        self._check_trained()
        was_training = self.module.training
        self.module.eval()
        try:
            with torch.inference_mode(), isolated_rng(seed) as used:
                yield used
        finally:
            self.module.train(was_training)

    def to_device(self, device: str | int | torch.device) -> Self:
        """Move the model to a device.

        Parameters
        ----------
        device
            ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or the number of a GPU.
        """
        super().to_device(device)
        return self

    def __repr__(self) -> str:
        state = "trained" if self.is_trained_ else "not trained"
        schema = self.schema
        return (
            f"{type(self).__name__} ({state}): {len(schema.genes)} genes in {schema.space}, "
            f"conditions {listing(schema.conditions, 4)}, labels "
            f"{listing(schema.labels, 4) if schema.labels_key else 'none'}"
        )
