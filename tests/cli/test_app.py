import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import altercell as ac
from altercell.cli import app

OPTIONS = ["--source", "control", "--target", "stimulated"]
QUICK = ["--max-epochs", "1", "--n-genes", "40", "--n-cells", "20", "--n-trees", "5"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    ac.datasets.simulate_response(n_cells=240, n_genes=60, n_types=3, seed=0).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out") / "result"
    return call("predict", file, *OPTIONS, "--hold-out", "type_0", "--out", out, *QUICK), out


def test_help_does_not_import_scvi() -> None:
    code = "import sys; from altercell.cli import app; sys.exit('scvi' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_the_commands() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in ("demo", "predict", "benchmark", "models"):
        assert command in result.output


def test_predict_writes_everything(finished: tuple[Result, Path]) -> None:
    result, out = finished
    assert result.exit_code == 0, result.output
    assert "counts" in result.output
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        "scores.csv",
        "summary.csv",
        "settings.json",
        "type_0/predicted.h5ad",
        "type_0/model/model.safetensors",
    } <= names
    assert {"type_0/gene_means.png", "type_0/gene_variances.png", "type_0/training.png"} <= names


def test_predicted_cells_are_those_asked_for(finished: tuple[Result, Path], file: Path) -> None:
    pred, cells = ad.read_h5ad(finished[1] / "type_0" / "predicted.h5ad"), ad.read_h5ad(file)
    asked = cells.obs_names[(cells.obs["cell_type"] == "type_0") & (cells.obs["condition"] == "control")]
    assert list(pred.obs_names) == list(asked)
    assert set(pred.obs["condition"]) == {"stimulated"}
    assert pred.uns["altercell"]["space"] == "log1p of counts per 10,000"


def test_the_table_is_honest(finished: tuple[Result, Path]) -> None:
    scores = pd.read_csv(finished[1] / "scores.csv")
    assert {"ScGen", "no change", "control + mean delta", ac.benchmark.CEILING} <= set(scores["model"])
    assert np.isfinite(scores.loc[scores["metric"] == "mse", "value"]).all()
    for name in ("ScGen", "real against real"):
        assert name in finished[0].output


def test_the_saved_model_predicts_the_saved_cells(finished: tuple[Result, Path], file: Path) -> None:
    out = finished[1]
    model = ac.ScGen.load(out / "type_0" / "model")
    saved = ad.read_h5ad(out / "type_0" / "predicted.h5ad")
    cells = ac.data.normalize(ad.read_h5ad(file))
    again = model.predict(cells, source="control", target="stimulated", labels="type_0")
    np.testing.assert_allclose(again.X, saved.X, atol=1e-5)


def test_resume_does_nothing_twice(finished: tuple[Result, Path], file: Path) -> None:
    out = finished[1]
    before = (out / "scores.csv").read_bytes()
    result = call("predict", file, *OPTIONS, "--hold-out", "type_0", "--out", out, *QUICK, "--resume")
    assert result.exit_code == 0, result.output
    assert (out / "scores.csv").read_bytes() == before


def test_resume_with_other_settings_is_refused(finished: tuple[Result, Path], file: Path) -> None:
    result = call(
        "predict", file, *OPTIONS, "--hold-out", "type_0", "--out", finished[1], "--resume", "--max-epochs", 2
    )
    assert result.exit_code == 2
    assert "max_epochs" in result.output


def test_a_folder_with_files_is_not_written_to(finished: tuple[Result, Path], file: Path) -> None:
    result = call("predict", file, *OPTIONS, "--hold-out", "type_0", "--out", finished[1])
    assert result.exit_code == 2
    assert "--overwrite" in result.output


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["--batch-key", "treatment"], "batch_key='treatment' is not a column of obs"),
        (["--labels-key", "kind"], "labels_key='kind' is not a column of obs"),
        (["--source", "ctrl"], "source='ctrl' is no condition"),
        (["--target", "control"], "both 'control'"),
        (["--hold-out", "B cells"], "'B cells' is no label"),
        (["--layer", "raw"], "--layer 'raw' is not in the file"),
    ],
)
def test_bad_names_give_one_line_and_code_2(file: Path, tmp_path: Path, change: list[str], text: str) -> None:
    out = tmp_path / "out"
    hold_out = [] if "--hold-out" in change else ["--hold-out", "type_0"]
    result = call("predict", file, *OPTIONS, *hold_out, "--out", out, *change)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert text in lines[0]
    assert not out.exists()


@pytest.mark.parametrize(("name", "content"), [("missing.h5ad", None), ("text.h5ad", b"no h5ad at all")])
def test_bad_files_give_one_line_and_code_2(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = call("predict", tmp_path / name, *OPTIONS, "--hold-out", "a", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert name in result.stderr
    assert not (tmp_path / "out").exists()


def test_values_that_are_neither_counts_nor_logs_are_refused(file: Path, tmp_path: Path) -> None:
    cells = ad.read_h5ad(file)
    cells.X = cells.X.toarray() - 0.5
    del cells.uns["altercell"]
    cells.write_h5ad(tmp_path / "scaled.h5ad")
    result = call("predict", tmp_path / "scaled.h5ad", *OPTIONS, "--hold-out", "type_0", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "neither counts nor log data" in result.stderr


def test_demo_runs_start_to_end(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = call("demo", "--out", out, "--max-epochs", 1)
    assert result.exit_code == 0, result.output
    assert "real against real" in result.output
    names = {path.name for path in out.rglob("*")}
    assert {"predicted.h5ad", "gene_means.png", "scores.csv", "model.safetensors"} <= names


def test_settings_are_written(finished: tuple[Result, Path]) -> None:
    settings = json.loads((finished[1] / "settings.json").read_text())
    assert settings["hold_out"] == ["type_0"]
    assert settings["max_epochs"] == 1
