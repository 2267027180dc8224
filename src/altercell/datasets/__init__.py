"""Simulated cells whose response is known, and images as cells."""

from __future__ import annotations

from altercell.datasets._morpho_mnist import morpho_mnist
from altercell.datasets._response import simulate_response
from altercell.datasets._truth import true_mean

__all__ = ["morpho_mnist", "simulate_response", "true_mean"]
