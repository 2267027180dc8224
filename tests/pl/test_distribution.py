import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from altercell.errors import DataError, KeyNotFoundError, SpaceMismatchError
from altercell.pl import gene_distribution
from altercell.pl._style import CONTROL, CYCLE, REAL


def column(adata, gene, dense):
    return dense(adata)[:, adata.var_names.get_loc(gene)]


def violins(ax):
    return ax.collections[:-2]


def test_draws_a_violin_a_population_on_the_given_axes(populations, ax, unchanged, figures_stay):
    assert gene_distribution("ISG15", populations, ax=ax) is ax
    assert len(violins(ax)) == 3
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["control\nn = 60", "real\nn = 50", "ScGen\nn = 60"]
    assert ax.get_title() == "ISG15"
    assert ax.get_ylabel() == "expression (log1p of counts per 10,000)"


def test_violins_reach_from_the_smallest_to_the_largest_value(populations, dense):
    ax = gene_distribution("MX1", populations)
    for place, (body, adata) in enumerate(zip(violins(ax), populations.values(), strict=True)):
        outline, values = body.get_paths()[0].vertices, column(adata, "MX1", dense)
        assert (outline[:, 1].min(), outline[:, 1].max()) == pytest.approx((values.min(), values.max()))
        assert outline[:, 0].mean() == pytest.approx(place, abs=0.05)


def test_dots_are_means_and_bars_quartiles(populations, dense):
    ax = gene_distribution("ISG15", populations)
    values = [column(adata, "ISG15", dense) for adata in populations.values()]
    dots = np.asarray(ax.collections[-1].get_offsets())
    np.testing.assert_allclose(dots, [(i, x.mean()) for i, x in enumerate(values)], rtol=1e-5)
    bars = [segment[:, 1] for segment in ax.collections[-2].get_segments()]
    np.testing.assert_allclose(bars, [np.quantile(x, [0.25, 0.75]) for x in values], rtol=1e-5)


def test_control_and_real_have_their_colours_in_any_order(populations):
    ax = gene_distribution("ISG15", dict(reversed(populations.items())))
    faces = [tuple(body.get_facecolor()[0][:3]) for body in violins(ax)]
    assert faces == [to_rgb(CYCLE[0]), to_rgb(REAL), to_rgb(CONTROL)]


def test_any_number_of_predictions_is_drawn(populations):
    many = populations | {f"model {i}": populations["ScGen"] for i in range(7)}
    ax = gene_distribution("ISG15", many)
    assert len(violins(ax)) == 10
    assert len({tuple(body.get_facecolor()[0]) for body in violins(ax)}) == 10


def test_a_gene_that_no_cell_expresses_is_drawn(populations, dense):
    silent = populations["control"].copy()
    silent.X = np.zeros(silent.shape, dtype=np.float32)
    ax = gene_distribution("ISG15", {"control": silent, "real": populations["real"]})
    assert np.asarray(ax.collections[-1].get_offsets())[0].tolist() == [0, 0]


def test_an_unknown_gene_names_the_population_and_opens_no_figure(populations):
    populations["ScGen"] = populations["ScGen"][:, 1:]
    with pytest.raises(KeyNotFoundError, match="ScGen has no gene 'ISG15'"):
        gene_distribution("ISG15", populations)
    assert plt.get_fignums() == []


def test_two_spaces_are_refused(populations):
    counts = populations["real"].copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="but real is 'counts'"):
        gene_distribution("ISG15", populations | {"real": counts})


def test_no_population_is_an_error():
    with pytest.raises(DataError, match="wanted by name"):
        gene_distribution("ISG15", {})
