import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.pl import _umap, umap
from altercell.pl._style import CONTROL, CYCLE, REAL


@pytest.fixture
def with_basis(populations):
    for name, adata in populations.items():
        adata.obsm["X_pca"] = np.random.default_rng(len(name)).normal(size=(adata.n_obs, 3))
    return populations


def drawn(ax):
    """Coordinates by colour."""
    points, faces = np.asarray(ax.collections[0].get_offsets()), ax.collections[0].get_facecolor()[:, :3]
    return {colour: points[(faces == to_rgb(colour)).all(axis=1)] for colour in (CONTROL, REAL, CYCLE[0])}


def as_set(points):
    return {tuple(point) for point in np.asarray(points).round(6).tolist()}


def test_umap_is_deterministic_and_leaves_generators_alone(populations, ax, unchanged, figures_stay):
    states = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    assert umap(populations, seed=3, ax=ax) is ax
    assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert random.getstate() == states[1]
    again = plt.subplots()[1]
    umap(populations, seed=3, ax=again)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), again.collections[0].get_offsets())
    plt.close(again.figure)
    assert [len(points) for points in drawn(ax).values()] == [60, 50, 60]


def test_umap_keeps_control_and_real_apart_where_they_are(make):
    ax = umap({"control": make(0), "real": make(1, shift=5)}, n_neighbors=10)
    parts = drawn(ax)
    centres = [parts[colour].mean(axis=0) for colour in (CONTROL, REAL)]
    spread = max(parts[colour].std() for colour in (CONTROL, REAL))
    assert np.linalg.norm(centres[0] - centres[1]) > 3 * spread


def test_components_are_fitted_on_measured_cells_alone(populations, dense, monkeypatch):
    import scanpy as sc

    seen = {}

    def neighbors(joint, **_):
        seen["pcs"] = joint.obsm["X_points"]

    def layout(joint, **_):
        joint.obsm["X_umap"] = joint.obsm["X_points"][:, :2]

    monkeypatch.setattr(sc.pp, "neighbors", neighbors)
    monkeypatch.setattr(sc.tl, "umap", layout)
    umap(populations, n_pcs=5)
    measured = np.concatenate([dense(populations[name]) for name in ("control", "real")])
    expected = PCA(5).fit(measured).transform(dense(populations["ScGen"]))
    np.testing.assert_allclose(np.abs(seen["pcs"][110:]), np.abs(expected), atol=1e-3)


def test_a_population_is_measured_unless_a_model_made_it(populations):
    assert _umap._measured(populations, None) == ["control", "real"]
    assert _umap._measured({"a": populations["ScGen"]}, None) == ["a"]
    assert _umap._measured(populations, ["real"]) == ["real"]


def test_a_given_basis_is_drawn_as_it_is(with_basis, ax, unchanged, figures_stay):
    assert umap(with_basis, basis="X_pca", ax=ax) is ax
    for points, adata in zip(drawn(ax).values(), with_basis.values(), strict=True):
        assert as_set(points) == as_set(adata.obsm["X_pca"][:, :2])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("pca 1", "pca 2")


def test_populations_are_drawn_in_random_order(with_basis):
    faces = umap(with_basis, basis="X_pca").collections[0].get_facecolor()
    changes = (np.diff(faces, axis=0) != 0).any(axis=1).sum()
    assert changes > 50


def test_the_legend_counts_the_cells_drawn(with_basis):
    ax = umap(with_basis, basis="X_pca", n_cells=20)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["control (n = 20)", "real (n = 20)", "ScGen (n = 20)"]
    assert [handle.get_color() for handle in ax.get_legend().legend_handles] == [CONTROL, REAL, CYCLE[0]]


def test_cells_are_drawn_without_replacement_by_the_seed(with_basis):
    first, again = (drawn(umap(with_basis, basis="X_pca", n_cells=20, seed=5))[REAL] for _ in range(2))
    other = drawn(umap(with_basis, basis="X_pca", n_cells=20, seed=6))[REAL]
    assert as_set(first) == as_set(again) != as_set(other)
    assert len(as_set(first)) == 20
    assert as_set(first) <= as_set(with_basis["real"].obsm["X_pca"][:, :2])


def test_none_draws_all_cells(with_basis):
    assert len(umap(with_basis, basis="X_pca", n_cells=None).collections[0].get_offsets()) == 170


def test_errors_name_what_is_missing(with_basis):
    with pytest.raises(KeyNotFoundError, match=r"control has no obsm\['X_tsne'\]; there are 'X_pca'"):
        umap(with_basis, basis="X_tsne")
    with pytest.raises(KeyNotFoundError, match=r"fit_on=\['truth'\] must name populations; there are 'control'"):
        umap(with_basis, fit_on=["truth"])
    with_basis["real"].obsm["X_one"] = np.zeros((50, 1))
    with pytest.raises(DataError, match=r"obsm\['X_one'\] of real has one column"):
        umap({"real": with_basis["real"]}, basis="X_one")
    with pytest.raises(GeneMismatchError, match="real lacks 1 of the 30 genes"):
        umap(with_basis | {"real": with_basis["real"][:, 1:].copy()})
    assert plt.get_fignums() == []


def test_cells_that_make_no_graph_are_refused(make):
    with pytest.raises(DataError, match="10 cells are too few for a graph of n_neighbors=15"):
        umap({"real": make(0, n_cells=10)})
    same = make(0)
    same.X = np.ones(same.shape, dtype=np.float32)
    with pytest.raises(DataError, match="cells of 'real' are all the same"):
        umap({"real": same})


def test_two_spaces_are_refused(populations):
    counts = populations["real"].copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="but real is 'counts'"):
        umap(populations | {"real": counts})
