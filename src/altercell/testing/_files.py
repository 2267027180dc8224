"""C7: a model file is data; a damaged or hostile one gives a clear error and runs nothing."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from altercell import _datafile
from altercell.errors import ModelFileError
from altercell.models.base import TrainingMixin
from altercell.models.base._files import MODEL_FILE
from altercell.models.base._training import RESUME_FILE
from altercell.testing._expect import refuses
from altercell.testing._registry import check
from altercell.testing._subject import Subject

N_FLIPS = 12

_watchers: list[list[str]] = []


@contextlib.contextmanager
def _saved(subject: Subject) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        subject.trained.save(folder, overwrite=True)
        yield Path(folder) / MODEL_FILE


def _load_refused(subject: Subject, path: Path, what: str, *names: object) -> None:
    refuses(
        lambda: subject.Model.load(path.parent, subject.adata(), accelerator="cpu"), what, *names, kind=ModelFileError
    )


class _Payload:
    """A pickle of this touches a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@check("C7")
def planted_pickle(subject: Subject) -> None:
    """A pickle in place of the model file is refused, and its payload does not run."""
    with _saved(subject) as path:
        trap = path.parent / "trap"
        path.write_bytes(pickle.dumps(_Payload(trap)))
        # That nothing runs comes before how it is refused.
        with contextlib.suppress(Exception):
            subject.Model.load(path.parent, subject.adata(), accelerator="cpu")
        assert not trap.exists(), "load ran the code of a planted pickle"
        _load_refused(subject, path, "a pickle in place of the model")


@check("C7")
def pickle_beside(subject: Subject) -> None:
    """Pickles beside the model file, under the names that scvi-tools reads, do not run."""
    with _saved(subject) as path:
        trap = path.parent / "trap"
        for name in ("model.pt", "attr.pkl", "model_params.pt", "var_names.csv"):
            (path.parent / name).write_bytes(pickle.dumps(_Payload(trap)))
        subject.Model.load(path.parent, subject.adata(), accelerator="cpu")
        assert not trap.exists(), "load ran the code of a pickle beside the model file"


@check("C7")
def other_readers(subject: Subject) -> None:
    """The other readers that scvi-tools has, `load_registry` and `convert_legacy_save`, run no pickle either."""
    with _saved(subject) as path:
        trap, legacy = path.parent / "trap", path.with_name("model.pt")
        registry = subject.Model.load_registry(path.parent)
        assert registry["setup_method_name"] == "setup_anndata", "load_registry does not give the registry"
        for file in (path, legacy):
            file.write_bytes(pickle.dumps(_Payload(trap)))
        with contextlib.suppress(Exception):
            subject.Model.load_registry(path.parent)
        with contextlib.suppress(Exception):
            subject.Model.convert_legacy_save(path.parent, path.with_name("converted"))
        assert not trap.exists(), "load_registry or convert_legacy_save ran the code of a planted pickle"


@check("C7")
def no_pickle(subject: Subject) -> None:
    """`save` writes no pickle, and `load` reads none."""
    with _saved(subject) as path:
        for file in sorted(path.parent.iterdir()):
            start = file.read_bytes()[:2]
            assert start not in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"), f"save wrote a pickle, '{file.name}'"
        with _unpickled() as found:
            subject.Model.load(path.parent, subject.adata(), accelerator="cpu")
    assert not found, f"load unpickled: {found[:3]}"


@contextlib.contextmanager
def _unpickled() -> Iterator[list[str]]:
    """Collect the names that unpickling looks up, by Python's audit events."""
    if not hasattr(_unpickled, "hooked"):
        sys.addaudithook(_look)  # cannot be taken away again; it does nothing when nobody watches
        _unpickled.hooked = True  # type: ignore[attr-defined]
    found: list[str] = []
    _watchers.append(found)
    try:
        yield found
    finally:
        _watchers.remove(found)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and event == "pickle.find_class":
        for found in _watchers:
            found.append(".".join(map(str, arguments)))


@check("C7")
def truncated(subject: Subject) -> None:
    """A truncated model file is refused, wherever it ends."""
    with _saved(subject) as path:
        whole = path.read_bytes()
        for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            _load_refused(subject, path, f"a model file of {length} of {len(whole)} bytes", path.name)


@check("C7")
def flipped(subject: Subject) -> None:
    """A model file with one wrong byte is refused, wherever it stands."""
    with _saved(subject) as path:
        whole = path.read_bytes()
        for number in range(N_FLIPS):
            place = number * (len(whole) - 1) // (N_FLIPS - 1)
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            _load_refused(subject, path, f"a model file with a wrong byte at {place}", path.name)


@check("C7")
def oversized(subject: Subject) -> None:
    """A model file with bytes after its end, or that says it is larger than it is, is refused."""
    with _saved(subject) as path:
        whole = path.read_bytes()
        for content in (whole + b"more", (2**60).to_bytes(8, "little") + whole[8:]):
            path.write_bytes(content)
            _load_refused(subject, path, "an oversized model file", path.name)


