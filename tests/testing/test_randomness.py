"""C4: a model that draws where it should not, or does not draw where it should, is caught."""

import random
import tempfile

import numpy as np
import pytest
import torch

from altercell.testing._randomness import _global_state, _leaves_generators, _restored

from .suite import Net, Shift, assert_caught, broken_ids, outcome_of


class DrawsAtConstruction(Shift):
    def __init__(self, *args, **kwargs):
        np.random.random()  # noqa: NPY002 - the fault
        super().__init__(*args, **kwargs)


class DrawsInTraining(Shift):
    def train(self):
        torch.rand(1)
        super().train()


class DrawsInPrediction(Shift):
    def predict(self, *args, **kwargs):
        random.random()
        return super().predict(*args, **kwargs)


class DrawsAtSaving(Shift):
    def save(self, *args, **kwargs):
        torch.rand(1)
        super().save(*args, **kwargs)


class DrawsAtLoading(Shift):
    @classmethod
    def load(cls, *args, **kwargs):
        np.random.random()  # noqa: NPY002
        return super().load(*args, **kwargs)


class SetsThreads(Shift):
    def train(self):
        torch.set_grad_enabled(False)
        super().train()


class SeedsFromTheGlobalGenerator(Shift):
    """It puts the state back, and yet depends on it."""

    def train(self):
        super().train()
        state = np.random.get_state()  # noqa: NPY002
        self.module.group_means.add_(float(np.random.random()))  # noqa: NPY002
        np.random.set_state(state)  # noqa: NPY002


class TrainsByChance(Shift):
    def train(self):
        super().train()
        self.module.group_means.add_(np.random.default_rng().normal())


class PredictsByChance(Shift):
    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block + np.float32(np.random.default_rng().normal())


class AlwaysStartsTheSame(Net):
    def __init__(self, *args, seed=0, **kwargs):
        super().__init__(*args, seed=0, **kwargs)


class AlwaysTrainsTheSame(Net):
    def train(self, *args, seed=None, **kwargs):
        super().train(*args, seed=0, **kwargs)


class AlwaysGeneratesTheSame(Net):
    def generate(self, n, *, seed=None, **kwargs):
        return super().generate(n, seed=0, **kwargs)


BROKEN = [
    ("C4-construction-leaves-generators", DrawsAtConstruction, "construction moves NumPy's global generator"),
    ("C4-training-leaves-generators", DrawsInTraining, "train moves torch's global generator"),
    ("C4-verbs-leave-generators", DrawsInPrediction, "predict moves Python's random generator"),
    ("C4-files-leave-generators", DrawsAtSaving, "save moves torch's global generator"),
    ("C4-files-leave-generators", DrawsAtLoading, "load moves NumPy's global generator"),
    ("C4-same-training", SeedsFromTheGlobalGenerator, "two trainings with the same seed: 'group_means' differs"),
    ("C4-same-training", TrainsByChance, "'group_means' differs by up to"),
    ("C4-same-answers", PredictsByChance, "predict twice with the same seed: X differ"),
    ("C4-other-start", AlwaysStartsTheSame, "two seeds of the constructor give the same weights"),
    ("C4-other-training", AlwaysTrainsTheSame, "two seeds of train give the same weights"),
    ("C4-other-answers", AlwaysGeneratesTheSame, "generate with two seeds: the answers are the same"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


def test_changed_settings_are_caught():
    with torch.enable_grad():
        assert_caught("C4-training-leaves-generators", SetsThreads, "train changes torch's settings")


def test_a_model_without_chance_has_no_other_answers():
    outcome = outcome_of("C4-other-answers", Shift)
    assert (outcome.status, outcome.reason) == ("not applicable", "no verb is random")


def test_a_constructor_without_a_seed_cannot_start_otherwise():
    class Seedless(Net):
        def __init__(self, adata=None, registry=None, *, n_hidden=8, n_latent=3):
            super().__init__(adata, registry, n_hidden=n_hidden, n_latent=n_latent)

    outcome = outcome_of("C4-other-start", Seedless)
    assert (outcome.status, outcome.reason) == ("not applicable", "the constructor takes no seed")


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (random.random, "Python's random"),
        (np.random.random, "NumPy's global"),
        (lambda: torch.rand(1), "torch's global"),
    ],
)
def test_each_generator_is_watched(draw, name):
    with pytest.raises(AssertionError, match=f"a draw moves {name} generator"):
        _restored(lambda: _leaves_generators(draw, "a draw"))


def test_the_suite_restores_the_generators_itself():
    before = _global_state()
    for check_id in ("C4-same-training", "C4-same-answers"):
        assert outcome_of(check_id, Shift).status == "passed"
    assert _global_state() == before


def test_generators_are_restored_after_an_error():
    before = _global_state()

    def fail():
        torch.rand(1)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        _restored(fail)
    assert _global_state() == before


def test_no_folder_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    outcome_of("C4-files-leave-generators", Shift)
    assert list(tmp_path.iterdir()) == []
