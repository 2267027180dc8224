"""C7: a model that reads more than data from a file, or takes what is damaged, is caught."""

import json
import os
import pickle
from pathlib import Path

import pytest

from altercell import _datafile
from altercell.errors import ModelFileError
from altercell.models.base._files import MODEL_FILE
from altercell.testing._files import _Payload, _unpickled

from .suite import Net, Shift, assert_caught, broken_ids, outcome_of


class Unpickles(Shift):
    """It tries whether the file is a pickle."""

    @classmethod
    def load(cls, folder, *args, **kwargs):
        try:
            pickle.loads((folder / MODEL_FILE).read_bytes())
        except Exception as error:  # noqa: BLE001
            return super().load(folder, *args, **kwargs) if error else None


class ReadsScviFiles(Shift):
    """It reads scvi-tools' file first, where there is one."""

    @classmethod
    def load(cls, folder, *args, **kwargs):
        if (folder / "model.pt").exists():
            pickle.loads((folder / "model.pt").read_bytes())
        return super().load(folder, *args, **kwargs)


class ReadsLegacyRegistries(Shift):
    @staticmethod
    def load_registry(folder, prefix=None):
        content = (folder / MODEL_FILE).read_bytes()
        return pickle.loads(content) if content[:1] == b"\x80" else Shift.load_registry(folder)


class ConvertsLegacyFiles(Shift):
    @classmethod
    def convert_legacy_save(cls, folder, new):
        pickle.loads((folder / "model.pt").read_bytes())


class HasNoRegistry(Shift):
    @staticmethod
    def load_registry(folder, prefix=None):
        return {"setup_method_name": None}


class SavesAPickle(Shift):
    def save(self, folder, **kwargs):
        super().save(folder, **kwargs)
        with open(f"{folder}/more.pkl", "wb") as file:
            pickle.dump({"genes": list(self.schema.genes)}, file)


class ReadsAPickle(Shift):
    """Its pickle has another beginning, and is read for every load."""

    def save(self, folder, **kwargs):
        super().save(folder, **kwargs)
        with open(f"{folder}/more.bin", "wb") as file:
            file.write(b"more" + pickle.dumps(os.path.join))

    @classmethod
    def load(cls, folder, *args, **kwargs):
        pickle.loads((folder / "more.bin").read_bytes()[4:])
        return super().load(folder, *args, **kwargs)


class Forgives(Shift):
    """Where a file cannot be read, it begins afresh."""

    @classmethod
    def load(cls, folder, adata=None, **kwargs):
        try:
            return super().load(folder, adata, **kwargs)
        except ModelFileError:
            cls.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
            return cls(adata)


class Fails(Shift):
    """A damaged file is an error, and of any kind."""

    @classmethod
    def load(cls, *args, **kwargs):
        try:
            return super().load(*args, **kwargs)
        except ModelFileError as error:
            raise json.JSONDecodeError("expected", "", 0) from error


class CallsWhatTheFileNames(Shift):
    @classmethod
    def load(cls, folder, *args, **kwargs):
        meta, _ = _datafile.read(folder / MODEL_FILE, "model")
        getattr(cls, meta["registry"]["setup_method_name"])
        if meta["registry"]["setup_method_name"] != "setup_anndata":
            getattr(cls, meta["registry"]["setup_method_name"])()
        return super().load(folder, *args, **kwargs)


class BeginsAgain(Net):
    """A state that cannot be read is thrown away without a word."""

    def train(self, *args, resume_dir=None, **kwargs):
        try:
            super().train(*args, resume_dir=resume_dir, **kwargs)
        except ModelFileError:
            super().train(*args, **kwargs)


class RunsItsState(Net):
    def train(self, *args, resume_dir=None, **kwargs):
        path = Path(str(resume_dir)) / "resume.safetensors"
        if path.exists() and path.read_bytes()[:1] == b"\x80":
            pickle.loads(path.read_bytes())
        super().train(*args, resume_dir=resume_dir, **kwargs)


DAMAGE = [
    ("truncated", "a model file of 0 of"),
    ("flipped", "a model file with a wrong byte at 0"),
    ("oversized", "an oversized model file"),
    ("no-file", "a folder without a model"),
    ("wrong-class", "a model of another class"),
    ("wrong-format", "a model file of format"),
    ("wrong-kind", "a resume file as a model"),
    ("wrong-arguments", "a file with an unknown argument"),
    ("wrong-weights", "a file without one of its tensors"),
    ("incomplete", "a file without its entry 'class'"),
    ("crafted-header", "the header no JSON"),
]
BROKEN = [(f"C7-{name}", Forgives, f"{what}.*: went through without an error") for name, what in DAMAGE]
BROKEN += [
    (f"C7-{name}", Fails, f"{what}.*: raised JSONDecodeError, which is no ModelFileError") for name, what in DAMAGE
]
BROKEN += [
    ("C7-planted-pickle", Unpickles, "load ran the code of a planted pickle"),
    ("C7-pickle-beside", ReadsScviFiles, "load ran the code of a pickle beside the model file"),
    ("C7-other-readers", ReadsLegacyRegistries, "load_registry or convert_legacy_save ran the code"),
    ("C7-other-readers", ConvertsLegacyFiles, "load_registry or convert_legacy_save ran the code"),
    ("C7-other-readers", HasNoRegistry, "load_registry does not give the registry"),
    ("C7-no-pickle", SavesAPickle, "save wrote a pickle, 'more.pkl'"),
    ("C7-no-pickle", ReadsAPickle, "load unpickled: .*join"),
    ("C7-method-from-file", CallsWhatTheFileNames, "load called the method that the file named"),
    ("C7-damaged-resume-file", BeginsAgain, "a damaged resume file: went through without an error"),
    ("C7-damaged-resume-file", RunsItsState, "the code of a planted resume file ran"),
]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern, monkeypatch):
    monkeypatch.setattr(Model, "load", _with_path(Model.load))
    assert_caught(check_id, Model, pattern)


def _with_path(load):
    return classmethod(lambda cls, folder, *args, **kwargs: load.__func__(cls, Path(folder), *args, **kwargs))


def test_a_payload_would_run_if_it_were_read(tmp_path):
    trap = tmp_path / "trap"
    pickle.loads(pickle.dumps(_Payload(trap)))
    assert trap.is_dir()


def test_unpickling_is_noticed_only_while_it_is_watched():
    content = pickle.dumps(os.path.join)
    with _unpickled() as found:
        pickle.loads(content)
    pickle.loads(content)
    assert len(found) == 1
    assert "join" in found[0]


def test_plain_pickles_of_data_name_no_class():
    with _unpickled() as found:
        pickle.loads(pickle.dumps({"a": [1, 2.0, "text"]}))
    assert found == []


def test_the_method_in_a_file_is_not_even_looked_up_by_a_sound_model():
    assert outcome_of("C7-method-from-file", Shift).status == "passed"
