import matplotlib.pyplot as plt
import numpy as np
import pytest

from altercell.errors import DataError, GroupError, KeyNotFoundError
from altercell.pl import dots

GENES = ["MX1", "ISG15", "gene20"]


def ticks(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def drawn(ax):
    return ax.collections[0]


def test_rows_are_types_with_their_populations_and_columns_genes(populations, ax, unchanged, figures_stay):
    assert dots(GENES, populations, ax=ax) is ax
    assert ticks(ax) == ["B cells", "control", "real", "ScGen", "T cells", "control", "real", "ScGen"]
    assert [text.get_text() for text in ax.get_xticklabels()] == GENES
    places = np.asarray(drawn(ax).get_offsets())
    assert places.tolist() == [[x, y] for y in (1, 2, 3, 5, 6, 7) for x in range(3)]


def test_type_names_stand_out(populations):
    ax = dots(GENES, populations)
    weights = [text.get_fontweight() for text in ax.get_yticklabels()]
    assert weights == ["bold", *["normal"] * 3] * 2


def test_colour_is_the_mean_and_size_the_share_of_expressing_cells(populations, dense):
    ax = dots(GENES, populations, threshold=0.8)
    means, shares = [], []
    for label in ("B cells", "T cells"):
        for adata in populations.values():
            cells = dense(adata)[(adata.obs["cell_type"] == label).to_numpy()][:, adata.var_names.get_indexer(GENES)]
            means += cells.mean(axis=0).tolist()
            shares += (cells > 0.8).mean(axis=0).tolist()
    np.testing.assert_allclose(drawn(ax).get_array().ravel(), means, rtol=1e-5)
    sizes = drawn(ax).get_sizes()
    np.testing.assert_allclose(sizes / sizes.max() * max(shares), shares, rtol=1e-6)


def test_legends_tell_sizes_and_colours(populations):
    ax = dots(GENES, populations)
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "share of cells above 0.5"
    assert [text.get_text() for text in legend.get_texts()] == ["25%", "50%", "75%", "100%"]
    shown = [handle.get_sizes()[0] for handle in legend.legend_handles]
    np.testing.assert_allclose(np.array(shown) / shown[-1], [0.25, 0.5, 0.75, 1])
    assert drawn(ax).get_sizes().max() <= shown[-1] * (1 + 1e-9)
    bar = ax.figure.axes[-1]
    assert bar is not ax
    assert bar.get_ylabel() == "mean expression (log1p of counts per 10,000)"


@pytest.mark.parametrize("n_genes", [1, 3, 30])
def test_neighbouring_dots_do_not_touch(populations, n_genes):
    ax = dots(list(populations["real"].var_names[:n_genes]), populations)
    ax.figure.draw_without_rendering()
    diameter = np.sqrt(drawn(ax).get_sizes().max()) * ax.figure.dpi / 72
    step = ax.transData.transform([[0, 0], [1, 1]])
    assert diameter < np.abs(step[1] - step[0]).min()


def test_labels_choose_types_and_their_order(populations):
    ax = dots(GENES, populations, labels=["T cells"])
    assert ticks(ax) == ["T cells", "control", "real", "ScGen"]
    assert ticks(dots(GENES, populations, labels=["T cells", "B cells"]))[4] == "B cells"


def test_a_population_without_cells_of_a_type_has_no_row_there(populations):
    populations["real"] = populations["real"][populations["real"].obs["cell_type"] == "T cells"]
    assert ticks(dots("MX1", populations)) == ["B cells", "control", "ScGen", "T cells", "control", "real", "ScGen"]


def test_cells_without_a_type_are_left_out(populations, dense):
    cells = populations["real"]
    cells.obs.loc[cells.obs_names[:10], "cell_type"] = None
    ax = dots("MX1", {"real": cells}, labels=["B cells"])
    kept = (cells.obs["cell_type"] == "B cells").to_numpy()
    assert kept.sum() == 20
    assert drawn(ax).get_array().ravel() == pytest.approx(dense(cells)[kept][:, 2].mean(), rel=1e-5)


def test_unknown_types_keys_and_genes_are_named(populations):
    with pytest.raises(GroupError, match="no cells of type 'NK'; there are 'B cells', 'T cells'"):
        dots(GENES, populations, labels=["NK"])
    with pytest.raises(KeyNotFoundError, match=r"control has no obs\['louvain'\]; its columns are 'cell_type'"):
        dots(GENES, populations, labels_key="louvain")
    with pytest.raises(KeyNotFoundError, match="control has no gene 'MX11'; near names: 'MX1'"):
        dots(["MX11"], populations)
    with pytest.raises(DataError, match="name at least one"):
        dots([], populations)
    assert plt.get_fignums() == []
