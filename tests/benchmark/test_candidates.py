from typing import Any

import pytest

from altercell import models
from altercell.benchmark import Candidate, baselines, candidate, scgen
from altercell.benchmark._candidates import unique_names
from altercell.errors import DataError


def test_baselines_are_marked_and_have_their_own_names() -> None:
    found = baselines()
    assert all(candidate.baseline for candidate in found)
    assert len({candidate.name for candidate in found}) == len(found) == 6
    assert {candidate.model for candidate in found} >= {models.NoChange, models.MeanShift}


def test_scgen_passes_its_arguments_on() -> None:
    candidate = scgen("small", n_latent=3, train={"max_epochs": 1}, predict={"types": "shared"})
    assert candidate.model is models.ScGen
    assert candidate.arguments == {"n_latent": 3}
    assert candidate.predict == {"types": "shared"}
    assert not candidate.counts
    assert not candidate.baseline


def test_a_count_likelihood_reads_counts_and_answers_in_log_space() -> None:
    candidate = scgen(gene_likelihood="nb")
    assert candidate.counts
    assert candidate.predict["output"] == "log"


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
    wanted = Candidate(
        model.__name__,
        model,
        arguments,
        {"max_epochs": 1},
        {**({"output": "log"} if counts else {}), "seed": 1},
        counts,
    )
    assert found == wanted
    assert candidate(model, "another", **arguments).name == "another"


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match="two models have the name 'ScGen'"):
        unique_names([scgen(), Candidate("ScGen", models.NoChange)])
