import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.pl import _traversal, traversal_map
from altercell.pl._style import FAINT


@pytest.fixture
def real(make):
    return make(1, n_cells=50)


@pytest.fixture
def traversed(make):
    """Ten cells along each of three latents."""
    cells = make(2, shift=0.5, n_cells=30)
    cells.obs["latent"] = np.repeat(["z1", "z2", "z10"], 10)
    cells.obs["step"] = np.tile(np.linspace(-3, 3, 10), 3)
    return cells


@pytest.fixture
def quick(monkeypatch):
    """Lay out by the first two components, and keep what was laid out."""
    seen = {}

    def layout(points, others, *args):
        seen.update(points=points, others=others)
        return points[:, :2], others[:, :2]

    monkeypatch.setattr(_traversal, "lay_out_beside", layout)
    return seen


def test_a_panel_a_latent_with_its_cells_over_all_real_ones(traversed, real, quick):
    before = traversed.copy()
    axes = traversal_map(traversed, real)
    assert [ax.get_title() for ax in axes] == ["z1", "z10", "z2"]
    for ax, rows in zip(axes, (slice(0, 10), slice(20, 30), slice(10, 20)), strict=True):
        below, above = ax.collections
        np.testing.assert_array_equal(below.get_offsets(), quick["others"][:, :2])
        assert (below.get_facecolor()[:, :3] == to_rgb(FAINT)).all()
        order = np.argsort(above.get_array())
        np.testing.assert_array_equal(np.asarray(above.get_offsets())[order], quick["points"][rows, :2])
        np.testing.assert_array_equal(above.get_array()[order], np.linspace(-3, 3, 10))
    assert len(quick["others"]) == 50
    np.testing.assert_array_equal(traversed.X.toarray(), before.X.toarray())
    assert (list(traversed.obs), list(traversed.obsm)) == (list(before.obs), list(before.obsm))


def test_all_panels_have_one_scale_of_colours_with_one_bar(traversed, real, quick):
    traversed.obs.loc[traversed.obs["latent"] == "z2", "step"] *= 2
    axes = traversal_map(traversed, real)
    assert {ax.collections[1].get_clim() for ax in axes} == {(-6, 6)}
    others = [ax for ax in axes[0].figure.axes if ax not in set(axes)]
    assert [ax.get_ylabel() for ax in others] == ["step (grey: real cells)"]


def test_latents_are_chosen_and_put_in_order_and_columns_named(traversed, real, quick):
    traversed.obs = traversed.obs.rename(columns={"latent": "axis", "step": "value"})
    axes = traversal_map(traversed, real, latents=["z2", "z1"], latent_key="axis", step_key="value")
    assert [ax.get_title() for ax in axes] == ["z2", "z1"]
    assert axes[0].figure.axes[-1].get_ylabel() == "value (grey: real cells)"


def test_categories_keep_their_order_and_cells_without_a_latent_are_left_out(traversed, real, quick):
    traversed.obs["latent"] = traversed.obs["latent"].astype("category").cat.set_categories(["z2", "z1", "z7"])
    axes = traversal_map(traversed, real)
    assert [ax.get_title() for ax in axes] == ["z2", "z1"]
    assert [len(ax.collections[1].get_offsets()) for ax in axes] == [10, 10]


def test_panels_are_laid_out_in_rows_without_spare_ones(traversed, real, quick):
    axes = traversal_map(traversed, real, n_columns=2)
    rows = {ax.get_subplotspec().rowspan.start for ax in axes}
    assert (len(axes), rows, len(axes[0].figure.axes)) == (3, {0, 1}, 4)  # three panels and the bar of colours


def test_given_axes_are_drawn_on(traversed, real, quick):
    given = plt.subplots(1, 3)[1]
    before = plt.get_fignums()
    assert traversal_map(traversed, real, ax=given).tolist() == given.tolist()
    assert plt.get_fignums() == before
    with pytest.raises(DataError, match="3 latents need as many axes; 1 were given"):
        traversal_map(traversed, real, ax=given[0])


def test_real_cells_stay_where_they_are_whatever_was_made(traversed, real, make):
    other = make(4, shift=3, n_cells=30)
    other.obs[["latent", "step"]] = traversed.obs[["latent", "step"]].to_numpy()
    first, second = (
        np.asarray(traversal_map(cells, real, n_cells=40)[0].collections[0].get_offsets())
        for cells in (traversed, other)
    )
    assert first.shape == (40, 2)
    np.testing.assert_array_equal(first, second)


def test_errors_name_what_is_wrong(traversed, real):
    with pytest.raises(
        KeyNotFoundError, match=r"traversed has no obs column 'axis'; its columns are 'cell_type', 'latent'"
    ):
        traversal_map(traversed, real, latent_key="axis")
    with pytest.raises(KeyNotFoundError, match="latents='z3' were not moved; there are 'z1', 'z10', 'z2'"):
        traversal_map(traversed, real, latents=["z1", "z3"])
    with pytest.raises(DataError, match="traversed must be AnnData"):
        traversal_map(traversed.X, real)
    with pytest.raises(GeneMismatchError, match="generated lacks 1 of the 30 genes of real"):
        traversal_map(traversed[:, 1:].copy(), real)
    counts = traversed.copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError):
        traversal_map(counts, real)
    traversed.obs["step"] = ["low"] * 10 + list(range(20))
    with pytest.raises(DataError, match=r"traversed.obs\['step'\] holds no finite number in 10 of 30 cells"):
        traversal_map(traversed, real)
    traversed.obs["step"], traversed.obs["latent"] = 1.0, None
    with pytest.raises(DataError, match="no traversed cell says which latent was moved"):
        traversal_map(traversed, real)
    assert plt.get_fignums() == []
