"""C11: memory that grows with the number of cells is found."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from altercell.data import get_space
from altercell.testing import Subject, run_check
from altercell.testing import _memory as memory
from altercell.testing._registry import all_checks

from .suite import Shift

CHECKS = {one.id: one for one in all_checks() if one.id.startswith("C11")}


def _told(peaks, values=100.0, monkeypatch=None):
    monkeypatch.setattr(memory, "_files", lambda data: ([], values))
    subject = Subject(Shift)
    subject.once("peak memory", lambda: peaks)
    return subject


@pytest.mark.parametrize(("grown", "status"), [(0.0, "passed"), (25.0, "passed"), (26.0, "failed"), (100.0, "failed")])
@pytest.mark.parametrize("step", ["train", "predict"])
def test_a_quarter_of_the_values_is_too_much(grown, status, step, monkeypatch):
    small = {"train": 500.0, "predict": 500.0}
    subject = _told((small, {**small, step: 500.0 + grown}), monkeypatch=monkeypatch)
    outcomes = {"train": "C11-training", "predict": "C11-prediction"}
    assert run_check(CHECKS[outcomes[step]], subject).status == status
    other = outcomes["predict" if step == "train" else "train"]
    assert run_check(CHECKS[other], subject).status == "passed"


def test_the_message_tells_how_much(monkeypatch):
    subject = _told(({"train": 500.0}, {"train": 560.0}), monkeypatch=monkeypatch)
    with pytest.raises(AssertionError, match="train of 60,000 backed cells takes 60 MiB more than of 20,000"):
        memory.training(subject)


def test_a_system_that_does_not_tell_is_not_asked(monkeypatch):
    monkeypatch.setattr(memory, "PEAK", Path("/nowhere/status"))
    outcome = run_check(CHECKS["C11-training"], Subject(Shift))
    assert (outcome.status, outcome.reason) == ("not applicable", "this system does not tell a process's peak memory")


@pytest.mark.parametrize(("data", "space"), [("log", "log1p of counts"), ("counts", "counts")])
def test_the_files_hold_what_the_model_works_on(data, space, tmp_path):
    size = memory._write(tmp_path / "cells.h5ad", 100, data)
    adata = ad.read_h5ad(tmp_path / "cells.h5ad")
    assert adata.shape == (100, memory.N_GENES)
    assert get_space(adata) == space
    assert adata.X.nnz == pytest.approx(100 * memory.N_GENES * memory.DENSITY, rel=0.01)
    assert size == pytest.approx(adata.X.nnz * 8 / 2**20, rel=0.01)
    assert set(zip(adata.obs["condition"], adata.obs["cell_type"], strict=True)).__len__() == 8
    assert (adata.obs["size_factor"].to_numpy() > np.asarray(adata.X.sum(axis=1)).ravel()).all()


@pytest.mark.heavy
def test_a_model_that_reads_all_cells_at_once_is_caught(monkeypatch):
    from .hoarder import Hoarder

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    outcome = run_check(CHECKS["C11-training"], Subject(Hoarder))
    assert outcome.status == "failed", outcome
    assert "MiB more than of 20,000" in outcome.reason
