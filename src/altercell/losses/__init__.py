"""Losses: pure functions of tensors, each with its equation."""

from altercell.losses._gaussian import half_squared_error, kl_standard_normal, kl_variance_only

__all__ = ["half_squared_error", "kl_standard_normal", "kl_variance_only"]
