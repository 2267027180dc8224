"""C3: a model that does not learn, or learns too little, is caught."""

import numpy as np
import pytest

from altercell.data import get_space
from altercell.models.baselines import NoChange
from altercell.testing._data import HELD_OUT, TARGET, learnable
from altercell.testing._learning import _mean, _means, _split

from .suite import Net, Shift, assert_caught, broken_ids, outcome_of, subject_of


class Backwards(Shift):
    def _delta(self, source, target, own):
        return -super()._delta(source, target, own)


class Reports(Net):
    """Its history is not what has happened."""

    def train(self, *args, **kwargs):
        super().train(*args, **kwargs)
        self.history_["train_loss"].iloc[:, 0] = np.arange(len(self.history_["train_loss"]), dtype=float)


class IgnoresLabels(Net):
    def generate(self, n, *, labels=None, **kwargs):
        return super().generate(n, **kwargs)


BROKEN = [
    ("C3-beats-no-change", Backwards, "mean squared error of the mean is .*, that of no change"),
    ("C3-delta-above-floor", Backwards, r"the correlation is -0\.\d+, the floor 0.5"),
    ("C3-delta-above-floor", NoChange, "the predicted delta is the same for all genes"),
    ("C3-loss-falls", Reports, "the training loss goes from 0 to"),
    ("C3-classes", IgnoresLabels, "cells generated as 'type_.' are nearest to 'type_.'"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


def test_the_floor_is_what_was_asked_for():
    assert outcome_of("C3-delta-above-floor", Shift, floor=0.9).status == "passed"
    assert_caught("C3-delta-above-floor", Shift, "the floor 0.99", floor=0.99)


def test_one_epoch_says_nothing_of_a_falling_loss():
    outcome = outcome_of("C3-loss-falls", Net, learning_arguments={"max_epochs": 1})
    assert (outcome.status, outcome.reason) == ("not applicable", "training has one epoch only")


def test_generation_without_labels_has_no_classes():
    class Plain(Net):
        def generate(self, n, *, seed=None):
            return super().generate(n, seed=seed)

    outcome = outcome_of("C3-classes", Plain)
    assert (outcome.status, outcome.reason) == ("not applicable", "generate takes no labels")


def test_the_held_out_combination_is_not_in_training():
    train, real = _split(subject_of(Shift))
    assert set(real.obs["condition"]) == {TARGET}
    assert set(real.obs["cell_type"]) == {HELD_OUT}
    assert not ((train.obs["condition"] == TARGET) & (train.obs["cell_type"] == HELD_OUT)).any()
    assert train.n_obs + real.n_obs == learnable("log").n_obs


def test_counts_are_averaged_before_the_logarithm():
    subject = subject_of(Shift, data="counts")
    counts = learnable("counts")
    assert get_space(counts) == "counts"
    found = _mean(subject, counts.X)
    values = np.asarray(counts.X.todense() if hasattr(counts.X, "todense") else counts.X, dtype=np.float64)
    share = np.mean([cell / cell.sum() for cell in values], axis=0)
    np.testing.assert_allclose(found, np.log1p(share * 1e4), rtol=1e-6)
    # Cells without counting noise, of the same mean, have the same score.
    np.testing.assert_allclose(_mean(subject, np.tile(share, (7, 1))), found, rtol=1e-6)


def test_the_response_is_strong_enough_to_be_learnt():
    control, real, predicted = _means(subject_of(Shift))
    assert np.mean((control - real) ** 2) > 0.5
    assert np.corrcoef(predicted - control, real - control)[0, 1] > 0.9
