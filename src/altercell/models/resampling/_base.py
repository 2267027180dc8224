"""What the baselines of generation share: they draw from their training cells."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell import __version__
from altercell.errors import DataError, NotTrainedError
from altercell.models.base import INFERENCE_BATCH, ClassedGeneration, Classes, FittedModel, answer
from altercell.models.base._cells import check_batch_size


class TrainingCells(ClassedGeneration, FittedModel):
    """A generator that draws from its training cells.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`. The cells are drawn from it.
    registry
        Registry of a model file, where there is no AnnData.
    seed
        For the signature that all models share; the draw's seed is an argument of :meth:`generate`.
    """

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        known: Classes | None = None if self.schema.labels_key is None else "labels"
        # Conditions that are there are told apart as well: a cell is drawn from its own.
        self.classes = "both" if known and len(self.schema.conditions) > 1 else known
        self.init_params_ = self._get_init_params(locals())

    def generate(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        n: int | Mapping[object, int],
        *,
        labels: object | Sequence[object] | None = None,
        condition: object | None = None,
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells.

        Parameters
        ----------
        n
            How many; or the number of each label, such as ``{"CD8 T": 500, "NK": 200}``.
        labels, condition
            A label or several, and a condition; their shares are those of training. None for all.
        seed
            Seed of the draw.
        batch_size
            Cells a batch.
        path
            An ``.h5ad`` file to write to.

        Returns
        -------
        The cells, with the genes' names, their groups in obs and, in ``uns["altercell"]``, how they were made.

        Raises
        ------
        NotTrainedError
            The model has no training cells, because it was loaded without.
        GroupError
            An unknown label or condition, or one without training cells.
        """
        self._check_trained()
        if self.adata is None:
            raise NotTrainedError(
                f"{type(self).__name__} draws from the training cells, and this model has none: load it with adata=, "
                "or save it with save_anndata=True"
            )
        with self._inference(seed) as used:
            rng = np.random.default_rng(used)
            groups = self._asked_groups(n, labels, condition, rng)
            obs = self._obs_of(groups)
            provenance = {
                "model": type(self).__name__,
                "verb": "generate",
                "version": __version__,
                "space": self.space,
                "seed": used,
                "batch_key": self.schema.batch_key,
                "labels_key": self.schema.labels_key,
                "trust": [self._doubt(), *self._few_cells(groups)],
            }
            blocks = self._drawn(groups, rng, check_batch_size(batch_size))
            return answer(blocks, obs, self.cells().var(), provenance, path)

    @abstractmethod
    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[Any]:
        """Yield cells of groups, by blocks of rows."""

    @abstractmethod
    def _doubt(self) -> str:
        """Return why cells that are made like this are not to be taken for new ones."""

    def _rows_of(self) -> dict[int, np.ndarray]:
        """Return the rows of the training cells of each group."""
        conditions, labels = self.schema.condition_codes(self.adata), self.schema.cell_label_codes(self.adata)
        groups = conditions * len(self.schema.labels) + labels
        order = np.argsort(groups, kind="stable")
        names, starts = np.unique(groups[order], return_index=True)
        return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))

    def _seed_rows(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a training cell of each group."""
        pools, place = self._rows_of(), rng.random(len(groups))
        rows = np.empty(len(groups), dtype=np.int64)
        for group in np.unique(groups):
            mine, pool = groups == group, pools.get(int(group), np.array([], dtype=np.int64))
            if not len(pool):
                raise DataError("the AnnData that is attached to the model is not the one that it was trained on")
            rows[mine] = pool[(place[mine] * len(pool)).astype(np.int64)]
        return rows
