from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import altercell as ac
from altercell import models
from altercell.benchmark import CEILING, Candidate, candidate, holdout, make_split, run_piece, scgen, score_piece
from altercell.errors import GroupError

QUICK = {"n_cells": 40, "n_trees": 10, "metrics": ["mse", "pearson_delta"]}


def test_the_table_has_every_model_and_the_ceiling(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    table = holdout(small_cells, quick, **keys, seeds=2, n_genes=None, **QUICK)
    assert set(table["model"]) == {"no change", "control + mean delta", CEILING}
    assert set(table["label"]) == {"type_0", "type_1", "type_2"}
    assert set(table["seed"]) == {0, 1}
    assert len(table) == 3 * 3 * 2 * 2
    mse = table[table["metric"] == "mse"].groupby("model")["value"].mean()
    assert mse[CEILING] < mse["control + mean delta"] < mse["no change"]


def test_scores_are_those_of_the_held_out_cells(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    table = holdout(small_cells, quick[:1], **keys, hold_out=["type_1"], n_genes=None, **QUICK)
    split = make_split(small_cells, "type_1", **keys, n_genes=None)
    difference = np.asarray(split.control.X.mean(0)).ravel() - np.asarray(split.real.X.mean(0)).ravel()
    row = table[(table["model"] == "no change") & (table["metric"] == "mse")]
    assert row["value"].item() == pytest.approx((difference**2).mean(), rel=1e-4)


def test_a_model_that_fails_is_a_row(small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]) -> None:
    class Failing(models.NoChange):
        def predict(self, *args: Any, **kwargs: Any) -> AnnData:
            raise GroupError("this one cannot")

    table = holdout(
        small_cells, [Candidate("failing", Failing), *quick], **keys, hold_out=["type_0"], n_genes=None, **QUICK
    )
    failed = table[table["model"] == "failing"]
    assert failed["error"].tolist() == ["this one cannot"]
    assert failed["value"].isna().all()
    assert (table["model"] == "no change").any()


def test_a_table_on_disk_is_not_made_twice(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate], tmp_path: Path
) -> None:
    path = tmp_path / "scores.csv"
    seen: list[str] = []

    def run(models_: list[Candidate]) -> pd.DataFrame:
        return holdout(
            small_cells,
            models_,
            **keys,
            hold_out=["type_0"],
            n_genes=None,
            path=path,
            on_piece=lambda piece: seen.append(piece.candidate.name),
            **QUICK,
        )

    run(quick[:1])
    table = run(quick)
    assert seen == [quick[0].name, quick[1].name]
    assert not table.duplicated(["model", "label", "seed", "metric"]).any()
    pd.testing.assert_frame_equal(pd.read_csv(path)[["model", "metric", "value"]], table[["model", "metric", "value"]])


def test_the_same_seed_gives_the_same_scores(small_cells: AnnData, keys: dict[str, Any]) -> None:
    split = make_split(small_cells, "type_0", **keys, n_genes=None)
    candidate = scgen(n_hidden=8, n_latent=3, train={"max_epochs": 2, "enable_progress_bar": False})
    names = {"batch_key": "condition", "labels_key": "cell_type"}
    first, second, other = (run_piece(candidate, split, seed, **names) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.pred.X, second.pred.X)
    assert not np.array_equal(first.pred.X, other.pred.X)
    scores = score_piece(first.pred, split, 0, **QUICK)
    pd.testing.assert_frame_equal(scores, score_piece(second.pred, split, 0, **QUICK))
    assert first.seconds > 0


def test_a_count_model_is_given_counts(small_cells: AnnData, keys: dict[str, Any]) -> None:
    split = make_split(small_cells, "type_0", **keys, n_genes=None)
    candidate = scgen(gene_likelihood="nb", n_hidden=8, n_latent=3)
    piece = run_piece(
        candidate,
        split,
        0,
        batch_key="condition",
        labels_key="cell_type",
        train={"max_epochs": 1, "enable_progress_bar": False},
    )
    assert piece.pred.uns["altercell"]["space"] == split.train.uns["altercell"]["space"]
    assert piece.model.space == "counts"


def test_scvi_is_scored_in_log_space(keys: dict[str, Any], quick: list[Candidate]) -> None:
    strong = {"response_share": 0.25, "response_size": 1.5, "specific_share": 0.1, "library_size": 3_000.0}
    cells = ac.data.normalize(ac.datasets.simulate_response(600, 60, 3, seed=1, **strong))
    options = {"n_hidden": 32, "n_latent": 4, "gene_likelihood": "nb"}
    train = {"max_epochs": 40, "enable_progress_bar": False, "plan_kwargs": {"lr": 1e-2, "eps": 1e-4}}
    expected = candidate(models.SCVI, "expected", train=train, **options)
    drawn = Candidate("drawn", models.SCVI, options, train, {"output": "log", "draw": True}, counts=True)
    table = holdout(cells, [expected, drawn, quick[0]], **keys, hold_out=["type_1"], n_genes=40, **QUICK)
    assert (table["error"] == "").all()
    scores = table.pivot_table(index="metric", columns="model", values="value")
    assert np.isfinite(scores.to_numpy()).all()
    assert scores.loc["mse", "drawn"] < scores.loc["mse", "no change"]
    # The logarithm of an expected count is above the expected logarithm.
    assert scores.loc["mse", "drawn"] < scores.loc["mse", "expected"]
    assert scores.loc["pearson_delta", "drawn"] > 0.3
