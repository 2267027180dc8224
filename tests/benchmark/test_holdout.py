"""The table of held-out predictions, on simulated cells."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import altercell as ac
from altercell import models
from altercell.benchmark import CEILING, Candidate, candidate, holdout, one_label
from altercell.errors import DataError, GroupError, KeyNotFoundError

QUICK = {
    "add_baselines": False,
    "n_cells": 40,
    "n_trees": 10,
    "metrics": ["mse", "pearson_delta"],
    "progress": False,
    "subsamples": 5,
}
TINY = {"n_hidden": 8, "n_latent": 3}


def test_the_table_has_every_model_and_the_ceiling(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    table = holdout(small_cells, quick, **keys, seeds=2, n_genes=None, **QUICK)
    assert set(table["model"]) == {"no change", "control + mean delta", CEILING}
    assert set(table["label"]) == set(table["split"]) == {"type_0", "type_1", "type_2"}
    assert set(table["seed"]) == {0, 1}
    assert len(table) == 3 * 3 * 2 * 2
    mse = table[table["metric"] == "mse"].groupby("model")["value"].mean()
    assert mse[CEILING] < mse["control + mean delta"] < mse["no change"]


def test_the_columns_tell_kinds_times_memory_and_versions(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    table = holdout(small_cells, quick, **keys, hold_out="type_0", n_genes=None, **QUICK)
    assert dict(zip(table["model"], table["kind"], strict=True)) == {
        CEILING: "reference",
        "no change": "baseline",
        "control + mean delta": "baseline",
    }
    models_ = table[table["kind"] == "baseline"]
    assert (models_["seconds"] > 0).all()
    assert models_["peak_memory_mb"].between(50, 1e6).all()
    assert set(table["version"]) == {ac.__version__}
    assert set(table["task"]) == {"response"}
    # One model's scores move with the cells that are drawn, though its prediction is one number a gene.
    assert (models_.loc[models_["metric"] == "mse", "sd_cells"] > 0).all()
    assert table.loc[table["kind"] == "reference", "sd_cells"].isna().all()


def test_scores_are_those_of_the_held_out_cells(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    table = holdout(small_cells, quick[:1], **keys, hold_out=["type_1"], n_genes=None, **QUICK)
    asked = one_label(small_cells, "type_1", **keys, n_genes=None).questions[0]
    difference = np.asarray(asked.control.X.mean(0)).ravel() - np.asarray(asked.real.X.mean(0)).ravel()
    row = table[(table["model"] == "no change") & (table["metric"] == "mse")]
    assert row["value"].item() == pytest.approx((difference**2).mean(), rel=1e-4)


def test_several_types_at_once_are_scored_one_by_one(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    table = holdout(small_cells, quick, **keys, hold_out=["type_0", ["type_0", "type_1"]], n_genes=None, **QUICK)
    assert set(zip(table["split"], table["label"], strict=True)) == {
        ("type_0", "type_0"),
        ("type_0 + type_1", "type_0"),
        ("type_0 + type_1", "type_1"),
    }
    mse = table[table["metric"] == "mse"].set_index(["model", "split", "label"])["value"].sort_index()
    # With a second type away, the delta is of one type alone.
    alone, together = mse["control + mean delta", "type_0"], mse["control + mean delta", "type_0 + type_1", "type_0"]
    assert alone["type_0"] != together
    split = one_label(small_cells, "type_0", **keys, n_genes=None).train
    left = split[split.obs["cell_type"] == "type_2"]
    means = {
        name: np.asarray(left[left.obs["condition"] == name].X.mean(0)).ravel() for name in ("control", "stimulated")
    }
    asked = one_label(small_cells, "type_0", **keys, n_genes=None).questions[0]
    predicted = np.asarray(asked.control.X.mean(0)).ravel() + means["stimulated"] - means["control"]
    assert together == pytest.approx(np.mean((predicted - np.asarray(asked.real.X.mean(0)).ravel()) ** 2), rel=1e-3)


def test_donors_are_held_out_with_all_their_cells(keys: dict[str, Any], quick: list[Candidate]) -> None:
    cells = ac.data.normalize(ac.datasets.simulate_response(n_cells=600, n_genes=40, n_types=2, n_batches=3, seed=1))
    tiny = candidate(models.ScGen, train={"max_epochs": 1}, **TINY)
    table = holdout(cells, [*quick, tiny], **keys, group_key="batch", min_cells=10, n_genes=None, **QUICK)
    assert (table["error"] == "").all()
    assert set(table["split"]) == {"batch_0", "batch_1", "batch_2"}
    assert set(table["label"]) == {"type_0", "type_1"}
    mse = table[table["metric"] == "mse"].groupby("model")["value"].mean()
    assert mse["control + mean delta"] < mse["no change"]


def test_baselines_are_added_and_know_the_type_where_donors_are_held_out(keys: dict[str, Any]) -> None:
    # Every type answers in its own way, so that the others' mean difference says little.
    own = {"specific_share": 1.0, "response_share": 0.3, "response_size": 2.0, "library_size": 3_000.0}
    cells = ac.data.normalize(
        ac.datasets.simulate_response(n_cells=900, n_genes=60, n_types=3, n_batches=3, seed=1, **own)
    )
    options = {**QUICK, "add_baselines": True, "metrics": ["mse"]}
    table = holdout(cells, "no change", **keys, group_key="batch", min_cells=10, n_genes=None, **options)
    names = {one.name for one in ac.benchmark.baselines(own_type=True)}
    assert set(table["model"]) == {*names, CEILING}
    mse = table.groupby("model")["value"].mean()
    assert mse[ac.presets.OWN_DELTA] < 0.5 * mse.drop([ac.presets.OWN_DELTA, CEILING]).min()
    types = holdout(cells, "no change", **keys, hold_out="type_0", n_genes=None, **options)
    assert set(types["model"]) == {*(one.name for one in ac.benchmark.baselines()), CEILING}


def test_validation_cells_stop_the_training(small_cells: AnnData, keys: dict[str, Any]) -> None:
    cells = small_cells.copy()
    rng = np.random.default_rng(0)
    cells.obs["part"] = rng.choice(["train", "validation", "test"], cells.n_obs, p=[0.6, 0.1, 0.3])
    seen: dict[str, Any] = {}

    class Watched(models.ScGen):
        def train(self, *args: Any, **kwargs: Any) -> None:
            super().train(*args, **kwargs)
            parts = self.adata.obs["part"].to_numpy()
            seen["train"], seen["validation"] = set(parts[self.train_indices_]), set(parts[self.validation_indices_])

    asked = [candidate(Watched, train={"max_epochs": 2}, **TINY)]
    table = holdout(cells, asked, **keys, split_key="part", min_cells=5, n_genes=None, **QUICK)
    assert (table["error"] == "").all()
    assert seen == {"train": {"train"}, "validation": {"validation"}}
    # What test cells hold reaches nothing but the scores.
    blank = cells.copy()
    answers = []
    for data in (cells, blank):
        test = np.asarray((data.obs["part"] == "test") & (data.obs["condition"] == "stimulated"))
        if data is blank:
            data.X = data.X.toarray()
            data.X[test] = rng.exponential(2.0, data.X[test].shape)
        holdout(
            data, asked, **keys, split_key="part", min_cells=5, n_genes=20, **QUICK,
            on_piece=lambda piece: answers.append(piece.answer.cells[0].to_df()),
        )  # fmt: skip
    pd.testing.assert_frame_equal(*answers)
    for more in ({"hold_out": "type_0"}, {"group_key": "batch"}):
        with pytest.raises(DataError, match="leave out group_key= and hold_out="):
            holdout(cells, asked, **keys, split_key="part", **more, **QUICK)
    with pytest.raises(DataError, match="hide='all' is about types"):
        holdout(cells, asked, **keys, split_key="part", hide="all", **QUICK)


def test_the_calls_training_arguments_stand_above_those_of_candidates(
    small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]
) -> None:
    epochs: list[int] = []
    tiny = candidate(models.ScGen, train={"max_epochs": 3, "early_stopping": False}, **TINY)
    for train in ({}, {"max_epochs": 1}):
        holdout(
            small_cells, [tiny, quick[0]], **keys, hold_out="type_0", n_genes=None, train=train, **QUICK,
            on_piece=lambda piece: epochs.append(len(piece.answer.model.history["train_loss"]))
            if piece.candidate is tiny
            else None,
        )  # fmt: skip
    assert epochs == [3, 1]


def test_the_same_seed_gives_the_same_scores(small_cells: AnnData, keys: dict[str, Any]) -> None:
    tiny = candidate(models.ScGen, train={"max_epochs": 2}, **TINY)

    def scores(seed: int) -> pd.Series:
        table = holdout(small_cells, [tiny], **keys, hold_out="type_0", seeds=[seed], n_genes=None, **QUICK)
        return table[table["model"] == "ScGen"].set_index("metric")["value"]

    first, second, other = scores(0), scores(0), scores(1)
    pd.testing.assert_series_equal(first, second, check_exact=True)
    assert not np.allclose(first, other)


def test_a_count_model_is_given_counts_and_one_may_need_the_source(small_cells: AnnData, keys: dict[str, Any]) -> None:
    spaces: dict[str, tuple[str, str]] = {}
    counts = candidate(models.ScGen, "counts", gene_likelihood="nb", **TINY)
    paired = candidate(models.ScPerb, **TINY)
    table = holdout(
        small_cells, [counts, paired], **keys, hold_out="type_0", n_genes=None, train={"max_epochs": 1}, **QUICK,
        on_piece=lambda piece: spaces.update(
            {piece.candidate.name: (piece.answer.model.space, piece.answer.cells[0].uns["altercell"]["space"])}
        ),
    )  # fmt: skip
    assert (table["error"] == "").all()
    log = small_cells.uns["altercell"]["space"]
    assert spaces == {"counts": ("counts", log), "ScPerb": (log, log)}


def test_scvi_is_scored_in_log_space(keys: dict[str, Any], quick: list[Candidate]) -> None:
    strong = {"response_share": 0.25, "response_size": 1.5, "specific_share": 0.1, "library_size": 3_000.0}
    cells = ac.data.normalize(ac.datasets.simulate_response(600, 60, 3, seed=1, **strong))
    options = {"n_hidden": 32, "n_latent": 4, "gene_likelihood": "nb"}
    train = {"max_epochs": 40, "plan_kwargs": {"lr": 1e-2, "eps": 1e-4}}
    expected = candidate(models.SCVI, "expected", train=train, **options)
    drawn = Candidate("drawn", models.SCVI, options, train, {"output": "log", "cells": "sampled"}, counts=True)
    table = holdout(cells, [expected, drawn, quick[0]], **keys, hold_out=["type_1"], n_genes=40, **QUICK)
    assert (table["error"] == "").all()
    scores = table.pivot_table(index="metric", columns="model", values="value")
    assert np.isfinite(scores.to_numpy()).all()
    assert scores.loc["mse", "drawn"] < scores.loc["mse", "no change"]
    # The logarithm of an expected count is above the expected logarithm.
    assert scores.loc["mse", "drawn"] < scores.loc["mse", "expected"]
    assert scores.loc["pearson_delta", "drawn"] > 0.3


def test_numbers_are_groups_as_text_is(small_cells: AnnData, keys: dict[str, Any], quick: list[Candidate]) -> None:
    cells = small_cells.copy()
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.codes.to_numpy()
    cells.obs["condition"] = (cells.obs["condition"] == "stimulated").astype(int).to_numpy()
    before = cells.obs.copy()
    numbers = {**keys, "source": 0, "target": 1}
    found = holdout(cells, quick, **numbers, hold_out=np.array([1, 2]), seeds=np.arange(2), n_genes=None, **QUICK)
    wanted = holdout(small_cells, quick, **keys, hold_out=["type_1", "type_2"], seeds=2, n_genes=None, **QUICK)
    np.testing.assert_allclose(found["value"], wanted["value"])
    assert (found["error"] == "").all()
    pd.testing.assert_frame_equal(cells.obs, before)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"hold_out": ["type_0", "type_0"]}, GroupError, "'type_0' is held out twice"),
        ({"hide": "some"}, DataError, "hide='some'"),
        ({"seeds": [0, 0]}, DataError, "seeds=0, 0 must be"),
        ({"seeds": 0}, DataError, "seeds=0 must be"),
        ({"target": []}, GroupError, "target=.. must be a condition"),
        ({"n_tree": 5}, TypeError, "no argument 'n_tree'; the scores take 'metrics', 'n_cells'"),
        ({"truth_control": None}, TypeError, "no argument 'truth_control'"),
        ({"metrics": ["mes"]}, KeyNotFoundError, "no such metric: 'mes'"),
        ({"models": [Candidate("real against real", models.NoChange)]}, DataError, "the name of a reference row"),
    ],
)
def test_a_wrong_question_is_refused_before_anything_runs(
    small_cells: AnnData, keys: dict[str, Any], change: dict[str, Any], error: type[Exception], text: str
) -> None:
    asked = {"models": ["no change"], **keys, **QUICK, **change}
    with pytest.raises(error, match=text):
        holdout(small_cells, **asked, on_step=lambda step: pytest.fail(step))


def test_cells_of_one_name_are_refused(small_cells: AnnData, keys: dict[str, Any]) -> None:
    cells = small_cells.copy()
    cells.obs_names = ["cell"] * cells.n_obs
    with pytest.raises(DataError, match="names of cells are not unique"):
        holdout(cells, ["no change"], **keys, **QUICK)
