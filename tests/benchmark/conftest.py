"""Small simulated cells and quick models for the benchmark's tests."""

from typing import Any

import pytest
from anndata import AnnData

import altercell as ac
from altercell.benchmark import Candidate


@pytest.fixture(scope="session")
def small_cells() -> AnnData:
    return ac.data.normalize(ac.datasets.simulate_response(n_cells=360, n_genes=60, n_types=3, seed=1))


@pytest.fixture
def quick() -> list[Candidate]:
    return [
        candidate for candidate in ac.benchmark.baselines() if candidate.name in ("no change", "control + mean delta")
    ]


@pytest.fixture
def keys() -> dict[str, Any]:
    return {"batch_key": "condition", "labels_key": "cell_type", "source": "control", "target": "stimulated"}
