"""The mean of the target cells of the other types."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from altercell.models.base import Cells, Request
from altercell.models.baselines._group_means import GroupMeanModel


class StimulatedMean(GroupMeanModel):
    r"""Every predicted cell is the mean profile of the target condition in the other types.

    .. math:: \hat x = \sum_{k \ne k_x} w_k \bar x_{tk}, \qquad k \text{ over types with training cells in } t,

    with equal weights, or with :math:`w_k \propto n_{tk}` where ``weights="unbalanced"``. It knows nothing of the
    cell that it starts from, but for its type :math:`k_x`, which is left out.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    weights
        ``"balanced"``: every type counts alike; ``"unbalanced"``: every cell counts alike.
    seed
        For the signature that all models share.
    """

    def _predicted(self, cells: Cells, request: Request) -> Iterator[np.ndarray]:
        codes, place = np.unique(self._own_types(request), return_inverse=True)
        profiles = [self._mean(request.target, self._other_types(own, request.target)) for own in codes]
        table = np.stack(profiles).astype(np.float32)  # (n_asked_types, n_genes)
        for start in range(0, len(cells), request.batch_size):
            yield table[place[start : start + request.batch_size]]

    def _doubts(self, cells: Cells, request: Request, **options: object) -> list[str]:
        doubts = super()._doubts(cells, request, **options)
        if request.way == "decoded":
            doubts.append("all cells of a type are predicted alike: there is no variance")
        return doubts
