"""altercell: predict how single cells respond to a perturbation, and generate cells that were never measured."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

__version__ = version("altercell")

_ROOMS = (
    "benchmark",
    "data",
    "datasets",
    "errors",
    "losses",
    "metrics",
    "models",
    "nn",
    "pl",
    "presets",
    "testing",
    "train",
)
_MODELS = (
    "ResponseStack",
    "ScGen",
    "TrVAE",
    "CVAE",
    "MMDCVAE",
    "MMDAutoencoder",
    "ScPerb",
    "StyleTransferGAN",
    "ScGAN",
    "CscGAN",
    "WGAN",
    "LatentGAN",
    "BetaTCVAE",
    "BetaVAE",
    "NoChange",
    "StimulatedMean",
    "RandomStimulated",
    "MeanShift",
    "PCAShift",
    "RidgeShift",
    "SCVI",
    "ResampledCells",
    "NeighbourBootstrap",
    "GaussianCells",
    "SimulatedCells",
    "Sugar",
)

__all__ = ["__version__", *_MODELS, *_ROOMS]


def __getattr__(name: str) -> Any:
    # scvi-tools takes seconds to import; `altercell --help` and the metrics should not wait for it.
    if name in _ROOMS:
        return importlib.import_module(f"altercell.{name}")
    if name in _MODELS:
        return getattr(importlib.import_module("altercell.models"), name)
    raise AttributeError(f"module 'altercell' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
