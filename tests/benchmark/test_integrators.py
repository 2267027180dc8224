import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from scipy.spatial.distance import cdist

from altercell import metrics
from altercell.benchmark import IntegrationTask, integrator, integrators
from altercell.benchmark._integrators import INTEGRATORS, PCS
from altercell.errors import KeyNotFoundError

PACKAGES = {"harmony": "harmonypy", "scanorama": "scanorama", "bbknn": "bbknn"}


@pytest.fixture(scope="module")
def cells(batched_cells: AnnData) -> AnnData:
    task = IntegrationTask(adata=batched_cells, batch_key="batch", labels_key="type", n_genes=None, n_pcs=10)
    return task.prepare("all labels").cells


def embed(name: str, cells: AnnData, seed: int = 0, **options: Any) -> np.ndarray:
    found = integrator(name, **options)
    answer: np.ndarray = found.model(**found.arguments).embed(cells, "batch", seed)  # type: ignore[attr-defined]
    return answer


def test_what_every_method_has_to_beat_is_a_baseline(cells: AnnData) -> None:
    assert [found.name for found in integrators() if found.baseline] == ["no correction", "shuffled cells"]
    np.testing.assert_array_equal(embed("no correction", cells), cells.obsm[PCS])
    shuffled = embed("shuffled cells", cells, seed=3)
    assert not np.array_equal(shuffled, cells.obsm[PCS])
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(np.asarray(cells.obsm[PCS]), axis=0))
    np.testing.assert_array_equal(embed("shuffled cells", cells, seed=3), shuffled)


def mixing(points: np.ndarray, batches: np.ndarray) -> float:
    """Share of each cell's 15 nearest cells that are of the other batch."""
    near = np.argsort(cdist(points, points), axis=1)[:, 1:16]
    return float((batches[near] != batches[:, None]).mean())


@pytest.mark.heavy
@pytest.mark.parametrize("name", PACKAGES)
def test_a_published_method_mixes_batches_and_keeps_each_cell_in_its_row(
    name: str, cells: AnnData, batched_cells: AnnData, capsys: pytest.CaptureFixture[str]
) -> None:
    skip_without(PACKAGES[name])
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = embed(name, cells)
    assert found.shape[0] == cells.n_obs
    assert np.isfinite(found).all()
    batches, types = batched_cells.obs["batch"], batched_cells.obs["type"]
    assert mixing(found, batches.to_numpy()) > mixing(np.asarray(cells.obsm[PCS]), batches.to_numpy()) + 0.1
    # Rows in another order would have no types left.
    assert metrics.cross_batch_accuracy(found, batches, types) > 0.8
    np.testing.assert_array_equal(embed(name, cells), found)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "option"), [("harmony", {"theta": 0.0}), ("scanorama", {"dimred": 5}), ("bbknn", {"n_comps": 6})]
)
def test_options_reach_the_package(name: str, option: dict[str, Any], cells: AnnData) -> None:
    skip_without(PACKAGES[name])
    found = embed(name, cells, **option)
    if name == "harmony":
        assert np.abs(found - embed(name, cells)).max() > 0.01
    else:
        assert found.shape[1] == 5


def test_the_points_of_a_graph_are_its_scaled_diffusion_map(cells: AnnData) -> None:
    skip_without("bbknn")
    found = embed("bbknn", cells, n_comps=6)
    from bbknn.matrix import bbknn

    graph = bbknn(np.asarray(cells.obsm[PCS]), cells.obs["batch"].to_numpy())[1].toarray()
    degree = graph.sum(axis=1)
    kernel = graph / np.outer(degree, degree)  # the density of cells taken out
    root = np.sqrt(kernel.sum(axis=1))
    values, vectors = np.linalg.eigh(kernel / np.outer(root, root))
    values, vectors = values[::-1][1:6], vectors[:, ::-1][:, 1:6]
    wanted = vectors * np.minimum(values, 1 - 1e-6) / (1 - np.minimum(values, 1 - 1e-6))
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_not_installed_is_not_offered(name: str, cells: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    offered = [candidate.name for candidate in integrators()]
    assert name not in offered
    assert offered[:2] == ["no correction", "shuffled cells"]
    with pytest.raises(ModuleNotFoundError, match=rf"'{name}' needs {PACKAGES[name]}: .*'altercell\[integration\]'"):
        integrator(name)
    with pytest.raises(ModuleNotFoundError, match=rf"needs {PACKAGES[name]}: .*'altercell\[integration\]'"):
        INTEGRATORS[name][0]().embed(cells, "batch", 0)


def test_candidates_are_data_and_have_names() -> None:
    found = integrator("no correction")
    assert found.describe()["model"] == "altercell.benchmark._integrators.NoCorrection"
    assert replace(found, name="PCA").name == "PCA"
    with pytest.raises(KeyNotFoundError, match="no method of batch removal 'combat'; there are 'no correction'"):
        integrator("combat")


def skip_without(package: str) -> None:
    if not any(method.package == package and method.installed() for method, _ in INTEGRATORS.values()):
        pytest.skip(f"needs {package}")
