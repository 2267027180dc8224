"""Tests of when an answer says not to be believed, and of what it says of how it was made."""

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import altercell as ac
from altercell.models.stack._solve import Prediction

HELD = "type_3"
ASK = {"source": "control", "target": "stimulated", "labels": HELD, "cells": "decoded"}
FIELDS = ("types", "weights", "n_types", "effective_pairs", "inner_error", "mean_delta_error")
LOGGER = "altercell.models.stack._model"


def random_cells(sizes: dict[str, tuple[int, int]], response: dict[str, float] | None = None, seed: int = 0) -> AnnData:
    """Return normal log data of 20 genes; a type's target cells are moved by `response` in random genes."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, 1, 20)
    blocks, rows = [], []
    for kind, numbers in sizes.items():
        profile = rng.uniform(3, 5, 20)
        for condition, n in zip(("control", "stimulated"), numbers, strict=True):
            step = (response or {}).get(kind, 0.0) * shift * (condition == "stimulated")
            blocks.append(np.abs(profile + step + rng.normal(0, 0.4, (n, 20))))
            rows += [(condition, kind)] * n
    obs = pd.DataFrame(rows, columns=["condition", "cell_type"], dtype="category")
    obs.index = [f"cell_{number}" for number in range(len(obs))]
    return AnnData(np.concatenate(blocks).astype(np.float32), obs=obs)


ALIKE = {"a": (30, 30), "b": (30, 30), "c": (30, 30), "d": (30, 0)}


@pytest.fixture
def trust(fit, caplog):
    """Return a function that gives an answer's doubts, and the warnings that were logged with it."""

    def trust(data: AnnData, labels="d", **arguments) -> tuple[str, list[str]]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger=LOGGER):
            answer = fit(data, **arguments).predict(**{**ASK, "labels": labels})
        doubts = " | ".join(answer.uns["altercell"]["trust"])
        return doubts, [record.getMessage() for record in caplog.records if record.name == LOGGER]

    return trust


def test_an_answer_says_how_it_was_made(stack, train, simulated):
    entry = stack.predict(**ASK).uns["altercell"]
    assert set(FIELDS) <= set(entry)
    assert entry["types"].tolist() == [HELD]
    assert entry["n_types"].tolist() == [3]
    weights = [part.split("=") for part in entry["weights"][0].split()]
    assert [name for name, _ in weights] == ["kriging", "attention"]
    assert sum(float(value) for _, value in weights) == pytest.approx(1, abs=2e-3)
    # 3 types of 40 pairs are attended to; a share of them counts.
    assert 1 < entry["effective_pairs"][0] <= 120
    assert 0 < entry["inner_error"][0] < entry["mean_delta_error"][0] < 1
    assert entry["model"] == "ResponseStack"
    assert entry["cells"] == "decoded"


def test_several_types_have_a_row_each_in_their_order(stack):
    entry = stack.predict(**{**ASK, "labels": None}).uns["altercell"]
    assert sorted(entry["types"]) == ["type_0", "type_1", "type_2", HELD]
    assert all(len(entry[name]) == 4 for name in FIELDS)
    # A type that is read for others is not read for itself.
    assert dict(zip(entry["types"], entry["n_types"].tolist(), strict=True)) == {
        "type_0": 2, "type_1": 2, "type_2": 2, HELD: 3
    }  # fmt: skip


def test_an_answer_survives_a_file(stack, tmp_path):
    answer = stack.predict(**ASK, path=tmp_path / "answer.h5ad")
    want = stack.predict(**ASK).uns["altercell"]
    for name in FIELDS:
        np.testing.assert_array_equal(answer.uns["altercell"][name], want[name])
    answer.file.close()


def test_the_errors_are_those_of_types_predicted_from_others(train, fit, dense):
    """Predict each type whose response is known by a model of its own, and compare."""
    entry = fit(train.copy(), members="mean").predict(**ASK).uns["altercell"]
    errors, x, obs = [], dense(train.X), train.obs
    mean = {
        (c, k): x[(obs["condition"] == c) & (obs["cell_type"] == k)].mean(0)
        for c in ("control", "stimulated")
        for k in ("type_0", "type_1", "type_2")
    }
    for kind in ("type_0", "type_1", "type_2"):
        others = [k for k in ("type_0", "type_1", "type_2") if k != kind]
        step = np.mean([mean["stimulated", k] - mean["control", k] for k in others], axis=0)
        real = mean["stimulated", kind] - mean["control", kind]
        errors.append(((step - real) ** 2).sum() / (real**2).sum())
    assert entry["mean_delta_error"][0] == pytest.approx(np.mean(errors), rel=1e-4)


def test_a_good_answer_is_not_doubted(trust, train):
    doubts, warnings = trust(train.copy(), HELD, members=("kriging",))
    assert (doubts, warnings) == ("", [])


def test_no_response_is_doubted(trust):
    doubts, warnings = trust(random_cells(ALIKE))
    assert "the prediction was no better than no change" in doubts
    assert len(warnings) == 1
    assert warnings[0].startswith("Do not rely on this prediction: ")
    assert warnings[0].removeprefix("Do not rely on this prediction: ").rstrip(".").split("; ")[-1] in doubts


def test_responses_of_opposite_sign_are_doubted(trust):
    doubts, warnings = trust(random_cells(ALIKE, {"a": 1.0, "b": -1.0, "c": 1.0}), members=("mean",))
    assert "no better than no change" in doubts
    assert len(warnings) == 1


