"""Tests of ResponseStack: what it answers, on which cells, and what it never reads."""

import numpy as np
import pandas as pd
import pytest

import altercell as ac
from altercell.errors import DataError, GroupError, NotTrainedError
from altercell.models.stack._solve import CLOSED_FORMS

HELD, OTHERS = "type_3", ("type_0", "type_1", "type_2")
ASK = {"source": "control", "target": "stimulated"}
QUESTION = {**ASK, "label": HELD}
FORMS = ("kriging", "similar", "mean")


def group(data, condition, kind=None) -> np.ndarray:
    keep = (data.obs["condition"] == condition).to_numpy()
    return np.flatnonzero(keep if kind is None else keep & (data.obs["cell_type"] == kind).to_numpy())


def mean_of(data, dense, condition, kind=None) -> np.ndarray:
    return dense(data.X)[group(data, condition, kind)].mean(0)


def response(data, dense, kinds, source="control", target="stimulated") -> np.ndarray:
    return np.mean([mean_of(data, dense, target, k) - mean_of(data, dense, source, k) for k in kinds], axis=0)


@pytest.fixture(scope="module")
def full(simulated, fit):
    """A model of all cells: every type is seen under every condition."""
    return fit(simulated.copy())


def test_get_mean_is_a_row_a_gene(stack, train, dense):
    table = stack.get_mean(**QUESTION)
    assert table.columns.tolist() == ["source", "mean", "standard_error"]
    assert table.index.tolist() == train.var_names.tolist()
    assert table.index.name == "gene"
    np.testing.assert_allclose(table["source"], mean_of(train, dense, "control", HELD), atol=1e-6)
    assert (table["mean"] >= 0).all()
    assert (table["standard_error"] > 0).all()


def test_the_mean_alone_is_the_mean_response_of_the_others(train, full, fit, dense, simulated):
    got = fit(train.copy(), members="mean").get_mean(**QUESTION)["mean"]
    want = np.maximum(mean_of(train, dense, "control", HELD) + response(train, dense, OTHERS), 0)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_answer_is_one_of_the_members_mixed(stack, train, fit):
    # The stack's own numbers: a weighted mean of what each member says alone, wherever that is not negative.
    entry = stack.predict(**ASK, labels=HELD, cells="decoded").uns["altercell"]
    weights = dict(part.split("=") for part in entry["weights"][0].split())
    alone = {name: fit(train.copy(), members=name).get_mean(**QUESTION)["mean"] for name in ("kriging", "attention")}
    assert sum(map(float, weights.values())) == pytest.approx(1, abs=2e-3)
    want = sum(float(weights[name]) * alone[name] for name in alone)
    np.testing.assert_allclose(stack.get_mean(**QUESTION)["mean"], want, atol=2e-3)


@pytest.mark.parametrize("way", ["decoded", "residual"])
def test_cells_have_the_mean_of_get_mean(stack, train, dense, way):
    answer = stack.predict(**ASK, labels=HELD, cells=way, batch_size=7)
    got = dense(answer.X)
    np.testing.assert_allclose(got.mean(0), stack.get_mean(**QUESTION)["mean"], atol=1e-4)
    rows = group(train, "control", HELD)
    assert answer.obs_names.tolist() == train.obs_names[rows].tolist()
    if way == "decoded":  # each cell with the same step
        step = got - dense(train.X)[rows]
        np.testing.assert_allclose(step, np.tile(step.mean(0), (len(rows), 1)), atol=1e-5)
    else:
        assert (got >= 0).all()


