"""Files that hold data only: tensors in safetensors, everything else as JSON in its header; nothing in them is run."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from altercell.errors import ModelFileError

FORMAT = 1
_META, _DIGEST = "altercell", "sha256"
_TYPE = "__type__"


def encode(value: Any) -> Any:
    """Turn a value of the registry's kinds into JSON, keeping its type.

    Parameters
    ----------
    value
        None, bool, number, text, list, tuple, mapping, NumPy scalar or array, tensor, or :class:`pandas.Index`, nested
        as wished.

    Returns
    -------
    The same content made of JSON's own types, with a ``"__type__"`` mark where JSON has none. NumPy scalars become
    Python's, tensors arrays, and what is text in an array becomes an array of objects.

    Raises
    ------
    ModelFileError
        For a value that is not data, such as a function or a module.
    """
    if (
        value is None
        or isinstance(value, bool | str)
        or (isinstance(value, int | float) and not isinstance(value, np.generic))
    ):
        return value
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {_TYPE: "tuple", "items": [encode(item) for item in value]}
    if isinstance(value, Mapping):
        if _TYPE in value or not all(isinstance(key, str) for key in value):
            return {_TYPE: "mapping", "items": [[encode(k), encode(v)] for k, v in value.items()]}
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, pd.Index | pd.api.extensions.ExtensionArray):
        return encode(np.asarray(value))
    if isinstance(value, torch.Tensor):
        return _encode_array(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    raise ModelFileError(f"a {type(value).__name__} is not data and cannot be written to a model file")


def _encode_array(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind == "V":
        raise ModelFileError("an array of records is not among what a model file holds; give its fields one by one")
    if array.dtype.kind in "OUT":
        items = [encode(item) for item in array.ravel().tolist()]
        return {_TYPE: "array", "dtype": "object", "shape": list(array.shape), "items": items}
    raw = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {_TYPE: "array", "dtype": array.dtype.str, "shape": list(array.shape), "raw": raw}


def decode(value: Any) -> Any:
    """Undo :func:`encode`.

    Parameters
    ----------
    value
        What :func:`encode` returned, as read from JSON.

    Returns
    -------
    The value with its type restored.

    Raises
    ------
    ModelFileError
        For a mark that :func:`encode` does not write.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_TYPE)
    if kind is None:
        return {key: decode(item) for key, item in value.items()}
    if kind == "tuple":
        return tuple(decode(value["items"]))
    if kind == "mapping":
        return {decode(k): decode(v) for k, v in value["items"]}
    if kind == "array":
        return _decode_array(value)
    raise ModelFileError(f"the file holds a value of the unknown kind '{kind}'")


def _decode_array(value: dict[str, Any]) -> np.ndarray:
    if value["dtype"] == "object":
        array = np.empty(len(value["items"]), dtype=object)
        # One by one: NumPy would take items that are lists or tuples for further axes.
        for number, item in enumerate(value["items"]):
            array[number] = decode(item)
        return array.reshape(value["shape"])
    dtype = np.dtype(value["dtype"])
    if dtype.hasobject:
        raise ModelFileError("the file holds an array of objects as raw bytes")
    return np.frombuffer(base64.b64decode(value["raw"]), dtype=dtype).reshape(value["shape"]).copy()


def _digest(meta: str, tensors: Mapping[str, torch.Tensor]) -> str:
    sha = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        sha.update(tensor.flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return sha.hexdigest()


def write(path: Path, kind: str, meta: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors and plain data to one file, whole or not at all.

    Parameters
    ----------
    path
        The file. It is written beside itself and moved into place, so that a kill leaves the old one.
    kind
        What the file is, for example ``"model"``; :func:`read` asks for it.
    meta
        Plain data, of the kinds that :func:`encode` takes.
    tensors
        Named tensors, copied to the CPU.
    """
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps({"format": FORMAT, "kind": kind, "meta": encode(dict(meta))})
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(own, partial, metadata={_META: text, _DIGEST: _digest(text, own)})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a file of :func:`write`, and check that it is whole.

    Parameters
    ----------
    path
        The file.
    kind
        What the file has to be.

    Returns
    -------
    The plain data and the tensors, on the CPU.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, of another kind, or of a version that this one does not read.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no {kind} file at '{path}'")
    try:
        with safe_open(path, framework="pt") as handle:
            head = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"'{path}' is not a whole {kind} file of altercell: {error}") from error
    if _META not in head or _DIGEST not in head:
        raise ModelFileError(f"'{path}' was not written by altercell")
    if _digest(head[_META], tensors) != head[_DIGEST]:
        raise ModelFileError(f"'{path}' is damaged: its content does not match its checksum")
    try:
        return _content(head[_META], kind, path), tensors
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"'{path}' has a header that altercell did not write: {error!r}") from error


def _content(text: str, kind: str, path: Path) -> dict[str, Any]:
    content = json.loads(text)
    if content["kind"] != kind:
        raise ModelFileError(f"'{path}' is a {content['kind']} file, not a {kind} file")
    if content["format"] != FORMAT:
        raise ModelFileError(
            f"'{path}' has file format {content['format']}; this altercell reads format {FORMAT}: use the "
            "version that wrote it"
        )
    meta = decode(content["meta"])
    if not isinstance(meta, dict):
        raise TypeError(f"{type(meta).__name__} in place of a mapping")
    return meta
