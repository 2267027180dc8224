"""The verb `predict`: what cells of one condition would look like under another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from altercell import __version__
from altercell._space import COUNTS, LOG
from altercell.errors import DataError, GroupError, KeyNotFoundError, NotTrainedError, listing, named
from altercell.models.base._answer import answer
from altercell.models.base._cells import Cells, check_batch_size
from altercell.models.base._latent import INFERENCE_BATCH
from altercell.models.base._request import Request, Way, label_list, once_a_target
from altercell.models.base._schema import as_list
from altercell.models.base._templates import COUNTS_LAYER
from altercell.models.base._ways import (
    Kinds,
    predict_means,
    reference_cells,
    residual_blocks,
    transport_blocks,
)

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

#: Counts are seen on the log scale as log1p of counts per so many.
COUNT_SCALE = 1e4
FEW_CELLS = 20
FEW_TYPES = 3


class ResponseModel(ABC, Base):
    """A model that predicts how cells respond to a change of condition."""

    _needs_conditions: ClassVar[bool] = True
    #: Whether the answer depends on the seed; only then is the seed recorded.
    _random_response: ClassVar[bool] = False
    #: Names of the options that the model's `predict` takes beside those of all models.
    _predict_options: ClassVar[tuple[str, ...]] = ()

    def _require_conditions(self) -> None:
        """Refuse to predict where the model was set up without a column of conditions."""
        if self.schema.batch_key is None:
            raise KeyNotFoundError(
                f"this {type(self).__name__} was set up without conditions; name their column with batch_key= in "
                "setup_anndata, and train it again"
            )

    def predict(
        self,
        adata: AnnData | MuData | None = None,
        *,
        source: object,
        target: object | Sequence[object],
        labels: object | Sequence[object] | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
        path: str | Path | None = None,
        cells: Way | None = None,
        reference: AnnData | MuData | None = None,
        **options: Any,
    ) -> AnnData:
        """Predict what cells of condition `source` would look like under condition `target`.

        Parameters
        ----------
        adata
            Cells to start from; their genes are aligned by name. None for the registered ones.
        source
            Condition of the cells to start from, a value of ``obs[batch_key]``.
        target
            Condition to predict, one that training has seen; or several, whose answers follow one another.
        labels
            Cell type or types to start from; None for all. A type that training has not seen is fine.
        indices
            Row numbers or a mask; only these cells are considered.
        batch_size
            Cells a batch.
        seed
            Seed, for models whose prediction is random; the same for every target.
        path
            An ``.h5ad`` file to write to as the cells come; the answer is then backed by it, and memory holds one
            batch.
        cells
            How cells are made of the prediction; None for the model's own way (:attr:`cell_ways` has it first). One of

            * ``"decoded"``: what the model's paper does;
            * ``"residual"``: the cell itself, moved by the difference of what is decoded under target and source, so
              that it keeps what the model does not describe; negative values are cut off, and each gene is brought
              back to the predicted mean of its type. On the log scale;
            * ``"transport"``: measured target cells of alike types, brought to the source cell's total count and to the
              predicted mean of its type, gene by gene. Needs the training cells, and counts: those that the model is
              set up on, or ``layers["counts"]`` and ``obs["size_factor"]``, as :func:`altercell.data.normalize` keeps
              them. The answer has whole counts in ``layers["counts"]``;
            * ``"sampled"``: counts drawn from the likelihood, where the model has one.
        reference
            Source cells of every asked type, to which ``"residual"`` and ``"transport"`` refer: their mean is what is
            brought to the predicted one. None: the cells that are asked, so that asking for fewer changes them a
            little.
        **options
            Further options of the model; see its own ``predict``.

        Returns
        -------
        One predicted cell for each source cell: its obs and obs_names, ``obs[batch_key]`` set to `target`, the genes in
        the model's order, and in ``uns["altercell"]`` how it was made and, under ``trust``, when not to believe it.
        With a list of targets, even of one: one predicted cell for each source cell and target, named
        ``<cell>-<target>``; ``obs["source_cell"]`` is then the source cell's name, ``trust`` names the targets, and
        what a model says beside has the targets as its first axis.

        Raises
        ------
        GroupError
            `source` equals `target`, an unknown condition or label, no such cells, or a target that is named twice.
        KeyNotFoundError
            `adata` lacks the column of conditions.
        TypeError
            The model's `predict` has no such option.
        """
        self._check_trained()
        unknown = set(options) - set(self._predict_options)
        if unknown:
            raise TypeError(f"{type(self).__name__}.predict() has no argument {listing(sorted(unknown))}")
        several = as_list(target)
        targets = [target] if several is None else several
        source_code, target_codes = self._asked_codes(source, targets)
        batch = check_batch_size(INFERENCE_BATCH if batch_size is None else batch_size)
        wanted = label_list(labels)
        asked = self._source_cells(adata, source, wanted, indices)
        way = self._asked_way(cells, reference, asked)
        label_codes = self.schema.cell_label_codes(asked.data)[asked.rows]
        with self._inference(seed) as used:
            asker = Request(source_code, target_codes[0], label_codes, batch, used, way)
            refers = None if reference is None else reference_cells(self, reference, asked, asker)
            requests = [replace(asker, target=code, reference=refers) for code in target_codes]
            obs = asked.obs() if several is None else once_a_target(asked.obs(), several)
            codes, names = np.repeat(target_codes, len(asked)), list(self.schema.conditions)
            obs[self.schema.batch_key] = pd.Categorical.from_codes(codes, categories=names)
            drawn = way in ("transport", "sampled")
            provenance = {
                "model": type(self).__name__,
                "verb": "predict",
                "version": __version__,
                "source": str(source),
                "target": str(target) if several is None else [str(name) for name in several],
                "labels": [str(label) for label in wanted or self._labels_of(asked)],
                "batch_key": self.schema.batch_key,
                "labels_key": self.schema.labels_key,
                "space": self._way_space(way, **options),
                "cells": way,
                "reference": None if refers is None else f"{len(refers)} cells",
                "seed": used if drawn or self._reads_seed(**options) else None,
                "arguments": self._arguments_in_words(),
                "options": ", ".join(f"{key}={_short(value)}" for key, value in options.items() if value is not None)
                or "",
                "trust": self._doubts(asked, requests[0], **options)
                if several is None
                else self._doubts_by_target(asked, requests, **options),
                **self._more_by_target(asked, requests, in_a_list=several is not None),
            }
            blocks = [self._made(asked, request, options) for request in requests]
            layer = COUNTS_LAYER if way == "transport" else None
            return answer(chain.from_iterable(blocks), obs, asked.var(), provenance, path, layer)

    @property
    def cell_ways(self) -> tuple[Way, ...]:
        """The ways to make cells of a prediction that the model offers, its own first; see :meth:`predict`."""
        # A model of counts offers more where it says what its counts are on the log scale.
        return self._log_ways() if self.space.startswith(LOG) else ("decoded",)

    def _log_ways(self) -> tuple[Way, ...]:
        return ("decoded", "residual", "transport") if self.has_unshifted else ("decoded", "transport")

    @property
    def has_unshifted(self) -> bool:
        """Whether the model decodes cells under their own condition, which ``cells="residual"`` needs."""
        return type(self)._unshifted is not ResponseModel._unshifted

    @property
    def works_on_counts(self) -> bool:
        """Whether the model is set up on counts, rather than on log data."""
        return self.space == COUNTS

    @property
    def log_scale(self) -> float:
        """The total that a model of counts scales them to before it takes the logarithm."""
        return COUNT_SCALE

    @property
    def _leaves_own_type_out(self) -> bool:
        """Whether a type's own target cells, where training has some, have no part in the prediction of its cells."""
        return False

    def _asked_way(self, way: Way | None, reference: object, cells: Cells) -> Way:
        way = self.cell_ways[0] if way is None else way
        if way not in get_args(Way) or way not in self.cell_ways:
            raise DataError(
                f"cells={way!r} is not among the ways that this {type(self).__name__} makes cells: "
                f"{listing(self.cell_ways)}"
            )
        if reference is not None and way not in ("residual", "transport"):
            raise DataError(f"reference= is for cells='residual' and cells='transport', not for cells='{way}'")
        return way

    def _made(self, cells: Cells, request: Request, options: Mapping[str, Any]) -> Iterator[Any]:
        """Return the blocks of predicted cells, made in the way that was asked for."""
        if request.way in ("decoded", "sampled"):
            return self._respond(cells, request, **options)
        on_log_scale = self._log_options(options)
        refers, kinds = cells if request.reference is None else request.reference, Kinds.of(cells)
        if request.reference is not None:
            kinds = kinds.among(refers)
        means = predict_means(self, refers, kinds, request, on_log_scale)
        if request.way == "residual":
            return residual_blocks(self, cells, means, request, on_log_scale)
        log = self._way_space("transport", **options) != COUNTS
        return transport_blocks(self, cells, means, request, fixed=request.reference is not None, log=log)

    def _unshifted(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        """Yield the cells decoded under their own condition, by the blocks of :meth:`_respond`."""
        raise NotImplementedError

    def _log_values(self, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
        """Return the cells of a batch on the log scale, shape (n, n_genes)."""
        x = batch["X"]
        return (torch.log1p(x / batch["size_factor"] * self.log_scale) if self.works_on_counts else x).numpy()

    def _log_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options with which the prediction is on the log scale."""
        return options

    def _way_space(self, way: Way, **options: Any) -> str:
        return self._answer_space(**options)

    def _template_types(self, sizes: np.ndarray, own: int) -> np.ndarray:
        """Return the types whose target cells may be templates for cells of type `own` (-1: unseen)."""
        types = np.flatnonzero(sizes > 0)
        if self._leaves_own_type_out and self.schema.labels_key is not None:
            types = types[types != own]
        if len(types) == 0:
            raise GroupError(
                "cells='transport' has no measured cell of another type in the target condition to start from"
            )
        return types

    def _asked_codes(self, source: object, targets: Sequence[object]) -> tuple[int, list[int]]:
        """Return the codes of the source and of the targets, after checking that they can be predicted."""
        if not targets:
            raise GroupError(f"target is empty; give at least one of {listing(self.schema.conditions)}")
        source_code = self.schema.condition_code(source, "source")
        codes: list[int] = []
        for target in targets:
            code = self.schema.condition_code(target, "target")
            if code == source_code:
                raise GroupError(f"source and target are both '{source}'; there is nothing to predict")
            if code in codes:
                raise GroupError(f"target names '{target}' more than once")
            self._check_seen(source=source_code, target=code)
            codes.append(code)
        return source_code, codes

    def _arguments_in_words(self) -> str | None:
        given = self._constructor_arguments() if hasattr(self, "init_params_") else {}
        return ", ".join(f"{key}={value}" for key, value in given.items()) or None

    @abstractmethod
    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[Any]:
        """Yield the predicted cells by blocks of rows, in order, dense or CSR."""

    def _answer_space(self, **options: Any) -> str:
        return self.space

    def _reads_seed(self, **options: Any) -> bool:
        return self._random_response

    def _doubts(self, cells: Cells, request: Request, **options: Any) -> list[str]:
        """Return the reasons not to trust the answer, each a sentence."""
        doubts, values = [], self._value_summary()
        if values is not None and values.smallest < 0:
            doubts.append(
                f"the model was set up on values down to {values.smallest:.3g}, which no logarithms of counts are"
            )
        if getattr(self, "interrupted_", False):
            doubts.append("training was interrupted")
        if len(cells) < FEW_CELLS:
            doubts.append(f"only {len(cells)} source cells")
        sizes = self._group_sizes()
        informative = int(((sizes[request.source] > 0) & (sizes[request.target] > 0)).sum())
        if self.schema.labels_key is not None and informative < FEW_TYPES:
            doubts.append(
                f"only {informative} cell types were seen in both conditions; a response that differs between "
                "types cannot be learnt"
            )
        known = np.unique(request.label_codes[request.label_codes >= 0])
        if self.schema.labels_key is not None and (sizes[request.target, known] > 0).any():
            doubts.append(
                "training held cells of an asked type under the target condition: a score against them is not that of "
                "a held-out prediction"
            )
        unseen = request.label_codes < 0
        if self.schema.labels_key is not None and unseen.any():
            doubts.append(f"{int(unseen.sum())} cells are of a type that training has not seen")
        return doubts

    def _doubts_by_target(self, cells: Cells, requests: Sequence[Request], **options: Any) -> list[str]:
        """Return the reasons not to trust the answers for several targets, each with the targets that it is about."""
        about: dict[str, list[object]] = {}
        for request in requests:
            for doubt in self._doubts(cells, request, **options):
                about.setdefault(doubt, []).append(self.schema.conditions[request.target])
        return [f"target {listing(names)}: {doubt}" for doubt, names in about.items()]

    def _more_provenance(self, cells: Cells, request: Request) -> dict[str, Any]:
        """Return what else a model has to say of how an answer for one target was made, by name."""
        return {}

    def _more_by_target(self, cells: Cells, requests: Sequence[Request], *, in_a_list: bool) -> dict[str, Any]:
        """Return what :meth:`_more_provenance` says; for a list of targets, along a first axis of the targets."""
        said = [self._more_provenance(cells, request) for request in requests]
        if not in_a_list:
            return said[0]
        return {name: np.stack([np.asarray(one[name]) for one in said]) for name in said[0]}

    def _training_groups(self, why: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of condition and label of the training cells, or say what they are needed for."""
        if self.adata is None:
            raise NotTrainedError(
                f"{why}, and this model has none: load it with adata=, or save it with save_anndata=True"
            )
        return self.schema.condition_codes(self.adata), self.schema.cell_label_codes(self.adata)

    def _group_sizes(self) -> np.ndarray:
        """Return how many training cells each (condition, label) has, shape (n_conditions, n_labels)."""
        return self.module.group_sizes.cpu().numpy().astype(np.int64)

    def _check_seen(self, **codes: int) -> None:
        seen = self._group_sizes().sum(axis=1) > 0
        for argument, code in codes.items():
            # A category can be registered without a cell in it.
            if not seen[code]:
                raise GroupError(
                    f"{argument}={named(self.schema.conditions[code])} has no training cell; there are "
                    f"{listing(self.schema.conditions[seen])}"
                )

    def _labels_of(self, cells: Cells) -> list[object]:
        key = self.schema.labels_key
        if key is None or key not in cells.adata.obs:
            return []
        return list(pd.unique(cells.adata.obs[key].iloc[cells.rows]))

    def _source_cells(
        self,
        adata: AnnData | MuData | None,
        source: object,
        labels: list[object] | None,
        rows: Sequence[int] | np.ndarray | None,
    ) -> Cells:
        """Return the cells of condition `source` and of the labels, or say which there are."""
        cells = self._predict_cells(adata, rows)
        schema = self.schema
        conditions = schema.column(cells.data, str(schema.batch_key), "batch_key").iloc[cells.rows]
        keep = np.array(conditions == source)
        if not keep.any():
            raise GroupError(
                f"no cell has {schema.batch_key} {named(source)}; there are {listing(pd.unique(conditions))}"
            )
        if labels is not None:
            if schema.labels_key is None:
                raise GroupError("labels were given, but the model was set up without labels_key")
            column = schema.column(cells.data, schema.labels_key, "labels_key").iloc[cells.rows]
            missing = [label for label in labels if not np.asarray((column == label) & keep).any()]
            if missing:
                there = pd.unique(column[keep])
                raise GroupError(
                    f"no cell of condition {named(source)} has {schema.labels_key} {listing(missing)}; there are "
                    f"{listing(there, 12)}"
                )
            keep &= np.asarray(column.isin(labels))
        cells.rows = cells.rows[keep]
        return cells

    def _predict_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None) -> Cells:
        return self.cells(adata, rows)


def _short(value: Any) -> str:
    return "given" if isinstance(value, np.ndarray) else str(value)
