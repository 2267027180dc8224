import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from scipy import sparse

from altercell import ScGen
from altercell.errors import DataError, ModelFileError, NonFiniteLossError, NotTrainedError
from altercell.models.base._training import RESUME_FILE, quiet_lightning

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
ASK = {"source": "control", "target": "stimulated", "labels": "T"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture
def build(make_cells):
    """Return a function that makes an untrained model on fresh cells."""

    def build(adata=None, **options) -> ScGen:
        adata = make_cells() if adata is None else adata
        ScGen.setup_anndata(adata, **KEYS)
        return ScGen(adata, **{"n_hidden": 16, "n_latent": 4, **options})

    return build


def weights(model: ScGen) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def largest_difference(first: dict, second: dict) -> float:
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


def history(model: ScGen) -> dict[str, list[float]]:
    return {name: frame[name].tolist() for name, frame in model.history_.items()}


class At(Callback):
    """Do something at the end of an epoch, or of one of its batches."""

    def __init__(self, epoch: int, do, batch: int | None = None) -> None:
        self.epoch, self.do, self.batch = epoch, do, batch

    def on_train_epoch_end(self, trainer, pl_module):
        if self.batch is None and trainer.current_epoch == self.epoch:
            self.do(pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == self.batch:
            self.do(pl_module)


def die(plan=None):
    raise RuntimeError("killed")


def interrupt(plan=None):
    raise KeyboardInterrupt


def test_training_lowers_the_loss_and_records_every_epoch(build):
    model = build()
    model.train(max_epochs=4, **QUIET)
    assert model.is_trained_
    assert not model.module.training
    terms = ("reconstruction_loss", "kl_local")
    names = {f"{m}_loss" for m in ("train", "validation")} | {
        f"{t}_{m}" for t in terms for m in ("train", "validation")
    }
    assert set(model.history_) == names
    assert all(len(values) == 4 for values in history(model).values())
    assert model.history_["train_loss"].index.name == "epoch"
    assert history(model)["train_loss"][-1] < history(model)["train_loss"][0]


def test_the_split_is_recorded(build):
    model = build()
    model.train(max_epochs=1, train_size=0.7, seed=3, **QUIET)
    train, validation = model.train_indices_, model.validation_indices_
    assert (len(train), len(validation), len(model.test_indices_)) == (84, 36, 0)
    assert sorted([*train, *validation]) == list(range(120))


def test_the_same_seed_gives_the_same_bits_and_another_does_not(build):
    first, again, other = build(seed=1), build(seed=1), build(seed=2)
    for model in (first, again, other):
        model.train(max_epochs=2, **QUIET)
    assert largest_difference(weights(first), weights(again)) == 0
    assert history(first) == history(again)
    assert largest_difference(weights(first), weights(other)) > 0
    seeded = build(seed=1)
    seeded.train(max_epochs=2, seed=9, **QUIET)
    assert largest_difference(weights(first), weights(seeded)) > 0


def test_the_global_generators_do_not_reach_the_training(build):
    found = []
    for state in (0, 1):
        torch.manual_seed(state)
        np.random.seed(state)  # noqa: NPY002
        model = build()
        model.train(max_epochs=1, **QUIET)
        found.append(weights(model))
    assert largest_difference(*found) == 0


@pytest.mark.filterwarnings("ignore:Category .* has fewer than 3 cells:UserWarning")
@pytest.mark.parametrize("size", [97, 96, 65, 2])
def test_all_cells_can_train_and_a_tail_of_one_does_no_harm(build, make_cells, size):
    adata = make_cells()[:size].copy()
    if size == 2:
        adata.obs["condition"] = ["control", "stimulated"]
    model = build(adata)
    model.train(max_epochs=2, train_size=1.0, batch_size=32, **QUIET)
    assert set(history(model)) == {"train_loss", "reconstruction_loss_train", "kl_local_train"}
    assert len(model.train_indices_) == size
    assert all(torch.isfinite(tensor).all() for tensor in weights(model).values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0 must be at least 1"),
        ({"max_epochs": 1, "batch_size": 1}, "batch_size=1 at least 2"),
        ({"max_epochs": 1, "train_size": 0.0}, "train_size=0.0 must be above 0"),
        ({"max_epochs": 1, "train_size": 0.005}, "1 of 120 cells would be left to train on; at least 2"),
    ],
)
def test_what_cannot_be_trained(build, options, message):
    model = build()
    before = weights(model)
    with pytest.raises(DataError, match=message):
        model.train(**options, **QUIET)
    assert largest_difference(before, weights(model)) == 0


def test_an_unknown_argument_of_the_plan_is_refused(build):
    with pytest.raises(
        DataError, match="plan_kwargs has 'weight_decai', .* does not know; did you mean 'weight_decay'"
    ):
        build().train(max_epochs=1, plan_kwargs={"weight_decai": 1}, **QUIET)
    with pytest.raises(DataError, match="plan_kwargs has 'learning_rate', which the training plan does not know"):
        build().train(max_epochs=1, plan_kwargs={"learning_rate": 1}, **QUIET)


def test_the_plan_has_the_papers_settings_unless_told(build):
    model = build()
    model.train(max_epochs=1, **QUIET)
    (group,) = model.trainer.optimizers[0].param_groups
    assert isinstance(model.trainer.optimizers[0], torch.optim.Adam)
    assert (group["lr"], group["eps"], group["weight_decay"]) == (1e-3, 0.01, 1e-6)
    model.train(max_epochs=1, plan_kwargs={"lr": 1e-4}, **QUIET)
    assert model.trainer.optimizers[0].param_groups[0]["lr"] == 1e-4


def test_a_rate_that_follows_the_validation_loss(build):
    model = build()
    model.train(max_epochs=3, plan_kwargs={"reduce_lr_on_plateau": True, "lr": 0.05, "lr_patience": 0}, **QUIET)
    (config,) = model.trainer.lr_scheduler_configs
    assert config.monitor == "validation_loss"
    assert config.scheduler.best == pytest.approx(min(history(model)["validation_loss"]))


def test_a_second_training_goes_on_in_training_mode(build):
    modes = []
    model = build()
    model.train(max_epochs=2, **QUIET)
    first = weights(model)
    model.train(max_epochs=3, callbacks=[At(0, lambda plan: modes.append(plan.module.training))], **QUIET)
    assert modes == [True]
    assert all(len(values) == 5 for values in history(model).values())
    assert largest_difference(first, weights(model)) > 0
    moved = [name for name in first if "running_mean" in name and not torch.equal(first[name], weights(model)[name])]
    assert len(moved) == 4


def test_two_trainings_are_not_the_same_one_twice(build):
    # Orders and noise go on with the number of the epoch, so that 1 + 1 epochs see what 2 epochs see.
    seen = {}

    class Order(Callback):
        def __init__(self, name):
            self.name = name

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.setdefault(self.name, []).append(batch["X"].clone())

    whole, parts = build(), build()
    whole.train(max_epochs=2, callbacks=[Order("whole")], **QUIET)
    parts.train(max_epochs=1, callbacks=[Order("parts")], **QUIET)
    parts.train(max_epochs=1, callbacks=[Order("parts")], **QUIET)
    assert all(torch.equal(a, b) for a, b in zip(seen["whole"], seen["parts"], strict=True))


def test_epochs_without_a_value_leave_a_gap_in_the_history(build):
    model = build()
    model.train(max_epochs=2, train_size=1.0, **QUIET)
    model.train(max_epochs=2, **QUIET)
    found = history(model)
    assert all(len(values) == 4 for values in found.values())
    assert np.isnan(found["validation_loss"]).tolist() == [True, True, False, False]
    assert np.isfinite(found["train_loss"]).all()


class Watch(Callback):
    """Keep each epoch's validation loss and weights, and the weights at an exception."""

    def __init__(self) -> None:
        self.seen = []

    def keep(self, loss, plan):
        self.seen.append((loss, {name: value.clone() for name, value in plan.module.state_dict().items()}))

    def on_validation_end(self, trainer, pl_module):
        self.keep(float(trainer.callback_metrics["validation_loss"]), pl_module)

    def on_exception(self, trainer, pl_module, exception):
        self.keep(np.inf, pl_module)

    def assert_best_is_kept(self, model) -> None:
        name = "decoder.output.weight"
        best = min(self.seen, key=lambda pair: pair[0])[1]
        assert torch.equal(weights(model)[name], best[name])
        assert not torch.equal(self.seen[-1][1][name], best[name])


def test_early_stopping_keeps_the_best_epoch(build):
    model, watch = build(), Watch()
    options = {"early_stopping_patience": 2, "plan_kwargs": {"lr": 0.05, "eps": 1e-8}}
    model.train(max_epochs=60, callbacks=[watch], **options, **QUIET)
    losses = history(model)["validation_loss"]
    assert len(losses) < 60
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    watch.assert_best_is_kept(model)


def test_without_early_stopping_every_epoch_is_trained_and_the_last_is_kept(build):
    model, last = build(), []
    options = {"early_stopping": False, "plan_kwargs": {"lr": 0.02, "eps": 1e-8}}
    keep = At(11, lambda plan: last.append({k: v.clone() for k, v in plan.module.state_dict().items()}))
    model.train(max_epochs=12, callbacks=[keep], **options, **QUIET)
    assert len(history(model)["train_loss"]) == 12
    now = {name: value for name, value in weights(model).items() if name not in ("latent_means", "group_sizes")}
    assert largest_difference(now, last[0]) == 0


@pytest.mark.parametrize("kill", [At(0, die, batch=1), At(1, die), At(2, die, batch=0), At(3, die)])
def test_killed_and_started_again_equals_uninterrupted(build, tmp_path, kill):
    whole = build()
    whole.train(max_epochs=4, resume_dir=tmp_path / "whole", **QUIET)
    killed = build()
    with pytest.raises(RuntimeError, match="killed"):
        killed.train(max_epochs=4, resume_dir=tmp_path / "killed", callbacks=[kill], **QUIET)
    again = build()
    again.train(max_epochs=4, resume_dir=tmp_path / "killed", **QUIET)
    assert largest_difference(weights(whole), weights(again)) == 0
    assert history(whole) == history(again)
    np.testing.assert_array_equal(whole.train_indices_, again.train_indices_)


def test_a_training_with_resume_equals_one_without(build, tmp_path):
    plain, kept = build(), build()
    plain.train(max_epochs=3, **QUIET)
    kept.train(max_epochs=3, resume_dir=tmp_path, **QUIET)
    assert largest_difference(weights(plain), weights(kept)) == 0
    assert history(plain) == history(kept)


def test_early_stopping_is_resumed(build, tmp_path):
    options = {"early_stopping_patience": 3, "plan_kwargs": {"lr": 0.02, "eps": 1e-8}, "max_epochs": 60, **QUIET}
    whole = build()
    whole.train(resume_dir=tmp_path / "whole", **options)
    n_epochs = len(history(whole)["train_loss"])
    assert 4 < n_epochs < 60
    killed = build()
    with pytest.raises(RuntimeError, match="killed"):
        killed.train(resume_dir=tmp_path / "killed", callbacks=[At(n_epochs - 2, die, batch=1)], **options)
    again = build()
    again.train(resume_dir=tmp_path / "killed", **options)
    assert history(again) == history(whole)
    assert largest_difference(weights(whole), weights(again)) == 0


def test_the_same_object_can_be_started_again(build, tmp_path):
    whole, killed = build(), build()
    whole.train(max_epochs=4, **QUIET)
    with pytest.raises(RuntimeError, match="killed"):
        killed.train(max_epochs=4, resume_dir=tmp_path, callbacks=[At(2, die, batch=1)], **QUIET)
    assert len(history(killed)["train_loss"]) == 2
    killed.train(max_epochs=4, resume_dir=tmp_path, **QUIET)
    assert history(killed) == history(whole)
    assert largest_difference(weights(whole), weights(killed)) == 0


def test_a_later_training_is_resumed_too(build, tmp_path):
    whole, killed = build(), build()
    for model in (whole, killed):
        model.train(max_epochs=2, **QUIET)
    whole.train(max_epochs=3, **QUIET)
    killed.save(tmp_path / "model", save_anndata=True)
    with pytest.raises(RuntimeError, match="killed"):
        killed.train(max_epochs=3, resume_dir=tmp_path, callbacks=[At(1, die, batch=1)], **QUIET)
    again = ScGen.load(tmp_path / "model")
    again.train(max_epochs=3, resume_dir=tmp_path, **QUIET)
    assert history(again) == history(whole)
    assert largest_difference(weights(whole), weights(again)) == 0
    with pytest.raises(ModelFileError, match="a run that began after 2 epochs, but this model has 0: load the model"):
        build().train(max_epochs=3, resume_dir=tmp_path, **QUIET)


@pytest.mark.heavy
def test_a_process_that_is_killed_can_be_started_again(build, make_cells, tmp_path):
    """SIGKILL in the middle of an epoch, as a full memory or a scheduler gives it."""
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    script = textwrap.dedent("""
        import os, signal, sys
        import anndata as ad
        from altercell import ScGen
        from lightning.pytorch import Callback

        class Die(Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                if trainer.current_epoch == 2 and batch_idx == 1:
                    os.kill(os.getpid(), signal.SIGKILL)

        adata = ad.read_h5ad(sys.argv[1])
        ScGen.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
        model = ScGen(adata, n_hidden=16, n_latent=4)
        options = {"enable_progress_bar": False, "accelerator": "cpu"}
        model.train(max_epochs=4, resume_dir=sys.argv[2], callbacks=[Die()], **options)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "cells.h5ad", tmp_path / "run"],
        check=False,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    whole, again = build(), build()
    whole.train(max_epochs=4, **QUIET)
    again.train(max_epochs=4, resume_dir=tmp_path / "run", **QUIET)
    assert largest_difference(weights(whole), weights(again)) == 0
    assert history(again) == history(whole)


@pytest.mark.parametrize(
    ("options", "training", "message"),
    [
        ({}, {"seed": 1}, "belongs to another run: seed is 0 there and 1 here. Remove it or choose another folder"),
        ({}, {"batch_size": 16}, "batch_size is 32 there and 16 here"),
        ({}, {"early_stopping_patience": 3}, "another run: early stopping's patience is 25 there and 3 here"),
        ({}, {"train_size": 0.8}, "train_size is 0.9 there and 0.8 here"),
        ({}, {"plan_kwargs": {"lr": 1.0}}, "another run: plan_kwargs\\['lr'\\] is 0.001 there and 1.0 here"),
        ({"n_hidden": 8}, {}, "another run: argument 'n_hidden' is 16 there and 8 here. Remove"),
    ],
)
def test_the_state_of_another_run_is_refused(build, tmp_path, options, training, message):
    build().train(max_epochs=1, resume_dir=tmp_path, **QUIET)
    model = build(**options)
    before = weights(model)
    with pytest.raises(ModelFileError, match=message):
        model.train(max_epochs=2, resume_dir=tmp_path, **training, **QUIET)
    assert largest_difference(before, weights(model)) == 0
    assert model.history_ is None


def test_the_state_of_other_cells_is_refused(build, make_cells, tmp_path):
    build().train(max_epochs=1, resume_dir=tmp_path, **QUIET)
    for adata in (
        make_cells(seed=1),
        make_cells()[::-1].copy(),
        make_cells()[:, ::-1].copy(),
        make_cells()[:90].copy(),
    ):
        with pytest.raises(ModelFileError, match="belongs to another run: .*(cells|genes) is"):
            build(adata).train(max_epochs=2, resume_dir=tmp_path, **QUIET)


def test_a_damaged_state_is_refused(build, tmp_path):
    build().train(max_epochs=1, resume_dir=tmp_path, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == [RESUME_FILE]
    whole = (tmp_path / RESUME_FILE).read_bytes()
    (tmp_path / RESUME_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="not a whole resume file of altercell"):
        build().train(max_epochs=2, resume_dir=tmp_path, **QUIET)


def poison_loss(model: ScGen, term: str, after: int) -> None:
    """Make one term of the loss NaN after so many batches."""
    loss, calls = model.module.loss, []

    def poisoned(*args, **kwargs):
        output = loss(*args, **kwargs)
        calls.append(1)
        if len(calls) > after:
            getattr(output, "reconstruction_loss" if "rec" in term else "kl_local")[term] *= torch.nan
            output.loss = output.loss * torch.nan
        return output

    model.module.loss = poisoned


@pytest.mark.parametrize("term", ["reconstruction_loss", "kl_local"])
def test_a_loss_that_is_not_finite_stops_and_names_its_term(build, term):
    model = build()
    poison_loss(model, term, after=6)
    with pytest.raises(
        NonFiniteLossError, match=f"training stopped in epoch 1: the loss is not finite: {term}. The model"
    ):
        model.train(max_epochs=5, **QUIET)
    assert all(torch.isfinite(tensor).all() for tensor in weights(model).values())
    assert len(history(model)["train_loss"]) == 1
    assert not model.is_trained_
    assert not model.module.training
    with pytest.raises(NotTrainedError, match="not trained"):
        model.get_latent_representation()


def test_a_poisoned_batch_leaves_the_weights_of_the_last_good_epoch(build):
    model, start = build(), []
    cells = model._training_cells()

    def spoil(plan):
        start.append(weights(model))
        cells.matrix[5] = np.nan

    with pytest.raises(NonFiniteLossError, match="training stopped in epoch 1: .*not finite"):
        model.train(max_epochs=4, train_size=1.0, callbacks=[At(0, spoil)], **QUIET)
    assert largest_difference(weights(model), start[0]) == 0


def test_after_a_failed_second_training_the_verbs_fit_the_weights(build, oracle):
    model = build()
    model.train(max_epochs=1, **QUIET)
    before = weights(model)
    with pytest.raises(RuntimeError, match="killed"):
        model.train(max_epochs=4, callbacks=[At(2, die)], **QUIET)
    assert largest_difference(before, weights(model)) > 0
    latent = oracle(model.module).encode(model.adata.X)[0]
    keep = (model.adata.obs["condition"] == "other") & (model.adata.obs["cell_type"] == "T")
    np.testing.assert_allclose(model.group_means()[0][1, 2], latent[keep.to_numpy()].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert len(history(model)["train_loss"]) == 3


@pytest.mark.parametrize("batch", [None, 1])
def test_an_interrupt_keeps_the_model_and_its_history(build, batch):
    model = build()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.warns(
        UserWarning, match="training was interrupted after 2 epochs; the model keeps its weights and its history so far"
    ):
        model.train(max_epochs=6, callbacks=[At(2, interrupt, batch=batch)], **QUIET)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(history(model)["train_loss"]) == 2
    assert model.is_trained_
    answer = model.predict(source="control", target="stimulated")
    assert np.isfinite(answer.X).all()
    assert "training was interrupted" in answer.uns["altercell"]["trust"]
    model.train(max_epochs=1, **QUIET)
    assert (
        "training was interrupted" not in model.predict(source="control", target="stimulated").uns["altercell"]["trust"]
    )
    assert len(history(model)["train_loss"]) == 3


def test_an_interrupt_before_the_first_epoch_ends(build):
    model = build()
    with pytest.warns(UserWarning, match="training was interrupted after 0 epochs; .* so far, and is not trained"):
        model.train(max_epochs=6, callbacks=[At(0, interrupt, batch=0)], **QUIET)
    assert history(model) == {}
    assert not model.is_trained_
    with pytest.raises(NotTrainedError):
        model.predict(source="control", target="stimulated")
    model.train(max_epochs=1, **QUIET)
    # A trained model stays one, whatever is stopped later.
    with pytest.warns(UserWarning, match="training was interrupted after 1 epochs"):
        model.train(max_epochs=6, callbacks=[At(0, interrupt, batch=0)], **QUIET)
    assert model.group_means()[1].sum() == 120


def test_an_interrupt_is_kept_in_the_file(build, tmp_path):
    model = build()
    with pytest.warns(UserWarning, match="training was interrupted"):
        model.train(max_epochs=6, callbacks=[At(1, interrupt)], **QUIET)
    model.save(tmp_path / "model")
    assert ScGen.load(tmp_path / "model").interrupted_


def test_an_interrupt_keeps_the_best_epoch_so_far(build):
    model, watch = build(), Watch()
    options = {"plan_kwargs": {"lr": 0.02, "eps": 1e-8}}
    with pytest.warns(UserWarning, match="training was interrupted"):
        model.train(max_epochs=20, callbacks=[watch, At(11, interrupt)], **options, **QUIET)
    watch.assert_best_is_kept(model)


def test_an_exit_that_nobody_interrupted_is_passed_on(build):
    def leave(plan):
        sys.exit(3)

    with pytest.raises(SystemExit, match="3"):
        build().train(max_epochs=2, callbacks=[At(0, leave)], **QUIET)


def test_an_error_restores_the_handler_of_interrupts(build):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="killed"):
        build().train(max_epochs=2, callbacks=[At(0, die)], **QUIET)
    assert signal.getsignal(signal.SIGINT) is handler


def test_training_in_another_thread(build):
    model, errors = build(), []

    def work():
        try:
            model.train(max_epochs=1, **QUIET)
        except Exception as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert model.is_trained_


def test_nothing_is_written_and_nothing_is_said(build, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        build().train(max_epochs=1, **QUIET)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""
    assert "litlogger" not in caplog.text.lower()
    assert "GPU available" not in caplog.text


def test_quiet_lightning_silences_notes_but_no_warnings_of_others():
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = log.level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet_lightning():
            assert not log.isEnabledFor(logging.INFO)
            assert log.isEnabledFor(logging.WARNING)
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1)
            warnings.warn("The 'train_dataloader' does not have many workers", UserWarning, stacklevel=1)
            warnings.warn("the data are odd", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["the data are odd"]
    assert log.level == level


@pytest.fixture
def stream(tmp_path):
    """Return a function that streams an AnnData from disk, by scvi-tools' annbatch data module."""
    pytest.importorskip("annbatch")
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("zarrs")
    pipeline = zarr.config.get("codec_pipeline.path")

    def stream(adata):
        adata = adata.copy()
        adata.X = sparse.csr_matrix(adata.X)
        adata.write_h5ad(tmp_path / "cells.h5ad")
        return ScGen.setup_annbatch(
            collection_path=str(tmp_path / "collection.zarr"),
            paths=[str(tmp_path / "cells.h5ad")],
            batch_size=32,
            chunk_size=8,
            preload_nchunks=8,
            preload_to_gpu=False,
            **KEYS,
        )

    yield stream
    zarr.config.set({"codec_pipeline.path": pipeline})  # setup_annbatch changes it for good


def test_training_through_annbatch(stream, make_cells, oracle, tmp_path):
    cells = make_cells()
    data = stream(cells)
    model = ScGen(registry=data.registry, n_hidden=16, n_latent=4)
    model.train(max_epochs=3, datamodule=data, **QUIET)
    losses = history(model)["train_loss"]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert model.group_means()[1].sum() == 120
    predicted = model.predict(cells, **ASK)
    assert predicted.n_obs == 24
    order = [cells.var_names.get_loc(gene) for gene in model.schema.genes]
    latent = oracle(model.module).encode(cells.X[:, order])[0]
    for c, condition in enumerate(model.schema.conditions):
        for k, label in enumerate(model.schema.labels):
            keep = ((cells.obs["condition"] == condition) & (cells.obs["cell_type"] == label)).to_numpy()
            if keep.any():
                np.testing.assert_allclose(
                    model.group_means()[0][c, k], latent[keep].mean(axis=0), rtol=1e-3, atol=1e-4
                )
    model.save(tmp_path / "model")
    loaded = ScGen.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(cells, **ASK).X, predicted.X)
    np.testing.assert_array_equal(ScGen.load(tmp_path / "model", cells).predict(**ASK).X, predicted.X)


def test_training_through_annbatch_can_be_resumed(stream, make_cells, tmp_path):
    data = stream(make_cells())
    options = {"max_epochs": 2, "datamodule": data, "resume_dir": tmp_path / "run", **QUIET}
    killed = ScGen(registry=data.registry, n_hidden=16, n_latent=4)
    with pytest.raises(RuntimeError, match="killed"):
        killed.train(callbacks=[At(1, die, batch=0)], **options)
    again = ScGen(registry=data.registry, n_hidden=16, n_latent=4)
    again.train(**options)
    assert len(history(again)["train_loss"]) == 2
    assert history(again)["train_loss"][0] == history(killed)["train_loss"][0]


def test_counts_through_annbatch_are_trained_as_those_in_memory(stream, make_cells, rows):
    counts = make_cells(counts=True)
    data = stream(counts)
    streamed = ScGen(registry=data.registry, gene_likelihood="nb", n_hidden=16, n_latent=4)
    streamed.train(max_epochs=6, datamodule=data, **QUIET)
    ScGen.setup_anndata(counts, **KEYS)
    kept = ScGen(counts, gene_likelihood="nb", n_hidden=16, n_latent=4)
    kept.train(max_epochs=6, train_size=1.0, **QUIET)
    # The same cells in another order: the losses are near each other.
    np.testing.assert_allclose(history(streamed)["train_loss"], history(kept)["train_loss"], rtol=0.03)
    total = counts.X[rows(counts, "control", "T")].sum(axis=1)
    np.testing.assert_allclose(streamed.predict(counts, **ASK).X.sum(axis=1), total, rtol=1e-4)
