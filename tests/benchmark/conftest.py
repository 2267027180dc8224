"""Small simulated cells and quick models for the benchmark's tests."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
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


@pytest.fixture(scope="session")
def batched_cells() -> AnnData:
    """Three types in two batches with other capture rates of many genes; some cells lie between two types."""
    rng = np.random.default_rng(0)
    n_cells, n_genes = 220, 60
    types, batches = rng.integers(3, size=n_cells), rng.integers(2, size=n_cells)
    profiles = rng.gamma(2.0, 2.0, size=(3, n_genes))
    mixture = 0.45 * rng.random(n_cells)[:, None]
    rates = (1 - mixture) * profiles[types] + mixture * profiles[(types + 1) % 3]
    rates *= np.where(batches[:, None] == 1, np.exp(rng.normal(scale=0.6, size=n_genes)), 1.0)
    counts = rng.poisson(rates).astype(np.float32)
    obs = pd.DataFrame({"batch": np.array(["p1", "p2"])[batches], "type": np.array(["a", "b", "c"])[types]})
    obs.index = [f"cell-{i}" for i in range(n_cells)]
    cells = AnnData(sp.csr_matrix(counts), obs=obs.astype("category"))
    cells.var_names = [f"gene-{i}" for i in range(n_genes)]
    return ac.data.normalize(cells)


BETTER = {"mse": "lower", "pearson_delta": "higher", "bias": "zero", "edistance": "lower"}


@pytest.fixture(scope="session")
def table_of() -> Callable[..., pd.DataFrame]:
    """Function of values by metric and model, one a held-out set: a tidy table; seeds differ by a hundredth."""

    def make(values: dict[str, dict[str, Any]], kinds: dict[str, str] | None = None, seeds: int = 1) -> pd.DataFrame:
        rows = []
        for (metric, models), seed in itertools.product(values.items(), range(seeds)):
            for model, numbers in models.items():
                shift = (seed - (seeds - 1) / 2) / 100
                rows += [(model, f"set {i}", seed, metric, x + shift, BETTER[metric]) for i, x in enumerate(numbers)]
        table = pd.DataFrame(rows, columns=["model", "label", "seed", "metric", "value", "better"])
        return table.assign(
            task="response", split=table["label"], kind=[(kinds or {}).get(name, "model") for name in table["model"]],
            sd_cells=np.nan, genes="all", seconds=1.0, score_seconds=0.1, peak_memory_mb=np.nan, version="0", error="",
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def failed() -> Callable[..., pd.DataFrame]:
    """Function of a model, sets and an error: the rows of a model that failed."""

    def make(model: str, sets: list[str], error: str) -> pd.DataFrame:
        rows = pd.DataFrame({"model": model, "label": sets, "split": sets})
        return rows.assign(
            task="response", seed=0, metric="", value=np.nan, sd_cells=np.nan, genes="", better="", kind="model",
            seconds=np.nan, score_seconds=np.nan, peak_memory_mb=np.nan, version="0", error=error,
        )  # fmt: skip

    return make
