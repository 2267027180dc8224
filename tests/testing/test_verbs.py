"""Which verbs a model has, and that the suite calls every public one of the package's models."""

import pytest

import altercell as ac
from altercell.models.base import AltercellModel
from altercell.models.baselines import RandomStimulated
from altercell.testing import NotApplicable, Subject
from altercell.testing._verbs import VERBS, answers, control_cells, queries_of, verbs_of

from .suite import Net, Shift, subject_of

# Not verbs: registration, training, files, state; and what scvi-tools' own base class has.
PLUMBING = {"setup_anndata", "setup_mudata", "train", "cells", "to_device", "space", "counts"}
PLUMBING |= {"save", "load", "load_registry", "convert_legacy_save"}
PLUMBING |= {"as_trained", "interrupted_"}  # for callbacks and for the benchmark; tests/models/base
PLUMBING |= {"augment"}  # appends to X, whatever layer was registered; tests/models/base/test_augment.py
PLUMBING |= {"load_query_data"}  # makes another model, as load does; tests/models/trvae/test_surgery.py
PLUMBING |= {"deregister_manager"}  # frees memory; tests/models/latent_gan
PLUMBING |= {"get_calibration"}  # refused with own_type=True; tests/models/stack/test_calibration.py
PLUMBING |= {"cell_ways", "has_unshifted", "works_on_counts", "log_scale"}  # what `predict` offers; tests/models/base


def _public(Model):
    bases = [base for base in Model.__mro__ if base.__module__.startswith("altercell")]
    return {name for base in bases for name in vars(base) if not name.startswith("_")}


@pytest.mark.parametrize("name", [name for name in ac.models.__all__ if name[0].isupper()])
def test_every_public_verb_is_called(name):
    Model = getattr(ac.models, name)
    called = {verb.method for verb in verbs_of(Subject(Model)).values()}
    assert _public(Model) - called - PLUMBING == set()


def test_the_verbs_of_a_response_model():
    assert set(verbs_of(subject_of(Shift))) == {"predict", "predict of one type"}
    assert set(queries_of(subject_of(Shift))) == {"predict"}


def test_the_verbs_of_a_model_that_does_all():
    assert set(verbs_of(subject_of(Net))) == {*VERBS, "predict_study"} - {
        "get_mmd_representation",
        "get_mean",
        "interpolate noise",
    }
    assert set(queries_of(subject_of(Net))) == {"predict", "get_latent_representation"}


def test_the_verbs_of_a_model_that_does_nothing():
    class Plain(AltercellModel):
        pass

    assert verbs_of(Subject(Plain)) == {}
    assert queries_of(Subject(Plain), needed=False) == {}
    with pytest.raises(NotApplicable, match="no verb takes cells"):
        queries_of(Subject(Plain))


def test_generation_without_an_origin_has_no_prior():
    class Simple(Net):
        def generate(self, n, *, seed=None):
            return super().generate(n, seed=seed)

    names = set(verbs_of(subject_of(Simple)))
    assert "generate" in names
    assert "generate from the prior" not in names


def test_a_delta_that_is_learned_is_not_resampled():
    class Learned(Net):
        def get_delta(self, source, target):
            return super().get_delta(source, target)

    names = set(verbs_of(subject_of(Learned)))
    assert "get_delta" in names
    assert "get_delta, resampled" not in names


def test_verbs_of_ones_own_are_called():
    subject = Subject(Shift, verbs={"count": lambda model, seed: model.adata.n_obs + seed})
    assert answers(subject, subject.trained, seed=5)["count"] == 205


def test_which_verbs_are_random():
    chance = {name for name, verb in verbs_of(subject_of(Net)).items() if verb.random(Net)}
    assert {"generate", "samples of the posterior", "get_delta, resampled"} <= chance
    assert not {"predict", "decode", "get_delta"} & chance
    assert verbs_of(Subject(RandomStimulated))["predict"].random(RandomStimulated)


def test_verbs_can_be_left_out():
    subject = subject_of(Shift)
    assert set(answers(subject, subject.trained, without=("predict",))) == {"predict of one type"}


def test_control_cells_are_not_registered():
    subject = subject_of(Shift)
    cells = control_cells(subject)
    assert set(cells.obs["condition"]) == {"control"}
    assert cells.n_obs == 116
    assert not [name for name in (*cells.obs, *cells.uns) if str(name).startswith("_scvi")]
    assert not cells.is_view
