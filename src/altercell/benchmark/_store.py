"""Results on disk: one small file a piece, put in place at once, so that nothing is lost or there by half."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from altercell import __version__
from altercell.benchmark._task import NO_SETTINGS
from altercell.errors import DataError
from altercell.presets import Candidate

logger = logging.getLogger(__name__)

COLUMNS = [
    "task",
    "model",
    "split",
    "label",
    "seed",
    "metric",
    "value",
    "sd_cells",
    "genes",
    "better",
    "kind",
    "seconds",
    "score_seconds",
    "peak_memory_mb",
    "version",
    "error",
]
NUMBERS = ("value", "sd_cells", "seconds", "score_seconds", "peak_memory_mb")
PIECES, QUESTION, MODELS, SPLITS = "pieces", "question.json", "models.json", "splits.json"
#: Folder of the pieces in the output folder of ``altercell benchmark``.
RESULTS = "results"


class Key(NamedTuple):
    """One model on one split with one seed."""

    model: str
    split: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model}: {self.split}, seed {self.seed}"


class Store:
    """The rows of a table, and their files where a folder is given.

    Parameters
    ----------
    folder
        Where the results are and will be; None keeps them in memory.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"'{self.folder}' is a file; results are kept in a folder")
        self.pieces: dict[Key, pd.DataFrame] = {}
        self.reload()

    def reload(self) -> None:
        """Read what is on disk, of this run and of others that write into the same folder; failures are left out."""
        if self.folder is None:
            return
        for path in sorted((self.folder / PIECES).glob("*.csv")):
            try:
                rows = read_rows(path)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, the piece is run again
                logger.warning("%s cannot be read and is made again: %s", path, error)
                continue
            if len(rows) and not (rows["error"] != "").any():
                first = rows.iloc[0]
                self.pieces[Key(first["model"], first["split"], int(first["seed"]))] = rows
        others = {rows["version"].iloc[0] for rows in self.pieces.values()} - {__version__, ""}
        if others:
            logger.warning("%s holds results of altercell %s as well", self.folder, ", ".join(sorted(others)))

    def check(
        self,
        question: Mapping[str, Any],
        candidates: Iterable[Candidate],
        splits: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Remember what is asked of whom, or refuse where something else was asked in this folder before.

        Parameters
        ----------
        question
            What :meth:`Task.describe` returned.
        candidates
            The models.
        splits
            What each split is, by name.

        Raises
        ------
        DataError
            The folder holds answers to another question, or of a model or a split with the same name that is another.
        """
        if self.folder is None:
            return
        asked = json.loads(_json(question))
        before = _read_json(self.folder / QUESTION)
        if before and before != asked:
            what = _difference(before, asked)
            raise DataError(f"'{self.folder}' holds the answers to another question ({what}); take another folder")
        models = self._merged(MODELS, {candidate.name: _settings(candidate) for candidate in candidates})
        parts = self._merged(SPLITS, splits or {})
        (self.folder / PIECES).mkdir(parents=True, exist_ok=True)
        for name, value in ((QUESTION, question), (MODELS, models), (SPLITS, parts)):
            _replace(self.folder / name, _json(value))

    def _merged(self, file: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is in a file with what is asked now, which must not differ."""
        assert self.folder is not None
        there = _read_json(self.folder / file)
        for name, value in asked.items():
            mine = json.loads(_json(value))
            if there.setdefault(name, mine) != mine:
                raise DataError(
                    f"'{self.folder}' has results of '{name}' with other settings ({_difference(there[name], mine)}); "
                    "give one of them another name, or take another folder"
                )
        return there

    def add(self, key: Key, rows: pd.DataFrame) -> None:
        """Add the rows of a piece.

        Parameters
        ----------
        key
            Which piece.
        rows
            With all columns of the table.
        """
        self.pieces[key] = rows[COLUMNS]
        if self.folder is not None:
            (self.folder / PIECES).mkdir(parents=True, exist_ok=True)
            _replace(self.folder / PIECES / _file_name(key), rows[COLUMNS].to_csv(index=False))

    def table(self, order: Iterable[Key]) -> pd.DataFrame:
        """Return the rows of some pieces, as far as they are there.

        Parameters
        ----------
        order
            Which, in their order.
        """
        parts = [self.pieces[key] for key in order if key in self.pieces]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def read_rows(path: Path) -> pd.DataFrame:
    """Read a CSV file of rows; columns that an older file lacks are filled in.

    Parameters
    ----------
    path
        The file.
    """
    # A label may read "NA"; only numbers can be missing.
    missing = {name: [""] for name in NUMBERS}
    words = {name: str for name in COLUMNS if name not in (*NUMBERS, "seed")}
    rows = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=missing)
    return complete(rows)


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with all columns of the table, those that are lacking filled in.

    Parameters
    ----------
    rows
        A table, at least ``model``, ``label``, ``seed``, ``metric``, ``value``.
    """
    if set(COLUMNS) <= set(rows.columns):
        return rows[COLUMNS]
    from altercell.presets import baselines

    kinds = {**{model.name: "baseline" for model in baselines()}, "real against real": "reference"}
    filled = rows.assign(**{name: rows.get(name, float("nan")) for name in NUMBERS})
    defaults = {
        "task": "response",
        "split": rows["label"],
        "kind": rows["model"].map(kinds).fillna("model"),
        **dict.fromkeys(("genes", "better", "version", "error"), ""),
    }
    return filled.assign(**{name: value for name, value in defaults.items() if name not in rows})[COLUMNS]


def read_results(path: str | Path) -> pd.DataFrame:
    """Read a table of results, without the rows of models that failed.

    Parameters
    ----------
    path
        A folder that :func:`altercell.benchmark.holdout` or ``altercell benchmark`` wrote to, or a CSV or parquet file.
    """
    place = Path(path)
    if (place / RESULTS / PIECES).is_dir():
        place = place / RESULTS  # the output folder of the command line
    if place.is_dir():
        store = Store(place)
        return store.table(sorted(store.pieces))
    rows = complete(pd.read_parquet(place)) if place.suffix == ".parquet" else read_rows(place)
    return rows[rows["error"] == ""].reset_index(drop=True)


def _file_name(key: Key) -> str:
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{key.model}_{key.split}_{key.seed}").strip("-")[:80]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    return f"{readable}_{digest}.csv"


def _settings(candidate: Candidate) -> dict[str, Any]:
    described = candidate.describe()
    return {**described, "train": {key: value for key, value in described["train"].items() if key not in NO_SETTINGS}}


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, default=str, sort_keys=True) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _replace(path: Path, text: str) -> None:
    """Put a file in place at once: a process that is killed leaves the old one or the new one."""
    # A name of its own: on a shared folder, two machines may have the same process number.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