def test_the_mean_alone_is_no_better_than_the_mean(trust):
    doubts, warnings = trust(random_cells(ALIKE, {"a": 1.0, "b": 0.7, "c": 1.2}), members=("mean",))
    assert "no better than the mean response of the others" in doubts
    assert len(warnings) == 1
    assert "relative squared error" in warnings[0]


def test_types_too_small_to_test_on_are_doubted(trust):
    data = random_cells({"a": (15, 15), "b": (15, 15), "c": (15, 15), "d": (30, 0)}, dict.fromkeys("abc", 1.0))
    doubts, warnings = trust(data)
    assert "no cell type's known response could be predicted from others, so that nothing was tested" in doubts
    assert "few measured cells are like those of 'd': as much is known as from 0 of them" in doubts
    assert len(warnings) == 1
    assert "few measured cells" in warnings[0]
    assert "nothing was tested" in warnings[0]


def test_one_type_alone_is_doubted(trust):
    doubts, warnings = trust(random_cells({"a": (40, 40), "d": (30, 0)}, {"a": 1.0}))
    assert "only 1 cell types were seen in both conditions" in doubts
    assert "nothing was tested" in doubts
    assert len(warnings) == 1


def test_without_labels_no_type_is_named(trust, train):
    data = train[np.r_[0:40]].copy()
    doubts, _ = trust(data, None, labels_key=None)
    assert "few measured cells" in doubts
    assert "nan" not in doubts


def test_cells_that_are_like_few_others_are_doubted(train, fit, monkeypatch):
    monkeypatch.setattr("altercell.models.stack._trust.FEW_PAIRS", 1e9)
    doubts = fit(train.copy()).predict(**ASK).uns["altercell"]["trust"]
    assert any(doubt.startswith("few measured cells are like those of 'type_3'") for doubt in doubts)
    # Where no pairs are attended to, there is nothing to say of them.
    doubts = fit(train.copy(), members="kriging").predict(**ASK).uns["altercell"]["trust"]
    assert not any("few measured" in doubt for doubt in doubts)


def said(model, monkeypatch, **errors: tuple[float, float]) -> list[str]:
    """Return what a model says of types whose inner error, and that of the mean, are given."""
    table = [
        Prediction(np.zeros(75), np.zeros(75), np.ones(75), {"kriging": 1.0}, 3, 100.0, inner, plain)
        for inner, plain in errors.values()
    ]
    monkeypatch.setattr(model, "_asked_predictions", lambda *_: table, raising=True)
    answer = model.predict(**{**ASK, "labels": list(errors)})
    return [
        doubt for doubt in answer.uns["altercell"]["trust"] if "nothing was tested" in doubt or "no better" in doubt
    ]


@pytest.mark.parametrize(
    ("errors", "doubt"),
    [
        ((0.3, 0.5), None),
        ((0.5, 0.3), "no better than the mean response of the others"),
        ((0.3, 0.3), "no better than the mean response of the others"),
        ((1.1, 2.0), "no better than no change"),
        ((0.9, 2.0), None),
        ((np.nan, np.nan), "nothing was tested"),
    ],
)
def test_which_errors_are_doubted(stack, train, fit, monkeypatch, errors, doubt):
    found = said(fit(train.copy()), monkeypatch, type_3=errors)
    assert found == [] if doubt is None else len(found) == 1 and doubt in found[0]


def test_each_of_several_types_is_held_against_its_own_mean(train, fit, monkeypatch):
    found = said(fit(train.copy()), monkeypatch, type_0=(0.2, 0.9), type_1=(0.5, 0.3))
    assert any("no better than the mean response of the others" in doubt for doubt in found)


def test_a_type_without_a_test_is_doubted_in_any_order(train, fit, monkeypatch):
    found = said(fit(train.copy()), monkeypatch, type_0=(0.2, 0.9), type_1=(np.nan, np.nan))
    assert any("nothing was tested" in doubt for doubt in found)


def log_alone(train) -> AnnData:
    data = train.copy()
    del data.layers["counts"], data.obs["size_factor"]
    return data


def test_log_data_alone_keep_their_residual_and_say_so(train, stack, fit, dense):
    model = fit(log_alone(train))
    answer = model.predict(**{**ASK, "cells": None})
    entry = answer.uns["altercell"]
    assert entry["cells"] == "residual"
    assert "seed" not in entry
    assert not list(filter(None, answer.layers))
    doubt = next(doubt for doubt in entry["trust"] if "moved by its type's response" in doubt)
    assert "for want of counts" in doubt
    assert "layers['counts'] is missing" in doubt
    # It is what would be made with counts, were the residual asked for; then nothing is lacking.
    same = stack.predict(**{**ASK, "cells": "residual"})
    np.testing.assert_allclose(dense(answer.X), dense(same.X), atol=1e-6)
    assert not any("want of counts" in doubt for doubt in same.uns["altercell"]["trust"])


def test_transport_of_log_data_alone_is_refused(train, fit):
    with pytest.raises(ac.errors.KeyNotFoundError, match="for log data alone ask for cells='residual'"):
        fit(log_alone(train)).predict(**{**ASK, "cells": "transport"})


def test_asked_cells_without_counts_keep_their_residual(train, stack):
    answer = stack.predict(log_alone(train), **{**ASK, "cells": None})
    assert answer.uns["altercell"]["cells"] == "residual"
    assert any("the asked cells have none" in doubt for doubt in answer.uns["altercell"]["trust"])


def test_the_ways_to_make_cells(stack):
    assert stack.cell_ways == ("transport", "residual", "decoded")
    with pytest.raises(ac.errors.DataError, match="'sampled' is not among the ways"):
        stack.predict(**{**ASK, "cells": "sampled"})
