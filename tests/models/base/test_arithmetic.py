import numpy as np
import pandas as pd
import pytest

from altercell import ScGen
from altercell.errors import DataError, GroupError, NotTrainedError
from altercell.models.base import LatentArithmetic


class Truth:
    """Latent means by plain NumPy from the encoded cells, group by group."""

    def __init__(self, model, oracle) -> None:
        self.obs = model.adata.obs
        self.latent = oracle(model.module).encode(model.adata.X)[0]

    def cells(self, condition=None, label=None) -> np.ndarray:
        keep = np.ones(len(self.obs), dtype=bool)
        if condition is not None:
            keep &= (self.obs["condition"] == condition).to_numpy()
        if label is not None:
            keep &= (self.obs["cell_type"] == label).to_numpy()
        return self.latent[keep]

    def mean(self, condition, labels) -> np.ndarray:
        """Return the mean over types of the types' means; a type without cells does not count."""
        means = [self.cells(condition, label).mean(axis=0) for label in labels if len(self.cells(condition, label))]
        return np.mean(means, axis=0)


@pytest.fixture(scope="module")
def truth(model, oracle):
    return Truth(model, oracle)


def close(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_group_means_are_those_of_the_encoded_cells(model, truth):
    means, sizes = model.group_means()
    assert means.dtype == np.float64
    for c, condition in enumerate(("control", "other", "stimulated")):
        for k, label in enumerate(("B", "NK", "T")):
            cells = truth.cells(condition, label)
            assert sizes[c, k] == len(cells)
            close(means[c, k], cells.mean(axis=0) if len(cells) else 0)
    assert sizes[2, 2] == 0


@pytest.mark.parametrize("target", ["stimulated", "other"])
def test_balanced_over_shared_types_is_the_default(model, truth, target):
    shared = ["B", "NK"] if target == "stimulated" else ["B", "NK", "T"]
    delta = model.get_delta("control", target)
    assert (delta.dtype, delta.shape) == (np.float32, (4,))
    close(delta, truth.mean(target, shared) - truth.mean("control", shared))
    close(delta, model.get_delta("control", target, weights="balanced", types="shared"))


def test_all_types_as_in_the_paper(model, truth):
    delta = model.get_delta("control", "stimulated", types="all")
    close(delta, truth.mean("stimulated", ["B", "NK"]) - truth.mean("control", ["B", "NK", "T"]))
    assert np.abs(delta - model.get_delta("control", "stimulated")).max() > 1e-2


def test_unbalanced_counts_every_cell_alike(model, truth):
    delta = model.get_delta("control", "stimulated", weights="unbalanced", types="all")
    close(delta, truth.cells("stimulated").mean(axis=0) - truth.cells("control").mean(axis=0))
    shared = np.concatenate([truth.cells("control", "B"), truth.cells("control", "NK")])
    delta = model.get_delta("control", "stimulated", weights="unbalanced")
    close(delta, truth.cells("stimulated").mean(axis=0) - shared.mean(axis=0))


@pytest.mark.parametrize("types", ["NK", ["NK"], ("NK", "NK"), pd.Index(["NK"])])
def test_named_types_alone(model, truth, types):
    close(
        model.get_delta("control", "stimulated", types=types),
        truth.mean("stimulated", ["NK"]) - truth.mean("control", ["NK"]),
    )


def test_a_type_named_twice_counts_once(model):
    twice = model.get_delta("control", "other", types=["B", "NK", "NK"])
    np.testing.assert_array_equal(twice, model.get_delta("control", "other", types=["NK", "B"]))


def test_the_nearest_types_are_found_and_the_asked_one_is_left_out(model, truth):
    asked = truth.cells("control", "T").mean(axis=0)
    distance = {label: np.linalg.norm(truth.cells("control", label).mean(axis=0) - asked) for label in ("B", "NK")}
    near = min(distance, key=distance.get)
    for target in ("stimulated", "other"):
        close(
            model.get_delta("control", target, nearest=1, nearest_to="T"),
            truth.mean(target, [near]) - truth.mean("control", [near]),
        )
        close(
            model.get_delta("control", target, nearest=9, nearest_to="T"),
            truth.mean(target, ["B", "NK"]) - truth.mean("control", ["B", "NK"]),
        )
    only = model.get_delta("control", "other", types=["NK", "T"], nearest=1, nearest_to="B")
    distance = [np.linalg.norm(truth.mean("control", [k]) - truth.mean("control", ["B"])) for k in ("NK", "T")]
    near = ("NK", "T")[int(np.argmin(distance))]
    close(only, truth.mean("other", [near]) - truth.mean("control", [near]))


def test_along_labels_the_conditions_take_the_part_of_the_types(model, truth):
    def over(label, conditions):
        return np.mean([truth.cells(condition, label).mean(axis=0) for condition in conditions], axis=0)

    shared = ["control", "other"]
    close(model.get_delta("B", "T", along="label"), over("T", shared) - over("B", shared))
    close(
        model.get_delta("B", "T", along="label", types="all"),
        over("T", shared) - over("B", ["control", "other", "stimulated"]),
    )
    close(
        model.get_delta("B", "T", along="label", types=["control"]),
        truth.mean("control", ["T"]) - truth.mean("control", ["B"]),
    )
    close(
        model.get_delta("B", "NK", along="label", weights="unbalanced"),
        truth.cells(None, "NK").mean(axis=0) - truth.cells(None, "B").mean(axis=0),
    )


def test_there_and_back_is_nothing(model):
    np.testing.assert_array_equal(model.get_delta("control", "stimulated"), -model.get_delta("stimulated", "control"))
    close(
        model.get_delta("control", "other", types=["B"]) + model.get_delta("other", "stimulated", types=["B"]),
        model.get_delta("control", "stimulated", types=["B"]),
    )
    assert not model.get_delta("control", "control").any()


@pytest.mark.parametrize("types", ["all", "shared"])
@pytest.mark.parametrize(("along", "source", "target"), [("condition", "control", "stimulated"), ("label", "B", "NK")])
def test_the_resampled_delta_scatters_around_the_balanced_one(model, types, along, source, target):
    options = {"along": along, "types": types}
    exact = model.get_delta(source, target, **options)
    drawn = np.stack(
        [model.get_delta(source, target, weights="resampled", seed=seed, **options) for seed in range(150)]
    )
    error = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    assert (error > 0).all()
    assert (np.abs(drawn.mean(axis=0) - exact) < 4.5 * error).all()
    unbalanced = model.get_delta(source, target, weights="unbalanced", **options)
    # The test would notice the biased delta.
    assert (np.abs(drawn.mean(axis=0) - unbalanced) > 4.5 * error).any()


def test_the_resampled_delta_is_a_function_of_its_seed(model):
    first, again, other = (
        model.get_delta("control", "stimulated", weights="resampled", seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    free = [model.get_delta("control", "stimulated", weights="resampled") for _ in range(2)]
    assert (free[0] != free[1]).any()


def test_the_delta_needs_no_cells_but_the_resampled_one_does(model, tmp_path, cells):
    model.save(tmp_path)
    loaded = ScGen.load(tmp_path)
    for options in ({}, {"types": "all"}, {"weights": "unbalanced"}, {"nearest": 1, "nearest_to": "T"}):
        np.testing.assert_array_equal(
            loaded.get_delta("control", "stimulated", **options), model.get_delta("control", "stimulated", **options)
        )
    with pytest.raises(
        NotTrainedError, match="weights='resampled' draws from the training cells, and this model has none"
    ):
        loaded.get_delta("control", "stimulated", weights="resampled")
    part = ScGen.load(tmp_path, cells[cells.obs["condition"] != "stimulated"].copy())
    with pytest.raises(GroupError, match="weights='resampled' found no cell to draw from in the AnnData"):
        part.get_delta("control", "stimulated", weights="resampled")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            ("x", "stimulated"),
            {},
            GroupError,
            r"source='x' is no condition of obs\['condition'\] in training; there are 'control'",
        ),
        (("control", "x"), {}, GroupError, "target='x' is no condition"),
        (
            ("B", "x"),
            {"along": "label"},
            GroupError,
            r"target='x' is no label of obs\['cell_type'\] in training; there are 'B'",
        ),
        (
            ("control", "stimulated"),
            {"along": "type"},
            DataError,
            "along='type' is unknown; there are 'condition', 'label'",
        ),
        (
            ("control", "stimulated"),
            {"weights": "even"},
            DataError,
            "weights='even' is unknown; there are 'balanced'",
        ),
        (("control", "stimulated"), {"types": "x"}, GroupError, "types='x' is no label"),
        (
            ("control", "stimulated"),
            {"types": ["B", "T"]},
            GroupError,
            "types='T' have no training cells on one side; there are 'B', 'NK'",
        ),
        (
            ("control", "stimulated"),
            {"types": []},
            GroupError,
            "no training cell of 'control' is of the types that enter",
        ),
        (
            ("control", "stimulated"),
            {"nearest": 0, "nearest_to": "T"},
            DataError,
            "nearest= takes a number of types, at least 1",
        ),
        (("control", "stimulated"), {"nearest": 1}, DataError, "and nearest_to= the type to be near to"),
        (("control", "stimulated"), {"nearest": 1, "nearest_to": "x"}, GroupError, "nearest_to='x' is no label"),
        (
            ("stimulated", "control"),
            {"nearest": 1, "nearest_to": "T"},
            GroupError,
            "nearest_to='T' has no training cells in the source",
        ),
        (
            ("control", "stimulated"),
            {"nearest": 1, "nearest_to": "B", "types": ["B"]},
            GroupError,
            "no training cell of 'control'",
        ),
        (("control", "stimulated"), {"along": "label"}, GroupError, "source='control' is no label"),
        (
            ("B", "T"),
            {"along": "label", "types": ["stimulated"]},
            GroupError,
            "types='stimulated' have no training cells on one",
        ),
    ],
)
def test_what_cannot_be_asked(model, arguments, options, error, message):
    with pytest.raises(error, match=message):
        model.get_delta(*arguments, **options)


