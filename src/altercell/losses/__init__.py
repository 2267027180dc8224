"""Losses: pure functions of tensors, each with its equation."""

from altercell.losses._adversarial import (
    CycleNorm,
    cycle_consistency,
    least_squares_discriminator,
    least_squares_generator,
)
from altercell.losses._gaussian import half_squared_error, kl_standard_normal, kl_variance_only
from altercell.losses._mmd import TRVAE_WIDTHS, mmd_between_conditions
from altercell.losses._total_correlation import total_correlation
from altercell.losses._wasserstein import gradient_penalty, wasserstein_estimate

__all__ = [
    "TRVAE_WIDTHS",
    "CycleNorm",
    "cycle_consistency",
    "gradient_penalty",
    "half_squared_error",
    "kl_standard_normal",
    "kl_variance_only",
    "least_squares_discriminator",
    "least_squares_generator",
    "mmd_between_conditions",
    "total_correlation",
    "wasserstein_estimate",
]
