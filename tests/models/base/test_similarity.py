"""Deltas weighted by how alike the types are, against plain NumPy."""

import numpy as np
import pytest

from altercell import ScGen, ScPerb
from altercell.errors import DataError, GroupError, NotTrainedError
from altercell.models.base import type_similarity

ASK = {"source": "control", "target": "other"}
TYPES = ("B", "NK", "T")


def rows(adata, condition, label) -> np.ndarray:
    return ((adata.obs["condition"] == condition) & (adata.obs["cell_type"] == label)).to_numpy()


def expected(x, adata, asked, types, source="control", target="other") -> np.ndarray:
    """Return the weights, cell by cell from the definition, with tau = .25."""
    groups = {label: x[rows(adata, source, label)].astype(float) for label in TYPES}
    means = {label: cells.mean(axis=0) for label, cells in groups.items()}
    scatter = {label: ((cells - means[label]) ** 2).sum(axis=0) for label, cells in groups.items()}
    sizes = {label: len(cells) for label, cells in groups.items()}
    pooled = sum(scatter.values()) / sum(n - 1 for n in sizes.values())
    noise = {k: ((n * scatter[k] / (n - 1) + 10 * pooled) / (n + 10) / n).sum() for k, n in sizes.items()}

    def distance(a, b):
        return 0.0 if a == b else max(0.0, ((means[a] - means[b]) ** 2).sum() - noise[a] - noise[b])

    median = np.median([distance(a, b) for n, a in enumerate(types) for b in types[n + 1 :]])
    target_sizes = {label: rows(adata, target, label).sum() for label in types}
    weights = np.array(
        [np.exp(-distance(asked, k) / (0.25 * median)) / (1 / sizes[k] + 1 / target_sizes[k] + 1 / 200) for k in types]
    )
    return weights / weights.sum()


def delta(model, weights, types, target) -> np.ndarray:
    means, _ = model.group_means()
    end = ("control", "other", "stimulated").index(target)
    codes = [TYPES.index(label) for label in types]
    return weights @ (means[end, codes] - means[0, codes])


@pytest.mark.parametrize("asked", TYPES)
def test_the_weights_are_those_of_the_definition(model, asked):
    found = type_similarity(model, 0, 1, np.arange(3), np.array([TYPES.index(asked)]))[0]
    np.testing.assert_allclose(found, expected(model.adata.X, model.adata, asked, TYPES), rtol=1e-5)
    assert found.argmax() == TYPES.index(asked)


def test_counts_are_compared_on_the_log_scale(nb_model):
    x = nb_model.adata.X / nb_model.adata.X.sum(1, keepdims=True) * 1e4
    found = type_similarity(nb_model, 0, 1, np.arange(3), np.array([2]))[0]
    np.testing.assert_allclose(found, expected(np.log1p(x), nb_model.adata, "T", TYPES), rtol=1e-4)


def test_each_asked_type_has_its_own_delta(model):
    together = model.predict(**ASK, weights="similarity")
    for label in TYPES:
        weights = expected(model.adata.X, model.adata, label, TYPES)
        step = model.get_delta("control", "other", weights="similarity", nearest_to=label)
        np.testing.assert_allclose(step, delta(model, weights, TYPES, "other"), rtol=1e-4, atol=1e-6)
        mine = (together.obs["cell_type"] == label).to_numpy()
        one = model.predict(**ASK, labels=label, delta=step)
        np.testing.assert_allclose(together.X[mine], one.X, rtol=1e-5, atol=1e-6)
    assert together.uns["altercell"]["options"].startswith("weights=similarity")


def test_a_held_out_type_borrows_from_the_others(model):
    weights = expected(model.adata.X, model.adata, "T", TYPES[:2], target="stimulated")
    step = model.get_delta("control", "stimulated", weights="similarity", nearest_to="T")
    np.testing.assert_allclose(step, delta(model, weights, TYPES[:2], "stimulated"), rtol=1e-4, atol=1e-6)


def test_a_type_that_training_has_not_seen_is_known_by_the_cells_that_are_asked(model):
    adata = model.adata[rows(model.adata, "control", "T")].copy()
    adata.obs["cell_type"] = "never seen"
    found = model.predict(adata, **ASK, weights="similarity", types=["B", "NK"])
    # The same cells as a known type, of which the delta is the same: the profile is theirs either way.
    same = model.predict(**ASK, labels="T", weights="similarity", types=["B", "NK"])
    np.testing.assert_allclose(found.X, same.X, rtol=1e-4, atol=1e-5)


def test_weights_by_type(model):
    given = {"T": 1.0, "B": 3.0}
    step = model.get_delta("control", "other", weights=given)
    np.testing.assert_allclose(step, delta(model, np.array([0.75, 0.25]), ("B", "T"), "other"), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.predict(**ASK, weights=given).X, model.predict(**ASK, delta=step).X)


@pytest.mark.parametrize("given", [{"B": -1.0, "T": 2.0}, {"B": 0.0}, {"B": float("nan")}])
def test_weights_that_are_none_are_refused(model, given):
    with pytest.raises(DataError, match="must be numbers of 0 or more, and not all 0"):
        model.get_delta("control", "other", weights=given)


def test_an_unknown_type_among_the_weights_is_named(model):
    with pytest.raises(GroupError, match="'Mono'"):
        model.get_delta("control", "other", weights={"Mono": 1.0})
    with pytest.raises(GroupError, match="'T' have no training cells on one side"):
        model.get_delta("control", "stimulated", weights={"B": 1.0, "T": 1.0})


def test_similarity_needs_an_asked_type_and_conditions(model):
    for options in ({}, {"nearest_to": "B", "along": "label"}):
        ends = ("B", "NK") if options.get("along") else ("control", "other")
        with pytest.raises(DataError, match="weighs cell types by their likeness to one: name it with nearest_to="):
            model.get_delta(*ends, weights="similarity", **options)


def test_similarity_needs_the_training_cells(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = ScGen.load(tmp_path / "model")
    with pytest.raises(NotTrainedError, match="weights='similarity' compares the training cells of the types"):
        loaded.predict(model.adata, **ASK, weights="similarity")


def test_scperb_takes_the_mean_of_the_types_steps_in_place_of_the_learned_one(cells):
    ScPerb.setup_anndata(cells, batch_key="condition", labels_key="cell_type")
    model = ScPerb(cells, control="control", n_hidden=16, n_latent=4)
    model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    means, _ = model.group_means()
    learned = model.predict(**ASK, labels="T").X
    for weights, step in (
        ({"B": 1.0}, means[1, 0] - means[0, 0]),
        ("balanced", (means[1] - means[0]).mean(axis=0)),
        ("similarity", delta(model, expected(cells.X, cells, "T", TYPES), TYPES, "other")),
    ):
        found = model.predict(**ASK, labels="T", weights=weights).X
        latent = model.get_latent_representation(indices=rows(cells, "control", "T"))
        np.testing.assert_allclose(found, model.decode(latent + step.astype(np.float32)), rtol=1e-3, atol=1e-4)
        assert np.abs(found - learned).max() > 1e-4
