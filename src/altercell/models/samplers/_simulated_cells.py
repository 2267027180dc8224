"""Counts of a simulator that is fitted to the data, gene by gene."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from altercell.models.base import Cells, ClassCounts, CountDraws, CountHead
from altercell.models.samplers._base import CellSampler

#: Totals of each class that the dispersions are fitted with.
N_TOTALS = 200


class SimulatedCells(CellSampler):
    r"""Negative binomial counts with the rates of the class, as Splatter's with parameters of the data.

    Totals l are log-normal, as in Splatter :cite:p:`Zappia2017`; genes are drawn one by one, around the class's share r
    of its counts,

    .. math:: x_{ig} \sim \operatorname{NB}(\text{mean } l_i r_{c g}, \text{dispersion } \phi_g),

    and :math:`\phi` is that which gives as many zeros as were measured. Splatter draws the genes' means from a
    distribution that is fitted to the data; here every gene has its own mean, so that cells can be compared gene by
    gene. Genes do not depend on each other within a class.

    Parameters
    ----------
    adata, registry, seed
        See :class:`CellSampler`; the cells are counts.
    """

    _doubt = "genes of these cells depend on each other only by their class and total"

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._require_counts()
        n_classes, n_genes = self._n_classes(), len(self.schema.genes)
        for name, shape in {"rates": (n_classes, n_genes), "totals": (n_classes, 2), "dispersion": (n_genes,)}.items():
            self.module.add(name, shape)
        self.init_params_ = self._get_init_params(locals())

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        classes, n_classes = self._class_of(groups), self._n_classes()
        measured = ClassCounts(n_classes, cells.n_genes)
        logs = np.empty(len(classes))
        for start in range(0, len(cells), batch_size):
            rows = slice(start, start + batch_size)
            counts = cells.read(rows)
            measured.add(counts, classes[rows])
            logs[rows] = np.log(np.maximum(counts.sum(axis=1, dtype=np.float64), 1))
        totals = np.zeros((n_classes, 2))
        for number in np.unique(classes):
            mine = logs[classes == number]
            totals[number] = mine.mean(), mine.std()
        made = np.repeat(np.unique(classes), N_TOTALS)
        drawn = _log_normal(totals[made], np.random.default_rng(self.seed))
        rates = measured.rates()
        head = CountHead.fit(rates[made], drawn, made, measured)
        fitted = {"rates": rates * head.factors, "totals": totals, "dispersion": head.dispersion}
        return {**super()._fit(cells, groups, batch_size), **fitted}

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[sparse.csr_matrix]:
        classes, rates = self._class_of(groups), self._fitted("rates").astype(float)
        rates /= rates.sum(axis=1, keepdims=True).clip(1e-12)
        totals = _log_normal(self._fitted("totals").astype(float)[classes], rng)
        size = torch.from_numpy(1 / np.maximum(self._fitted("dispersion"), 1e-6))
        draws = CountDraws(int(rng.integers(2**31)))
        for start in range(0, len(groups), batch_size):
            rows = slice(start, start + batch_size)
            means = torch.from_numpy(totals[rows, None] * rates[classes[rows]])
            yield sparse.csr_matrix(draws(means, size).numpy())


def _log_normal(parameters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw totals from the mean and the standard deviation of their logarithm, shape ``(n_cells, 2)``."""
    return np.exp(parameters[:, 0] + parameters[:, 1] * rng.standard_normal(len(parameters)))
