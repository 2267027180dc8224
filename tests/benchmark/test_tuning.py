import shutil
import tempfile

import numpy as np
import pytest
from lightning.pytorch import Callback

import altercell as ac
from altercell.benchmark import hold_out_inner
from altercell.data import hold_out, normalize
from altercell.datasets import simulate_response
from altercell.errors import DataError, GroupError, KeyNotFoundError

ASK = {"source": "control", "target": "stimulated"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"n_hidden": 16, "n_latent": 4}


@pytest.fixture
def rest():
    """Cells without those of the test, the stimulated cells of type_1."""
    cells = normalize(simulate_response(n_cells=240, n_genes=30, n_types=4, n_lineages=1))
    return hold_out(cells, batch="stimulated", labels="type_1")[0]


def groups(adata) -> set[tuple[str, str]]:
    return set(zip(adata.obs["condition"].astype(str), adata.obs["cell_type"].astype(str), strict=True))


@pytest.mark.parametrize("labels", ["type_2", ["type_2", "type_3"]])
def test_inner_and_outer_cells_are_both_out_of_the_training(rest, labels):
    before = rest.copy()
    scored, inner = hold_out_inner(ac.ScGen, rest, labels=labels, **ASK)
    named = [labels] if isinstance(labels, str) else labels
    assert groups(inner) == groups(rest) - {("stimulated", label) for label in named}
    assert ("stimulated", "type_1") not in groups(inner)
    assert rest.obs.equals(before.obs)
    assert set(rest.uns) == set(before.uns)
    model = scored(inner, **SMALL)
    model.train(max_epochs=2, early_stopping=False, **QUIET)
    errors = []
    for label in named:
        pick = rest.obs["cell_type"] == label
        control, real = (rest[pick & (rest.obs["condition"] == name)].copy() for name in ("control", "stimulated"))
        means = [np.asarray(arm.X.mean(axis=0), dtype=np.float64) for arm in (model.predict(control, **ASK), real)]
        errors.append(np.square(means[0] - means[1]).mean())
    assert model.history["inner_mse"].iloc[-1, 0] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_class_is_the_models_but_for_the_score(rest, tmp_path):
    scored, inner = hold_out_inner(ac.ScGen, rest, labels="type_2", metrics="pearson_delta", every=2, **ASK)
    assert issubclass(scored, ac.ScGen)
    assert scored.__name__ == "ScGen"
    model, plain_cells = scored(inner, **SMALL), inner.copy()
    model.train(3, **QUIET)
    assert np.isfinite(model.history["inner_pearson_delta"].iloc[:, 0]).tolist() == [True, False, True]
    plain_cells.uns.pop("_scvi_uuid")
    ac.ScGen.setup_anndata(plain_cells, batch_key="condition", labels_key="cell_type")
    plain = ac.ScGen(plain_cells, **SMALL)
    plain.train(3, **QUIET)
    asked = {**ASK, "labels": "type_2"}
    np.testing.assert_array_equal(model.predict(**asked).X, plain.predict(**asked).X)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(ac.ScGen.load(tmp_path / "model").predict(rest, **asked).X, plain.predict(**asked).X)
    assert "inner_pearson_delta" not in plain.history


def test_other_callbacks_and_columns_and_setup_arguments_go_through(rest):
    rest.obs = rest.obs.rename(columns={"condition": "dose", "cell_type": "kind"})
    rest.layers["values"] = rest.X.copy()
    columns = {"batch_key": "dose", "labels_key": "kind"}
    scored, inner = hold_out_inner(ac.ScGen, rest, labels="type_2", setup={"layer": "values"}, **columns, **ASK)
    model = scored(inner, **SMALL)
    assert model.schema.layer == "values"
    ends = []

    class End(Callback):
        def on_train_end(self, trainer, pl_module):
            ends.append(float(trainer.callback_metrics["inner_mse"]))

    model.train(1, callbacks=[End()], **QUIET)
    assert ends == [model.history["inner_mse"].iloc[0, 0]]