def test_no_shared_type_is_said(cells, make_model):
    keep = (cells.obs["condition"] == "control") & (cells.obs["cell_type"] == "T")
    keep |= (cells.obs["condition"] == "stimulated") & (cells.obs["cell_type"] == "B")
    model = make_model(cells[keep].copy(), epochs=1)
    with pytest.raises(
        GroupError, match="no type has training cells on both sides; types='all' uses what each side has"
    ):
        model.get_delta("control", "stimulated")
    assert np.isfinite(model.get_delta("control", "stimulated", types="all")).all()


def test_without_labels_the_delta_is_the_unbalanced_one(cells, make_model, oracle):
    model = make_model(cells, {"labels_key": None}, epochs=1)
    truth = Truth(model, oracle)
    wanted = truth.cells("stimulated").mean(axis=0) - truth.cells("control").mean(axis=0)
    for weights in ("balanced", "unbalanced"):
        close(model.get_delta("control", "stimulated", weights=weights), wanted)
    with pytest.raises(GroupError, match="types='B' was given, but the model was set up without labels_key"):
        model.get_delta("control", "stimulated", types=["B"])
    with pytest.raises(GroupError, match="but the model was set up without labels_key"):
        model.get_delta("B", "T", along="label")


def test_an_unused_category_changes_nothing(cells, make_cells, make_model):
    wanted = make_model(make_cells(), epochs=1)
    for key in ("condition", "cell_type"):
        cells.obs[key] = cells.obs[key].cat.add_categories("unused")
    model = make_model(cells, epochs=1)
    np.testing.assert_array_equal(model.get_delta("control", "stimulated"), wanted.get_delta("control", "stimulated"))
    with pytest.raises(GroupError, match="target='unused'|no type has training cells on both sides"):
        model.get_delta("control", "unused")


def test_the_mixin_asks_for_group_means_alone():
    class Own(LatentArithmetic):
        """Two conditions and two types with known means."""

        def group_means(self):
            return np.array([[[0.0], [10.0]], [[1.0], [14.0]]]), np.array([[1, 3], [2, 2]])

        def _check_trained(self):
            pass

        class schema:
            conditions, labels = ["a", "b"], ["k", "l"]
            condition_code = staticmethod(lambda name, argument: ["a", "b"].index(name))
            label_code = staticmethod(lambda name, argument: ["k", "l"].index(name))

    assert Own().get_delta("a", "b").tolist() == [2.5]
    assert Own().get_delta("a", "b", weights="unbalanced").tolist() == [0.0]
    assert Own().get_delta("k", "l", along="label").tolist() == [11.5]
    assert Own().get_delta("a", "b", nearest=1, nearest_to="k").tolist() == [4.0]
