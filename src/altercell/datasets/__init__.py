"""Simulated cells whose response or factors are known, and images as cells."""

from __future__ import annotations

from altercell.datasets._branches import simulate_branches
from altercell.datasets._factors import simulate_factors
from altercell.datasets._morpho_mnist import morpho_mnist
from altercell.datasets._response import simulate_response
from altercell.datasets._truth import true_mean

__all__ = ["morpho_mnist", "simulate_branches", "simulate_factors", "simulate_response", "true_mean"]
