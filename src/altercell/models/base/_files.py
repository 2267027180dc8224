"""Model files: weights and plain data in one safetensors file; loading runs no code from it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.model._utils import parse_device_args

from altercell import __version__, _datafile
from altercell.errors import ModelFileError, NotTrainedError, listing

if TYPE_CHECKING:
    from scvi.model.base import BaseModelClass as Base
else:
    Base = object

STATE = "state."
ENTRIES = ("class", "altercell", "arguments", "registry", "cells", "state", "history")
MODEL_FILE, ADATA_FILE, MDATA_FILE = "model.safetensors", "adata.h5ad", "mdata.h5mu"


class FileMixin(Base):
    """`save` and `load` of a model.

    A model is written as one ``model.safetensors``: weights and buffers, and in its header, as JSON, the class, the
    version, the constructor's arguments, the registry and the history. No pickle is written or read.
    """

    #: Attributes that the file keeps beside the weights.
    _kept: ClassVar[tuple[str, ...]] = (
        "is_trained_",
        "train_indices_",
        "validation_indices_",
        "test_indices_",
        "run_name_",
    )

    def save(
        self, dir_path: str | Path, *, prefix: str | None = None, overwrite: bool = False, save_anndata: bool = False
    ) -> None:
        """Write the model to a folder.

        Parameters
        ----------
        dir_path
            The folder; it is made where it is not.
        prefix
            Text before the file names.
        overwrite
            Whether files that are there may be replaced.
        save_anndata
            Whether to write the registered cells beside it, as h5ad (or h5mu).

        Raises
        ------
        ModelFileError
            A file of that name is there and `overwrite` is False.
        NotTrainedError
            `save_anndata` is True and the model has no cells.
        """
        folder, start = Path(dir_path), prefix or ""
        target, beside = folder / f"{start}{MODEL_FILE}", folder / f"{start}{_cells_file(self.registry_)}"
        for path in (target, *([beside] if save_anndata else [])):
            if path.exists() and not overwrite:
                raise ModelFileError(f"'{path}' exists; choose another folder or give overwrite=True")
        if save_anndata and self.adata is None:
            raise NotTrainedError("save_anndata=True, but this model has no AnnData")
        folder.mkdir(parents=True, exist_ok=True)
        if save_anndata:
            self._save_cells(beside)
        state = {name: getattr(self, name) for name in self._kept}
        # A header has a limit of size, so what grows with the number of cells goes beside the weights.
        arrays = {
            f"{STATE}{name}": torch.from_numpy(value) for name, value in state.items() if isinstance(value, np.ndarray)
        }
        meta = {
            "class": type(self).__name__,
            "altercell": __version__,
            "arguments": self._constructor_arguments(),
            "registry": dict(self.registry_),
            "cells": save_anndata,
            "state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)},
            "history": {
                name: frame.iloc[:, 0].to_numpy(dtype=np.float64) for name, frame in (self.history_ or {}).items()
            },
        }
        _datafile.write(target, "model", meta, {**self.module.state_dict(), **arrays})

    def _save_cells(self, path: Path) -> None:
        parts = list(self.adata.mod.values()) if isinstance(self.adata, MuData) else [self.adata]
        # Writing turns columns of text into categories, in the caller's own tables.
        tables = [(part.obs.copy(), part.var.copy()) for part in parts]
        try:
            if isinstance(self.adata, MuData):
                self.adata.write(path)
            else:
                # AnnData.write would move an AnnData that is backed by a file onto the new file.
                ad.io.write_h5ad(path, self.adata)
        finally:
            for part, (obs, var) in zip(parts, tables, strict=True):
                part.obs, part.var = obs, var

    def _constructor_arguments(self) -> dict[str, Any]:
        parameters = self.init_params_
        extra = {key: value for group in parameters["kwargs"].values() for key, value in group.items()}
        return {**parameters["non_kwargs"], **extra}

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | MuData | None = None,
        *,
        prefix: str | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
    ) -> Self:
        """Read a model from a folder.

        Parameters
        ----------
        dir_path
            The folder that :meth:`save` wrote.
        adata
            Cells to attach to the model. They are registered, as :meth:`setup_anndata` does. None: those saved with the
            model, if any, else none; the verbs then take their cells as `adata`.
        prefix
            Text before the file names.
        accelerator, device
            Where to put the model, as in Lightning.

        Returns
        -------
        The model, ready for its verbs.

        Raises
        ------
        ModelFileError
            No file, a damaged file, a model of another class, or a version that cannot be read.
        """
        folder, start = Path(dir_path), prefix or ""
        meta, tensors = _datafile.read(folder / f"{start}{MODEL_FILE}", "model")
        missing = [name for name in ENTRIES if name not in meta]
        if missing:
            raise ModelFileError(f"'{folder / f'{start}{MODEL_FILE}'}' lacks {listing(missing)}; save the model again")
        if meta["class"] != cls.__name__:
            raise ModelFileError(f"'{folder}' holds a {meta['class']}, not a {cls.__name__}; call {meta['class']}.load")
        arrays = {name: tensors.pop(name).numpy() for name in list(tensors) if name.startswith(STATE)}
        state = {**meta["state"], **{name.removeprefix(STATE): value for name, value in arrays.items()}}
        registry = meta["registry"]
        # Cells that lie beside a model that was saved without any are not its own.
        beside = folder / f"{start}{_cells_file(registry)}"
        data = _read_cells(beside) if adata is None and meta["cells"] and beside.exists() else adata
        if data is not None:
            cls._set_up_again(data, registry)
        model = cls._construct(data, registry, meta["arguments"])
        try:
            model.module.load_state_dict(tensors)
        except RuntimeError as error:
            first = " ".join(str(error).split("\n\t")[:2])  # torch lists every tensor
            raise ModelFileError(
                f"the weights in '{folder}' do not fit {cls.__name__} of this version: {first}"
            ) from error
        for name in cls._kept:
            setattr(model, name, state[name])
        model.history_ = {name: _frame(name, values) for name, values in meta["history"].items()} or None
        _, _, where = parse_device_args(
            accelerator=accelerator, devices=device, return_device="torch", validate_single_device=True
        )
        model.to_device(where)
        model.module.eval()
        return model

    @classmethod
    def _set_up_again(cls, data: AnnData | MuData, registry: Mapping[str, Any], **transfer: bool) -> None:
        setup = cls.setup_mudata if isinstance(data, MuData) else cls.setup_anndata
        known = inspect.signature(setup).parameters
        # A data module of scvi-tools notes more arguments than an AnnData has.
        arguments = {name: value for name, value in registry["setup_args"].items() if name in known}
        setup(data, source_registry=registry, **arguments, **transfer)

    @staticmethod
    def load_registry(dir_path: str | Path, prefix: str | None = None) -> dict[str, Any]:
        """Read the registry of a model file, as data.

        Parameters
        ----------
        dir_path, prefix
            As in :meth:`load`.
        """
        return _datafile.read(Path(dir_path) / f"{prefix or ''}{MODEL_FILE}", "model")[0]["registry"]

    @classmethod
    def convert_legacy_save(cls, *args: Any, **kwargs: Any) -> None:
        """Refuse to convert a file of scvi-tools: it can be read only by running what it holds.

        Parameters
        ----------
        *args, **kwargs
            Not read.

        Raises
        ------
        ModelFileError
            Always.
        """
        raise ModelFileError("altercell reads no pickled model files, since reading one runs code from it; train anew")

    @classmethod
    def _construct(
        cls, data: AnnData | MuData | None, registry: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Self:
        known = inspect.signature(cls.__init__).parameters
        unknown = set(arguments) - set(known)
        if unknown:
            raise ModelFileError(
                f"the file names arguments that {cls.__name__} of this version does not have: {sorted(unknown)}"
            )
        return cls(data, **arguments) if data is not None else cls(registry=registry, **arguments)


def _cells_file(registry: Mapping[str, Any]) -> str:
    return MDATA_FILE if (registry.get("setup_args") or {}).get("modality") else ADATA_FILE


def _read_cells(path: Path) -> AnnData | MuData:
    return md.read_h5mu(path) if path.name.endswith(MDATA_FILE) else ad.read_h5ad(path)


def _frame(name: str, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({name: values}, index=pd.RangeIndex(len(values), name="epoch"))
