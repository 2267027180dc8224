import inspect
from typing import Any

import pytest

import altercell as ac
from altercell import models, presets
from altercell.errors import DataError, KeyNotFoundError
from altercell.presets import Candidate, baselines, candidate


def test_baselines_are_marked_and_have_their_own_names() -> None:
    found = baselines()
    assert all(one.baseline for one in found)
    assert len({one.name for one in found}) == len(found) == 6
    assert {one.model for one in found} >= {models.NoChange, models.MeanShift}


@pytest.mark.parametrize(
    ("model", "arguments", "counts"),
    [
        (models.ScGen, {}, False),
        (models.ScGen, {"gene_likelihood": "zinb"}, True),
        (models.SCVI, {}, True),
        (models.SCVI, {"gene_likelihood": "nb"}, True),
        (models.MeanShift, {}, False),
    ],
)
def test_any_model_is_a_candidate_and_its_likelihood_says_what_it_reads(
    model: type, arguments: dict[str, Any], counts: bool
) -> None:
    found = candidate(model, train={"max_epochs": 1}, predict={"seed": 1}, **arguments)
    asked = {**({"output": "log"} if counts else {}), "seed": 1}
    assert found == Candidate(model.__name__, model, arguments, {"max_epochs": 1}, asked, counts)
    assert candidate(model, "another", **arguments).name == "another"


def test_a_model_that_needs_the_source_condition_is_told_it() -> None:
    assert candidate(models.ScPerb).source_argument == "control"
    assert candidate(models.ScPerb, control="ctrl").source_argument is None
    assert candidate(models.ScGen).source_argument is None


@pytest.mark.parametrize("preset", presets.available(), ids=lambda preset: preset.name)
def test_every_preset_has_arguments_that_its_class_takes(preset: Candidate) -> None:
    taken = inspect.signature(preset.model).parameters
    assert set(preset.arguments) <= set(taken)
    assert set(preset.predict) <= {*getattr(preset.model, "_predict_options", ()), "seed", "cells"}
    assert preset.note
    assert presets.get(preset.name) == preset


@pytest.mark.parametrize("preset", presets.generators(), ids=lambda preset: preset.name)
def test_every_preset_of_generated_cells_has_arguments_that_its_class_takes(preset: Candidate) -> None:
    assert set(preset.arguments) <= set(inspect.signature(preset.model).parameters)
    assert set(preset.predict) <= set(inspect.signature(preset.model.generate).parameters)
    assert "n_steps" in inspect.signature(preset.model.train).parameters
    assert preset.note
    assert presets.get(preset.name) == preset


def test_a_preset_that_only_generates_is_refused_where_responses_are_asked_for() -> None:
    data = ac.data.normalize(ac.datasets.simulate_response(n_cells=120, n_genes=20, seed=0))
    asked = {"batch_key": "condition", "labels_key": "cell_type", "source": "control", "target": "stimulated"}
    with pytest.raises(DataError, match="'cscgan' cannot predict responses; for generated cells there is"):
        ac.benchmark.holdout(data, ["no change", "cscgan"], **asked)


def test_the_papers_settings_are_those_on_record() -> None:
    trvae, scperb = presets.get("trvae-paper"), presets.get("scperb-paper")
    assert (trvae.train["max_epochs"], trvae.train["batch_size"]) == (5_000, 512)
    assert (scperb.train["max_epochs"], scperb.train["batch_size"]) == (500, 256)
    scgen = presets.get("scgen-paper").train
    assert (scgen["max_epochs"], scgen["batch_size"], scgen["early_stopping_patience"]) == (300, 32, 20)
    assert presets.get("scgen-nb").counts
    assert presets.get("cscgan-paper").train["n_steps"] == 1_000_000


def test_names_classes_and_candidates_may_be_mixed() -> None:
    mine = Candidate("mine", models.NoChange)
    found = presets.resolve(["scgen", models.TrVAE, mine, "baselines"])
    assert [one.name for one in found] == ["scgen", "TrVAE", "mine", *(one.name for one in baselines())]
    assert presets.resolve("no change")[0].model is models.NoChange
    assert [one.name for one in presets.resolve(mine)] == ["mine"]
    assert presets.resolve(["no change", "baselines", "no change"]) == baselines()


def test_what_cannot_be_resolved_is_named() -> None:
    with pytest.raises(KeyNotFoundError, match="no preset 'scGen'; did you mean 'scgen'.*'trvae-paper'"):
        presets.get("scGen")
    with pytest.raises(DataError, match="two models have the name 'scgen'"):
        presets.resolve(["scgen", Candidate("scgen", models.NoChange)])
    with pytest.raises(DataError, match="no model is asked for"):
        presets.resolve([])


def test_a_shortened_preset_has_fewer_epochs() -> None:
    assert presets.shortened(presets.get("trvae-paper"), 0.01).train == {"max_epochs": 50, "batch_size": 512}
    assert presets.shortened(presets.get("scgan-paper"), 1e-3).train == {"n_steps": 1_000}
    assert presets.shortened(presets.get("scgen"), 1e-6).train["max_epochs"] == 1
    assert presets.shortened(presets.get("no change"), 0.5) == presets.get("no change")
    assert presets.available()[-1].name == "random stimulated cells"
    assert len(set(presets.names())) == len(presets.names())
