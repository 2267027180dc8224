import matplotlib.pyplot as plt
import numpy as np
import pytest

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.metrics import de_genes, pearson_r2, variance_pearson_r2
from altercell.pl import gene_means, gene_variances, means_and_variances

STATISTICS = (lambda x: x.mean(0), lambda x: x.astype(float).var(0, ddof=1))
SCORES = (pearson_r2, variance_pearson_r2)


@pytest.fixture
def predictions(populations, make):
    return {"TrVAE": populations["ScGen"], "CVAE": make(3, shift=0.5), "NoChange": populations["control"]}


def points(ax, i=0):
    return np.asarray(ax.collections[i].get_offsets())


def named(ax):
    return {text.get_text() for text in ax.texts}


def test_a_column_a_model_with_means_above_variances(predictions, populations, dense, unchanged):
    axes = means_and_variances(predictions, populations["real"])
    assert axes.shape == (2, 3)
    assert len(plt.get_fignums()) == 1
    for row, statistic in zip(axes, STATISTICS, strict=True):
        for ax, pred in zip(row, predictions.values(), strict=True):
            expected = np.column_stack([statistic(dense(populations["real"])), statistic(dense(pred))])
            np.testing.assert_allclose(points(ax), expected, rtol=1e-5)


def test_titles_have_the_model_and_its_scores_beside_no_change(predictions, populations, dense):
    real, control = populations["real"], populations["control"]
    axes = means_and_variances(predictions, real, control=control, n_top=6)
    top = real.var_names.get_indexer(de_genes(real, control, 6))
    for row, statistic, score in zip(axes, STATISTICS, SCORES, strict=True):
        for ax, (model, pred) in zip(row, predictions.items(), strict=True):
            p, r, c = (statistic(dense(adata)) for adata in (pred, real, control))
            assert ax.get_title().split("\n") == [
                model,
                f"{score.__name__}: {score(p, r):.3f} (no change: {score(c, r):.3f})",
                f"top 6: {score(p[top], r[top]):.3f} (no change: {score(c[top], r[top]):.3f})",
            ]


def test_without_control_the_title_has_one_score(predictions, populations, dense):
    ax = means_and_variances(predictions, populations["real"])[0, 0]
    score = pearson_r2(dense(predictions["TrVAE"]).mean(0), dense(populations["real"]).mean(0))
    assert ax.get_title() == f"TrVAE\npearson_r2: {score:.3f}"
    assert ax.get_legend() is None


def test_panels_are_those_of_the_single_plots(predictions, populations):
    measured = {"real": populations["real"], "control": populations["control"]}
    axes = means_and_variances(predictions, **measured, n_top=6)
    for ax, plot in zip(axes[:, 0], (gene_means, gene_variances), strict=True):
        single = plot(predictions["TrVAE"], **measured, n_top=6)
        for i in (0, 1):
            np.testing.assert_array_equal(points(ax, i), points(single, i))
        assert named(ax) == named(single)
        assert (ax.get_xlabel(), ax.get_ylabel()) == (single.get_xlabel(), single.get_ylabel())


def test_a_row_shares_its_limits_and_the_label_of_y(predictions, populations):
    predictions["CVAE"].X = predictions["CVAE"].X * 3
    axes = means_and_variances(predictions, populations["real"])
    for row in axes:
        assert len({(*ax.get_xlim(), *ax.get_ylim()) for ax in row}) == 1
        assert row[0].get_xlim()[1] > max(points(ax).max() for ax in row)
        assert [bool(ax.get_ylabel()) for ax in row] == [True, False, False]
    assert axes[0, 0].get_xlim() != axes[1, 0].get_xlim()


