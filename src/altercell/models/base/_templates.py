"""Measured target cells of the training data, as templates of predicted ones."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from altercell.errors import DataError, KeyNotFoundError
from altercell.models.base._cells import Cells
from altercell.models.base._moments import indicator, sums_and_squares
from altercell.models.base._profiles import Profiles

if TYPE_CHECKING:
    from altercell.models.base._response import ResponseModel

#: Where :func:`altercell.data.normalize` writes the counts and the cells' totals.
COUNTS_LAYER = "counts"
TOTALS_KEY = "size_factor"
#: Log values and the counts that they are of must agree to so much, relatively.
SCALE_TOLERANCE = 1e-2
THETA_RANGE = (0.05, 50.0)
BLOCK = 512


@dataclass(frozen=True)
class Counted:
    r"""Cells with their counts, seen on the model's log scale: :math:`x_{ig} = \log(1 + S y_{ig} / n_i)`.

    Attributes
    ----------
    cells
        The cells; their batches carry counts y and totals n.
    scale
        S, the total that the log data are scaled to.
    """

    cells: Cells
    scale: float

    def __len__(self) -> int:
        return len(self.cells)

    def read(self, positions: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read counts, and the total counts in units of the scale.

        Parameters
        ----------
        positions
            Positions among the cells.

        Returns
        -------
        y, int64 of shape ``(n, n_genes)``, and n / S, shape ``(n, 1)``.
        """
        batch = self.cells[positions]
        return np.rint(batch["X"].numpy()).astype(np.int64), batch["size_factor"].numpy().astype(
            np.float64
        ) / self.scale

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield positions, counts and totals, as :meth:`read` gives them.

        Parameters
        ----------
        size
            Cells a block.
        """
        for positions in self.slices(size):
            yield positions, *self.read(positions)

    def slices(self, size: int = BLOCK) -> Iterator[slice]:
        """Yield the positions of all cells, by blocks.

        Parameters
        ----------
        size
            Cells a block.
        """
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def log_blocks(self) -> Iterator[np.ndarray]:
        """Yield the cells on the log scale, by blocks of rows in order."""
        for _, counts, totals in self.blocks():
            yield np.log1p(counts / totals)

    def totals(self) -> np.ndarray:
        """Return each cell's total in units of the scale, shape ``(n_cells,)``."""
        factors = self.cells.size_factors
        if factors is not None:
            return factors[self.cells.rows].astype(np.float64) / self.scale
        return np.concatenate([totals.ravel() for _, _, totals in self.blocks()])

    def like(self, other: Counted, what: str) -> Counted:
        """Return other cells on just this scale, which was inferred for either from its own values.

        Parameters
        ----------
        other, what
            The other cells, and what they are, for the error.

        Raises
        ------
        DataError
            Their scale is another one.
        """
        if abs(other.scale - self.scale) > SCALE_TOLERANCE * self.scale:
            raise DataError(
                f"the log data of {what} are scaled to {other.scale:,.0f} counts a cell, and those of training to "
                f"{self.scale:,.0f}; give altercell.data.normalize the same target_sum= for both"
            )
        return replace(other, scale=self.scale)

    def at(self, rows: np.ndarray) -> Counted:
        """Return other cells of the same data.

        Parameters
        ----------
        rows
            Row numbers.
        """
        # The same matrix: columns on disk or in memory are turned into rows once.
        cells = copy(self.cells)
        cells.rows = rows
        return replace(self, cells=cells)


def counted(model: ResponseModel, cells: Cells, what: str) -> Counted:
    """Return cells with their counts: those that the model is set up on, or those of the layer of counts.

    Parameters
    ----------
    model
        A model of counts, or of log data.
    cells
        The cells.
    what
        What they are, for the error.

    Raises
    ------
    KeyNotFoundError
        The model is of log data, and there is no layer of counts.
    DataError
        The layer's counts are not those that the log data are of.
    """
    schema, adata = model.schema, cells.adata
    if model.works_on_counts:
        return Counted(Cells(cells.data, schema, cells.rows, size_factors=True, checked=True), model.log_scale)
    if COUNTS_LAYER not in adata.layers:
        raise KeyNotFoundError(
            f"cells='transport' moves measured counts, and {what} have none: layers['{COUNTS_LAYER}'] is missing. "
            "altercell.data.normalize keeps them there; for log data alone ask for cells='residual'"
        )
    key = schema.size_factor_key or (TOTALS_KEY if TOTALS_KEY in adata.obs else None)
    schema = replace(schema, layer=COUNTS_LAYER, size_factor_key=key)
    found = Cells(cells.data, schema, cells.rows, size_factors=True, checked=True)
    return Counted(found, _scale_of(cells, found, what))


