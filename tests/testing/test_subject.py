"""The subject: how a model is set up, made and trained for the checks, once where it is shared."""

import numpy as np
import pytest
from mudata import MuData

import altercell as ac
from altercell.errors import DataError
from altercell.testing import Subject
from altercell.testing._data import as_mudata

from .suite import SMALL, Net, Shift


def test_only_models_of_the_package_can_be_checked():
    for wrong in (dict, "ScGen", 3):
        with pytest.raises(DataError, match="no class that derives from altercell.models.base.AltercellModel"):
            Subject(wrong)


def test_unknown_data_are_refused():
    with pytest.raises(DataError, match="data='images' is unknown; there are 'log' and 'counts'"):
        Subject(Shift, data="images")


def test_the_title():
    assert Subject(Shift).title == "Shift"
    assert Subject(Shift, name="Shift-clipped").title == "Shift-clipped"


def test_kinds_of_models():
    assert Subject(Net).gradient
    assert not Subject(Shift).gradient


def test_arguments_reach_the_constructor():
    model = Subject(Shift, arguments={"clip": True}).make(seed=3)
    assert (model.clip, model.seed) == (True, 3)
    assert not model.is_trained_


def test_arguments_that_name_a_condition_follow_its_name():
    subject = Subject(Shift, arguments={"clip": True, "weights": "balanced", "control": "control"}, name="one")
    renamed = subject.renamed({"control": 0, "stimulated": 1})
    assert renamed.arguments == {"clip": True, "weights": "balanced", "control": 0}
    assert (renamed.name, renamed.Model) == ("one", Shift)
    assert subject.arguments["control"] == "control"
    subject.once("thing", lambda: 1)
    assert renamed.once("thing", lambda: 2) == 2


def test_setup_arguments_and_changes_of_them():
    subject = Subject(Shift, setup_arguments={"categorical_covariate_keys": ["donor"]})
    assert subject.make().registry_["setup_args"]["categorical_covariate_keys"] == ["donor"]
    changed = subject.make(categorical_covariate_keys=None, labels_key=None)
    assert changed.registry_["setup_args"]["categorical_covariate_keys"] is None
    assert changed.schema.labels_key is None
    assert changed.schema.batch_key == "condition"


def test_a_mudata_is_registered_by_its_modality():
    subject = Subject(Shift)
    model = subject.make(as_mudata(subject.adata()))
    assert isinstance(model.adata, MuData)
    assert model.schema.modality == "rna"


def test_networks_are_trained_for_three_short_epochs_unless_told_otherwise():
    subject = Subject(Net, arguments=SMALL)
    assert len(subject.fit().history_["train_loss"]) == 3
    assert len(subject.fit(epochs=1).history_["train_loss"]) == 1
    longer = Subject(Net, arguments=SMALL, train_arguments={"max_epochs": 2, "train_size": 1.0})
    model = longer.fit()
    assert len(model.history_["train_loss"]) == 2
    assert len(model.train_indices_) == 200


def test_changes_of_the_training_come_last():
    subject = Subject(Net, arguments=SMALL, train_arguments={"train_size": 1.0})
    model = subject.train(subject.make(), epochs=1, train_size=0.5)
    assert len(model.train_indices_) == 100


def test_closed_forms_know_no_epochs():
    given = {}

    class Listens(Shift):
        def train(self, **kwargs):
            given.update(kwargs)
            super().train(**kwargs)

    Subject(Listens, train_arguments={"batch_size": 10}).fit(epochs=1)
    assert given == {"batch_size": 10}


def test_the_trained_model_is_made_once_and_shared():
    subject = Subject(Shift)
    assert subject.trained is subject.trained
    assert subject.trained.is_trained_
    assert Subject(Shift).trained is not subject.trained


def test_what_is_made_once_is_made_once():
    subject, made = Subject(Shift), []
    for _ in range(2):
        assert subject.once("thing", lambda: made.append(1) or "made") == "made"
    assert made == [1]


def test_every_call_gives_fresh_data():
    subject = Subject(Shift)
    first, second = subject.adata(), subject.adata()
    first.X[:] = -1
    first.obs["condition"] = "x"
    assert np.all(second.X >= 0)
    assert set(second.obs["condition"]) == {"control", "stimulated"}
    assert np.all(subject.adata().X >= 0)


def test_registered_data_are_the_given_ones():
    subject = Subject(Shift)
    adata = subject.adata()
    assert subject.fit(adata).adata is adata


def test_arguments_of_methods():
    subject = Subject(ac.ScGen)
    assert subject.takes("generate", "labels")
    assert subject.takes("__init__", "seed")
    assert not subject.takes("predict", "nothing")
