"""From a prediction to cells: as they are decoded, with each cell's own residual, or by transport of measured cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from altercell.errors import GroupError, KeyNotFoundError, listing
from altercell.models.base._cells import Cells, as_dense
from altercell.models.base._moments import indicator
from altercell.models.base._profiles import Profiles
from altercell.models.base._request import Request
from altercell.models.base._templates import Counted, counted, find_templates
from altercell.models.base._transport import Matching, TemplateTransport

if TYPE_CHECKING:
    from altercell.models.base._response import ResponseModel


@dataclass(frozen=True)
class Kinds:
    """The types of asked cells, those that training has not seen being told apart by name.

    Attributes
    ----------
    codes
        Code of each kind's label, shape ``(n_kinds,)``; -1 where training has not seen it.
    names
        Its name; NaN where there are no labels.
    place
        Kind of each cell, shape ``(n_cells,)``; -1 for a cell of none of them.
    """

    codes: np.ndarray
    names: list[object]
    place: np.ndarray

    @classmethod
    def of(cls, cells: Cells) -> Kinds:
        """Find the kinds of cells.

        Parameters
        ----------
        cells
            The cells.
        """
        place, names = pd.factorize(_label_names(cells), use_na_sentinel=False)
        schema = cells.schema
        known = schema.labels_key is not None
        codes = schema.label_codes(list(names)) if known else np.zeros(len(names), dtype=np.int64)
        return cls(np.asarray(codes), list(names), place)

    def among(self, cells: Cells) -> Kinds:
        """Return these kinds with the place of other cells.

        Parameters
        ----------
        cells
            The other cells.

        Raises
        ------
        GroupError
            A kind has none of them.
        """
        known = {_key(name): kind for kind, name in enumerate(self.names)}
        names, codes = pd.factorize(_label_names(cells), use_na_sentinel=False)[::-1]
        place = np.array([known.get(_key(name), -1) for name in names])[codes]
        absent = [name for kind, name in enumerate(self.names) if not (place == kind).any()]
        if absent:
            raise GroupError(f"reference= has no cell of {listing(absent)}; give cells of every type that is asked")
        return replace(self, place=place)


def _key(name: object) -> object:
    """Return a name that equals itself, as NaN does not."""
    return None if pd.isna(name) else name


def _label_names(cells: Cells) -> np.ndarray:
    key = cells.schema.labels_key
    try:
        column = None if key is None else cells.schema.column(cells.data, key, "labels_key")
    except KeyNotFoundError:
        column = None
    if column is None:
        return np.full(len(cells), np.nan, dtype=object)
    return column.iloc[cells.rows].to_numpy(dtype=object)


@dataclass(frozen=True)
class Reference:
    """The control cells that calibration refers to, and what was predicted of them.

    Attributes
    ----------
    cells
        The cells.
    kinds
        Their kinds.
    source
        Their mean by kind, before, shape ``(n_kinds, n_genes)``; on the log scale as all that follow.
    target
        Their predicted mean.
    clipped
        The mean of the cells with their residual, negative values at 0; it is above `target` where there are some.
    """

    cells: Cells
    kinds: Kinds
    source: Profiles
    target: np.ndarray
    clipped: np.ndarray


def predict_means(
    model: ResponseModel, cells: Cells, kinds: Kinds, request: Request, options: Mapping[str, Any]
) -> Reference:
    r"""Predict the mean of each kind, in one pass over its cells.

    It is :math:`\max(0, \bar x + \overline{g(z') - g(z)})`, the cells' mean moved by the mean difference of what is
    decoded under the target and under the source, so that a decoder's own error cancels; where a model has no decoding
    under the source, it is the mean of what it predicts.

    Parameters
    ----------
    model
        The model.
    cells, kinds
        The cells.
    request, options
        What `predict` was asked.
    """
    request = replace(request, label_codes=np.where(kinds.place >= 0, kinds.codes[kinds.place], -1))
    shape = (len(kinds.codes), cells.n_genes)
    sums, squares, moved, clipped = (np.zeros(shape) for _ in range(4))
    start = 0
    for x, after in _moved_blocks(model, cells, request, options):
        present, gather = indicator(kinds.place[start : start + len(x)])
        start += len(x)
        known = present >= 0
        for total, values in (
            (sums, x),
            (squares, x.astype(np.float64) ** 2),
            (moved, after),
            (clipped, np.maximum(after, 0)),
        ):
            total[present[known]] += (gather @ values)[known]
    sizes = np.bincount(kinds.place[kinds.place >= 0], minlength=len(kinds.codes))
    n = sizes[:, None]
    return Reference(
        cells, kinds, Profiles.of_sums(sums, squares, sizes, alone=True), np.maximum(moved / n, 0), clipped / n
    )


def residual_blocks(
    model: ResponseModel, cells: Cells, reference: Reference, request: Request, options: Mapping[str, Any]
) -> Iterator[np.ndarray]:
    r"""Yield cells that keep their residual: :math:`f \max(0, x + g(z') - g(z))`.

    f brings each gene's mean over the reference cells of the kind, which cutting off negative values raises, back to
    the predicted mean.

    Parameters
    ----------
    model, cells
        The model, and the cells that are asked.
    reference
        See :func:`predict_means`.
    request, options
        What `predict` was asked.
    """
    raised = reference.clipped
    factor = np.divide(reference.target, raised, out=np.ones_like(raised), where=raised > 0).astype(np.float32)
    place, start = Kinds.of(cells).place, 0
    for _, after in _moved_blocks(model, cells, request, options):
        yield np.maximum(after, 0) * factor[place[start : start + len(after)]]
        start += len(after)


def transport_blocks(
    model: ResponseModel, cells: Cells, reference: Reference, request: Request, *, fixed: bool, log: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield cells by transport of templates, and their counts; see :mod:`altercell.models.base._transport`.

    Parameters
    ----------
    model, cells
        The model, and the cells that are asked.
    reference
        See :func:`predict_means`.
    request
        What `predict` was asked.
    fixed
        Whether the reference is a fixed set of cells.
    log
        Whether the values are log values; else they are the counts.
    """
    templates = find_templates(model, request.source, request.target)
    asked = templates.cells.like(counted(model, cells, "the asked cells"), "the asked cells")
    fixing = templates.cells.like(counted(model, reference.cells, "the reference cells"), "the reference cells")
    kinds, made = Kinds.of(cells), []
    for kind, code in enumerate(kinds.codes):
        rows = np.flatnonzero(kinds.place == kind)
        refers = fixing.at(fixing.cells.rows[reference.kinds.place == kind])
        transport = TemplateTransport(
            templates,
            model._template_types(templates.target.sizes, int(code)),
            refers,
            reference.source.at(kind),
            reference.target[kind],
            fixed=fixed,
            seed=request.seed,
        )
        mine = asked.at(cells.rows[rows])
        names = mine.cells.adata.obs_names[mine.cells.rows]
        made.append((transport, mine, transport.matched(names, mine.totals())))
    within = _numbers_within(kinds.place)
    for start in range(0, len(cells), request.batch_size):
        place, numbers = (values[start : start + request.batch_size] for values in (kinds.place, within))
        yield _assembled(made, place, numbers, cells.n_genes, log)