def _scale_of(cells: Cells, counts: Cells, what: str) -> float:
    """Return the total that log data are scaled to, from the counts that they are of."""
    positions = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), BLOCK)).astype(int))
    log, batch = cells.read(positions), counts[positions]
    y, totals = batch["X"].numpy(), batch["size_factor"].numpy()
    if (y != np.rint(y)).any():
        raise DataError(
            f"layers['{COUNTS_LAYER}'] of {what} holds values that are no whole numbers; give the raw counts"
        )
    rows, columns = np.nonzero(y)
    scales = np.expm1(log[rows, columns].astype(np.float64)) * totals[rows, 0] / y[rows, columns]
    scale = float(np.median(scales)) if len(scales) else 0.0
    apart = np.abs(scales - scale) > SCALE_TOLERANCE * scale
    if scale <= 0 or apart.mean() > SCALE_TOLERANCE or (log[y == 0] > 0).any():
        raise DataError(
            f"the log data of {what} are not log1p of layers['{COUNTS_LAYER}'] scaled to one total a cell; make both "
            "by altercell.data.normalize (after a choice of genes, obs['size_factor'] holds the total over all genes)"
        )
    return scale


@dataclass(frozen=True)
class Templates:
    """The training cells of a condition, by type.

    Attributes
    ----------
    cells
        The training cells of the target condition.
    pools
        Positions of each type's cells of the target condition, sorted by total.
    source, target
        Mean log profiles of the types in the two conditions.
    signal, excess
        Sums over a type's cells of the squared mean of :math:`r_i = y_i / n_i`, and of its variance beyond that of
        counting, shape ``(n_types, n_genes)`` each.
    """

    cells: Counted
    pools: list[np.ndarray]
    source: Profiles
    target: Profiles
    signal: np.ndarray
    excess: np.ndarray

    def theta(self, types: np.ndarray) -> np.ndarray:
        r"""Return the inverse dispersion within types, by moments.

        .. math:: \operatorname{Var}(r) = \mu \operatorname{E}[1/n] + \mu^2 / \theta

        Parameters
        ----------
        types
            Positions of the types whose cells are read.

        Returns
        -------
        Within :data:`THETA_RANGE`, shape ``(n_genes,)``.
        """
        signal, noise = self.signal[types].sum(0), np.maximum(self.excess[types].sum(0), 0)
        theta = np.divide(signal, noise, out=np.full(len(signal), np.inf), where=noise > 0)
        return np.clip(np.where(signal > 0, theta, 1.0), *THETA_RANGE)


def find_templates(model: ResponseModel, source: int, target: int) -> Templates:
    """Collect the training cells of two conditions.

    Parameters
    ----------
    model
        A trained model, with its training cells.
    source, target
        Codes of the conditions.

    Raises
    ------
    NotTrainedError
        The model has no training cells.
    """
    conditions, labels = model._training_groups("cells='transport' moves training cells")
    n_types = len(model.schema.labels)
    profiles = []
    for condition in (source, target):
        rows = np.flatnonzero(conditions == condition)
        cells = counted(model, model.cells(rows=rows), "the training cells")
        sums = sums_and_squares(cells.log_blocks(), labels[rows], n_types, len(model.schema.genes))
        profiles.append(Profiles.of_sums(*sums, np.bincount(labels[rows], minlength=n_types)))
    totals = cells.totals()
    # Among equal totals by name, so that the order of the training cells has no part in it.
    order = np.lexsort((cells.cells.adata.obs_names[rows].to_numpy().astype(str), totals))
    pools = [order[labels[rows][order] == k] for k in range(n_types)]
    before, after = profiles
    return Templates(cells, pools, before, after, *_dispersion(cells, labels[rows], n_types))


def _dispersion(cells: Counted, labels: np.ndarray, n_types: int) -> tuple[np.ndarray, np.ndarray]:
    """Return :attr:`Templates.signal` and :attr:`Templates.excess`."""
    rates = (counts / totals for _, counts, totals in cells.blocks())
    sums, squares = sums_and_squares(rates, labels, n_types, cells.cells.n_genes)
    present, gather = indicator(labels)
    inverse = np.zeros(n_types)
    inverse[present] = gather @ (1 / cells.totals())
    n = np.maximum(np.bincount(labels, minlength=n_types), 1)[:, None]
    signal = sums**2 / n
    return signal, squares - signal - sums / n * inverse[:, None]
