"""C2: a network that does not learn with all of its weights is caught."""

import numpy as np
import pytest
import torch

from .suite import Net, assert_caught, broken_ids


class KeepsNoHistory(Net):
    def train(self, *args, **kwargs):
        super().train(*args, **kwargs)
        self.history_ = None


class NamesItsLossOtherwise(Net):
    def train(self, *args, **kwargs):
        super().train(*args, **kwargs)
        self.history_ = {"cost": self.history_["train_loss"]}


class InfiniteLoss(Net):
    def train(self, *args, **kwargs):
        super().train(*args, **kwargs)
        self.history_["train_loss"].iloc[-1] = np.inf


class HasADeadWeight(Net):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.module.dead = torch.nn.Parameter(torch.ones(2))


class DetachesItsEncoder(Net):
    """The loss reaches the decoder only."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        plain = self.module.inference

        def detached(*inputs, **options):
            return {
                name: value if value is None else value.detach() for name, value in plain(*inputs, **options).items()
            }

        self.module.inference = detached


class StandsStill(Net):
    def train(self, *args, **kwargs):
        super().train(*args, **kwargs, plan_kwargs={"lr": 0.0})


BROKEN = [
    ("C2-finite-losses", KeepsNoHistory, "training records no history"),
    ("C2-finite-losses", NamesItsLossOtherwise, "no 'train_loss'; there are 'cost'"),
    ("C2-finite-losses", InfiniteLoss, r"history\['train_loss'\] is not finite"),
    ("C2-gradients", HasADeadWeight, "no gradient reaches 'dead'"),
    ("C2-gradients", DetachesItsEncoder, "no gradient reaches 'encoder"),
    ("C2-weights-move", StandsStill, "training does not change"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)
