import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader

from altercell import ScGen, TrVAE
from altercell.errors import DataError, NotTrainedError

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
ASK = {"source": "control", "target": "stimulated", "labels": "T"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"n_hidden": 16, "n_latent": 4}


def build(cells, **options) -> ScGen:
    ScGen.setup_anndata(cells, **KEYS)
    return ScGen(cells, **{**SMALL, **options})


class Ask(Callback):
    """At the end of each epoch: do something with the model as if it were trained, and keep the state around it."""

    def __init__(self, model, do) -> None:
        self.model, self.do, self.answers, self.states = model, do, [], []

    def state(self) -> tuple:
        parts = self.model.module
        values = {name: tensor.clone() for name, tensor in parts.state_dict().items()}
        return values, [part.training for part in parts.modules()], self.model.is_trained_

    def on_train_epoch_end(self, trainer, pl_module):
        before = self.state()
        with self.model.as_trained():
            self.answers.append(self.do(self.model))
        self.states.append((before, self.state()))

    def assert_nothing_changed(self) -> None:
        for before, after in self.states:
            assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
            assert before[1:] == after[1:]


def test_the_last_epochs_answers_are_those_after_training(cells):
    model = build(cells)
    ask = Ask(model, lambda model: (model.predict(**ASK).X, model.group_means()))
    model.train(max_epochs=2, early_stopping=False, callbacks=[ask], **QUIET)
    ask.assert_nothing_changed()
    assert [trained for (_, _, trained), _ in ask.states] == [False, False]
    (_, _), (predicted, (means, sizes)) = ask.answers
    np.testing.assert_array_equal(model.predict(**ASK).X, predicted)
    np.testing.assert_array_equal(model.group_means()[0], means)
    np.testing.assert_array_equal(model.group_means()[1], sizes)
    assert np.abs(ask.answers[0][0] - predicted).max() > 1e-3


def test_what_an_earlier_training_left_is_there_again_after_the_block(cells):
    model = build(cells)
    model.train(max_epochs=1, **QUIET)
    before = model.group_means()[0]
    ask = Ask(model, lambda model: model.group_means()[0])
    model.train(max_epochs=1, callbacks=[ask], **QUIET)
    ask.assert_nothing_changed()
    np.testing.assert_array_equal(ask.states[0][1][0]["latent_means"], before.astype(np.float32))
    assert np.abs(ask.answers[0] - before).max() > 1e-3
    assert ask.states[0][1][2]


def test_frozen_parts_stay_frozen(make_cells):
    known = make_cells(sizes={("B", "control"): 30, ("T", "control"): 30, ("B", "other"): 20, ("T", "other"): 20})
    study = make_cells(sizes={("B", "stimulated"): 20, ("T", "stimulated"): 20}, seed=1)
    TrVAE.setup_anndata(known, **KEYS)
    reference = TrVAE(known, n_hidden=(16, 8), n_latent=4)
    reference.train(max_epochs=1, **QUIET)
    model = TrVAE.load_query_data(study, reference)
    ask = Ask(model, lambda model: model.get_latent_representation())
    model.train(max_epochs=1, callbacks=[ask], **QUIET)
    ask.assert_nothing_changed()
    modes = ask.states[0][0][1]
    assert True in modes
    assert False in modes


def test_an_error_inside_leaves_the_training_as_it_was(cells):
    model = build(cells)

    def fail(model):
        raise RuntimeError("no answer")

    class Forgiving(Ask):
        def on_train_epoch_end(self, trainer, pl_module):
            before = self.state()
            with pytest.raises(RuntimeError, match="no answer"), self.model.as_trained():
                self.do(self.model)
            self.states.append((before, self.state()))

    ask = Forgiving(model, fail)
    model.train(max_epochs=1, callbacks=[ask], **QUIET)
    ask.assert_nothing_changed()
    assert len(ask.states) == 1


def test_outside_of_a_training_it_changes_nothing(cells):
    model = build(cells)
    with model.as_trained(), pytest.raises(NotTrainedError, match="is not trained"):
        model.predict(**ASK)
    model.train(max_epochs=1, **QUIET)
    expected = model.predict(**ASK).X
    with model.as_trained():
        np.testing.assert_array_equal(model.predict(**ASK).X, expected)


class Some(LightningDataModule):
    """A data module of somebody else's, with some of the cells."""

    def __init__(self, cells) -> None:
        super().__init__()
        self.cells, self.parts, self.n_val = cells, np.array_split(np.arange(80), 2), 20

    def train_dataloader(self):
        return DataLoader(self.cells, sampler=self.parts, batch_size=None)

    def val_dataloader(self):
        return DataLoader(self.cells, sampler=[np.arange(80, 100)], batch_size=None)

    def __iter__(self):
        return iter(self.train_dataloader())


def test_groups_are_read_from_the_data_module_that_trains(cells):
    known = build(cells)
    model = ScGen(registry=known.registry_, **SMALL)
    ask = Ask(model, lambda model: (model.group_means()[1], model.predict(cells, **ASK).X))
    model.train(max_epochs=1, datamodule=Some(known._training_cells()), callbacks=[ask], **QUIET)
    sizes, predicted = ask.answers[0]
    assert sizes.sum() == 80
    np.testing.assert_array_equal(model.group_means()[1], sizes)
    np.testing.assert_array_equal(model.predict(cells, **ASK).X, predicted)
    with model.as_trained():
        assert model.group_means()[1].sum() == 80


@pytest.mark.parametrize("name", ["train_loss", "reconstruction_loss_train"])
def test_early_stopping_does_not_watch_the_training_cells(cells, name):
    with pytest.raises(DataError, match=f"early_stopping_monitor='{name}' is of the training cells"):
        build(cells).train(1, early_stopping_monitor=name, **QUIET)


def test_a_term_of_validation_can_choose_the_epoch(cells):
    options = {"early_stopping_patience": 2, "plan_kwargs": {"lr": 0.05, "eps": 1e-8}, **QUIET}
    model = build(cells)
    model.train(60, early_stopping_monitor="kl_local_validation", early_stopping_mode="max", **options)
    values = model.history["kl_local_validation"]["kl_local_validation"].to_numpy()
    assert len(values) == int(values.argmax()) + 3 < 60


def test_another_mode_is_refused(cells):
    with pytest.raises(DataError, match="mode='best' is unknown; there are 'min', 'max'"):
        build(cells).train(1, early_stopping_mode="best", **QUIET)