def _assembled(
    made: list[tuple[TemplateTransport, Counted, Matching]],
    place: np.ndarray,
    numbers: np.ndarray,
    n_genes: int,
    log: bool,
) -> tuple[np.ndarray, np.ndarray]:
    counts = np.empty((len(place), n_genes), dtype=np.float32)
    values = np.empty_like(counts)
    for kind in np.unique(place):
        transport, cells, matching = made[kind]
        mine = place == kind
        counts[mine], values[mine] = transport.make(cells, numbers[mine], matching.of(numbers[mine]))
    return (values if log else counts), counts


def _numbers_within(place: np.ndarray) -> np.ndarray:
    """Return each cell's number among those of its kind, from 0, in their order."""
    order = np.argsort(place, kind="stable")
    sizes = np.bincount(place)
    numbers = np.empty(len(place), dtype=np.int64)
    numbers[order] = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return numbers


def _moved_blocks(
    model: ResponseModel, cells: Cells, request: Request, options: Mapping[str, Any]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield cells on the log scale and where they are moved to, negative values left as they are."""
    values = (model._log_values(batch) for _, batch in cells.batches(request.batch_size))
    shifted = model._respond(cells, request, **options)
    if not model.has_unshifted:
        yield from zip(values, map(as_dense, shifted), strict=True)
        return
    for x, after, before in zip(values, shifted, model._unshifted(cells, request, **options), strict=True):
        yield x, x + (after - before)


def reference_cells(model: ResponseModel, adata: AnnData | MuData, cells: Cells, request: Request) -> Cells:
    """Return the cells of a fixed reference: those of the source condition and of the kinds that are asked.

    Parameters
    ----------
    model
        The model.
    adata
        The reference.
    cells
        The cells that are asked.
    request
        What `predict` was asked.
    """
    found = model._source_cells(adata, model.schema.conditions[request.source], None, None)
    found.rows = found.rows[Kinds.of(cells).among(found).place >= 0]
    return found
