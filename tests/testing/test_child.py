"""The second process: which models it can be given, and what it does when it fails."""

import json
import sys

import pytest

import altercell as ac
from altercell.models.baselines import MeanShift
from altercell.testing import NotApplicable, Subject
from altercell.testing._child import _main, _peak, peak_memory, run_child, train_and_die
from altercell.testing._memory import _write

from .suite import SMALL, Net, Shift


def test_a_local_class_cannot_be_imported():
    class Local(Shift):
        pass

    with pytest.raises(NotApplicable, match="Local cannot be imported by another process"):
        run_child(Subject(Local), task="train_and_die")


def test_a_class_of_a_script_cannot_be_imported(monkeypatch):
    class Script(Shift):
        pass

    monkeypatch.setattr(Script, "__module__", "__main__")
    with pytest.raises(NotApplicable, match="cannot be imported"):
        run_child(Subject(Script), task="train_and_die")


def test_a_class_of_no_module_cannot_be_imported(monkeypatch):
    class Gone(Shift):
        pass

    monkeypatch.setattr(Gone, "__module__", "no.such.module")
    with pytest.raises(NotApplicable, match="cannot be imported"):
        run_child(Subject(Gone), task="train_and_die")


def test_arguments_must_be_data():
    subject = Subject(MeanShift, train_arguments={"callback": print})
    with pytest.raises(NotApplicable, match="another process cannot be given the arguments: a builtin_function"):
        run_child(subject, task="train_and_die")


def test_the_child_is_told_all_that_it_needs(monkeypatch):
    told = {}
    monkeypatch.setattr(
        "altercell.testing._child.subprocess.run", lambda command, **options: told.update(command=command, **options)
    )
    subject = Subject(ac.ScGen, arguments={**SMALL, "gene_likelihood": "nb"}, data="counts")
    run_child(subject, task="peak_memory", path="a", answer="b")
    words = json.loads(told["command"][-1])
    assert told["command"][:3] == [sys.executable, "-m", "altercell.testing._child"]
    assert words["model"] == ["altercell.models.scgen._model", "ScGen"]
    assert (words["data"], words["task"], words["path"]) == ("counts", "peak_memory", "a")
    assert words["settings"]["arguments"]["gene_likelihood"] == "nb"
    assert told["env"]["MALLOC_ARENA_MAX"] == "1"


def test_words_become_a_subject_and_a_call(monkeypatch):
    called = {}
    monkeypatch.setattr(
        "altercell.testing._child.train_and_die", lambda subject, **task: called.update(subject=subject, **task)
    )
    words = {
        "model": ["altercell.models.baselines", "MeanShift"],
        "data": "log",
        "settings": {"arguments": {"clip": True}, "train_arguments": {}, "setup_arguments": {}},
        "threads": 1,
        "task": "train_and_die",
    }
    _main({**words, "folder": "here", "epochs": 4, "epoch": 2})
    assert called["subject"].Model is MeanShift
    assert called["subject"].arguments == {"clip": True}
    assert (called["folder"], called["epochs"], called["epoch"]) == ("here", 4, 2)


def test_death_comes_by_the_system(monkeypatch, tmp_path):
    sent = []

    def kill(process, number):
        sent.append(number)
        raise SystemError("dead")

    monkeypatch.setattr("altercell.testing._child.os.kill", kill)
    with pytest.raises(SystemError, match="dead"):
        train_and_die(Subject(Net, arguments=SMALL), str(tmp_path), epochs=3, epoch=1)
    assert [number.name for number in sent] == ["SIGKILL"]
    assert (tmp_path / "resume.safetensors").exists()


@pytest.mark.parametrize(("Model", "data"), [(MeanShift, "log"), (Net, "log")])
def test_memory_is_measured_after_each_step(Model, data, tmp_path, capsys):
    _write(tmp_path / "cells.h5ad", 60, data)
    settings = {"arguments": SMALL} if Model is Net else {}
    peak_memory(Subject(Model, **settings), str(tmp_path / "cells.h5ad"), str(tmp_path / "answer.h5ad"))
    peaks = json.loads(capsys.readouterr().out)
    assert set(peaks) == {"train", "predict"}
    assert peaks["predict"] >= peaks["train"] > 100
    assert (tmp_path / "answer.h5ad").exists()


def test_the_peak_does_not_fall():
    before = _peak()
    block = bytearray(64 * 2**20)
    assert _peak() >= before
    assert len(block) > 0
