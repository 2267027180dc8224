"""A small module and its data, to train without an AnnData."""

import numpy as np
import pytest
import torch
from scvi.module.base import BaseModuleClass, LossOutput
from scvi.train import Trainer
from torch import nn
from torch.utils.data import Dataset

from altercell._random import isolated_rng
from altercell.models.base._training import quiet_lightning


class Toy(BaseModuleClass):
    """A linear autoencoder with dropout and batch norm; its loss has two terms and a value beside them.

    ``poison`` names a term that becomes NaN, or ``"gradient"``, after so many calls in training.
    """

    def __init__(self, poison: str | None = None, after: int = 0) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.3))
        self.decoder = nn.Linear(3, 4)
        self.poison, self.after, self.calls = poison, after, 0

    def _get_inference_input(self, tensors, **kwargs):
        return {"x": tensors["X"]}

    def _get_generative_input(self, tensors, inference_outputs, **kwargs):
        return inference_outputs

    def inference(self, x):
        return {"z": self.encoder(x)}

    def generative(self, z):
        return {"mean": self.decoder(z)}

    def loss(self, tensors, inference_outputs, generative_outputs):
        error = (tensors["X"] - generative_outputs["mean"]).square().sum(-1)
        size = 0.01 * inference_outputs["z"].square().sum(-1)
        self.calls += self.training
        if self.training == (self.poison != "validation") and self.calls > self.after:
            error = error * (torch.nan if self.poison in ("error", "validation") else 1)
            size = size * (torch.inf if self.poison == "size" else 1)
            if self.poison == "gradient":
                # sqrt has an infinite slope at 0; times 0 it is NaN, while the value stays finite.
                error = error + 0 * (self.decoder.bias - self.decoder.bias).abs().sqrt().sum()
        return LossOutput(
            loss=(error + size).mean(),
            reconstruction_loss={"error": error},
            kl_local={"size": size},
            extra_metrics={"largest": inference_outputs["z"].abs().max()},
        )


class Batches(Dataset):
    """Whole batches by position."""

    def __init__(self, n_cells: int = 22) -> None:
        self.values = torch.tensor(np.random.default_rng(0).normal(size=(n_cells, 4)), dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, positions):
        return {"X": self.values[positions]}


@pytest.fixture
def make_toy():
    def make(**kwargs) -> Toy:
        torch.manual_seed(0)
        return Toy(**kwargs)

    return make


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture
def fit():
    def fit(plan, data, epochs: int, **kwargs) -> Trainer:
        options = {"check_val_every_n_epoch": 1, "limit_val_batches": None if data.n_val else 0, **kwargs}
        with isolated_rng(0), quiet_lightning():
            trainer = Trainer(
                max_epochs=epochs,
                accelerator="cpu",
                devices=1,
                enable_progress_bar=False,
                log_every_n_steps=0,
                **options,
            )
            trainer.fit(plan, data)
        return trainer

    return fit
