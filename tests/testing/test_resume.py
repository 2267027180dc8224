"""C5: a training that does not go on where it was killed is caught."""

import signal

import pytest
import torch
from lightning.pytorch import Callback

from altercell.errors import ModelFileError
from altercell.testing import Subject
from altercell.testing._resume import EPOCHS, _killed, _uninterrupted, resumed_equals
from altercell.train import ResumeFile, TrainingPlan

from .suite import SMALL, Net, assert_caught, broken_ids, outcome_of, subject_of


class DrawsAsItGoes(Net):
    """The noise of an epoch depends on those before it, which a resumed run has not seen."""

    class _training_plan_cls(TrainingPlan):
        def on_train_epoch_start(self):
            state = torch.get_rng_state()
            super().on_train_epoch_start()
            torch.set_rng_state(state)


class FeelsTheFolder(Net):
    """It trains otherwise where a state is written."""

    def train(self, *args, resume_dir=None, **kwargs):
        if resume_dir is not None:
            with torch.no_grad():
                next(self.module.parameters()).add_(0.01)
        super().train(*args, resume_dir=resume_dir, **kwargs)


class NeverWrites(Net):
    def train(self, *args, resume_dir=None, **kwargs):
        super().train(*args, **kwargs)


class TakesAnyState(Net):
    def _resume_file(self, *args):
        return ResumeFile(super()._resume_file(*args).path, {})


class TrainsFurther(Net):
    """A finished training that is started again is taken up and spoilt."""

    def train(self, *args, resume_dir=None, **kwargs):
        finished = resume_dir is not None and any(resume_dir_files(resume_dir))
        super().train(*args, resume_dir=resume_dir, **kwargs)
        if finished:
            with torch.no_grad():
                next(self.module.parameters()).add_(0.01)


def resume_dir_files(folder):
    from pathlib import Path

    return list(Path(folder).iterdir())


IN_MIDDLE = ["in-an-epoch", "between-epochs", "in-the-last-epoch"]
BROKEN = [(f"C5-killed-{when}", DrawsAsItGoes, "differs by up to") for when in IN_MIDDLE]
BROKEN += [
    ("C5-killed-twice", DrawsAsItGoes, "killed twice: '.*' differs by up to"),
    ("C5-killed-while-writing", DrawsAsItGoes, "killed while writing: '.*' differs by up to"),
    ("C5-resumed-early-stopping", DrawsAsItGoes, "killed with early stopping: '.*' differs by up to"),
    ("C5-resumed-further", DrawsAsItGoes, "asked for more epochs: '.*' differs by up to"),
    ("C5-killed-in-the-first-epoch", FeelsTheFolder, "killed in the first epoch: '.*' differs by up to"),
    ("C5-killed-in-an-epoch", NeverWrites, "no file to resume from was written"),
    ("C5-resume-dir-changes-nothing", FeelsTheFolder, "with resume_dir: '.*' differs by up to"),
    ("C5-resumed-when-finished", TrainsFurther, "started again when finished: '.*' differs by up to"),
    ("C5-resume-of-another-run", TakesAnyState, "the state of another run: went through without an error"),
    ("C5-resume-on-other-cells", TakesAnyState, "the state of a run on other values: went through without an error"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


def test_histories_are_compared():
    subject = subject_of(Net)
    first, second = _uninterrupted(subject), subject.train(subject.make(), EPOCHS)
    resumed_equals(subject, first, second, "the same")
    second.history_["train_loss"].iloc[1] += 1e-6
    with pytest.raises(AssertionError, match="the same: history: column 'train_loss' differ"):
        resumed_equals(subject, first, second, "the same")
    del second.history_["train_loss"]
    with pytest.raises(AssertionError, match="the histories have different entries"):
        resumed_equals(subject, first, second, "the same")


def test_a_training_that_outlives_its_kill_is_no_test(tmp_path):
    with pytest.raises(AssertionError, match="was to be killed, and was not"):
        _killed(subject_of(Net), tmp_path, Callback())


def test_a_state_of_another_version_is_refused(tmp_path):
    subject = subject_of(Net)
    (tmp_path / "resume.safetensors").write_bytes(b"old")
    with pytest.raises(ModelFileError, match="is not a whole resume file"):
        subject.train(subject.make(), 1, resume_dir=tmp_path)


def test_without_sigkill_there_is_no_kill(monkeypatch):
    monkeypatch.delattr(signal, "SIGKILL")
    outcome = outcome_of("C5-killed-by-the-system", Net)
    assert (outcome.status, outcome.reason) == ("not applicable", "there is no SIGKILL on this system")


@pytest.mark.heavy
def test_a_real_kill_is_survived_by_the_models_of_the_package():
    import altercell as ac

    subject = Subject(ac.ScGen, arguments=SMALL, known_failures={"C5-killed-by-the-system": "to see that it holds"})
    from altercell.testing import checks_for, run_check

    (check,) = [one for one in checks_for(ac.ScGen, heavy=True) if one.id == "C5-killed-by-the-system"]
    assert "but it holds" in run_check(check, subject).reason
