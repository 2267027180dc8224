"""Counts drawn from a likelihood: what a sequencer would see of an expected cell."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special

# A dispersion of exactly 0 would divide by it; scvi-tools' likelihoods add as much.
EPS = 1e-8


class CountDraws:
    """Draws counts from (zero-inflated) negative binomial or Poisson likelihoods, cell by cell.

    An expected count has no counting noise, and the logarithm of a mean is above the mean of logarithms: expected cells
    lie apart from measured ones in log space, however good they are, and the more so the fewer counts a cell has. Drawn
    counts are comparable with measured ones. The same cells in the same order get the same draws, whatever the batches.

    Parameters
    ----------
    seed
        Seed of the draws.
    """

    def __init__(self, seed: int) -> None:
        # One generator a step: each is used up cell by cell, so that where a batch ends changes nothing.
        self._rates, self._counts, self._zeros = np.random.default_rng(seed).spawn(3)

    def __call__(
        self, mean: torch.Tensor, theta: torch.Tensor | None = None, zi_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Draw the next cells' counts.

        Parameters
        ----------
        mean
            Mean before technical zeros, shape ``(n_cells, n_genes)``.
        theta
            Inverse dispersion, shape ``(n_genes,)`` or ``(n_cells, n_genes)``; None for Poisson counts.
        zi_logits
            Logits of a technical zero, shape ``(n_cells, n_genes)``; None for none.

        Returns
        -------
        Counts, float32 of shape ``(n_cells, n_genes)``, on the device of `mean`.
        """
        rate = _numpy(mean)
        if theta is not None:
            shape = np.broadcast_to(np.maximum(_numpy(theta), EPS), rate.shape)
            rate = self._rates.gamma(shape, rate / shape)
        counts = self._counts.poisson(rate)
        if zi_logits is not None:
            counts[self._zeros.random(counts.shape) < special.expit(_numpy(zi_logits))] = 0
        return torch.from_numpy(counts.astype(np.float32)).to(mean.device)


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float64)
