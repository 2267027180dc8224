"""The callbacks: called when they should be, and nowhere else."""

from types import SimpleNamespace

import pytest

from altercell.testing._callbacks import AtBatch, AtEpochEnd, Killed, kill

from .suite import Net, subject_of


def _calls(callback, epochs=2):
    subject = subject_of(Net)
    subject.train(subject.make(), epochs, callbacks=[callback])


@pytest.mark.parametrize(
    ("epoch", "batch", "expected"),
    [(None, None, 12), (1, None, 6), (None, 0, 2), (1, 2, 1), (5, None, 0)],
)
def test_batches_of_a_training(epoch, batch, expected):
    seen = []
    # 180 training cells in batches of 32 are 6 batches an epoch.
    _calls(AtBatch(lambda trainer, plan: seen.append(trainer.current_epoch), epoch, batch))
    assert len(seen) == expected


@pytest.mark.parametrize(("epoch", "expected"), [(None, [0, 1]), (1, [1]), (7, [])])
def test_ends_of_epochs(epoch, expected):
    seen = []
    _calls(AtEpochEnd(lambda trainer, plan: seen.append(trainer.current_epoch), epoch))
    assert seen == expected


def test_a_function_gets_trainer_and_plan():
    seen = []
    trainer = SimpleNamespace(current_epoch=3)
    AtBatch(lambda *given: seen.append(given)).on_train_batch_start(trainer, "plan", None, 0)
    AtEpochEnd(lambda *given: seen.append(given)).on_train_epoch_end(trainer, "plan")
    assert seen == [(trainer, "plan")] * 2


def test_a_kill_ends_the_training_where_it_stands():
    subject = subject_of(Net)
    model = subject.make()
    with pytest.raises(Killed, match="killed by a check"):
        subject.train(model, 3, callbacks=[AtBatch(kill, epoch=1, batch=0)])
    assert len(model.history_["train_loss"]) == 1
    assert not model.is_trained_


def test_a_kill_is_no_error_of_ours():
    from altercell.errors import AltercellError

    assert not issubclass(Killed, AltercellError)
