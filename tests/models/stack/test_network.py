"""Tests of the member that is a network: what it reads, how its trainings leave types out, and its files."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import altercell as ac
from altercell.errors import DataError, GroupError
from altercell.models.base import similarity_weights
from altercell.models.stack import NetworkMember

ASK = {"source": "control", "target": "stimulated"}
SMALL = {"n_hidden": 16, "n_layers": 1, "n_latent": 4}
SHORT = {"max_epochs": 2, "accelerator": "cpu"}


def networked(data, members=("kriging", "scgen"), *, layer=None, training=SHORT, size_factor_key=None, **arguments):
    """Register cells and train a stack with networks on them."""
    ac.ResponseStack.setup_anndata(
        data, batch_key="condition", labels_key="cell_type", layer=layer, size_factor_key=size_factor_key
    )
    model = ac.ResponseStack(data, members=members, control="control", network=SMALL, **arguments)
    model.train(network=training)
    return model


@pytest.fixture(scope="module")
def model(train):
    """A stack with networks on the training cells: look at it, do not change it."""
    return networked(train.copy())


def test_a_type_that_is_left_out_has_the_mean_of_the_network_without_it(make_evidence):
    evidence = make_evidence(n_asked=2)
    left_out = np.random.default_rng(0).normal(size=(8, 9))
    asked = {}

    def decoded(position, weights):
        asked[position] = weights
        return np.full(9, float(position))

    means = NetworkMember(left_out, decoded).means(evidence)
    np.testing.assert_array_equal(means[2:], left_out[:6])
    np.testing.assert_array_equal(means[:2], [[6.0] * 9, [7.0] * 9])
    noise = 1 / evidence.source.sizes[:6] + 1 / evidence.target.sizes[:6]
    for position, weights in asked.items():
        want = similarity_weights(evidence.distances[position, :6], noise, 0.25 * evidence.scale)
        assert list(weights) == list(range(6))
        np.testing.assert_allclose(list(weights.values()), want)


def test_a_type_whose_own_response_may_be_read_is_asked_of_the_network_of_all(make_evidence):
    evidence = make_evidence(n_asked=0, asked=(2,))
    means = NetworkMember(np.full((6, 9), 5.0), lambda position, weights: np.full(9, 100.0 + position)).means(evidence)
    np.testing.assert_array_equal(means[0], 102.0)
    np.testing.assert_array_equal(means[1:], 5.0)


def test_the_mean_is_what_scgen_says_with_the_same_weights(train):
    data = train.copy()
    model = networked(data, members="scgen")
    got = model.get_mean(*ASK.values(), "type_3")["mean"].to_numpy()
    ac.ScGen.setup_anndata(data, batch_key="condition", labels_key="cell_type")
    network = ac.ScGen(data, **SMALL, seed=0)
    network.train(**SHORT)
    cells = network.predict(**ASK, labels="type_3", weights="similarity", cells="residual")
    np.testing.assert_allclose(got, np.asarray(cells.X).mean(0), rtol=1e-4, atol=1e-5)
    # Its weights are in the stack's module, and so in its file.
    inside = {name.removeprefix("network."): value for name, value in model.module.state_dict().items()}
    for name, value in network.module.state_dict().items():
        np.testing.assert_array_equal(inside[name].numpy(), value.numpy())


def test_a_type_that_is_left_out_is_as_if_it_had_been_held_out(simulated, train):
    held, _ = ac.data.hold_out(simulated, batch=["stimulated", "other"], labels="type_3")
    all_seen, without = networked(simulated.copy()), networked(held.copy(), members="scgen")
    left_out = all_seen._fitted("left_out_means")[all_seen.schema.condition_code("stimulated", "target"), 3]
    want = without.get_mean(*ASK.values(), "type_3")["mean"]
    np.testing.assert_allclose(left_out, want, rtol=1e-4, atol=1e-5)


def test_the_other_cells_of_a_type_that_is_left_out_are_never_read(train):
    changed, rows = (
        train.copy(),
        np.flatnonzero((train.obs["cell_type"] == "type_1") & (train.obs["condition"] != "control")),
    )
    values = changed.X.toarray()
    values[rows] = values[rows[::-1]] * 2 + 1
    changed.X = sparse.csr_matrix(values)
    one, two = (networked(data)._fitted("left_out_means")[1:] for data in (train.copy(), changed))
    np.testing.assert_array_equal(one[:, 1], two[:, 1])
    assert np.abs(one[:, 0] - two[:, 0]).max() > 1e-3


def test_every_question_from_the_control_has_its_left_out_means(model):
    found = model._fitted("left_out_means")
    names = list(model.schema.conditions)
    assert np.isnan(found[names.index("control")]).all()
    for target in ("stimulated", "other"):
        assert not np.isnan(found[names.index(target)]).any()
        assert model.get_mean("control", target, "type_3")["mean"].notna().all()
    with pytest.raises(GroupError, match="networks were trained for questions from 'control'; make another model"):
        model.get_mean("stimulated", "control", "type_1")


def test_the_weights_name_the_network(model):
    answer = model.predict(**ASK, labels="type_3", seed=0)
    (weights,) = answer.uns["altercell"]["weights"]
    assert [part.split("=")[0] for part in weights.split()] == ["kriging", "scgen"]
    assert sum(float(part.split("=")[1]) for part in weights.split()) == pytest.approx(1, abs=2e-3)


def test_a_type_that_training_has_never_seen(model, simulated):
    new = simulated[simulated.obs["condition"] == "control"].copy()
    new.obs["cell_type"] = "new"
    answer = model.predict(new, **ASK, cells="decoded")
    assert np.isfinite(answer.X).all()
    # Cells of a known type, under a new name, are known by themselves.
    some = new[new.obs_names.isin(simulated.obs_names[simulated.obs["cell_type"] == "type_3"])].copy()
    again = model.predict(some, **ASK, cells="decoded")
    known = model.predict(**ASK, labels="type_3", cells="decoded")
    np.testing.assert_allclose(again[known.obs_names].X, known.X, atol=0.15)


@pytest.mark.parametrize("attached", [True, False])
def test_files(model, train, tmp_path, attached, simulated):
    model.save(tmp_path / "model")
    loaded = ac.ResponseStack.load(tmp_path / "model", adata=train.copy() if attached else None)
    if attached:
        pd.testing.assert_frame_equal(loaded.get_mean(*ASK.values(), "type_3"), model.get_mean(*ASK.values(), "type_3"))
    else:
        with pytest.raises(
            ac.errors.NotTrainedError, match="member 'scgen' reads training cells, and this model has none"
        ):
            loaded.get_mean(*ASK.values(), "type_3")


def test_counts_are_read_by_a_network_of_counts(train):
    data = train.copy()
    model = networked(data, layer="counts", size_factor_key="size_factor", training={"max_epochs": 1})
    assert model._networks.whole.module.gene_likelihood == "nb"
    assert model.get_mean(*ASK.values(), "type_3")["mean"].notna().all()


def test_a_run_that_was_stopped_goes_on_where_it_was(train, tmp_path, monkeypatch):
    want = networked(train.copy())._fitted("left_out_means")
    trained, names = ac.ScGen.train, []

    def interrupted(network, *args, resume_dir, **options):
        names.append(resume_dir.name)
        trained(network, *args, resume_dir=resume_dir, **options)
        network.interrupted_ = len(names) == 2

    monkeypatch.setattr(ac.ScGen, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        networked(train.copy(), training={**SHORT, "resume_dir": tmp_path})
    assert names == ["without_0", "without_1"]
    monkeypatch.undo()
    steps = []
    monkeypatch.setattr(ac.models.scgen.ScGenModule, "loss", _counting(ac.models.scgen.ScGenModule.loss, steps))
    got = networked(train.copy(), training={**SHORT, "resume_dir": tmp_path})._fitted("left_out_means")
    np.testing.assert_array_equal(got, want)
    whole = len(steps)
    networked(train.copy())
    assert whole < 0.75 * (len(steps) - whole)  # two of five networks were trained already


def _counting(loss, steps):
    def counted(*args, **options):
        steps.append(1)
        return loss(*args, **options)

    return counted


def test_a_category_without_cells_changes_nothing(train):
    want = networked(train.copy())._fitted("left_out_means")
    data = train.copy()
    data.obs["cell_type"] = data.obs["cell_type"].cat.add_categories("nobody")
    data.obs["condition"] = data.obs["condition"].cat.add_categories("nothing")
    got = networked(data)._fitted("left_out_means")[: len(want), :4]
    np.testing.assert_array_equal(got, want)


def test_a_condition_of_one_type_alone_leaves_the_others(train):
    data = train[(train.obs["condition"] != "other") | (train.obs["cell_type"] == "type_0")].copy()
    model = networked(data)
    found = model._fitted("left_out_means")
    codes = {name: model.schema.condition_code(name, "target") for name in ("stimulated", "other")}
    assert not np.isnan(found[codes["stimulated"], :3]).any()  # the last type has control cells only
    assert np.isnan(found[codes["other"], 0]).all()
    assert model.get_mean("control", "stimulated", "type_3")["mean"].notna().all()


def test_what_cannot_be_trained_is_refused(train):
    data = train.copy()
    ac.ResponseStack.setup_anndata(data, batch_key="condition", labels_key="cell_type")
    with pytest.raises(DataError, match="needs control=, the condition that every question starts from; there are 'c"):
        ac.ResponseStack(data, members="scgen")
    with pytest.raises(GroupError, match="control='nothing'"):
        ac.ResponseStack(data, members="scgen", control="nothing")
    with pytest.raises(DataError, match="network= is for members='scgen', which is not among"):
        ac.ResponseStack(data, network=SMALL)
    with pytest.raises(DataError, match="network= is for members='scgen', which is not among"):
        ac.ResponseStack(data).train(network=SHORT)
    ac.ResponseStack.setup_anndata(data, batch_key="condition")
    with pytest.raises(GroupError, match="leaves out types, and there is no labels_key"):
        ac.ResponseStack(data, members="scgen", control="control")
    one = data[(data.obs["cell_type"] == "type_0") | (data.obs["condition"] == "control")].copy()
    with pytest.raises(
        GroupError, match="needs two with cells in 'control' and in another condition; there is 'type_0'"
    ):
        networked(one)
