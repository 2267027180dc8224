"""What every plot holds: it draws where it is told, fits its own figure, and leaves the rest alone."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from altercell import pl


@pytest.fixture
def plots(make):
    """Every public plot as a function of the axes alone."""
    control, real, pred = make(0), make(1, shift=2), make(2, shift=1.5)
    arms = {"control": control, "real": real, "a model of a long name": pred}
    for adata in arms.values():
        adata.obsm["X_pca"] = adata.X[:, :2].toarray()
    rng = np.random.default_rng(0)
    genes = ["ISG15", "IFI6", "MX1"]
    path = AnnData(rng.uniform(size=(9, 3)), obs={"fraction": np.linspace(0, 1, 9)}, var=pd.DataFrame(index=genes))
    scored = pd.DataFrame({"condition": np.repeat(["a", "b"], 30), "score": rng.normal(size=60)})
    scored["predicted"] = np.where(scored["score"] > 0, "b", "a")
    kinds = ["delta of a type"] * 3 + ["random"] * 97
    cosines = pd.DataFrame({"kind": kinds, "name": "CD14+ monocytes", "cosine": rng.uniform(-1, 1, 100)})
    history = {name: pd.DataFrame({name: rng.uniform(1e5, 2e5, 20)}) for name in ("train_loss", "validation_loss")}
    table = pd.DataFrame({"model": np.resize(["ScGen", "a baseline of a very long name"], 12), "metric": "mse"})
    table = table.assign(label=np.resize(["B", "T", "NK"], 12), seed=np.repeat([0, 1], 6), value=rng.uniform(size=12))
    table = table.assign(better="lower", sd_cells=0.05)
    two = list(table["model"].unique())
    images = rng.uniform(size=(60, 64))
    bands = pd.DataFrame(
        {"label": np.repeat(["B", "T"], 3), "level": [0.1, 0.5, 0.9] * 2, "share": [0.2, 0.6, 0.9] * 2}
    )
    kept = pd.DataFrame({"share": [0.5, 0.1, 0.01] * 4, "seed": np.repeat([0, 1], 6), "value": rng.uniform(size=12)})
    kept["method"] = np.repeat(["cut", "a method of a very long name"] * 2, 3)
    known = pd.DataFrame(rng.uniform(-1, 1, size=(10, 2)), columns=["batch", "a factor of a long name"])
    known.index = [f"z{i + 1}" for i in range(10)]
    made = pred[:20].copy()
    made.obs["latent"], made.obs["step"] = np.repeat(["z1", "z2"], 10), np.tile(np.linspace(-2, 2, 10), 2)
    models = {"ScGen": pred, "a model of a very long name": control}
    return {
        "augmentation_curve": lambda ax: pl.augmentation_curve(kept, ax=ax),
        "calibration": lambda ax: pl.calibration(bands, ax=ax),
        "classifier": lambda ax: pl.classifier(scored, ax=ax),
        "cosines": lambda ax: pl.cosines(cosines, ax=ax),
        "dots": lambda ax: pl.dots(genes, arms, ax=ax),
        "entropy_error": lambda ax: pl.entropy_error([0, 1, 3], [0.4, 0.5, 0.1], names=["B", "T", "NK"], ax=ax),
        "factor_map": lambda ax: pl.factor_map(known, label="Spearman correlation", ax=ax),
        "gene_distribution": lambda ax: pl.gene_distribution("ISG15", arms, ax=ax),
        "gene_means": lambda ax: pl.gene_means(pred, real, control=control, ax=ax),
        "gene_variances": lambda ax: pl.gene_variances(pred, real, control=control, ax=ax),
        "generated_map": lambda ax: pl.generated_map(pred, real, color="cell_type", ax=ax),
        "image_grid": lambda ax: pl.image_grid(images, images[::-1], image_shape=(8, 8), ax=ax),
        "interpolation": lambda ax: pl.interpolation(path, genes, ax=ax),
        "latent_umap": lambda ax: pl.latent_umap(images, ["control", "a condition of a long name"] * 30, ax=ax),
        "marker_correlations": lambda ax: pl.marker_correlations(pred, real, [*genes, "gene3", "gene4"], ax=ax),
        "means_and_variances": lambda ax: pl.means_and_variances(models, real, control=control, ax=ax),
        "roc_curve": lambda ax: pl.roc_curve(pred, real, n_trees=5, ax=ax),
        "score_bars": lambda ax: pl.score_bars(table, "mse", ax=ax),
        "score_map": lambda ax: pl.score_map(table, floor=two[0], ceiling=two[1], ax=ax),
        "score_pairs": lambda ax: pl.score_pairs(table, *two, "mse", ax=ax),
        "scores": lambda ax: pl.scores(table, ax=ax),
        "training": lambda ax: pl.training(history, ax=ax),
        "traversal_map": lambda ax: pl.traversal_map(made, real, ax=ax),
        "umap": lambda ax: pl.umap(arms, basis="X_pca", ax=ax),
    }


each = pytest.mark.parametrize("name", pl.__all__)


# Plots of several panels: how many down and across.
PANELS = {"means_and_variances": (2, 2), "traversal_map": (1, 2)}


def first(axes):
    return np.ravel(axes)[0]


def axes_for(name, part):
    """Axes of a figure or a part of one, as many as the plot draws on."""
    return part.subplots(*PANELS.get(name, (1, 1)))


def overhang(figure):
    """How far what is drawn reaches over the edge of its figure, in inches."""
    box, size = figure.get_tightbbox(), figure.get_size_inches()
    return max(0, -box.x0, -box.y0, box.x1 - size[0], box.y1 - size[1])


def test_there_is_a_case_for_every_public_plot(plots):
    assert sorted(plots) == sorted(pl.__all__)


@each
def test_nothing_is_cut_off_at_the_default_size(plots, name):
    figure = first(plots[name](None)).figure
    figure.draw_without_rendering()
    assert overhang(figure) < 0.02


@each
def test_a_plot_without_axes_opens_one_figure(plots, name):
    before = plt.get_fignums()
    ax = first(plots[name](None))
    assert len(plt.get_fignums()) == len(before) + 1
    assert ax.figure.number not in before


@each
def test_axes_carry_labels_of_what_they_show(plots, name):
    ax = first(plots[name](None))
    texts = [ax.get_xlabel(), ax.get_ylabel(), ax.get_title(), *(text.get_text() for text in ax.get_xticklabels())]
    assert any(len(text) > 1 for text in texts)


@each
def test_only_the_given_axes_are_drawn_on(plots, name):
    figure = plt.figure(figsize=(12, 6), layout="constrained")
    given, other = axes_for(name, figure.subfigures(1, 2)[0]), figure.add_subplot()
    answer = plots[name](given)
    assert np.ravel(answer).tolist() == np.ravel(given).tolist()
    assert all(ax.has_data() for ax in np.ravel(given))
    assert not other.has_data()
    assert plt.get_fignums() == [figure.number]


@each
def test_axes_of_a_subfigure_will_do(plots, name):
    part = plt.figure(layout="constrained", figsize=(12, 6)).subfigures(1, 2)[1]
    axes = axes_for(name, part)
    assert np.ravel(plots[name](axes)).tolist() == np.ravel(axes).tolist()
    assert first(axes).has_data()


@each
def test_a_figure_without_pyplot_will_do(plots, name):
    from matplotlib.figure import Figure

    axes = axes_for(name, Figure(figsize=(6, 4), layout="constrained"))
    assert np.ravel(plots[name](axes)).tolist() == np.ravel(axes).tolist()
    assert plt.get_fignums() == []


@each
def test_figures_can_be_written_as_vectors(plots, name):
    for kind in ("pdf", "svg"):
        file = io.BytesIO()
        first(plots[name](None)).figure.savefig(file, format=kind)
        assert file.tell() > 5_000


@each
def test_drawing_twice_draws_the_same(plots, name):
    pictures = []
    for _ in range(2):
        figure = first(plots[name](None)).figure
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()))
    np.testing.assert_array_equal(*pictures)


@each
def test_larger_letters_still_fit(plots, name):
    with plt.rc_context({"font.size": 16}):
        figure = first(plots[name](None)).figure
        figure.draw_without_rendering()
        assert overhang(figure) < 0.04
