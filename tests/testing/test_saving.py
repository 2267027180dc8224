"""C1, files: a model that forgets something in its file is caught."""

import pytest

from altercell.train import TrainingPlan

from .suite import Net, Shift, assert_caught, broken_ids


class Forgets(Shift):
    """Part of what it has fitted is no buffer, so that the file does not have it."""

    scale = 1.0

    def train(self):
        super().train()
        self.scale = 2.0

    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block * self.scale


class NeedsItsCells(Shift):
    def predict(self, *args, **kwargs):
        if self.adata is None:
            raise RuntimeError("where are my cells?")
        return super().predict(*args, **kwargs)


class ForgetsItsHistory(Net):
    @classmethod
    def load(cls, *args, **kwargs):
        model = super().load(*args, **kwargs)
        model.history_ = {name: frame.iloc[:-1] for name, frame in model.history_.items()}
        return model


class ForgetsItsSplit(Net):
    @classmethod
    def load(cls, *args, **kwargs):
        model = super().load(*args, **kwargs)
        model.train_indices_ = None
        return model


class AlwaysOverwrites(Shift):
    def save(self, *args, overwrite=False, **kwargs):
        super().save(*args, overwrite=True, **kwargs)


class StaysInEvaluation(Net):
    class _training_plan_cls(TrainingPlan):
        def on_fit_start(self):
            pass


class StartsAnew(Net):
    """A second training forgets the history of the first."""

    def train(self, *args, **kwargs):
        self.history_ = None
        super().train(*args, **kwargs)


BROKEN = [
    ("C1-save-and-load", Forgets, "predict after load: X differ"),
    ("C1-save-anndata", Forgets, "predict after load with the saved cells: X differ"),
    ("C1-load-without-cells", Forgets, "by a model loaded without its own: X differ"),
    ("C1-load-without-cells", NeedsItsCells, "RuntimeError: where are my cells"),
    ("C1-history-kept", ForgetsItsHistory, "shape mismatch"),
    ("C1-history-kept", ForgetsItsSplit, "train_indices_ changes in the file"),
    ("C1-overwrite", AlwaysOverwrites, "save over a model: went through without an error"),
    ("C1-train-twice", StaysInEvaluation, "in evaluation mode during training: 'the module'"),
    ("C1-train-after-load", StaysInEvaluation, "in evaluation mode during training"),
    ("C1-train-twice", StartsAnew, "after 1 [+] 1 epochs the history has so many rows"),
]


# Lightning sees it too, and warns.
@pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start of training")
@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)
