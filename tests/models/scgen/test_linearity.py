from itertools import combinations

import numpy as np
import pytest

from altercell.errors import GroupError

ENDS = {"source": "control", "target": "stimulated"}


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a)) / np.sqrt(np.dot(b, b)))


@pytest.fixture(scope="module")
def latent(model, oracle) -> np.ndarray:
    return oracle(model.module).encode(model.adata.X)[0]


@pytest.mark.parametrize("options", [{}, {"weights": "unbalanced"}, {"types": "all"}])
def test_scores_are_dot_products_with_the_delta(model, latent, options):
    table = model.classify(**ENDS, midpoint=False, **options)
    keep = model.adata.obs["condition"].isin(["control", "stimulated"]).to_numpy()
    assert table.index.tolist() == model.adata.obs_names[keep].tolist()
    assert table["condition"].tolist() == model.adata.obs["condition"][keep].tolist()
    wanted = latent[keep] @ model.get_delta("control", "stimulated", **options)
    np.testing.assert_allclose(table["score"], wanted, rtol=1e-3, atol=1e-4)
    assert ((table["predicted"] == "stimulated") == (table["score"] > 0)).all()
    assert table.attrs["accuracy"] == pytest.approx((table["predicted"] == table["condition"]).mean())


def test_the_midpoint_lies_between_the_two_means(model, latent):
    table = model.classify(**ENDS)
    means = table.groupby("condition")["score"].mean()
    assert means["stimulated"] == pytest.approx(-means["control"], rel=1e-4)
    assert means["stimulated"] > 0
    raw = model.classify(**ENDS, midpoint=False)
    shift = raw["score"] - table["score"]
    np.testing.assert_allclose(shift, shift.iloc[0], rtol=1e-4)


def test_a_strong_response_is_told_apart(cells, make_model, rows):
    cells.X[rows(cells, "stimulated"), 3:9] += 5
    model = make_model(cells, epochs=1)
    model.train(max_epochs=25, plan_kwargs={"lr": 0.01}, enable_progress_bar=False)
    assert model.classify(**ENDS).attrs["accuracy"] > 0.9
    shuffled = model.classify(source="control", target="other").attrs["accuracy"]
    assert shuffled < model.classify(**ENDS).attrs["accuracy"]


def test_the_other_way_round_the_same_cells_are_told_apart(model):
    there, back = model.classify(**ENDS), model.classify(source="stimulated", target="control")
    np.testing.assert_allclose(there["score"], -back["score"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"types": "all"}])
def test_cosines_against_numpy(model, latent, options):
    table = model.delta_cosines(**ENDS, n_random=50, **options)
    obs, delta = model.adata.obs, model.get_delta("control", "stimulated", **options).astype(float)

    def mean(conditions, label):
        return latent[(obs["condition"].isin(conditions) & (obs["cell_type"] == label)).to_numpy()].mean(axis=0)

    own = table[table["kind"] == "delta of a type"].set_index("name")["cosine"]
    assert list(own.index) == ["B", "NK"]  # T has no stimulated cell
    for label in own.index:
        assert own[label] == pytest.approx(
            cosine(mean(["stimulated"], label) - mean(["control"], label), delta), abs=1e-4
        )
    between = table[table["kind"] == "difference of types"].set_index("name")["cosine"]
    assert list(between.index) == ["B - NK", "B - T", "NK - T"]
    ends = ["control", "stimulated"]
    for one, other in combinations(["B", "NK", "T"], 2):
        wanted = cosine(mean(ends, one) - mean(ends, other), delta)
        assert between[f"{one} - {other}"] == pytest.approx(wanted, abs=1e-4)


def test_random_cosines_are_those_of_standard_normal_vectors(model):
    table = model.delta_cosines(**ENDS, n_random=300)
    random = table.loc[table["kind"] == "random", "cosine"]
    assert len(random) == 300 * 299 // 2
    assert random.abs().max() <= 1
    assert abs(random.mean()) < 0.02
    assert random.var() == pytest.approx(1 / 4, rel=0.1)  # of two random directions in n dimensions: 1 / n
    vectors = np.random.default_rng(3).standard_normal((4, 4))
    few = model.delta_cosines(**ENDS, n_random=4, seed=3)
    wanted = [cosine(a, b) for a, b in combinations(vectors, 2)]
    np.testing.assert_allclose(few.loc[few["kind"] == "random", "cosine"], wanted, rtol=1e-6)


def test_a_thousand_vectors_unless_told(model):
    table = model.delta_cosines(**ENDS)
    assert (table["kind"] == "random").sum() == 1_000 * 999 // 2


def test_a_difference_of_nothing_has_cosine_zero(model):
    table = model.delta_cosines(source="control", target="control", n_random=2)
    assert (table.loc[table["kind"] == "delta of a type", "cosine"] == 0).all()


def test_without_labels_there_are_no_types_to_compare(cells, make_model):
    model = make_model(cells, {"labels_key": None}, epochs=1)
    with pytest.raises(GroupError, match="cosines of cell types need labels_key at setup"):
        model.delta_cosines(**ENDS)
    assert len(model.classify(**ENDS)) == 82


def test_unknown_conditions_are_named(model):
    for verb in (model.classify, model.delta_cosines):
        with pytest.raises(GroupError, match="target='x' is no condition"):
            verb(source="control", target="x")
