"""Walks through scGen's latent space: between two states, across studies, along two axes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import ot
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from altercell import __version__
from altercell.errors import DataError, GroupError, KeyNotFoundError, check_choice, listing
from altercell.models.base import INFERENCE_BATCH, Cells, answer
from altercell.models.base._response import label_list

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

Start = Literal["reference", "study"]
Way = Literal["both", "condition", "label"]
Pairing = Literal["pool", "rank", "transport"]


class Paths(Base):
    """`interpolate`, `predict_study` and `predict_two_axes`, for a model with latent arithmetic."""

    def interpolate(
        self,
        *,
        source: object,
        target: object,
        labels: object | None = None,
        n: int = 2_000,
        batch_size: int = INFERENCE_BATCH,
        **options: Any,
    ) -> AnnData:
        """Return cells on the straight latent line from the mean source cell to the mean predicted cell.

        As in Supplemental Note 6 of :cite:p:`Lotfollahi2019`: the average source cell and the average predicted cell
        are encoded, `n` points between them are decoded.

        Parameters
        ----------
        source, target, labels
            As in :meth:`predict`.
        n
            Number of points, both ends included.
        batch_size
            Cells a batch.
        **options
            Options of :meth:`predict` for the delta.

        Returns
        -------
        The points as cells, in order; ``obs["fraction"]`` is 0 at the source and 1 at the target.
        """
        if n < 2:
            raise DataError(f"n={n} must be at least 2")
        refused = {"adata", "indices", "path", "output"} & set(options)
        if refused:
            raise TypeError(f"interpolate() has no argument {listing(sorted(refused))}")
        self.schema.condition_code(target, "target")  # one, where predict would take several
        predicted = self.predict(source=source, target=target, labels=labels, batch_size=batch_size, **options)
        cells = self._source_cells(None, source, label_list(labels), None)
        start_cell, total = _mean_of(cells, batch_size), self._mean_total(cells, batch_size)
        end_cell = np.asarray(predicted.X.mean(axis=0), dtype=np.float32).reshape(1, -1)
        ends = self._encode_values(np.concatenate([start_cell, end_cell]), total)
        fraction = np.linspace(0, 1, n, dtype=np.float32)[:, None]
        line = (1 - fraction) * ends[0] + fraction * ends[1]
        sizes = None if total is None else np.full(n, total, dtype=np.float32)
        obs = pd.DataFrame({"fraction": fraction[:, 0]}, index=[f"step_{number}" for number in range(n)])
        asked = label_list(labels) or []
        if len(asked) == 1:
            obs[self.schema.labels_key] = pd.Categorical(asked * n)
        return self._decoded(line, sizes, obs, predicted.var, "interpolate", source, target, batch_size)

    def predict_study(
        self,
        adata: AnnData | MuData,
        *,
        source: object,
        target: object,
        labels: object | None = None,
        start: Start = "reference",
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        r"""Predict the response of another study, of which only unperturbed cells are known (the paper's Figure 4).

        The study effect is a latent difference, taken within the shared cell types K where both studies know them:

        .. math:: \delta_{study} = \frac1{|K|} \sum_{k \in K} (\bar z^B_{k} - \bar z^A_{source,k})

        Parameters
        ----------
        adata
            Study B: cells of condition `source`; a column of conditions is not needed.
        source, target
            Conditions of the training study A.
        labels
            A cell type; None for all.
        start
            One of

            * ``"reference"``: A's `target` cells + the study effect, for which A's cells must be registered (the
              paper);
            * ``"study"``: B's cells + the delta of the conditions, as :meth:`predict` does.
        batch_size, path
            As in :meth:`predict`.

        Returns
        -------
        Predicted `target` cells of study B; obs and names are those of the cells that were moved.

        Raises
        ------
        GroupError
            No such cells in one of the studies.
        """
        check_choice("start", start, get_args(Start))
        self._check_trained()
        source_code, target_code = (
            self.schema.condition_code(source, "source"),
            self.schema.condition_code(target, "target"),
        )
        study_labels = self.schema.cell_label_codes(adata)
        chosen = None if labels is None else self.schema.label_code(labels, "labels")
        rows = np.flatnonzero(self._unperturbed(adata, source) & (chosen is None or study_labels == chosen))
        if len(rows) == 0:
            raise GroupError(
                f"the study has no cell of condition '{source}'" + (f" and type '{labels}'" if labels else "")
            )
        trust = self._study_doubts(study_labels[rows], source_code, chosen, start, labels)
        if start == "study":
            moved, shift = self._latent_cells(adata, rows), self.get_delta(source, target)
        else:
            shift = self._study_delta(adata, rows, study_labels[rows], source_code, batch_size)
            moved = self._reference_cells(target_code, chosen)
        obs = moved.obs()
        obs[self.schema.batch_key] = pd.Categorical([target] * len(obs))
        return answer(
            self._moved(moved, shift, batch_size),
            obs,
            moved.var(),
            self._account("predict_study", source, target, start=start, trust=trust),
            path,
        )

    def _unperturbed(self, adata: AnnData | MuData, source: object) -> np.ndarray:
        """Return which cells of a study are of condition `source`: all where it has no column of conditions."""
        try:
            return np.asarray(self.schema.column(adata, str(self.schema.batch_key), "batch_key") == source)
        except KeyNotFoundError:
            return np.ones(self.schema.anndata(adata).n_obs, dtype=bool)

    def _study_doubts(
        self, codes: np.ndarray, source: int, chosen: int | None, start: Start, label: object
    ) -> list[str]:
        if start == "study" or self.schema.labels_key is None:
            return []
        known = self.group_means()[1][source] > 0
        if chosen is not None and not known[chosen]:
            raise GroupError(
                f"the training study has no unperturbed cell of type '{label}', so the study effect cannot be told "
                "from the difference of types; use start='study'"
            )
        if not known[codes[codes >= 0]].any():
            return ["no cell type is known in both studies: the study effect holds the difference of their types too"]
        return []

    def _study_delta(
        self, adata: AnnData | MuData, rows: np.ndarray, codes: np.ndarray, source: int, batch_size: int
    ) -> np.ndarray:
        means, sizes = self.group_means()
        latent = self.get_latent_representation(adata, indices=rows, batch_size=batch_size).astype(np.float64)
        shared = [code for code in np.unique(codes[codes >= 0]) if sizes[source, code] > 0]
        if shared and self.schema.labels_key is not None:
            return np.mean([latent[codes == code].mean(0) - means[source, code] for code in shared], axis=0).astype(
                np.float32
            )
        reference = sizes[source] @ means[source] / sizes[source].sum()
        return (latent.mean(0) - reference).astype(np.float32)

    def _reference_cells(self, condition: int, label: int | None) -> Cells:
        cells = self._latent_cells(None)
        keep = self.schema.condition_codes(cells.data) == condition
        if label is not None:
            keep &= self.schema.cell_label_codes(cells.data) == label
        if not keep.any():
            raise GroupError("the training study has no cell of this type in the target condition; use start='study'")
        cells.rows = np.flatnonzero(keep)
        return cells

    def predict_two_axes(
        self,
        *,
        source: object,
        target: object,
        label: object,
        references: object | Sequence[object] | None = None,
        way: Way = "both",
        pairing: Pairing = "pool",
        batch_size: int = INFERENCE_BATCH,
    ) -> AnnData:
        r"""Predict (label, target) along conditions and along labels: the paper's cross-species prediction.

        .. math:: z_{l,t} = \tfrac12 (z_{r,t} + \delta_{r \to l} + z_{l,s} + \delta_{s \to t})

        Each delta is taken over what both of its sides have in training. The two ways start from different cells, in
        different number; `pairing` says how they are brought together.

        Parameters
        ----------
        source, target
            Conditions.
        label
            The label (species) whose `target` cells are asked for.
        references
            Labels r with `target` cells; several are averaged over (Supplemental Figure 8); None for all others.
        way
            ``"both"``, or one way alone: ``"condition"`` or ``"label"``.
        pairing
            One of

            * ``"pool"``: cells of both ways, as many of each, are one population;
            * ``"rank"``: cells with the same rank along the delta of the conditions are averaged in latent space;
            * ``"transport"``: each cell of the first way is averaged with its partner by optimal transport.
        batch_size
            Cells a batch.

        Returns
        -------
        The predicted cells; ``obs["way"]`` says how each was reached.
        """
        if way not in get_args(Way) or pairing not in get_args(Pairing):
            raise DataError(f"way is one of {listing(get_args(Way))}, pairing one of {listing(get_args(Pairing))}")
        delta = self.get_delta(source, target, types="shared")
        schema = self.schema
        asked, target_code = schema.label_code(label, "label"), schema.condition_code(target, "target")
        ways: list[tuple[str, Cells, np.ndarray]] = []
        if way != "label":
            own = self._reference_cells(schema.condition_code(source, "source"), asked)
            ways.append(("condition", own, self.get_latent_representation(indices=own.rows) + delta))
        if way != "condition":
            for reference in self._references(references, label, target_code):
                cells = self._reference_cells(target_code, schema.label_code(reference, "references"))
                step = self.get_delta(reference, label, along="label", types="shared")
                ways.append(
                    (f"label from {reference}", cells, self.get_latent_representation(indices=cells.rows) + step)
                )
        latent, sizes, obs = self._brought_together(ways, pairing, delta)
        obs[schema.batch_key], obs[schema.labels_key] = (
            pd.Categorical([target] * len(obs)),
            pd.Categorical([label] * len(obs)),
        )
        return self._decoded(latent, sizes, obs, ways[0][1].var(), "predict_two_axes", source, target, batch_size)

    def _references(self, references: object | Sequence[object] | None, label: object, target: int) -> list[object]:
        if references is None:
            sizes = self.group_means()[1]
            found = [
                name for name, size in zip(self.schema.labels, sizes[target], strict=True) if size > 0 and name != label
            ]
            if not found:
                raise GroupError("no other label has cells in the target condition")
            return found
        single = isinstance(references, str) or not isinstance(references, Sequence)
        listed = [references] if single else list(references)  # type: ignore[call-overload]
        if label in listed:
            raise GroupError(f"references holds '{label}' itself; its own cells of the target are what is asked for")
        return listed

    def _brought_together(
        self, ways: list[tuple[str, Cells, np.ndarray]], pairing: Pairing, axis: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None, pd.DataFrame]:
        def _totals(cells: Cells) -> np.ndarray | None:
            return (
                np.concatenate([batch["size_factor"].numpy()[:, 0] for _, batch in cells.batches(INFERENCE_BATCH)])
                if self.counts
                else None
            )

        if pairing == "pool" or len(ways) == 1:
            ways = _equal_numbers(ways)
            obs = pd.concat([cells.obs().assign(way=name) for name, cells, _ in ways])
            obs.index = [f"{name}_{number}" for number, name in enumerate(obs.index)]
            sizes = [_totals(cells) for _, cells, _ in ways]
            return np.concatenate([z for _, _, z in ways]), np.concatenate(sizes) if self.counts else None, obs  # type: ignore[arg-type]
        first, others = ways[0], ways[1:]
        pair = _paired_by_rank if pairing == "rank" else _paired_by_transport
        own = first[2].astype(np.float64)
        # The label's ways are averaged first, so that the two axes count alike however many references there are.
        partner = np.mean([pair(own, z.astype(np.float64), axis) for _, _, z in others], axis=0)
        latent = (0.5 * (own + partner)).astype(np.float32)
        return latent, _totals(first[1]), first[1].obs().assign(way=f"both, paired by {pairing}")

    def _moved(self, cells: Cells, shift: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
        with self._inference():
            for _, batch in cells.batches(batch_size):
                moved = self._to_device(batch)
                latent = self._encode(moved)[0].cpu().numpy() + shift
                sizes = moved.get("size_factor")
                yield self._decode_numpy(latent, None if sizes is None else sizes.cpu().numpy())

    def _mean_total(self, cells: Cells, batch_size: int) -> float | None:
        """Return the mean total count of cells, for count likelihoods."""
        if not self.counts:
            return None
        return sum(float(batch["size_factor"].sum()) for _, batch in cells.batches(batch_size)) / len(cells)

    def _encode_values(self, values: np.ndarray, total: float | None) -> np.ndarray:
        batch = {"X": torch.from_numpy(values)}
        if total is not None:
            batch["size_factor"] = torch.full((len(values), 1), total)
        with self._inference():
            return self._encode(self._to_device(batch))[0].cpu().numpy()

    def _decoded(
        self,
        latent: np.ndarray,
        sizes: np.ndarray | None,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        verb: str,
        source: object,
        target: object,
        batch_size: int,
    ) -> AnnData:
        values = self.decode(latent, size_factor=sizes, batch_size=batch_size)
        return answer([values], obs, var, self._account(verb, source, target))

    def _account(self, verb: str, source: object, target: object, **more: Any) -> dict[str, Any]:
        return {
            "model": type(self).__name__,
            "verb": verb,
            "version": __version__,
            "source": str(source),
            "target": str(target),
            "batch_key": self.schema.batch_key,
            "labels_key": self.schema.labels_key,
            "space": self.space,
            "trust": [],
            **more,
        }


def _mean_of(cells: Cells, batch_size: int) -> np.ndarray:
    total = np.zeros(cells.n_genes)
    for start in range(0, len(cells), batch_size):
        total += np.asarray(
            cells.read(slice(start, start + batch_size), dense=False).sum(axis=0), dtype=np.float64
        ).ravel()
    return (total / len(cells)).astype(np.float32)[None]


def _equal_numbers(ways: list[tuple[str, Cells, np.ndarray]]) -> list[tuple[str, Cells, np.ndarray]]:
    """Cut the ways, evenly spaced, so that the condition's way has as many cells as those along labels together."""
    along_labels = [way for way in ways if way[0] != "condition"]
    if not along_labels or len(along_labels) == len(ways):
        return ways
    each = max(1, min(len(ways[0][2]) // len(along_labels), *(len(z) for _, _, z in along_labels)))
    wanted = [each * len(along_labels) if name == "condition" else each for name, _, _ in ways]
    cut = []
    for (name, cells, z), size in zip(ways, wanted, strict=True):
        keep = np.linspace(0, len(z) - 1, min(size, len(z))).round().astype(int)
        cells.rows = cells.rows[keep]
        cut.append((name, cells, z[keep]))
    return cut


def _paired_by_rank(own: np.ndarray, other: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return for each own cell the cell of the same rank along `axis` among the others."""
    rank = np.argsort(np.argsort(own @ axis, kind="stable"), kind="stable")
    place = np.round(rank / max(1, len(own) - 1) * (len(other) - 1)).astype(int)
    return other[np.argsort(other @ axis, kind="stable")[place]]


def _paired_by_transport(own: np.ndarray, other: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return for each own cell the mean of the others that optimal transport (squared Euclidean) sends it to."""
    plan = ot.emd(ot.unif(len(own)), ot.unif(len(other)), ot.dist(own, other))
    return plan @ other / plan.sum(axis=1, keepdims=True)
