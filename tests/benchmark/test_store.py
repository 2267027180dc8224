"""Results on disk: read, refused, completed."""

from pathlib import Path

import pandas as pd
import pytest

from altercell import __version__, models
from altercell.benchmark import complete, read_results
from altercell.benchmark._store import COLUMNS, Key, Store
from altercell.errors import DataError
from altercell.presets import Candidate, candidate


def rows(key: Key, value: float = 1.5, error: str = "") -> pd.DataFrame:
    row = {**dict.fromkeys(COLUMNS, ""), **key._asdict(), "metric": "mse", "label": "NA", "version": __version__}
    numbers = {"value": value, "sd_cells": float("nan"), "seconds": 1.0, "score_seconds": 0.5, "peak_memory_mb": 10.0}
    return pd.DataFrame([{**row, **numbers, "error": error}])[COLUMNS]


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    key = Key("a model / of mine", "NA", 3)
    store = Store(tmp_path)
    store.add(key, rows(key, 1 / 3))
    again = Store(tmp_path)
    pd.testing.assert_frame_equal(again.table([key]), rows(key, 1 / 3), check_dtype=False)
    assert again.pieces.keys() == {key}


def test_what_failed_is_kept_in_the_table_and_tried_again_later(tmp_path: Path) -> None:
    key = Key("failing", "B", 0)
    store = Store(tmp_path)
    store.add(key, rows(key, float("nan"), "it cannot"))
    assert store.table([key])["error"].tolist() == ["it cannot"]
    assert not Store(tmp_path).pieces
    store.add(key, rows(key, 2.0))
    assert Store(tmp_path).table([key])["value"].tolist() == [2.0]


def test_half_a_file_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Key("model", "B", 0)
    store = Store(tmp_path)
    store.add(key, rows(key, 1.0))

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.add(key, rows(key, 2.0))
    assert Store(tmp_path).table([key])["value"].tolist() == [1.0]


def test_another_question_is_refused(tmp_path: Path) -> None:
    models_ = [candidate(models.ScGen, n_latent=3)]
    Store(tmp_path).check({"source": "control", "n_genes": 2_000}, models_)
    Store(tmp_path).check({"source": "control", "n_genes": 2_000}, [*models_, Candidate("more", models.NoChange)])
    with pytest.raises(DataError, match="another question .n_genes was 2000, is 500."):
        Store(tmp_path).check({"source": "control", "n_genes": 500}, models_)
    with pytest.raises(DataError, match="results of 'ScGen' with other settings"):
        Store(tmp_path).check({"source": "control", "n_genes": 2_000}, [candidate(models.ScGen, n_latent=4)])
    quiet = candidate(models.ScGen, n_latent=3, train={"enable_progress_bar": False})
    Store(tmp_path).check({"source": "control", "n_genes": 2_000}, [quiet])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.touch()
    with pytest.raises(DataError, match="is a file; results are kept in a folder"):
        Store(path)


def test_older_tables_are_completed(tmp_path: Path) -> None:
    old = pd.DataFrame(
        {
            "model": ["ScGen", "no change", "real against real"],
            "label": "NA",
            "seed": 0,
            "metric": "mse",
            "value": [0.1, 0.2, 0.0],
            "genes": "all",
            "better": "lower",
            "seconds": [3.0, 0.1, 0.0],
            "error": "",
        }
    )
    path = tmp_path / "old.csv"
    old.to_csv(path, index=False)
    found = read_results(path)
    assert list(found.columns) == COLUMNS
    assert found["kind"].tolist() == ["model", "baseline", "reference"]
    assert found["split"].tolist() == found["label"].tolist() == ["NA"] * 3
    assert found["sd_cells"].isna().all()
    pd.testing.assert_frame_equal(complete(found), found)


def test_results_are_read_from_a_folder_a_csv_and_a_parquet_file(tmp_path: Path) -> None:
    keys = [Key("a", "B", 0), Key("b", "B", 0)]
    store = Store(tmp_path / "folder")
    for number, key in enumerate(keys):
        store.add(key, rows(key, number))
    table = store.table(keys)
    table.to_csv(tmp_path / "table.csv", index=False)
    for place in ("folder", "table.csv"):
        pd.testing.assert_frame_equal(read_results(tmp_path / place), table, check_dtype=False)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "table.parquet", index=False)
    pd.testing.assert_frame_equal(read_results(tmp_path / "table.parquet"), table, check_dtype=False)
