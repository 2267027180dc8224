"""C10: a training that goes on with NaN, or keeps spoilt weights, is caught."""

import pytest
import torch

from altercell.errors import NonFiniteLossError
from altercell.train import TrainingPlan

from .suite import Net, assert_caught, broken_ids


class GoesOn(Net):
    class _training_plan_cls(TrainingPlan):
        def guard(self, output):
            pass

        def check_weights(self):
            pass

        def _losses(self, batch):
            with torch.no_grad():
                for value in self.module.parameters():
                    value.nan_to_num_()
            return super()._losses(batch)


class NamesNoTerm(Net):
    class _training_plan_cls(TrainingPlan):
        def guard(self, output):
            if not torch.isfinite(output.loss):
                raise NonFiniteLossError(f"NaN in epoch {self.current_epoch}")


class KeepsSpoiltWeights(Net):
    class _training_plan_cls(TrainingPlan):
        def _fail(self, what):
            raise NonFiniteLossError(what)


class KeepsTheFirstWeights(Net):
    """What it puts back are the weights of the start."""

    class _training_plan_cls(TrainingPlan):
        def _keep_weights(self):
            if not self._good:
                super()._keep_weights()

        def _fail(self, what):
            self.module.load_state_dict(self._good)
            super()._fail(what)


class LooksBeforeTheLastStep(Net):
    """It looks at losses only, and the last step's weights have none."""

    class _training_plan_cls(TrainingPlan):
        def check_weights(self):
            pass

        def on_validation_epoch_end(self):
            pass

        def _losses(self, batch):
            if not self.module.training:
                return None
            return super()._losses(batch)

        def record(self, mode, output):
            if mode == "train":
                super().record(mode, output)


BROKEN = [
    ("C10-loss", GoesOn, "a NaN loss: (went through|raised)|neither those before"),
    ("C10-loss", NamesNoTerm, "a NaN loss: the error does not name '.*reconstruction_loss'"),
    ("C10-loss", KeepsTheFirstWeights, "neither those before the step nor those before the epoch"),
    ("C10-gradient", KeepsSpoiltWeights, "the model keeps weights that are not finite"),
    ("C10-gradient", KeepsTheFirstWeights, "neither those before the step nor those before the epoch"),
    ("C10-last-batch", LooksBeforeTheLastStep, "a NaN gradient in the last step: (went through|raised)"),
    ("C10-last-batch", KeepsSpoiltWeights, "the model keeps weights that are not finite"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)
