"""What the baselines of generation share: `generate` of classes, and cells drawn from those of training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell import __version__
from altercell.errors import DataError, NotTrainedError
from altercell.models.base import INFERENCE_BATCH, Augmentation, FittedModel, answer
from altercell.models.base._cells import check_batch_size


class CellSampler(Augmentation, FittedModel):
    """A generator without a network. Its classes are the labels, the conditions, or both, as far as it was told.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    seed
        Of what is fitted; the draw's seed is an argument of :meth:`generate`.
    """

    #: Why its cells are not to be taken for new ones.
    _doubt: ClassVar[str]

    def __init__(
        self, adata: AnnData | MuData | None = None, registry: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        labels, conditions = self.schema.labels_key is not None, len(self.schema.conditions) > 1
        self.classes = ("both" if conditions else "labels") if labels else ("conditions" if conditions else None)
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
            Cells a batch; it changes nothing in the cells.
        path
            An ``.h5ad`` file to write to.

        Returns
        -------
        The cells, with the genes' names, their groups in obs and, in ``uns["altercell"]``, how they were made.

        Raises
        ------
        NotTrainedError
            The model is not trained, or draws from training cells and was loaded without.
        GroupError
            An unknown label or condition, or one without training cells.
        """
        self._check_trained()
        with self._inference(seed) as used:
            rng = np.random.default_rng(used)
            groups = self._asked_groups(n, labels, condition, rng)
            provenance = {
                "model": type(self).__name__,
                "verb": "generate",
                "version": __version__,
                "space": self.space,
                "seed": used,
                "batch_key": self.schema.batch_key,
                "labels_key": self.schema.labels_key,
                "trust": [self._doubt, *self._few_cells(groups)],
            }
            blocks = self._drawn(groups, rng, check_batch_size(batch_size))
            return answer(blocks, self._obs_of(groups), self._var(), provenance, path)

    @abstractmethod
    def _drawn(self, groups: np.ndarray, rng: np.random.Generator, batch_size: int) -> Iterator[Any]:
        """Yield cells of groups, by blocks of rows."""

    def _hint(self, what: str) -> str:
        return f"name {'labels_key' if what == 'labels' else 'batch_key'}= in setup_anndata"

    def _n_classes(self) -> int:
        return int(self._class_table().max()) + 1


class TrainingCellSampler(CellSampler):
    """A sampler that reads its training cells again; see :class:`CellSampler`."""

    def _check_trained(self) -> None:
        super()._check_trained()
        if self.adata is None:
            raise NotTrainedError(
                f"{type(self).__name__} draws from the training cells, and this model has none: load it with adata=, "
                "or save it with save_anndata=True"
            )

    def _pools(self) -> dict[int, np.ndarray]:
        """Return the rows of the training cells of each class."""
        codes = (self.schema.condition_codes(self.adata), self.schema.cell_label_codes(self.adata))
        sizes = self._training_sizes()
        groups = np.ravel_multi_index(codes, sizes.shape)
        if (np.bincount(groups, minlength=sizes.size) != sizes.ravel()).any():
            raise DataError(
                f"the AnnData that is attached to this {type(self).__name__} is not the one that it was trained on: "
                "its groups have other numbers of cells"
            )
        classes = self._class_of(groups)
        order = np.argsort(classes, kind="stable")
        names, starts = np.unique(classes[order], return_index=True)
        return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))

    def _seeds(self, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the row of a training cell of each class."""
        pools, place = self._pools(), rng.random(len(classes))
        rows = np.empty(len(classes), dtype=np.int64)
        for number in np.unique(classes):
            mine, pool = classes == number, pools[int(number)]
            rows[mine] = pool[(place[mine] * len(pool)).astype(np.int64)]
        return rows