@check("C7")
def no_file(subject: Subject) -> None:
    """A folder without a model is refused, naming the folder."""
    with tempfile.TemporaryDirectory() as folder:
        _load_refused(subject, Path(folder) / MODEL_FILE, "a folder without a model", folder)


@check("C7")
def wrong_class(subject: Subject) -> None:
    """A model of another class is refused, naming both."""
    with _saved(subject) as path:
        _rewrite(path, lambda meta: meta.update({"class": "Elsewhere"}))
        _load_refused(subject, path, "a model of another class", "Elsewhere", subject.Model.__name__)


@check("C7")
def wrong_format(subject: Subject) -> None:
    """A model file of a later format is refused, naming the format."""
    later = _datafile.FORMAT + 1
    with _saved(subject) as path:
        content = _datafile.read(path, "model")
        with mock.patch.object(_datafile, "FORMAT", later):
            _datafile.write(path, "model", *content)
        _load_refused(subject, path, f"a model file of format {later}", later)


@check("C7")
def wrong_kind(subject: Subject) -> None:
    """A file of another kind is refused, naming it."""
    with _saved(subject) as path:
        meta, tensors = _datafile.read(path, "model")
        _datafile.write(path, "resume", meta, tensors)
        _load_refused(subject, path, "a resume file as a model", "resume")


@check("C7")
def wrong_arguments(subject: Subject) -> None:
    """A file that names an argument which the class does not have is refused, naming it."""
    with _saved(subject) as path:
        _rewrite(path, lambda meta: meta["arguments"].update({"of_a_later_version": 1}))
        _load_refused(subject, path, "a file with an unknown argument", "of_a_later_version")


@check("C7")
def wrong_weights(subject: Subject) -> None:
    """A file whose tensors do not fit the class is refused."""
    with _saved(subject) as path:
        meta, tensors = _datafile.read(path, "model")
        name = sorted(tensors)[0]
        _datafile.write(path, "model", meta, {key: value for key, value in tensors.items() if key != name})
        _load_refused(subject, path, "a file without one of its tensors", name)


@check("C7")
def incomplete(subject: Subject) -> None:
    """A file without one of its entries is refused."""
    with _saved(subject) as path:
        meta, tensors = _datafile.read(path, "model")
        for entry in meta:
            _datafile.write(path, "model", {key: value for key, value in meta.items() if key != entry}, tensors)
            _load_refused(subject, path, f"a file without its entry '{entry}'")


@check("C7")
def method_from_file(subject: Subject) -> None:
    """A file cannot choose which method `load` calls."""
    with _saved(subject) as path:
        _rewrite(path, lambda meta: meta["registry"].update({"setup_method_name": "canary"}))
        canary = mock.Mock()
        # To refuse the file is as good as to overlook what it asks for.
        with mock.patch.object(subject.Model, "canary", canary, create=True), contextlib.suppress(ModelFileError):
            subject.Model.load(path.parent, subject.adata(), accelerator="cpu")
        assert not canary.called, "load called the method that the file named"


@check("C7")
def crafted_header(subject: Subject) -> None:
    """A file whose header was made by hand, with a right checksum, is refused."""
    start = f'{{"kind": "model", "format": {_datafile.FORMAT}, "meta":'
    with _saved(subject) as path:
        tensors = _datafile.read(path, "model")[1]
        nested, incomplete = f"{start} {'[' * 100_000}", f'{start} {{"__type__": "tuple"}}}}'
        for text in ("no JSON", "[]", "{}", f"{start} 3}}", nested, incomplete):
            with mock.patch.object(_datafile.json, "dumps", return_value=text):
                _datafile.write(path, "model", {}, tensors)
            _load_refused(subject, path, f"the header {text[:60]}", path.name)


@check("C7", needs=(TrainingMixin,))
def damaged_resume_file(subject: Subject) -> None:
    """A resume file that is a pickle, truncated or has a wrong byte is refused, and nothing of it runs."""
    with tempfile.TemporaryDirectory() as folder:
        path, trap = Path(folder) / RESUME_FILE, Path(folder) / "trap"
        subject.train(subject.make(), 1, resume_dir=folder)
        whole = path.read_bytes()
        middle = len(whole) // 2
        flipped_file = whole[:middle] + bytes([whole[middle] ^ 0x55]) + whole[middle + 1 :]
        for content in (pickle.dumps(_Payload(trap)), whole[:middle], flipped_file):
            path.write_bytes(content)
            refuses(
                lambda: subject.train(subject.make(), 2, resume_dir=folder),
                "a damaged resume file",
                path.name,
                kind=ModelFileError,
            )
        assert not trap.exists(), "the code of a planted resume file ran"


def _rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the plain data of a model file; its checksum is right again."""
    meta, tensors = _datafile.read(path, "model")
    change(meta)
    _datafile.write(path, "model", meta, tensors)
