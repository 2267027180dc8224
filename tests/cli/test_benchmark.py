"""``altercell benchmark`` and ``altercell models``."""

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import altercell as ac
from altercell.cli import app

ASKED = ["--source", "control", "--target", "stimulated", "--seeds", "1"]
QUICK = ["--max-epochs", "1", "--n-genes", "40", "--n-cells", "20", "--n-trees", "5", "--subsamples", "3"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    cells = ac.datasets.simulate_response(n_cells=360, n_genes=60, n_types=3, n_batches=2, seed=0)
    cells.obs["part"] = np.random.default_rng(0).choice(["train", "validation", "test"], cells.n_obs)
    cells.obs["number"] = cells.obs["cell_type"].cat.codes
    cells.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out") / "result"
    return call("benchmark", file, *ASKED, "--hold-out", "type_0", "--hold-out", "type_1", "--out", out, *QUICK), out


def test_it_writes_the_report_and_the_tables(finished: tuple[Result, Path]) -> None:
    result, out = finished
    assert result.exit_code == 0, result.output
    assert "report.html" in " ".join(result.output.split())
    table = pd.read_parquet(out / "results.parquet")
    assert set(table["split"]) == {"type_0", "type_1"}
    assert {"scgen", "no change", "real against real"} <= set(table["model"])
    assert (table["error"] == "").all()
    assert (out / "summary.csv").exists()
    assert any((out / "plots").iterdir())
    page = (out / "report.html").read_text(encoding="utf-8")
    for told in ("cells.h5ad", "360", "type_0 (", "scGen&#39;s code", "n_trees", ac.__version__):
        assert told in page, told


@pytest.mark.heavy
def test_started_again_it_goes_on_and_takes_more_models(finished: tuple[Result, Path], file: Path) -> None:
    _, out = finished
    before = {path: path.stat().st_mtime_ns for path in (out / "results" / "pieces").iterdir()}
    again = call(
        "benchmark", file, *ASKED, "--hold-out", "type_0", "--out", out, "--model", "scgen", "--model", "cvae", *QUICK
    )
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "cvae" in set(pd.read_parquet(out / "results.parquet")["model"])


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("change", "splits"),
    [
        (["--group-key", "batch", "--min-cells", "5"], {"batch_0", "batch_1"}),
        (["--split-key", "part", "--min-cells", "5"], {"test"}),
        (["--hold-out", "type_0 + type_1"], {"type_0 + type_1"}),
        (["--labels-key", "number", "--hold-out", "1"], {"1"}),
    ],
)
def test_other_things_are_held_out(file: Path, tmp_path: Path, change: list[str], splits: set[str]) -> None:
    result = call("benchmark", file, *ASKED, "--model", "no change", "--out", tmp_path / "new", *change, *QUICK)
    assert result.exit_code == 0, result.output
    table = pd.read_parquet(tmp_path / "new" / "results.parquet")
    assert set(table["split"]) == splits
    assert (table["error"] == "").all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["--model", "scGen"], "did you mean 'scgen'"),
        (["--target", "nothing"], "target='nothing' is no condition"),
        (["--hold-out", "T cells"], "'T cells' is no label"),
        (["--hide", "some"], "hide='some'"),
        (["--group-key", "donor"], "group_key='donor' is not a column"),
        (["--split-key", "batch"], "must say 'train' or 'test'"),
    ],
)
def test_bad_names_give_one_line_and_code_2(file: Path, tmp_path: Path, change: list[str], text: str) -> None:
    result = call("benchmark", file, *ASKED, "--out", tmp_path / "out", *change, *QUICK)
    assert result.exit_code == 2
    assert text in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_other_settings_in_a_folder_with_results_are_refused(finished: tuple[Result, Path], file: Path) -> None:
    _, out = finished
    changed = call("benchmark", file, *ASKED, "--hold-out", "type_0", "--out", out, *QUICK, "--n-trees", "7")
    assert changed.exit_code == 2
    assert "another question" in " ".join(changed.output.split())


def test_a_folder_with_other_files_is_not_written_to(file: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    refused = call("benchmark", file, *ASKED, "--out", tmp_path, *QUICK)
    assert refused.exit_code == 2
    assert "is not empty and holds no results" in " ".join(refused.output.split())


def test_missing_values_of_a_group_are_named(file: Path, tmp_path: Path) -> None:
    cells = ad.read_h5ad(file)
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[:2], "cell_type"] = np.nan
    cells.obs["cell_type"] = cells.obs["cell_type"].astype("category")
    cells.write_h5ad(tmp_path / "holes.h5ad")
    result = call("benchmark", tmp_path / "holes.h5ad", *ASKED, "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 2
    assert "has no value for 2 cells" in " ".join(result.output.split())


def test_the_models_are_listed() -> None:
    result = call("models")
    assert result.exit_code == 0
    for name in ac.presets.names():
        assert name in " ".join(result.output.split())


def test_a_quick_look_asks_for_little(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("altercell.cli._benchmark.run", lambda data, settings, **options: seen.update(vars(settings)))
    result = call("benchmark", file, "--source", "control", "--target", "stimulated", "--quick", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (seen["seeds"], seen["n_cells"], seen["n_trees"], seen["subsamples"]) == (1, 200, 100, 20)
