"""ResponseStack: AnnData in, AnnData out."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError, GroupError, KeyNotFoundError, listing
from altercell.models.base import (
    LOG_SPACE,
    Cells,
    Kinds,
    Profiles,
    Request,
    Way,
    kinds_and_others,
    moments,
    sums_and_squares,
)
from altercell.models.base._schema import as_list
from altercell.models.base._templates import COUNTS_LAYER, counted
from altercell.models.stack._attention import ControlSpace
from altercell.models.stack._control_space import TrainingControls, WithOthers
from altercell.models.stack._error import shares_inside
from altercell.models.stack._evidence import INNER_CELLS, Evidence
from altercell.models.stack._log_cells import LogCells
from altercell.models.stack._network_training import NetworkTraining, OtherTypes
from altercell.models.stack._solve import MEMBERS, Last, Prediction, make_members, solve
from altercell.models.stack._trust import doubts_of

logger = logging.getLogger(__name__)

#: A type whose response is read has at least so many cells in both conditions.
LEAST_CELLS = 5


class ResponseStack(NetworkTraining):
    r"""A mean that is borrowed from alike types, and cells that stay real: altercell's own model.

    The mean target cell of a type is a weighted mean of what several closed forms say; the weights are learnt from
    types whose response is known, each predicted from the others. Cells are made of it by transport of measured ones.
    The guide has the equations, and says when it fails.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`, of log data or of counts; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    members
        Names of the closed forms, of which the first stands alone where there is no type to learn weights from:

        * ``"kriging"``: a Gaussian process over the types (:class:`Kriging`);
        * ``"attention"``: pairs of cells whose control cells are alike (:class:`CellAttention`); reads training cells;
        * ``"similar"``: the response of the most alike types (:class:`SimilarTypes`);
        * ``"mean"``: the mean response of the others (:class:`MeanDelta`);
        * ``"scgen"``: a network (:class:`NetworkMember`), trained once for each type besides, which takes that many
          times as long as :class:`~altercell.models.ScGen`; reads training cells.
    own_type
        Whether the response of a type that training has seen under both conditions, for example in other donors, is
        read for the prediction of its own cells.
    control
        For ``"scgen"``: the condition that every question starts from; the closed forms answer any two.
    network
        For ``"scgen"``: arguments of :class:`~altercell.models.ScGen`.
    seed
        Seed of the networks; the closed forms have none, and the seed of the cells is an argument of :meth:`predict`.

    Raises
    ------
    DataError
        A member is unknown, named twice, or there is none; or a network is to be made without a control, or without
        being a member.
    GroupError
        There is no condition `control`, or there are no types to leave out.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=400, n_genes=100, seed=0))
    >>> ac.ResponseStack.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.ResponseStack(adata)
    >>> model.train()
    >>> model.predict(source="control", target="stimulated", seed=0).n_vars
    100
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        members: Sequence[str] = ("kriging", "attention"),
        own_type: bool = False,
        control: object = None,
        network: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        members = (members,) if isinstance(members, str) else tuple(members)
        if not members or len(set(members)) < len(members) or not set(members) <= set(MEMBERS):
            raise DataError(f"members={members} must be some of {listing(MEMBERS)}, each once")
        if self.works_on_counts:
            self._require_counts()
            if self._total_is_of_a_subset():
                raise DataError(
                    "ResponseStack needs each cell's total over all genes, and these counts are of a choice of genes; "
                    "set it up with size_factor_key='size_factor' (altercell.data writes it)"
                )
        else:
            self._require_log()
        self.members, self.own_type = members, own_type
        shape = (len(self.schema.conditions), len(self.schema.labels), len(self.schema.genes))
        self.module.add("group_means", shape)
        self.module.add("group_variances", shape)
        self._add_networks(control, network)
        self._last: Last | None = None
        self._known: dict[tuple[int, ...], list[Prediction]] = {}
        self._controls: dict[tuple[int, int], TrainingControls] = {}
        self.init_params_ = self._get_init_params(locals())

    @property
    def cell_ways(self) -> tuple[Way, ...]:
        """The ways to make cells of a prediction that the model offers, its own first; see :meth:`predict`.

        Where there are no counts, its own is ``"residual"``.
        """
        data = self.adata
        if data is None or not (self.works_on_counts or COUNTS_LAYER in self.schema.anndata(data).layers):
            return ("residual", "decoded", "transport")
        return ("transport", "residual", "decoded")

    def get_mean(self, source: object, target: object, label: object = None) -> pd.DataFrame:
        """Return the predicted mean of a type of the training data, gene by gene, and how far it may be off.

        Parameters
        ----------
        source, target
            The conditions.
        label
            The type, with training cells in `source`; None where the model was set up without labels.

        Returns
        -------
        A row a gene, on the log scale: ``source`` (mean of the training cells), ``mean`` (predicted) and
        ``standard_error`` of the prediction, without the noise of a finite number of measured cells.

        Raises
        ------
        GroupError
            An unknown condition or label, or no source cells of the label.
        """
        self._check_trained()
        start, (end,) = self._asked_codes(source, [target])
        if as_list(label) is not None:
            raise GroupError(f"label={label} must be one type; ask for one after the other")
        code = 0 if label is None and self.schema.labels_key is None else self.schema.label_code(label, "label")
        if self._group_sizes()[start, code] == 0:
            raise GroupError(f"label='{label}' has no training cells in '{source}'; predict() takes other cells")
        with self._inference():
            found = self._predictions(start, end, np.array([code]))[0]
        columns = {"source": found.source, "mean": found.mean, "standard_error": found.standard_error}
        return pd.DataFrame(columns, index=pd.Index(self.schema.genes, name="gene"))

    def get_calibration(
        self, source: object, target: object, levels: float | Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    ) -> pd.DataFrame:
        """Return how often the bands of the standard error hold the measured means, on types whose response is known.

        Each type is predicted as if its target cells had not been measured: from the others, its own weights and the
        scale of its standard error learnt from the others as well. With the member ``"scgen"`` this holds of the
        response, but not quite of the weights: the networks without another type have seen this one.

        Parameters
        ----------
        source, target
            The conditions.
        levels
            Share of genes that each band should hold, between 0 and 1.

        Returns
        -------
        A row a type of 20 cells or more in both conditions, and level: ``label``, ``level`` and ``share``, the share of
        genes whose measured mean is inside.
        The noise of the measured mean is part of the band. The scale is set at 90 %, and most genes hardly respond, so
        that narrow bands hold more than they should. :func:`altercell.pl.calibration` draws it.

        Raises
        ------
        GroupError
            An unknown condition, a model that reads a type's own response, or fewer than two known types.
        DataError
            A level that is no share.
        """
        self._check_trained()
        start, (end,) = self._asked_codes(source, [target])
        types = np.flatnonzero(self._group_sizes()[[start, end]].min(axis=0) >= INNER_CELLS)
        wanted = np.atleast_1d(np.asarray(levels, dtype=np.float64))
        if wanted.ndim > 1 or not wanted.size or not ((wanted > 0) & (wanted < 1)).all():
            raise DataError(f"levels={levels} must be shares between 0 and 1, such as [0.5, 0.9]")
        if self.own_type or len(types) < 2:
            raise GroupError(
                "get_calibration() predicts types of known response from others: it needs own_type=False, and two "
                f"types or more with {INNER_CELLS} cells in both conditions; own_type={self.own_type}, and there is "
                f"{listing(self.schema.labels[types]) or 'none'}"
            )
        with self._inference():
            found = self._predictions(start, end, types)
        measured = self._profiles(end, types)
        error = np.stack([one.mean for one in found]) - measured.means[types]
        variance = np.stack([one.standard_error for one in found]) ** 2 + measured.noise[types]
        shares = shares_inside(error, variance, wanted)
        columns = {"label": np.repeat(self.schema.labels[types], len(wanted)), "level": np.tile(wanted, len(types))}
        return pd.DataFrame({**columns, "share": shares.ravel()})

    def _fit(self, cells: Cells, groups: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
        self._last = None
        self._known.clear()
        self._controls.clear()
        fitted = super()._fit(cells, groups, batch_size)
        sizes = fitted["group_sizes"]
        blocks = self._log_cells(self._predict_cells(None, None)).blocks(batch_size)
        shape = (*sizes.shape, cells.n_genes)
        sums, squares = (part.reshape(shape) for part in sums_and_squares(blocks, groups, sizes.size, cells.n_genes))
        arms = [moments(*arm) for arm in zip(sums, squares, sizes, strict=True)]
        means, variances = (np.stack(part) for part in zip(*arms, strict=True))
        return {**fitted, "group_means": means, "group_variances": variances}

    def _predict_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None) -> Cells:
        return self.cells(adata, rows, size_factors=self.works_on_counts)

    def _log_cells(self, cells: Cells) -> LogCells:
        return LogCells(cells, self.log_scale if self.works_on_counts else None)

    def _profiles(self, condition: int, pooled: np.ndarray | None = None) -> Profiles:
        """Return the types in a condition, with the variances of the types `pooled` as what to expect of each."""
        means, variances = (
            self._fitted(name)[condition].astype(np.float64) for name in ("group_means", "group_variances")
        )
        return Profiles.of_moments(means, variances, self._group_sizes()[condition], pooled)

    def _predictions(
        self, source: int, target: int, positions: np.ndarray, others: OtherTypes | None = None
    ) -> list[Prediction]:
        """Return a prediction for each asked type; `others` come after all types of the training data."""
        key = (source, target, *positions.tolist())
        if others is None and key in self._known:
            return self._known[key]
        least = self._group_sizes()[[source, target]].min(axis=0)
        # A type whose own response is not to be read is solved for by itself; all others share one solution.
        own = np.isin(positions, np.flatnonzero(least)) & (not self.own_type) & (self.schema.labels_key is not None)
        found: dict[int, Prediction] = {}
        for asked in (np.unique(positions[~own]), *np.unique(positions[own])[:, None]):
            if len(asked):
                left_out = asked if np.isin(asked, positions[own]).all() else asked[:0]
                evidence = self._evidence(source, target, asked, left_out, others)
                members = make_members(self.members, lambda: self._network_member(source, target, others))
                found.update(zip(asked.tolist(), solve(evidence, members), strict=True))
        answer = [found[position] for position in positions.tolist()]
        if others is None:
            self._known[key] = answer
        return answer

    def _evidence(
        self, source: int, target: int, asked: np.ndarray, left_out: np.ndarray, others: OtherTypes | None
    ) -> Evidence:
        """Return what is known for asked types, without the target cells of those that are left out."""
        least = self._group_sizes()[[source, target]].min(axis=0)
        least[left_out] = 0
        # Better a type of few cells than none: the standard error says what it is worth.
        types = np.flatnonzero(least >= (LEAST_CELLS if (least >= LEAST_CELLS).any() else 1))
        self._check_readable(types, source, target)
        before, after = self._profiles(source), self._profiles(target, types)
        first = len(before.sizes)
        if others is not None:
            before, after = before.joined(others.profiles), after.joined(others.profiles.emptied())

        def controls() -> ControlSpace:
            """Return the control cells, with those of the other types."""
            found = self._training_controls(source, target)
            return found if others is None else WithOthers(found, first, others.cells, others.kinds)

        return Evidence(before, after, types, asked, controls)

    def _check_readable(self, types: np.ndarray, source: int, target: int) -> None:
        if len(types) == 0:
            names = listing(self.schema.conditions[[source, target]])
            raise GroupError(
                f"ResponseStack: no other {self.schema.labels_key or 'group of cells'} has training cells in {names}; "
                "train with cells of more types"
            )

    def _training_controls(self, source: int, target: int) -> TrainingControls:
        if (source, target) not in self._controls:
            codes = self._training_groups("the member 'attention' reads training cells")
            cells = self._log_cells(self._predict_cells(None, None))
            self._controls[source, target] = TrainingControls(cells, *codes, source, target)
        return self._controls[source, target]

    def _asked_predictions(self, cells: Cells, kinds: Kinds, request: Request) -> list[Prediction]:
        """Return a prediction for each kind; of a type that training has not seen, the cells tell its mean."""
        last = self._last
        question = (request.source, request.target, *self._kind_names(kinds))
        if last is not None and last.cells() is cells and last.question == question:
            return last.predictions
        positions, others = kinds_and_others(self, cells, kinds, self._group_sizes()[request.source])
        first, known_by = len(self.schema.labels), None
        if others is not None:
            place = np.where(kinds.place >= 0, positions[kinds.place] - first, -1)
            known_by = OtherTypes(others, self._log_cells(cells), np.maximum(place, -1))
        found = self._predictions(request.source, request.target, positions, known_by)
        self._last = Last(weakref.ref(cells), question, found)
        return found

    def _told(self, cells: Cells, request: Request) -> tuple[Kinds, list[Prediction]]:
        """Return the kinds of the asked cells, and a prediction for each, from the reference where there is one."""
        kinds, refers = Kinds.of(cells), request.reference
        if refers is None:
            return kinds, self._asked_predictions(cells, kinds, request)
        return kinds, self._asked_predictions(refers, kinds.among(refers), request)

    def _predicted(self, cells: Cells, request: Request) -> Iterator[np.ndarray]:
        kinds, found = self._told(cells, request)
        steps = np.stack([one.mean - one.source for one in found]).astype(np.float32)
        start = 0
        for values in self._log_cells(cells).blocks(request.batch_size, dense=True):
            yield values + steps[kinds.place[start : start + len(values)]]
            start += len(values)

    def _unshifted(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        yield from self._log_cells(cells).blocks(request.batch_size, dense=True)

    def _answer_space(self, **options: Any) -> str:
        return LOG_SPACE if self.works_on_counts else self.space

    def _asked_way(self, way: Way | None, reference: object, cells: Cells) -> Way:
        if way is None and self._lacking_counts(cells) is not None:
            way = "residual"
        return super()._asked_way(way, reference, cells)

    def _lacking_counts(self, cells: Cells) -> str | None:
        """Return why cells cannot be made of measured counts; None where they can."""
        if self.adata is None:
            return "the model has no training cells"
        try:
            counted(self, self._predict_cells(None, None), "the training cells")
            counted(self, cells, "the asked cells")
        except (DataError, KeyNotFoundError) as error:
            return str(error.args[0])
        return None

    def _doubts(self, cells: Cells, request: Request, **options: Any) -> list[str]:
        doubts = super()._doubts(cells, request, **options)
        kinds, found = self._told(cells, request)
        names = self._kind_names(kinds)
        grave = doubts_of(names, found)
        if grave:
            logger.warning("Do not rely on this prediction: %s.", "; ".join(grave))
        lacking = self._lacking_counts(cells) if request.way == "residual" else None
        if lacking is not None:
            logger.warning("Cells are moved by their type's response, for want of counts: %s", lacking)
            doubts.append(
                "each cell was moved by its type's response, and has the variance and the zeros of a control cell, for "
                f"want of counts: {lacking}"
            )
        sizes = self._group_sizes()[[request.source, request.target]].min(axis=0)
        measured = [name for name, code in zip(names, kinds.codes, strict=True) if code >= 0 and sizes[code] > 0]
        if measured and not self.own_type and self.schema.labels_key is not None:
            doubts.append(
                f"training has measured the response of {listing(measured)}, and it was not read: own_type=True reads "
                "it, for cells of other donors"
            )
        return doubts + grave

    def _kind_names(self, kinds: Kinds) -> list[str]:
        return [str(name) for name in kinds.names] if self.schema.labels_key is not None else ["all cells"]

    def _more_provenance(self, cells: Cells, request: Request) -> dict[str, Any]:
        kinds, found = self._told(cells, request)
        return {
            "types": self._kind_names(kinds),
            "weights": [" ".join(f"{name}={weight:.3f}" for name, weight in one.weights.items()) for one in found],
            **{
                name: np.array([getattr(one, name) for one in found])
                for name in ("n_types", "effective_pairs", "inner_error", "mean_delta_error")
            },
        }
