"""Measured target cells of the other types, drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell.models.base import Cells, ClosedFormModel, ProfileWeights, Request, uniform_by_name


class RandomStimulated(ClosedFormModel):
    """Real target cells of the other types, drawn with replacement: the right noise, the wrong type.

    With ``weights="balanced"`` a type is drawn first, each alike, and then one of its cells, so that the expected
    profile is that of :class:`StimulatedMean`; with ``"unbalanced"`` every cell is drawn alike. A cell's draw depends
    on the seed, on its name and on the training cells; not on their order, nor on the cells that are asked with it.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`. The cells are drawn from it.
    registry
        Registry of a model file, where there is no AnnData.
    weights
        ``"balanced"``: every type counts alike; ``"unbalanced"``: every cell counts alike.
    seed
        For the signature that all models share; the draw's seed is an argument of :meth:`predict`.

    Raises
    ------
    DataError
        `weights` is unknown.
    """

    _random_response: ClassVar[bool] = True

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        weights: ProfileWeights = "balanced",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._check_weights(weights)
        self.weights = weights
        self.init_params_ = self._get_init_params(locals())

    def _predicted(self, cells: Cells, request: Request) -> Iterator[Any]:
        drawn = self.cells(rows=self._drawn_rows(cells, request))
        for start in range(0, len(drawn), request.batch_size):
            yield drawn.read(slice(start, start + request.batch_size), dense=False)

    def _drawn_rows(self, cells: Cells, request: Request) -> np.ndarray:
        """Return the row of the training cell that is drawn for each asked cell."""
        conditions, labels = self._training_groups("RandomStimulated draws from the training cells")
        kinds = np.where(conditions == request.target, labels, -1)  # (n_training_cells,)
        # By name, so that the draw does not depend on the order of the training cells either.
        by_name = np.argsort(self.schema.anndata(self.adata).obs_names.to_numpy(), kind="stable")
        names = cells.adata.obs_names[cells.rows]
        first, second = (uniform_by_name(names, request.seed, stream) for stream in (0, 1))
        own, rows = self._own_types(request), np.empty(len(cells), dtype=np.int64)
        for code in np.unique(own):
            asked = own == code
            pools = [by_name[kinds[by_name] == kind] for kind in self._other_types(code, request.target)]
            rows[asked] = self._pick(pools, first[asked], second[asked])
        return rows

    def _pick(self, pools: list[np.ndarray], first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if self.weights == "unbalanced":
            pools, first = [np.concatenate(pools)], np.zeros_like(first)
        sizes = np.array([len(pool) for pool in pools])
        pool = (first * len(pools)).astype(int)
        starts = np.cumsum(sizes) - sizes
        return np.concatenate(pools)[starts[pool] + (second * sizes[pool]).astype(int)]