def test_the_legend_of_colours_stands_in_the_first_panel_alone(predictions, populations):
    axes = means_and_variances(predictions, populations["real"], control=populations["control"], n_top=6)
    texts = [text.get_text() for text in axes[0, 0].get_legend().get_texts()]
    assert texts == ["all 30 genes", "top 6 differential genes"]
    shades = [handle.get_color() for handle in axes[0, 0].get_legend().legend_handles]
    from matplotlib.colors import to_hex

    assert shades == [to_hex(axes[0, 0].collections[i].get_facecolor()[0]) for i in (0, 1)]
    assert [ax.get_legend() for ax in axes.ravel()[1:]] == [None] * 5


def test_top_genes_are_named_with_control_and_the_worst_without(predictions, populations, dense):
    real, control = populations["real"], populations["control"]
    axes = means_and_variances(predictions, real, control=control, genes=4)
    assert all(named(ax) == set(de_genes(real, control, 4)) for ax in axes.ravel())
    worse = predictions["CVAE"]
    values = dense(worse).copy()
    values[:, 20] += 9
    worse.X = values
    axes = means_and_variances(predictions, real, genes=1)
    assert named(axes[0, 1]) == {"gene20"} != named(axes[0, 0])


def test_asked_genes_are_named_everywhere(predictions, populations):
    axes = means_and_variances(predictions, populations["real"], genes=["gene9", "MX1"])
    assert all(named(ax) == {"gene9", "MX1"} for ax in axes.ravel())


def test_names_do_not_overlap_in_the_finished_figure(predictions, populations):
    from matplotlib.text import Text

    axes = means_and_variances(predictions, populations["real"], control=populations["control"], genes=8)
    axes[0, 0].figure.draw_without_rendering()
    for ax in axes.ravel():
        boxes = [Text.get_window_extent(text) for text in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("n", [1, 2])
def test_given_axes_are_drawn_on(predictions, populations, n):
    given = plt.subplots(2, n)[1]
    models = dict(list(predictions.items())[:n])
    axes = means_and_variances(models, populations["real"], ax=given)
    assert axes.tolist() == given.reshape(2, n).tolist()
    assert plt.get_fignums() == [axes[0, 0].figure.number]
    assert all(ax.has_data() for ax in axes.ravel())


def test_axes_of_another_shape_are_refused(predictions, populations):
    given = plt.subplots(3, 2)[1]
    with pytest.raises(DataError, match=r"3 models need axes of shape \(2, 3\), .*; it is \(3, 2\)"):
        means_and_variances(predictions, populations["real"], ax=given)


def test_genes_are_matched_by_name(predictions, populations):
    expected = means_and_variances(predictions, populations["real"])
    order = np.random.default_rng(0).permutation(30)
    mixed = predictions | {"CVAE": predictions["CVAE"][:, order].copy()}
    axes = means_and_variances(mixed, populations["real"][:, order[::-1]].copy())
    np.testing.assert_allclose(points(axes[0, 1]), points(expected[0, 1]), rtol=1e-6)
    with pytest.raises(GeneMismatchError, match="CVAE lacks 1 of the 30 genes"):
        means_and_variances(predictions | {"CVAE": predictions["CVAE"][:, 1:]}, populations["real"])


def test_what_cannot_be_drawn_is_refused_and_opens_no_figure(predictions, populations):
    real = populations["real"]
    for wrong in ({}, [real], {"real": real}, {"control": real}):
        with pytest.raises(DataError, match="predictions are wanted by the name of their model"):
            means_and_variances(wrong, real)
    with pytest.raises(KeyNotFoundError, match="TrVAE has no gene 'IFI16'; near names: 'IFI6'"):
        means_and_variances(predictions, real, genes=["IFI16"])
    with pytest.raises(DataError, match="CVAE has 1 cells; a variance needs 2"):
        means_and_variances(predictions | {"CVAE": predictions["CVAE"][:1]}, real)
    counts = predictions["CVAE"].copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="but CVAE is 'counts'"):
        means_and_variances(predictions | {"CVAE": counts}, real)
    assert plt.get_fignums() == []