def test_transport_is_the_models_own_way_and_has_counts_near_the_mean(stack, train, dense):
    answer = stack.predict(**ASK, labels=HELD, seed=1)
    counts, own = dense(answer.layers["counts"]), group(train, "control", HELD)
    assert (counts == np.rint(counts)).all()
    assert (counts >= 0).all()
    want = stack.get_mean(**QUESTION)["mean"].to_numpy()
    control = dense(train.X)[own].mean(0)
    assert ((dense(answer.X).mean(0) - want) ** 2).mean() < 0.05 * ((control - want) ** 2).mean()
    assert answer.uns["altercell"]["cells"] == "transport"
    again, other = (stack.predict(**ASK, labels=HELD, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(dense(again.X), dense(answer.X))
    assert (dense(other.X) != dense(answer.X)).any()


def replaced(data, dense, rows: np.ndarray, values: np.ndarray):
    """Return the log data with other values in some rows."""
    result, x = data.copy(), dense(data.X)
    x[rows] = values
    result.X = x.astype(np.float32)
    return result


@pytest.mark.parametrize("members", [("kriging", "attention"), ("similar",), ("mean",)])
def test_the_target_mean_of_the_asked_type_is_never_read(simulated, full, fit, dense, members):
    rows = group(simulated, "stimulated", HELD)
    shifted = replaced(simulated, dense, rows, dense(simulated.X)[rows] + np.linspace(0, 3, simulated.n_vars))
    first, second = fit(simulated.copy(), members=members), fit(shifted, members=members)
    found = [model.get_mean(**QUESTION) for model in (first, second)]
    # A buffer of float32 holds the means' noise, which is the same but for its last digits.
    pd.testing.assert_frame_equal(*found, rtol=1e-3, atol=1e-5)
    for_another = {**ASK, "label": "type_1"}
    assert (second.get_mean(**for_another) - first.get_mean(**for_another))["mean"].max() > 0.05


@pytest.mark.parametrize("members", [("kriging", "attention"), ("similar",)])
def test_the_target_cells_of_the_asked_type_are_never_read(simulated, fit, dense, members):
    rows = group(simulated, "stimulated", HELD)
    random = np.random.default_rng(0).gamma(1, 2, (len(rows), simulated.n_vars))
    other = replaced(simulated, dense, rows, random)
    first, second = (fit(data, members=members).get_mean(**QUESTION) for data in (simulated.copy(), other))
    pd.testing.assert_frame_equal(first, second, rtol=1e-5, atol=1e-6)


def test_it_is_as_if_the_asked_type_had_been_held_out(full, stack):
    pd.testing.assert_frame_equal(full.get_mean(**QUESTION), stack.get_mean(**QUESTION), rtol=1e-5, atol=1e-6)


def test_its_own_response_is_read_where_that_is_asked(simulated, full, fit, dense):
    own = fit(simulated.copy(), own_type=True)
    real = mean_of(simulated, dense, "stimulated", HELD)
    errors = [((model.get_mean(**QUESTION)["mean"] - real) ** 2).mean() for model in (own, full)]
    assert errors[0] < 0.6 * errors[1]
    assert own.predict(**ASK, labels=HELD, cells="decoded").uns["altercell"]["n_types"].tolist() == [4]
    rows = group(simulated, "stimulated", HELD)
    other = replaced(simulated, dense, rows, dense(simulated.X)[rows] + 1)
    moved = fit(other, own_type=True).get_mean(**QUESTION)["mean"] - own.get_mean(**QUESTION)["mean"]
    assert moved.mean() > 0.3


def test_own_type_changes_nothing_for_a_type_that_was_held_out(train, stack, fit):
    own = fit(train.copy(), own_type=True)
    pd.testing.assert_frame_equal(own.get_mean(**QUESTION), stack.get_mean(**QUESTION), rtol=1e-6)


@pytest.mark.parametrize("members", [FORMS, ("attention",)])
def test_the_order_of_the_cells_does_not_matter(train, fit, members):
    order = np.random.default_rng(0).permutation(train.n_obs)
    got, want = (fit(data, members=members).get_mean(**QUESTION) for data in (train[order].copy(), train.copy()))
    pd.testing.assert_frame_equal(got, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got["mean"], want["mean"], atol=1e-6)


def permuted_genes(train, fit, members):
    order = np.random.default_rng(1).permutation(train.n_vars)
    got, want = (fit(data, members=members).get_mean(**QUESTION) for data in (train[:, order].copy(), train.copy()))
    return got.loc[want.index, "mean"], want["mean"]


def test_the_order_of_the_genes_does_not_matter(train, fit):
    np.testing.assert_allclose(*permuted_genes(train, fit, FORMS), atol=1e-6)


def test_the_order_of_the_genes_does_not_matter_to_attention(train, fit):
    np.testing.assert_allclose(*permuted_genes(train, fit, "attention"), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 33])
def test_the_batch_size_does_not_matter(train, stack, fit, batch_size):
    got = fit(train.copy(), batch_size=batch_size).get_mean(**QUESTION)
    pd.testing.assert_frame_equal(got, stack.get_mean(**QUESTION), rtol=1e-5, atol=1e-6)


def test_several_types_are_answered_as_one_at_a_time(full, dense):
    together = full.predict(**ASK, labels=[HELD, "type_1"], cells="residual")
    entry = together.uns["altercell"]
    for place, kind in enumerate(entry["types"]):
        single = full.predict(**ASK, labels=kind, cells="residual")
        mine = (together.obs["cell_type"] == kind).to_numpy()
        np.testing.assert_allclose(dense(together.X)[mine], dense(single.X), atol=1e-6)
        for name in ("types", "weights", "n_types", "effective_pairs", "inner_error", "mean_delta_error"):
            assert single.uns["altercell"][name][0] == entry[name][place]


@pytest.mark.parametrize(
    ("source", "target"),
    [("control", "other"), ("stimulated", "control"), ("stimulated", "other"), ("other", "control")],
)
def test_any_two_of_three_conditions(simulated, full, fit, dense, source, target):
    table = full.get_mean(source, target, HELD)
    real = mean_of(simulated, dense, target, HELD)
    base = mean_of(simulated, dense, source, HELD)
    np.testing.assert_allclose(table["source"], base, atol=1e-6)
    assert ((table["mean"] - real) ** 2).sum() < 0.7 * ((base - real) ** 2).sum()
    # The third condition has no part in it.
    pair = simulated[simulated.obs["condition"].isin([source, target])].copy()
    pd.testing.assert_frame_equal(fit(pair).get_mean(source, target, HELD), table, rtol=1e-5, atol=1e-6)


def test_several_targets_in_one_call(full, dense):
    asked = {"source": "control", "labels": "type_2", "cells": "residual"}
    both = full.predict(target=["other", "stimulated"], **asked)
    single = [dense(full.predict(target=name, **asked).X) for name in ("other", "stimulated")]
    np.testing.assert_array_equal(dense(both.X), np.concatenate(single))
    said = [full.predict(target=name, **asked).uns["altercell"] for name in ("other", "stimulated")]
    for name in ("types", "weights", "n_types", "effective_pairs", "inner_error", "mean_delta_error"):
        np.testing.assert_array_equal(both.uns["altercell"][name], [one[name] for one in said])


def test_without_labels_it_is_the_one_response_that_there_is(train, fit, dense):
    model = fit(train.copy(), labels_key=None, members=("kriging", "attention"))
    answer = model.predict(**ASK, cells="decoded")
    entry = answer.uns["altercell"]
    assert entry["n_types"].tolist() == [1]
    assert np.isnan(entry["inner_error"]).all()
    step = (dense(answer.X) - dense(train.X)[group(train, "control")]).mean(0)
    plain = mean_of(train, dense, "stimulated") - mean_of(train, dense, "control")
    assert ((step - plain) ** 2).sum() < 0.05 * (plain**2).sum()
    mean = fit(train.copy(), labels_key=None, members="mean").predict(**ASK, cells="decoded")
    np.testing.assert_allclose((dense(mean.X) - dense(train.X)[group(train, "control")]).mean(0), plain, atol=1e-5)


def test_a_held_out_donor_as_label(fit, dense):
    simulated = ac.data.normalize(ac.datasets.simulate_response(320, 60, 2, n_batches=4, batch_spread=0.4, seed=1))
    held = (simulated.obs["batch"] == "batch_2") & (simulated.obs["condition"] == "stimulated")
    model = fit(simulated[~held].copy(), labels_key="batch")
    table = model.get_mean(**ASK, label="batch_2")
    real, base = dense(simulated.X)[held].mean(0), table["source"]
    assert ((table["mean"] - real) ** 2).sum() < 0.5 * ((base - real) ** 2).sum()
    assert model.predict(**ASK, labels="batch_2").uns["altercell"]["n_types"].tolist() == [3]


def test_a_type_that_training_has_never_seen(simulated, stack, fit, dense):
    """It is known by the cells that are given, as if its control cells had been among the training cells."""
    without = simulated[simulated.obs["cell_type"] != HELD].copy()
    model = fit(without, members=FORMS)
    new = simulated[group(simulated, "control", HELD)].copy()
    new.obs["cell_type"] = "never seen"
    answer = model.predict(new, **ASK, cells="residual", batch_size=9)
    want = fit(ac.data.hold_out(simulated, batch="stimulated", labels=HELD)[0], members=FORMS).get_mean(**QUESTION)
    # The noise of their mean is judged with other types' beside it, so that distances differ a little.
    np.testing.assert_allclose(dense(answer.X).mean(0), want["mean"], atol=0.02)
    entry = answer.uns["altercell"]
    assert entry["types"].tolist() == ["never seen"]
    assert entry["n_types"].tolist() == [3]
    assert any("40 cells are of a type that training has not seen" in doubt for doubt in entry["trust"])


def test_seen_and_unseen_types_in_one_call(simulated, fit, dense):
    model = fit(simulated[simulated.obs["cell_type"] != HELD].copy())
    asked = simulated[(simulated.obs["condition"] == "control") & simulated.obs["cell_type"].isin(["type_0", HELD])]
    together = model.predict(asked.copy(), **ASK, cells="residual")
    for kind in ("type_0", HELD):
        single = model.predict(asked[asked.obs["cell_type"] == kind].copy(), **ASK, cells="residual")
        mine = (together.obs["cell_type"] == kind).to_numpy()
        np.testing.assert_allclose(dense(together.X)[mine], dense(single.X), atol=1e-5)
        place = together.uns["altercell"]["types"].tolist().index(kind)
        assert together.uns["altercell"]["effective_pairs"][place] == pytest.approx(
            single.uns["altercell"]["effective_pairs"][0]
        )


def test_new_cells_of_an_unseen_type_attend_to_pairs(simulated, stack, fit, dense):
    model = fit(simulated[simulated.obs["cell_type"] != HELD].copy())
    new = simulated[group(simulated, "control", HELD)].copy()
    answer = model.predict(new, **ASK, cells="decoded")
    assert 0 < answer.uns["altercell"]["effective_pairs"][0] <= 120
    shift = dense(answer.X).mean(0) - dense(new.X).mean(0)
    real = mean_of(simulated, dense, "stimulated", HELD) - dense(new.X).mean(0)
    assert ((shift - real) ** 2).sum() < 0.7 * (real**2).sum()


def test_a_few_cells_of_a_set_with_a_reference_are_those_of_the_set(simulated, stack, dense):
    asked = {**ASK, "labels": HELD, "cells": "residual", "reference": simulated}
    rows = group(simulated, "control", HELD)
    whole, some = stack.predict(simulated, **asked), stack.predict(simulated, **asked, indices=rows[:5])
    np.testing.assert_allclose(dense(some.X), dense(whole.X)[:5], atol=1e-6)


def test_a_few_cells_of_an_unseen_type_with_a_reference_are_those_of_the_set(simulated, fit, dense):
    model = fit(simulated[simulated.obs["cell_type"] != HELD].copy(), members=FORMS)
    new = simulated[group(simulated, "control", HELD)].copy()
    whole, some = (model.predict(new, **ASK, cells="residual", reference=new, indices=i) for i in (None, range(5)))
    np.testing.assert_allclose(dense(some.X), dense(whole.X)[:5], atol=1e-6)


def test_a_reference_may_have_types_that_cannot_be_answered(train, fit, dense):
    two = train[train.obs["cell_type"].isin(["type_0", HELD])].copy()
    model, asked = fit(two), {**ASK, "labels": HELD, "cells": "residual"}
    want = model.predict(two, **asked)
    np.testing.assert_allclose(dense(model.predict(two, **asked, reference=two).X), dense(want.X), atol=1e-6)


def as_counts(data, layer: str | None):
    """Return the counts alone, in X or in a layer."""
    result = data.copy()
    counts = result.layers.pop("counts")
    del result.obs["size_factor"]
    result.uns = {}
    if layer is None:
        result.X = counts
    else:
        result.layers[layer] = counts
    return result


def test_counts_in_x_in_a_layer_and_log_data_give_one_mean(train, stack, fit):
    want = stack.get_mean(**QUESTION)
    for layer in (None, "raw"):
        got = fit(as_counts(train, layer), layer=layer).get_mean(**QUESTION)
        np.testing.assert_allclose(got["mean"], want["mean"], atol=1e-5)
        np.testing.assert_allclose(got["standard_error"], want["standard_error"], rtol=1e-2)


def test_a_model_of_counts_answers_with_counts_beside_log_data(train, fit, dense):
    model = fit(as_counts(train, None))
    answer = model.predict(**ASK, labels=HELD, seed=0)
    counts = dense(answer.layers["counts"])
    assert (counts == np.rint(counts)).all()
    assert answer.uns["altercell"]["space"] == "log1p of counts per 10,000"
    totals = dense(train[answer.obs_names].layers["counts"]).sum(1, keepdims=True)
    np.testing.assert_allclose(dense(answer.X), np.log1p(counts / totals * 1e4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "members", [(), ("unknown",), ("kriging", "kriging"), ("kriging", "unknown"), "Kriging", ("mean", "")]
)
def test_members_must_be_known_and_each_once(train, members):
    ac.ResponseStack.setup_anndata(data := train.copy(), batch_key="condition", labels_key="cell_type")
    with pytest.raises(
        DataError, match="must be some of 'kriging', 'attention', 'similar', 'mean', 'scgen', each once"
    ):
        ac.ResponseStack(data, members=members)


@pytest.mark.parametrize("members", ["mean", ["similar", "mean"], CLOSED_FORMS])
def test_members_in_any_form(train, fit, members):
    model = fit(train.copy(), members=members)
    entry = model.predict(**ASK, labels=HELD, cells="decoded").uns["altercell"]
    names = [part.split("=")[0] for part in entry["weights"][0].split()]
    assert names == ([members] if isinstance(members, str) else list(members))
    assert np.isnan(entry["effective_pairs"]).all() == ("attention" not in names)


def test_errors_of_get_mean(stack, train, fit):
    with pytest.raises(GroupError, match="label='none' is no label of obs\\['cell_type'\\] in training"):
        stack.get_mean(**ASK, label="none")
    with pytest.raises(GroupError, match="source='none' is no condition"):
        stack.get_mean("none", "stimulated", HELD)
    with pytest.raises(GroupError, match="there is nothing to predict"):
        stack.get_mean("control", "control", HELD)
    with pytest.raises(GroupError, match="label='type_3' has no training cells in 'stimulated'"):
        stack.get_mean("stimulated", "control", HELD)
    ac.ResponseStack.setup_anndata(data := train.copy(), batch_key="condition", labels_key="cell_type")
    with pytest.raises(NotTrainedError, match="train"):
        ac.ResponseStack(data).get_mean(**QUESTION)


def test_no_other_type_to_read(simulated, fit):
    one = simulated[simulated.obs["cell_type"] == HELD].copy()
    model = fit(one)
    with pytest.raises(GroupError, match="no other cell_type has training cells in 'control', 'stimulated'"):
        model.get_mean(**QUESTION)
    with pytest.raises(GroupError, match="no other cell_type"):
        model.predict(**ASK)
    # Its own response is one.
    assert np.isfinite(fit(one.copy(), own_type=True).get_mean(**QUESTION)).all(axis=None)


def shrunk(data, kind: str, n: int):
    """Return the data with `n` stimulated cells of a type."""
    rows = group(data, "stimulated", kind)
    return data[np.setdiff1d(np.arange(data.n_obs), rows[n:])].copy()


def test_a_type_of_few_cells_is_not_read_where_there_are_others(simulated, fit):
    train = ac.data.hold_out(simulated, batch="stimulated", labels=HELD)[0]
    for n, n_types in ((5, 3), (4, 2)):
        model = fit(shrunk(train, "type_0", n), members="kriging")
        assert model.predict(**ASK, labels=HELD, cells="decoded").uns["altercell"]["n_types"].tolist() == [n_types]


def test_a_type_of_few_cells_is_better_than_none(simulated, fit):
    train = ac.data.hold_out(simulated, batch="stimulated", labels=HELD)[0]
    few = shrunk(train[train.obs["cell_type"].isin(["type_0", HELD])].copy(), "type_0", 3)
    table = fit(few).get_mean(**QUESTION)
    assert (table["mean"] != table["source"]).any()


def test_a_type_of_few_cells_is_better_than_none_for_a_type_of_many(simulated, fit):
    few = shrunk(simulated[simulated.obs["cell_type"].isin(["type_0", HELD])].copy(), "type_0", 3)
    assert np.isfinite(fit(few).get_mean(**QUESTION)).all(axis=None)


def test_training_anew_forgets(train, simulated, fit, dense):
    model = fit(train.copy())
    before = model.get_mean(**QUESTION)
    model.adata.X = model.adata.X * 1.5
    model.train()
    after = model.get_mean(**QUESTION)
    np.testing.assert_allclose(after["source"], 1.5 * before["source"], rtol=1e-5)
    assert not np.allclose(after["mean"], before["mean"])
