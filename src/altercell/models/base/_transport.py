r"""Cells from a mean, by transport of templates: real target cells of alike types, brought to a predicted mean.

For each control cell i of type t, with its counts and its total :math:`n_i`:

1. a type k is drawn by the likeness of its control cells to those of t, and a measured target cell j of k, of like rank
   in total count;
2. the counts of j are brought to the total of i: thinned where :math:`n_i < n_j`, else scaled up and rounded at random;
3. a gene takes the template's count where the template's type is nearer to the predicted mean than the control cells
   are, else the cell's own;
4. every gene is calibrated to the predicted mean: counts are added from a negative binomial where it is too low, and
   thinned where it is too high.

All draws belong to a cell's name and a gene's name. With a fixed set of reference cells, a cell's prediction does not
depend on which cells are asked with it; else the asked cells of a type are the reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from altercell.models.base._keyed_draws import KeyedDraws, hashed
from altercell.models.base._profiles import Profiles, similarity_weights, typical_distance
from altercell.models.base._templates import Counted, Templates

#: Share of the typical distance at which a template type's weight has fallen by e.
LIKENESS = 0.3
#: At most so many reference cells of a type are used to calibrate.
CALIBRATION_CELLS = 1_024
ROUNDS = (0.9,) * 5 + (0.4,) * 5
STEP_RANGE = (0.4, 2.5)
#: Counts of some cells, their totals and their draws.
type Part = tuple[sparse.csr_matrix, np.ndarray, KeyedDraws]
MATCH_STREAM, SCALE_STREAM, THIN_STREAM, ADD_STREAM = range(4)


@dataclass(frozen=True)
class Matching:
    """Which template each cell takes.

    Attributes
    ----------
    types
        Code of the template's type, shape ``(n_cells,)``.
    templates
        Position of the template among the templates' cells, shape ``(n_cells,)``.
    """

    types: np.ndarray
    templates: np.ndarray

    def of(self, positions: np.ndarray | slice) -> Matching:
        """Return the matching of some of the cells.

        Parameters
        ----------
        positions
            Which cells.
        """
        return Matching(self.types[positions], self.templates[positions])


@dataclass(frozen=True)
class Calibration:
    """What brings a type's cells to the predicted mean.

    Attributes
    ----------
    take
        Whether a gene takes the template's count, by template type, shape ``(n_types, n_genes)``.
    add
        Expected counts to add for each unit of total count, shape ``(n_genes,)``; 0 for most genes.
    keep
        Probability that a molecule is kept, shape ``(n_genes,)``.
    theta
        Inverse dispersion of what is added, shape ``(n_genes,)``.
    """

    take: np.ndarray
    add: np.ndarray
    keep: np.ndarray
    theta: np.ndarray


class TemplateTransport:
    """Turns the control cells of one type into target cells with a given mean.

    Parameters
    ----------
    templates
        The training cells.
    types
        Codes of the types whose cells may be templates, shape ``(n_types,)``.
    reference
        Control cells of the asked type: those that are asked, or a fixed set. Calibration and ranks refer to them.
    profile
        Mean of the reference cells and its noise, one type.
    mean
        The predicted mean on the log scale, shape ``(n_genes,)``.
    fixed
        Whether the reference is a fixed set; then a cell's template does not depend on the cells asked with it, and may
        be drawn twice.
    seed
        Seed of all draws.
    """

    def __init__(
        self,
        templates: Templates,
        types: np.ndarray,
        reference: Counted,
        profile: Profiles,
        mean: np.ndarray,
        *,
        fixed: bool,
        seed: int,
    ) -> None:
        self.templates, self.types, self.mean, self.fixed, self.seed = templates, types, mean, fixed, seed
        self.genes = reference.cells.schema.genes
        self.weights = self._type_weights(profile)
        self.ranks = np.sort(reference.totals())
        control = profile.means[0]
        closer = np.abs(templates.target.means - mean) < np.abs(control - mean)
        self.calibration = Calibration(closer, np.zeros_like(mean), np.ones_like(mean), templates.theta(types))
        self.calibration = self._calibrated(reference)

    def _type_weights(self, profile: Profiles) -> np.ndarray:
        """Return how often each of the types is a template, shape ``(n_types,)``."""
        source, target = self.templates.source, self.templates.target
        known = source.joined(profile)
        # Of a type without control cells nothing tells how alike it is: as far as the farthest.
        distances = known.distances()
        seen = self.types[source.sizes[self.types] > 0]
        scale = LIKENESS * typical_distance(distances, np.append(seen, len(known.sizes) - 1))
        asked = distances[-1, self.types]
        if len(seen):
            asked = np.where(source.sizes[self.types] > 0, asked, distances[-1, seen].max())
        sizes = np.maximum(source.sizes[self.types], 1), target.sizes[self.types]
        return similarity_weights(asked, 1 / sizes[0] + 1 / sizes[1], scale)

    def matched(self, names: pd.Index, totals: np.ndarray) -> Matching:
        """Draw a template for each cell.

        Parameters
        ----------
        names
            Names of the cells.
        totals
            Their total counts, shape ``(n_cells,)``.
        """
        draws = KeyedDraws(names, np.array(["type", "template"]), self.seed).uniform(MATCH_STREAM).T
        edges = np.cumsum(self.weights)[:-1]
        place = np.searchsorted(edges, draws[0], side="right")
        chosen = np.empty(len(names), dtype=np.int64)
        for number, kind in enumerate(self.types):
            mine, pool = np.flatnonzero(place == number), self.templates.pools[kind]
            chosen[mine] = self._from_pool(pool, totals[mine], draws[1][mine])
        return Matching(self.types[place], chosen)

    def _from_pool(self, pool: np.ndarray, totals: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Return one of the pool's templates, which are sorted by total, for each cell, by rank of its total."""
        if self.fixed:
            # A little noise, so that cells of one total do not all take the same template.
            rank = np.searchsorted(self.ranks, totals) / len(self.ranks) + (draws - 0.5) / np.sqrt(len(pool))
            return pool[(np.clip(rank, 0, 1 - 1e-9) * len(pool)).astype(int)]
        order = np.lexsort((draws, totals))
        whole, rest = divmod(len(totals), len(pool))
        # Every template as often as the next one, but for a random few that are drawn once more.
        more = np.sort(np.argsort(hashed(np.arange(len(pool)), self.seed), kind="stable")[:rest])
        taken = np.sort(np.concatenate([np.repeat(np.arange(len(pool)), whole), more]))
        result = np.empty(len(totals), dtype=np.int64)
        result[order] = pool[taken]
        return result

    def raw(
        self, cells: Counted, positions: slice | np.ndarray, matching: Matching
    ) -> tuple[np.ndarray, np.ndarray, KeyedDraws]:
        """Return cells after the first three steps, their totals, and their draws.

        Parameters
        ----------
        cells, positions, matching
            See :meth:`make`.
        """
        counts, totals = cells.read(positions)
        draws = KeyedDraws(cells.cells.adata.obs_names[cells.cells.rows[positions]], self.genes, self.seed)
        brought, have = self.templates.cells.read(matching.templates)
        ratio = totals / have
        up = np.floor(brought * ratio + draws.uniform(SCALE_STREAM)).astype(np.int64)
        brought = np.where(ratio < 1, draws.thinned(brought, np.minimum(ratio, 1), SCALE_STREAM), up)
        return np.where(self.calibration.take[matching.types], brought, counts), totals, draws

    def finished(self, counts: np.ndarray, totals: np.ndarray, draws: KeyedDraws) -> np.ndarray:
        """Return cells after the fourth step.

        Parameters
        ----------
        counts, totals, draws
            See :meth:`raw`.
        """
        fit = self.calibration
        high = np.flatnonzero(fit.keep < 1)
        kept = counts.copy()
        kept[:, high] = draws.thinned(counts[:, high], fit.keep[high], THIN_STREAM, high)
        low = np.flatnonzero(fit.add > 0)
        kept[:, low] += draws.negative_binomial(totals * fit.add[low], fit.theta[low], ADD_STREAM, low)
        return kept

    def _calibrated(self, reference: Counted) -> Calibration:
        """Find by how much each gene has to be raised or thinned for the mean to be the predicted one."""
        names = reference.cells.adata.obs_names[reference.cells.rows]
        few = np.sort(np.argsort(hashed(names, self.seed), kind="stable")[:CALIBRATION_CELLS])
        some = reference.at(reference.cells.rows[few])
        matching = self.matched(names[few], some.totals())
        parts: list[Part] = []
        for positions in some.slices():
            counts, totals, draws = self.raw(some, positions, matching.of(positions))
            parts.append((sparse.csr_matrix(counts), totals, draws))
        start = _mean_log((part.toarray(), totals) for part, totals, _ in parts)
        low = start < self.mean
        add = np.where(low, np.expm1(self.mean) - np.expm1(start), 0.0)
        keep = np.where(low | (start <= 0), 1.0, self.mean / np.maximum(start, 1e-12))
        best, least = (add, keep), np.full(len(start), np.inf)
        for power in (*ROUNDS, 0.0):
            self.calibration = replace(self.calibration, add=add, keep=keep)
            done = ((self.finished(part.toarray(), totals, draws), totals) for part, totals, draws in parts)
            reached = _mean_log(done)
            # Each gene keeps the round that came nearest: some overshoot, and draws come in steps.
            nearer = np.abs(reached - self.mean) < least
            best = np.where(nearer, add, best[0]), np.where(nearer, keep, best[1])
            least = np.where(nearer, np.abs(reached - self.mean), least)
            with np.errstate(divide="ignore", invalid="ignore"):
                raised = np.where(low, (self.mean - start) / (reached - start), 1.0)
                thinned = np.where(low, 1.0, self.mean / reached)
            step = np.clip(np.nan_to_num(np.where(low, raised, thinned), nan=1.0, posinf=STEP_RANGE[1]), *STEP_RANGE)
            add, keep = add * np.where(low, step**power, 1.0), np.minimum(keep * np.where(low, 1.0, step**power), 1.0)
        return replace(self.calibration, add=best[0], keep=best[1])

    def make(self, asked: Counted, positions: np.ndarray | slice, matching: Matching) -> tuple[np.ndarray, np.ndarray]:
        """Return predicted cells.

        Parameters
        ----------
        asked
            Control cells of the type.
        positions
            Which of them.
        matching
            Their templates; see :meth:`matched`.

        Returns
        -------
        Counts, int64 of shape ``(n, n_genes)``, and log values of the same shape.
        """
        counts, totals, draws = self.raw(asked, positions, matching)
        counts = self.finished(counts, totals, draws)
        return counts, np.log1p(counts / totals)


def _mean_log(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the mean of cells, given as counts and totals, on the log scale, shape ``(n_genes,)``."""
    total, n_cells = np.zeros(1), 0
    for counts, totals in parts:
        total, n_cells = total + np.log1p(counts / totals).sum(0), n_cells + len(counts)
    return total / n_cells
