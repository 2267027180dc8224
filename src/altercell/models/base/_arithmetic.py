"""Latent arithmetic: the difference of two groups' latent means, weighted so that cell numbers do not bias it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from altercell.errors import DataError, GroupError, NotTrainedError, check_choice, listing
from altercell.models.base._similarity import kinds_and_others, type_similarity
from altercell.models.base._ways import Kinds

if TYPE_CHECKING:
    from altercell.models.base._cells import Cells
    from altercell.models.base._model import AltercellModel as Base
    from altercell.models.base._request import Request
else:
    Base = object

Along = Literal["condition", "label"]
WeightScheme = Literal["balanced", "unbalanced", "resampled", "similarity"]
Weights = WeightScheme | Mapping[Any, float]
Types = Literal["all", "shared"] | Iterable[Any]


class LatentArithmetic(Base):
    r"""Differences of latent means, along conditions or along labels, for a model with group means.

    Notation: :math:`\bar z_{ck}` is the mean of :math:`E[z \mid x]` over the :math:`n_{ck}` training cells of
    condition :math:`c` and cell type :math:`k`.
    """

    def get_delta(
        self,
        source: object,
        target: object,
        *,
        along: Along = "condition",
        weights: Weights = "balanced",
        types: Types = "shared",
        nearest: int | None = None,
        nearest_to: object | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        r"""Return the latent difference between two conditions, or between two labels.

        With ``weights="balanced"`` it is

        .. math::

            \delta = \frac{1}{|K_t|} \sum_{k \in K_t} \bar z_{tk} - \frac{1}{|K_s|} \sum_{k \in K_s} \bar z_{sk},

        where :math:`K_c` are the types with cells in condition :math:`c`: the exact expectation of scGen's resampling
        of every type to the largest one's size :cite:p:`Lotfollahi2019`.

        Parameters
        ----------
        source, target
            The two groups: conditions, or labels with ``along="label"``.
        along
            What `source` and `target` are. Along labels, the conditions take the part of the types.
        weights
            One of

            * ``"balanced"``: every type counts alike (the paper's delta, without its randomness);
            * ``"unbalanced"``: every cell counts alike (the paper's biased delta);
            * ``"resampled"``: the paper's random resampling itself; needs the training cells;
            * ``"similarity"``: types count by how alike their cells in the source are to those of the type
              `nearest_to`, in gene space (:func:`similarity_weights`); needs the training cells;
            * a mapping from types to numbers, of which only the ratios count; other types do not enter.
        types
            Types that enter: ``"shared"`` (those with cells in both groups), ``"all"`` (the paper: in each group all
            that it has), or names. With a held-out type the paper's way puts that type into the source mean and not
            into the target mean, so that a difference of types enters the delta; ``"shared"``, our default, does not.
        nearest
            Of these, only so many whose source means are nearest (Euclidean) to that of the type `nearest_to`.
        nearest_to
            The type that is asked for, for `nearest` (it then never enters itself) and for ``weights="similarity"``.
        seed
            Seed of the resampling.

        Returns
        -------
        The difference, float32 of shape ``(n_latent,)``.

        Raises
        ------
        GroupError
            An unknown group or type, or no type left with cells on both sides.
        """
        self._check_trained()
        by_type = weights if isinstance(weights, Mapping) else None
        if by_type is None:
            check_choice("weights", str(weights), get_args(WeightScheme))
        means, sizes, start, end = self._axis(source, target, along)
        named_by = "types" if by_type is None else "weights"
        chosen = self._chosen_types(sizes, start, end, types if by_type is None else list(by_type), along, named_by)
        if weights == "similarity":
            chosen = chosen[(sizes[start, chosen] > 0) & (sizes[end, chosen] > 0)]
        if nearest is not None:
            chosen = self._nearest_types(means, sizes, start, end, chosen, nearest, nearest_to, along)
        if weights == "resampled":
            return self._resampled_delta(start, end, chosen, along, seed)
        given: np.ndarray | None = None
        if by_type is not None:
            given = self._given_weights(by_type, chosen, along)
        elif weights == "similarity":
            given = self._similarity_to(nearest_to, start, end, chosen, along)
        sides = []
        for group, name in ((start, source), (end, target)):
            there = sizes[group, chosen] > 0
            if not there.any():
                raise GroupError(
                    f"no training cell of '{name}' is of the types that enter the delta; choose others with types="
                )
            share = sizes[group, chosen] * 1.0 if weights == "unbalanced" else there * (1.0 if given is None else given)
            sides.append(share @ means[group, chosen] / share.sum())
        return (sides[1] - sides[0]).astype(np.float32)

    def group_means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the latent means of the training cells by condition and label, and the numbers of cells.

        Returns
        -------
        Means, float64 of shape ``(n_conditions, n_labels, n_latent)``, and sizes of shape ``(n_conditions, n_labels)``.
        """
        self._check_trained()
        module = self.module
        return module.latent_means.cpu().numpy().astype(np.float64), module.group_sizes.cpu().numpy().astype(np.int64)

    def _axis(self, source: object, target: object, along: Along) -> tuple[np.ndarray, np.ndarray, int, int]:
        means, sizes = self.group_means()
        if along == "condition":
            return (
                means,
                sizes,
                self.schema.condition_code(source, "source"),
                self.schema.condition_code(target, "target"),
            )
        if along == "label":
            codes = self.schema.label_code(source, "source"), self.schema.label_code(target, "target")
            return means.transpose(1, 0, 2), sizes.T, *codes
        raise DataError(f"along='{along}' is unknown; there are {listing(get_args(Along))}")

    def _weighted_deltas(
        self, cells: Cells, request: Request, weights: Weights, types: Types = "shared", **options: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the deltas of the asked cells, float32 of shape (n_deltas, n_latent), and which each cell takes."""
        if isinstance(weights, str) and weights == "similarity":
            if self.schema.labels_key is None:
                raise GroupError(
                    "weights='similarity' compares cell types, and the model was set up without labels_key"
                )
            if options.get("nearest") is not None:
                raise DataError("nearest= chooses types, and weights='similarity' weighs them all; give one of the two")
            kinds, refers = Kinds.of(cells), request.reference
            told_by = kinds if refers is None else kinds.among(refers)
            return self._similar_deltas(cells if refers is None else refers, told_by, request, types), kinds.place
        start, end = (self.schema.conditions[code] for code in (request.source, request.target))
        delta = LatentArithmetic.get_delta(self, start, end, weights=weights, types=types, seed=request.seed, **options)
        return delta[None], np.zeros(len(cells), dtype=np.int64)

    def _similar_deltas(self, cells: Cells, kinds: Kinds, request: Request, types: Types = "shared") -> np.ndarray:
        """Return the delta of each asked kind, weighted by likeness to it, float32 of shape (n_kinds, n_latent)."""
        means, sizes = self.group_means()
        start, end = request.source, request.target
        chosen = self._chosen_types(sizes, start, end, types, "condition")
        chosen = chosen[(sizes[start, chosen] > 0) & (sizes[end, chosen] > 0)]
        if len(chosen) == 0:
            raise GroupError("weights='similarity' needs a type with training cells in source and target")
        asked, others = kinds_and_others(self, cells, kinds, sizes[start])
        weights = type_similarity(self, start, end, chosen, asked, others)
        return (weights @ (means[end, chosen] - means[start, chosen])).astype(np.float32)

    def _given_weights(self, weights: Mapping[Any, float], chosen: np.ndarray, along: Along) -> np.ndarray:
        """Return the weights of the chosen types, whose codes are sorted."""
        names = self._type_names(along)
        values = np.array([float(weights[names[k]]) for k in chosen])
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise DataError(f"weights={dict(weights)} must be numbers of 0 or more, and not all 0")
        return values

    def _similarity_to(self, asked: object, start: int, end: int, chosen: np.ndarray, along: Along) -> np.ndarray:
        if along != "condition" or asked is None:
            raise DataError(
                "weights='similarity' weighs cell types by their likeness to one: name it with nearest_to=, and step "
                "along='condition'"
            )
        code = self.schema.label_code(asked, "nearest_to")
        if self.group_means()[1][start, code] == 0:
            raise GroupError(f"nearest_to='{asked}' has no training cells in the source, so nothing is like it")
        return type_similarity(self, start, end, chosen, np.array([code]))[0]

    def _type_names(self, along: Along) -> np.ndarray:
        return self.schema.labels if along == "condition" else self.schema.conditions

    def _chosen_types(
        self, sizes: np.ndarray, start: int, end: int, types: Types, along: Along, named_by: str = "types"
    ) -> np.ndarray:
        if isinstance(types, str) and types == "all":
            return np.flatnonzero((sizes[start] > 0) | (sizes[end] > 0))
        shared = np.flatnonzero((sizes[start] > 0) & (sizes[end] > 0))
        if isinstance(types, str) and types == "shared":
            if len(shared) == 0:
                raise GroupError("no type has training cells on both sides; types='all' uses what each side has")
            return shared
        names = self._type_names(along)
        wanted = [types] if isinstance(types, str) else list(types)
        code = self.schema.label_code if along == "condition" else self.schema.condition_code
        codes = np.unique(np.asarray([code(name, named_by) for name in wanted], dtype=np.int64))
        absent = [names[k] for k in codes if k not in shared]
        if absent:
            raise GroupError(
                f"{named_by}={listing(absent)} have no training cells on one side; there are {listing(names[shared])}"
            )
        return codes

    def _nearest_types(
        self,
        means: np.ndarray,
        sizes: np.ndarray,
        start: int,
        end: int,
        chosen: np.ndarray,
        nearest: int,
        to: object,
        along: Along,
    ) -> np.ndarray:
        if to is None or nearest < 1:
            raise DataError("nearest= takes a number of types, at least 1, and nearest_to= the type to be near to")
        code = (self.schema.label_code if along == "condition" else self.schema.condition_code)(to, "nearest_to")
        if sizes[start, code] == 0:
            raise GroupError(f"nearest_to='{to}' has no training cells in the source, so nothing is near to it")
        both = chosen[(sizes[start, chosen] > 0) & (sizes[end, chosen] > 0) & (chosen != code)]
        distance = np.linalg.norm(means[start, both] - means[start, code], axis=1)
        return both[np.argsort(distance, kind="stable")[:nearest]]

    def _resampled_delta(self, start: int, end: int, chosen: np.ndarray, along: Along, seed: int | None) -> np.ndarray:
        if self.adata is None:
            raise NotTrainedError(
                "weights='resampled' draws from the training cells, and this model has none; give load() an adata="
            )
        rng = np.random.default_rng(seed)
        data = self.adata
        first, second = self.schema.condition_codes(data), self.schema.cell_label_codes(data)
        group, kind = (first, second) if along == "condition" else (second, first)
        drawn = [_balanced_rows(group == side, kind, chosen, rng) for side in (start, end)]
        n_cells = min(map(len, drawn))
        # The larger condition is cut to the smaller one's size (Supplemental Note 1.3).
        rows = [rng.choice(side, n_cells, replace=False) for side in drawn]
        used, back = np.unique(np.concatenate(rows), return_inverse=True)
        latent = self.get_latent_representation(indices=used).astype(np.float64)[back]
        return (latent[n_cells:].mean(0) - latent[:n_cells].mean(0)).astype(np.float32)


def _balanced_rows(member: np.ndarray, kind: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw every type's cells, with replacement, to the size of the largest type."""
    groups = [rows for code in chosen if len(rows := np.flatnonzero(member & (kind == code)))]
    if not groups:
        raise GroupError("weights='resampled' found no cell to draw from in the AnnData that is attached to the model")
    largest = max(map(len, groups))
    return np.concatenate([rng.choice(rows, largest) for rows in groups])
