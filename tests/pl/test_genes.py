import matplotlib.pyplot as plt
import numpy as np
import pytest

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.metrics import de_genes, pearson_r2, variance_pearson_r2
from altercell.pl import gene_means, gene_variances

CHANGED = {"ISG15", "IFI6", "MX1", "gene3", "gene4", "gene5"}


@pytest.fixture
def arms(populations):
    return populations["ScGen"], populations["real"], populations["control"]


def named(ax):
    return {text.get_text() for text in ax.texts}


def points(ax, i=0):
    return np.asarray(ax.collections[i].get_offsets())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("plot", "statistic"),
    [(gene_means, lambda x: x.mean(0)), (gene_variances, lambda x: x.astype(float).var(0, ddof=1))],
)
def test_each_gene_is_a_point_real_along_x_and_predicted_along_y(
    plot, statistic, arms, ax, dense, unchanged, figures_stay
):
    pred, real, _ = arms
    assert plot(pred, real, ax=ax) is ax
    expected = np.column_stack([statistic(dense(real)), statistic(dense(pred))])
    np.testing.assert_allclose(points(ax), expected, rtol=1e-5)


def test_the_line_is_the_identity_and_reaches_over_all_points(arms):
    ax = gene_means(*arms[:2])
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, y)
    assert x[0] < points(ax).min()
    assert x[-1] > points(ax).max()
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1


def test_axes_say_what_and_in_which_space(arms):
    ax = gene_means(*arms[:2])
    assert ax.get_xlabel() == "real mean (log1p of counts per 10,000)"
    assert ax.get_ylabel() == "predicted mean (log1p of counts per 10,000)"
    assert gene_variances(*arms[:2]).get_xlabel() == "real variance (log1p of counts per 10,000)"


@pytest.mark.parametrize(("plot", "score"), [(gene_means, pearson_r2), (gene_variances, variance_pearson_r2)])
def test_the_legend_gives_the_scores_by_name_beside_no_change(plot, score, arms, dense):
    pred, real, control = arms
    ax = plot(pred, real, control=control, n_top=6)
    statistic = (lambda x: x.mean(0)) if plot is gene_means else (lambda x: x.astype(float).var(0, ddof=1))
    p, r, c = (statistic(dense(adata)) for adata in arms)
    top = real.var_names.get_indexer(de_genes(real, control, 6))
    assert ax.get_legend().get_title().get_text() == score.__name__
    assert legend(ax) == [
        f"all 30 genes: {score(p, r):.3f} (no change: {score(c, r):.3f})",
        f"top 6 differential genes: {score(p[top], r[top]):.3f} (no change: {score(c[top], r[top]):.3f})",
    ]


def test_without_control_there_is_one_score(arms, dense):
    pred, real, _ = arms
    assert legend(gene_means(pred, real)) == [
        f"all 30 genes: {pearson_r2(dense(pred).mean(0), dense(real).mean(0)):.3f}"
    ]


def test_the_top_genes_are_drawn_again_in_another_colour(arms):
    pred, real, control = arms
    ax = gene_means(pred, real, control=control, n_top=6)
    top = pred.var_names.get_indexer(de_genes(real, control, 6))
    np.testing.assert_array_equal(points(ax, 1), points(ax)[top])
    assert not np.array_equal(ax.collections[0].get_facecolor(), ax.collections[1].get_facecolor())


def test_with_control_the_top_differential_genes_are_named(arms):
    ax = gene_means(arms[0], arms[1], control=arms[2], genes=6)
    assert named(ax) == CHANGED


def test_without_control_the_largest_errors_are_named(arms):
    pred = arms[0].copy()
    values = pred.X.toarray() if hasattr(pred.X, "toarray") else pred.X.copy()
    values[:, 20] += 5
    pred.X = values
    assert named(gene_means(pred, arms[1], genes=1)) == {"gene20"}


@pytest.mark.parametrize("genes", [["gene9", "MX1"], "gene9", [], 0])
def test_asked_genes_are_named_and_none_where_none_is_asked(arms, genes):
    expected = {genes} if isinstance(genes, str) else set(genes or [])
    assert named(gene_means(*arms[:2], genes=genes)) == expected


def test_names_lie_beside_their_points(arms):
    ax = gene_means(*arms[:2], genes=["MX1"])
    np.testing.assert_array_equal(ax.texts[0].xy, points(ax)[2])


def test_the_legend_covers_no_point(arms):
    ax = gene_means(arms[0], arms[1], control=arms[2])
    ax.figure.draw_without_rendering()
    box, pixels = ax.get_legend().get_window_extent(), ax.transData.transform(points(ax))
    assert not ((pixels > box.min) & (pixels < box.max)).all(axis=1).any()


def test_genes_are_matched_by_name(arms):
    pred, real, _ = arms
    mixed = real[:, np.random.default_rng(0).permutation(real.n_vars)].copy()
    np.testing.assert_allclose(points(gene_means(pred, mixed)), points(gene_means(pred, real)), rtol=1e-6)


def test_an_unknown_gene_opens_no_figure_and_lists_near_names(arms):
    with pytest.raises(KeyNotFoundError, match="pred has no gene 'IFI16'; near names: 'IFI6'"):
        gene_means(*arms[:2], genes=["IFI16"])
    assert plt.get_fignums() == []


def test_missing_genes_are_an_error(arms):
    with pytest.raises(GeneMismatchError, match="real lacks 1 of the 30 genes"):
        gene_means(arms[0], arms[1][:, 1:])


def test_two_spaces_are_refused(arms):
    pred = arms[0].copy()
    pred.X = pred.X.astype(bool).astype(np.float32)
    pred.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="pred is 'counts' but real is"):
        gene_means(pred, arms[1])


def test_one_cell_has_no_variance(arms):
    with pytest.raises(DataError, match="real has 1 cells; a variance needs 2"):
        gene_variances(arms[0], arms[1][:1])
    assert gene_means(arms[0], arms[1][:1]) is not None
