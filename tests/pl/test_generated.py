import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.pl import _generated, generated_map
from altercell.pl._points import lay_out, lay_out_beside
from altercell.pl._style import CYCLE, FAINT, KINDS


@pytest.fixture
def real(make):
    return make(1, n_cells=50)


@pytest.fixture
def generated(make):
    return make(2, shift=0.5, n_cells=40)


@pytest.fixture
def quick(monkeypatch):
    """Lay out by the first two components, and keep what was laid out."""
    seen = {}

    def layout(points, others, *args):
        seen.update(points=points, others=others)
        return points[:, :2], others[:, :2]

    monkeypatch.setattr(_generated, "lay_out_beside", layout)
    return seen


def places(ax):
    """Coordinates of real cells and of generated ones."""
    return [np.asarray(drawn.get_offsets()) for drawn in ax.collections]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_real_cells_stay_where_they_are_whatever_was_generated(make, real, generated, ax, figures_stay):
    before = generated.copy(), real.copy()
    assert generated_map(generated, real, ax=ax) is ax
    known, made = places(ax)
    assert (known.shape, made.shape) == ((50, 2), (40, 2))
    other_known, other_made = places(generated_map(make(3, shift=4, n_cells=25), real, ax=ax.figure.subplots()))
    np.testing.assert_array_equal(known, other_known)
    assert other_made.shape == (25, 2)
    for adata, kept in zip((generated, real), before, strict=True):
        np.testing.assert_array_equal(adata.X.toarray(), kept.X.toarray())
        assert (list(adata.obs), list(adata.obsm), adata.uns) == (list(kept.obs), list(kept.obsm), kept.uns)


