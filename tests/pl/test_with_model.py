"""The plots take what a model answers, as it answers it."""

import warnings

import numpy as np
import pandas as pd
import pytest

from altercell import pl

HELD_OUT = "CD4 T cells"


@pytest.fixture(scope="module")
def model():
    """ScGen after two epochs on the simulator."""
    import altercell as ac

    adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=60, seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about loaders and loggers is not what is tested
        ac.ScGen.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
        model = ac.ScGen(adata, n_hidden=16, n_latent=6)
        model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    return model


@pytest.fixture
def ways(model):
    return {"source": "control", "target": "stimulated"}


@pytest.fixture
def arms(model, ways):
    adata = model.adata
    cells = {
        name: adata[(adata.obs["condition"] == value).to_numpy()]
        for name, value in (("control", "control"), ("real", "stimulated"))
    }
    return cells | {"ScGen": model.predict(**ways)}


def test_training_draws_the_history_of_the_model(model):
    ax = pl.training(model)
    shown = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(shown["training cells"], model.history_["train_loss"]["train_loss"])
    np.testing.assert_allclose(shown["validation cells"], model.history_["validation_loss"]["validation_loss"])


def test_every_term_that_the_model_logs_has_a_panel(model):
    axes = pl.training(model, terms=["loss", "reconstruction_loss", "kl_local"])
    assert [len(ax.lines) for ax in axes] == [3, 2, 2]


def test_classifier_draws_every_cell_of_the_table(model, ways):
    table = model.classify(**ways)
    ax = pl.classifier(table)
    assert sum(patch.get_height() for container in ax.containers for patch in container) == len(table)
    assert ax.get_title() == f"accuracy = {table.attrs['accuracy']:.3f}"


def test_cosines_draws_the_kinds_of_the_table(model, ways):
    table = model.delta_cosines(**ways, n_random=30)
    ticks = [text.get_text().split("\n")[0] for text in pl.cosines(table).get_yticklabels()]
    types = table.loc[table["kind"] == "delta of a type"].sort_values("cosine", ascending=False)["name"]
    assert ticks == [*(f"delta of {name}" for name in types), "difference of types", "random"]


def test_interpolation_draws_the_steps_of_the_model(model, ways):
    path = model.interpolate(**ways, n=20)
    ax = pl.interpolation(path, 3)
    assert len(ax.lines) == 3
    name = ax.lines[0].get_label()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.asarray(path[:, name].X).ravel(), rtol=1e-5)
    assert ax.get_xlabel() == "fraction of the way from control to stimulated"


def test_means_variances_and_distributions_take_a_prediction(arms):
    control, real, pred = arms.values()
    for plot in (pl.gene_means, pl.gene_variances):
        ax = plot(pred, real, control=control)
        assert len(ax.collections[0].get_offsets()) == pred.n_vars
        assert len(ax.texts) == 5
    gene = str(pred.var_names[0])
    assert pl.gene_distribution(gene, arms).get_title() == gene


def test_dots_draw_all_types_of_a_prediction(arms):
    ax = pl.dots(list(arms["ScGen"].var_names[:4]), arms)
    types = pd.unique(arms["ScGen"].obs["cell_type"])
    assert len(ax.collections[0].get_offsets()) == len(types) * 3 * 4


def test_a_prediction_is_known_as_one(arms):
    from altercell.pl._umap import _measured

    assert _measured(arms, None) == ["control", "real"]


def test_a_latent_representation_is_drawn_by_condition(model):
    points, condition = model.get_latent_representation(), model.adata.obs["condition"]
    ax = pl.latent_umap(points, condition)
    assert len(ax.collections[0].get_offsets()) == model.adata.n_obs
    counts = condition.value_counts()
    expected = [f"{name} (n = {counts[name]:,})" for name in ("control", "stimulated")]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == expected
    assert ax.get_legend().get_title().get_text() == "condition"


def test_means_and_variances_take_predictions(arms):
    control, real, pred = arms.values()
    axes = pl.means_and_variances({"ScGen": pred, "no change": control}, real, control=control)
    assert axes.shape == (2, 2)
    assert len(axes[1, 0].collections[0].get_offsets()) == pred.n_vars


def test_cells_are_drawn_as_images_with_the_way_of_the_prediction(model, arms):
    source = model.adata[(model.adata.obs["condition"] == "control").to_numpy()]
    ax = pl.image_grid(model.adata, arms["ScGen"], arms["real"], image_shape=(6, 10), labels_key="cell_type")
    names = ["source\ncontrol", "predicted\nstimulated", "real\nstimulated"]
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    assert f"of {source.n_obs:,} images" in ax.get_xlabel()
