"""No change: the cells as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from altercell.models.base import Cells, ClosedFormModel, Request


class NoChange(ClosedFormModel):
    r"""The source cells themselves, :math:`\hat x = x`: what every prediction has to beat.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    seed
        For the signature that all models share.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=200, n_genes=50, seed=0)
    >>> ac.NoChange.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.NoChange(adata)
    >>> model.train()
    >>> model.predict(source="control", target="stimulated").n_vars
    50
    """

    def _predicted(self, cells: Cells, request: Request) -> Iterator[Any]:
        for start in range(0, len(cells), request.batch_size):
            yield cells.read(slice(start, start + request.batch_size), dense=False)