def test_the_map_is_that_of_the_seed_and_global_generators_stay(real, generated):
    states = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first, again, other = (np.concatenate(places(generated_map(generated, real, seed=seed))) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert random.getstate() == states[1]


def test_every_cell_is_at_the_mean_place_of_the_nearest_real_ones_without_itself():
    rng = np.random.default_rng(0)
    others, points = rng.normal(size=(60, 4)), rng.normal(size=(9, 4))
    xy = lay_out(others, 10, 0.5, 0)
    made, known = lay_out_beside(points, others, 10, 0.5, 3, 0)
    order = np.argsort(np.linalg.norm(points[:, None] - others, axis=2), axis=1)
    np.testing.assert_allclose(made, xy[order[:, :3]].mean(axis=1), rtol=1e-6)
    order = np.argsort(np.linalg.norm(others[:, None] - others, axis=2), axis=1)
    np.testing.assert_allclose(known, xy[order[:, 1:4]].mean(axis=1), rtol=1e-6)


def test_real_cells_that_are_left_out_of_the_map_lie_nearly_as_those_within():
    rng = np.random.default_rng(0)
    centres = np.repeat([[0.0], [9.0]], 200, axis=0)
    points, others = (rng.normal(size=(400, 6)) + centres for _ in range(2))
    made, known = lay_out_beside(points, others, 15, 0.5, 5, 0)
    for half in (slice(0, 200), slice(200, 400)):
        centre = known[half].mean(axis=0)
        spread, expected = (np.linalg.norm(xy[half] - centre, axis=1).mean() for xy in (made, known))
        assert 0.8 * expected < spread <= expected * 1.05
    # Their nearest neighbours on the map are of both kinds alike.
    both, is_real = np.concatenate([made, known]), np.repeat([0, 1], 400)
    nearest = NearestNeighbors(n_neighbors=10).fit(both).kneighbors(return_distance=False)
    assert is_real[nearest].mean(axis=1)[:400].mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("given", [True, False])
def test_components_are_those_of_the_basis_or_of_all_real_cells(make, real, generated, dense, quick, given):
    basis = make(7, shift=1, n_cells=45) if given else None
    generated_map(generated, real, basis=basis, n_pcs=4, n_cells=30)
    pca = PCA(4).fit(dense(real if basis is None else basis))
    expected = pca.transform(dense(generated))
    assert quick["points"].shape == quick["others"].shape == (30, 4)
    for row in np.abs(quick["points"]):
        assert np.abs(np.abs(expected) - row).max(axis=1).min() < 1e-3


def test_genes_are_found_by_name(real, generated, quick):
    known, made = places(generated_map(generated, real))
    again = places(generated_map(generated, real[:, ::-1].copy()))
    for first, second in zip((known, made), again, strict=True):
        np.testing.assert_allclose(np.abs(first), np.abs(second), atol=1e-4)


def test_real_cells_are_grey_below_and_generated_ones_of_one_colour(real, generated, quick):
    ax = generated_map(generated, real)
    below, above = ax.collections
    assert below.get_zorder() <= above.get_zorder()
    assert (below.get_facecolor()[:, :3] == to_rgb(FAINT)).all()
    assert (above.get_facecolor()[:, :3] == to_rgb(CYCLE[0])).all()
    assert legend(ax) == ["generated cells (n = 40)", "real cells (n = 50)"]


def test_a_column_of_the_generated_cells_gives_colours_and_counts(real, generated, quick):
    generated.obs["kind"] = ["control"] * 25 + ["real"] * 10 + [None] * 5
    ax = generated_map(generated, real, color="kind")
    faces = ax.collections[1].get_facecolor()[:, :3]
    assert [int((faces == to_rgb(colour)).all(axis=1).sum()) for colour in KINDS[:2]] == [25, 10]
    assert legend(ax) == ["control (n = 25)", "real (n = 10)", "real cells (n = 50)"]
    assert ax.get_legend().get_title().get_text() == "generated, kind"
    orange = places(ax)[1][(faces == to_rgb(KINDS[0])).all(axis=1)]
    expected = quick["points"][:25, :2]
    np.testing.assert_allclose(orange[np.argsort(orange[:, 0])], expected[np.argsort(expected[:, 0])], rtol=1e-4)


def test_tsne_lays_both_out_jointly(real, generated):
    ax = generated_map(generated, real, method="tsne", n_pcs=5, perplexity=10)
    assert [len(xy) for xy in places(ax)] == [50, 40]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t-SNE 1", "t-SNE 2")
    again = places(generated_map(generated, real, method="tsne", n_pcs=5, perplexity=10))
    np.testing.assert_array_equal(places(ax)[0], again[0])


def test_errors_name_what_is_wrong(make, real, generated):
    with pytest.raises(DataError, match="method='pca' is unknown; there are 'umap', 'tsne'"):
        generated_map(generated, real, method="pca")
    with pytest.raises(KeyNotFoundError, match=r"generated has no obs\['class'\] to colour by; .* 'cell_type'"):
        generated_map(generated, real, color="class")
    with pytest.raises(GeneMismatchError, match="real lacks 1 of the 30 genes of the prediction: 'ISG15'"):
        generated_map(generated, real[:, 1:].copy())
    with pytest.raises(
        GeneMismatchError, match=r"generated lacks 1 of the 30 genes of real: 'ISG15'; give all the same"
    ):
        generated_map(generated[:, 1:].copy(), real)
    with pytest.raises(DataError, match="generated must be AnnData"):
        generated_map(generated.X, real)
    with pytest.raises(DataError, match="'real' must be AnnData"):
        generated_map(generated, real.X)
    with pytest.raises(DataError, match="10 cells are too few for a graph of n_neighbors=15"):
        generated_map(generated, make(1, n_cells=10))
    with pytest.raises(DataError, match="n_nearest=0 must be at least 1 and below the number of real cells, 50"):
        generated_map(generated, real, n_nearest=0)
    with pytest.raises(DataError, match="90 cells are too few for t-SNE with perplexity=90: give a lower one"):
        generated_map(generated, real, method="tsne", perplexity=90)
    with pytest.raises(DataError, match="real has 1 principal components; a map needs two"):
        generated_map(generated, real, n_pcs=1)
    generated.obs["taken"] = "real cells"
    with pytest.raises(DataError, match="has the label 'real cells', which the legend needs: rename"):
        generated_map(generated, real, color="taken")
    generated.obs["many"] = np.arange(40)
    wide = make(2, n_cells=61)
    wide.obs["many"] = np.arange(61)
    with pytest.raises(DataError, match="color has 61 different labels"):
        generated_map(wide, real, color="many")
    assert plt.get_fignums() == []


def test_values_that_cannot_be_compared_are_refused(real, generated):
    counts = generated.copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="generated is 'counts'"):
        generated_map(counts, real)
    generated.X.data[0] = np.nan
    with pytest.raises(DataError, match="generated holds NaN or infinite values, in 1 of 40 cells"):
        generated_map(generated, real)
