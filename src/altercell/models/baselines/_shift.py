"""Linear shifts: one vector in gene space is added to every cell of a type."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell.models.base import Cells, ProfileWeights, Request
from altercell.models.baselines._group_means import GroupMeanModel


class ShiftModel(GroupMeanModel):
    r""":math:`\hat x = x + \delta_{k_x}`, with a difference :math:`\delta_k` for each asked type k.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    weights
        ``"balanced"``: every type counts alike; ``"unbalanced"``: every cell counts alike.
    clip
        Whether negative values, which a shift gives where a gene goes down, are set to 0. That moves the means.
    seed
        For the signature that all models share.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        weights: ProfileWeights = "balanced",
        clip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, weights=weights, seed=seed)
        self.clip = clip
        self.init_params_ = self._get_init_params(locals())

    @abstractmethod
    def _delta(self, source: int, target: int, own: int) -> np.ndarray:
        """Return the difference for cells of type `own` (-1: unseen), float64 of shape (n_genes,)."""

    def _deltas(self, cells: Cells, request: Request) -> tuple[np.ndarray, np.ndarray]:
        """Return the differences, shape (n_asked_types, n_genes), and which of them each asked cell takes."""
        codes, place = np.unique(self._own_types(request), return_inverse=True)
        return np.stack([self._delta(request.source, request.target, own) for own in codes]), place

    def _start(self, values: np.ndarray) -> np.ndarray:
        """Return what the difference is added to, shape (n, n_genes); `values` are the cells."""
        return values

    def _predicted(self, cells: Cells, request: Request) -> Iterator[np.ndarray]:
        deltas, place = self._deltas(cells, request)
        deltas = deltas.astype(np.float32)
        for start in range(0, len(cells), request.batch_size):
            positions = slice(start, start + request.batch_size)
            values = self._start(cells.read(positions)) + deltas[place[positions]]
            yield np.maximum(values, 0) if self.clip else values

    def _unshifted(self, cells: Cells, request: Request, **options: object) -> Iterator[np.ndarray]:
        for start in range(0, len(cells), request.batch_size):
            yield self._start(cells.read(slice(start, start + request.batch_size)))

    def _doubts(self, cells: Cells, request: Request, **options: object) -> list[str]:
        doubts = super()._doubts(cells, request, **options)
        if self.space == "counts":
            doubts.append("a shift of counts takes no account of a cell's total; shift log data")
        if not self.clip and request.way == "decoded":
            doubts.append("values can be negative where a gene goes down; clip=True sets them to 0 and moves the means")
        return doubts
