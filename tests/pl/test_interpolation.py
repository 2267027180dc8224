import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from altercell.errors import KeyNotFoundError
from altercell.pl import interpolation


@pytest.fixture(params=[np.asarray, sp.csr_matrix])
def path(request):
    """Eleven steps; gene g changes by g, the last one falls."""
    fraction = np.linspace(0, 1, 11, dtype=np.float32)
    slopes = np.array([0, 1, 2, 3, -4], dtype=np.float32)
    values = 5 + fraction[:, None] * slopes
    uns = {"altercell": {"space": "log1p of counts", "source": "control", "target": "stimulated"}}
    obs = pd.DataFrame({"fraction": fraction}, index=[f"step_{i}" for i in range(11)])
    return AnnData(request.param(values), obs=obs, var=pd.DataFrame(index=["same", "a", "b", "MX1", "falls"]), uns=uns)


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_each_gene_is_a_line_along_the_fraction(path, ax, figures_stay):
    before = path.copy()
    assert interpolation(path, ["a", "falls"], ax=ax) is ax
    x, y = lines(ax)["falls"].get_data()
    np.testing.assert_allclose(x, np.linspace(0, 1, 11), rtol=1e-6)
    np.testing.assert_allclose(y, 5 - 4 * np.linspace(0, 1, 11), rtol=1e-6)
    assert set(lines(ax)) == {"a", "falls"}
    pd.testing.assert_frame_equal(path.obs, before.obs)
    assert (path.X != before.X).sum() == 0


def test_axes_tell_the_way_and_the_space(path):
    ax = interpolation(path, "a")
    assert ax.get_xlabel() == "fraction of the way from control to stimulated"
    assert ax.get_ylabel() == "expression (log1p of counts)"


def test_a_path_without_a_record_is_drawn(path):
    del path.uns["altercell"]
    assert interpolation(path, "a").get_xlabel() == "fraction of the way"


def test_a_number_takes_the_genes_that_change_most(path):
    assert set(lines(interpolation(path, 2))) == {"falls", "MX1"}


def test_the_legend_has_genes_in_the_order_of_their_ends(path):
    legend = interpolation(path, ["falls", "same", "MX1"]).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["MX1", "same", "falls"]


def test_steps_in_another_order_are_drawn_in_theirs(path):
    x, y = interpolation(path[np.random.default_rng(0).permutation(11)].copy(), "MX1").lines[0].get_data()
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()


def test_many_genes_can_be_told_apart():
    names = [f"g{i}" for i in range(20)]
    obs = pd.DataFrame({"fraction": [0.0, 1.0]}, index=["a", "b"])
    path = AnnData(np.arange(40.0).reshape(2, 20), obs=obs, var=pd.DataFrame(index=names))
    looks = {(line.get_color(), line.get_linestyle()) for line in interpolation(path, names).lines}
    assert len(looks) == 20


def test_the_legend_is_inside_the_figure(path):
    figure = interpolation(path, ["a", "falls"]).figure
    figure.draw_without_rendering()
    box = figure.axes[0].get_legend().get_window_extent()
    assert box.x0 > figure.axes[0].get_window_extent().x1
    assert box.x1 <= figure.bbox.x1


def test_errors_name_what_is_missing(path):
    with pytest.raises(KeyNotFoundError, match="path has no gene 'MX'; near names: 'MX1'"):
        interpolation(path, ["MX"])
    del path.obs["fraction"]
    with pytest.raises(KeyNotFoundError, match=r"no obs\['fraction'\], which `interpolate` writes"):
        interpolation(path, ["a"])
    assert plt.get_fignums() == []