def test_a_model_of_counts_is_scored_on_log_data():
    cells = simulate_response(n_cells=240, n_genes=30, n_types=4, n_lineages=1)
    rest = normalize(cells)
    scored, inner = hold_out_inner(
        ac.ScGen, rest, labels="type_2", setup={"layer": "counts"}, predict_options={"output": "log"}, **ASK
    )
    model = scored(inner, gene_likelihood="nb", **SMALL)
    model.train(1, early_stopping=False, **QUIET)
    arm = {name: rest[(rest.obs["cell_type"] == "type_2") & (rest.obs["condition"] == name)].copy() for name in
           ASK.values()}  # fmt: skip
    pred = model.predict(arm["control"], **ASK, output="log")
    means = [np.asarray(part.X.mean(axis=0), dtype=np.float64) for part in (pred, arm["stimulated"])]
    assert means[1].max() < 10  # these are logarithms
    assert model.history["inner_mse"].iloc[0, 0] == pytest.approx(np.square(means[0] - means[1]).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": "type_9"}, GroupError, "'type_9'"),
        ({"labels": "type_1"}, GroupError, "type_1"),
        ({"labels": "type_2", "source": "cold"}, GroupError, "'cold'"),
        ({"labels": "type_2", "metrics": "nice"}, KeyNotFoundError, "no such metric: 'nice'"),
        ({"labels": "type_2", "every": 0}, DataError, "every=0"),
        ({"labels": "type_2", "labels_key": "kind"}, KeyNotFoundError, "kind"),
        ({"labels": "type_2", "often": 2}, TypeError, "often"),
    ],
)
def test_what_every_trial_would_fail_at_is_told_at_once(rest, options, error, message):
    with pytest.raises(error, match=message):
        hold_out_inner(ac.ScGen, rest, **{**ASK, **options})


def test_a_model_without_epochs_is_refused(rest):
    with pytest.raises(DataError, match="MeanShift has no training by epochs"):
        hold_out_inner(ac.models.baselines.MeanShift, rest, labels="type_2", **ASK)


@pytest.fixture
def ray_of_one():
    """Ray on one local processor, with its files in a folder of its own (its sockets need a short path)."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.tune")
    folder = tempfile.mkdtemp(prefix="ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
    yield ray
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.heavy
@pytest.mark.filterwarnings("default")  # Ray's and hyperopt's own warnings are theirs
def test_autotune_finds_the_setting_that_predicts_the_inner_type_best(rest, ray_of_one, tmp_path):
    pytest.importorskip("hyperopt")
    autotune = pytest.importorskip("scvi.autotune")
    scored, inner = hold_out_inner(ac.ScGen, rest, labels="type_2", **ASK)
    # Of the two steps one is far too short to learn anything.
    rates = [1e-8, 1e-2]
    train = {"max_epochs": 5, "accelerator": "cpu", "seed": 0}
    experiment = autotune.run_autotune(
        scored,
        data=inner,
        metrics="inner_mse",
        mode="min",
        search_space={
            "model_params": SMALL,
            "train_params": {**train, "plan_kwargs": {"lr": ray_of_one.tune.grid_search(rates)}},
        },
        num_samples=1,
        scheduler="fifo",
        searcher="random",
        seed=1,
        resources={"cpu": 1},
        logging_dir=str(tmp_path),
        ignore_reinit_error=True,
    )
    grid = experiment.result_grid
    assert not grid.errors
    found = grid.get_dataframe().set_index("config/train_params/plan_kwargs/lr")["inner_mse"]
    assert sorted(found.index) == rates
    assert found[1e-2] < found[1e-8]
    best = grid.get_best_result("inner_mse", "min").config
    assert best["train_params"]["plan_kwargs"]["lr"] == 1e-2
    # A trial is the same training as one here, to the bit.
    model = scored(inner, **best["model_params"])
    model.train(enable_progress_bar=False, **best["train_params"])
    score = model.history["validation_loss"].iloc[:, 0].argmin()
    assert model.history["inner_mse"].iloc[score, 0] == pytest.approx(found[1e-2], rel=1e-6)
