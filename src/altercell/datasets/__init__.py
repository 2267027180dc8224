"""Simulated cells whose response is known."""

from __future__ import annotations

from altercell.datasets._response import simulate_response
from altercell.datasets._truth import true_mean

__all__ = ["simulate_response", "true_mean"]
