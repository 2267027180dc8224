"""`generate`: cells of noise, of any number and class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from anndata import AnnData

from altercell import __version__
from altercell._space import COUNTS, log_space
from altercell.errors import DataError, check_choice
from altercell.models.base import Augmentation, ClassCounts, CountDraws, CountHead, answer
from altercell.models.base._answer import replace_column
from altercell.models.base._cells import check_batch_size
from altercell.models.base._schema import REGISTRY_ENTRY

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

Values = Literal["model", "log", "rounded", "counts"]
LOG_TOTAL = 10_000
#: What is made to fit the count head: of each class, and of all together at least.
HEAD_CELLS, LEAST_HEAD_CELLS = 100, 1_000
DOUBTS = {
    "model": "a generator's values vary less than counts, and few of them are zero: compare with real cells",
    "rounded": "values below a half were rounded to none, so that cells have fewer counts than measured ones, or none",
    "counts": "the noise of the counts is drawn gene by gene, around what the generator made: compare with real cells",
}


class Generation(Augmentation, Base):
    """`generate`, for a model that makes cells of noise and perhaps of a class."""

    @property
    def _beside_measured(self) -> Mapping[str, Any]:
        return {"output": "counts"} if self.module.scales else {}

    def _generate(
        self,
        n: int | Mapping[object, int],
        labels: object | Sequence[object] | None,
        condition: object | None,
        output: Values,
        seed: int | None,
        batch_size: int,
        path: str | Path | None,
    ) -> AnnData:
        self._check_trained()
        self._check_output(output)
        with self._inference(seed) as used:
            rng = np.random.default_rng(used)
            # Generators of their own, so that the same seed makes the same cells for every output.
            totals_rng, counts_rng = rng.spawn(2)
            groups = self._asked_groups(n, labels, condition, rng)
            obs = self._obs_of(groups)
            provenance = {
                "model": type(self).__name__,
                "verb": "generate",
                "version": __version__,
                "space": self._output_space(output),
                "library_size": self._library_size(),
                "seed": used,
                "batch_key": self.schema.batch_key if self.classes in ("conditions", "both") else None,
                "labels_key": self.schema.labels_key if self.classes in ("labels", "both") else None,
                "n_genes_total": self.registry_.get(REGISTRY_ENTRY, {}).get("n_genes_total"),
                "trust": [DOUBTS.get(output, DOUBTS["model"]), *self._few_cells(groups)],
            }
            classes, key, totals = self._class_of(groups), self.schema.size_factor_key, None
            whole = output in ("rounded", "counts")
            if whole and not self.module.makes_totals:
                totals = self._drawn_totals(classes, totals_rng)
            if whole and key is not None:
                obs[key] = np.ones(len(classes))  # until the cells are made
            draws = CountDraws(int(counts_rng.integers(2**63))) if output == "counts" else None
            sums: list[tuple[np.ndarray, np.ndarray]] = []
            made = answer(
                self._blocks(classes, output, totals, draws, rng, check_batch_size(batch_size), sums),
                obs,
                self._var(),
                provenance,
                path,
            )
            if whole and key is not None:
                # With all genes registered, a cell's total is its sum; else it is not below what was drawn of these.
                drawn, asked = (np.concatenate(part) for part in zip(*sums, strict=True))
                least, over_all = np.maximum(drawn, 1), asked / self.module.covered.cpu().numpy()[classes]
                every = provenance["n_genes_total"] in (None, len(self.schema.genes))
                made = replace_column(made, key, least if every else np.maximum(over_all, least))
            return made

    def _blocks(
        self,
        classes: np.ndarray,
        output: Values,
        totals: np.ndarray | None,
        draws: CountDraws | None,
        rng: np.random.Generator,
        batch_size: int,
        sums: list[tuple[np.ndarray, np.ndarray]],
    ) -> Iterator[np.ndarray]:
        """Yield cells as they are asked for, by blocks; note the sum of each, and the total that it was asked for."""
        for rows, block in self._generated(classes, batch_size, rng):
            asked = None if totals is None else totals[rows]
            if self.module.makes_totals and output in ("rounded", "counts"):
                asked = block.sum(axis=1, dtype=np.float64)
            cells = self._as(output, block, classes[rows], asked, draws)
            found = cells.sum(axis=1, dtype=np.float64)
            sums.append((found, found if asked is None else asked))
            yield cells

    def _check_output(self, output: str) -> None:
        check_choice("output", output, get_args(Values))
        if output in ("rounded", "counts") and not self.module.scales:
            raise DataError(f"output='{output}' makes counts, and this model was set up on log data")
        if output == "log" and self.module.scales and self._total_is_of_a_subset():
            raise DataError(
                "output='log' needs each cell's total over all genes, and these counts are of a choice of genes; set "
                "the model up with size_factor_key='size_factor' (altercell.data writes it)"
            )

    def _generated(
        self, classes: np.ndarray, batch_size: int, rng: np.random.Generator
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield what the network makes of each class, by blocks, and which of the cells these are."""
        device = self.module.device
        for start in range(0, len(classes), batch_size):
            rows = slice(start, min(start + batch_size, len(classes)))
            # Drawn row by row, so that the batch size changes nothing.
            drawn = rng.standard_normal((rows.stop - start, self.module.n_latent), dtype=np.float32)
            noise, mine = torch.from_numpy(drawn).to(device), torch.from_numpy(classes[rows]).to(device)
            yield rows, self.module.make(noise, mine).cpu().numpy()

    def _as(
        self,
        output: Values,
        made: np.ndarray,
        classes: np.ndarray,
        totals: np.ndarray | None,
        draws: CountDraws | None,
    ) -> np.ndarray:
        """Return cells as they are asked for; `totals` are those of whole numbers."""
        if totals is None:
            return self._in_output(output, made, self.module.covered.cpu().numpy()[classes])
        share = _shares(made)
        if draws is None:
            return np.rint(totals[:, None] * share).astype(np.float32)
        head = CountHead(self.module.head_factors.cpu().numpy(), self.module.head_dispersion.cpu().numpy())
        # As little dispersion as makes no difference stands for none.
        size = torch.from_numpy(1 / np.maximum(head.dispersion, 1e-6))
        return draws(torch.from_numpy(head.means(share, totals, classes)), size).numpy()

    def _in_output(self, output: str, made: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """Return cells as the network makes them or, with ``"log"``, on the log scale.

        `covered` is the share of a cell's counts that the registered genes have, shape ``(n_cells,)``.
        """
        if output == "model" or not self.module.scales:
            return made
        return np.log1p(LOG_TOTAL * covered[:, None] * _shares(made))

    def _fit_count_head(self, measured: ClassCounts) -> None:
        """Fit the head that draws counts to what the trained generator makes of every class."""
        there = np.flatnonzero(measured.sizes > 0)
        classes = np.repeat(there, max(HEAD_CELLS, -(-LEAST_HEAD_CELLS // len(there))))
        with self._inference(0) as used:
            rng = np.random.default_rng(used)
            made = np.concatenate([block for _, block in self._generated(classes, HEAD_CELLS, rng)]).astype(np.float64)
        totals = made.sum(axis=1) if self.module.makes_totals else self._drawn_totals(classes, rng)
        head = CountHead.fit(_shares(made), totals, classes, measured)
        self.module.head_factors.copy_(torch.from_numpy(head.factors))
        self.module.head_dispersion.copy_(torch.from_numpy(head.dispersion))

    def _drawn_totals(self, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw totals from the distribution of each class, shape ``(n_cells,)``."""
        quantiles, place = self.module.totals.cpu().numpy().astype(np.float64), rng.random(len(classes))
        totals, shares = np.empty(len(classes)), np.linspace(0, 1, quantiles.shape[1])
        for number in np.unique(classes):
            mine = classes == number
            totals[mine] = np.interp(place[mine], shares, quantiles[number])
        return totals

    def _output_space(self, output: str) -> str:
        if not self.module.scales:
            return self.space
        if output in ("rounded", "counts"):
            return COUNTS
        if output == "log":
            return log_space(LOG_TOTAL)
        total = self._library_size()
        return "expected counts" if total is None else f"counts scaled to {total:,.0f}"

    def _library_size(self) -> float | None:
        """Return the total that every cell is scaled to; None where there is none."""
        one = self.module.scales and not self.module.makes_totals
        return float(self.module.generator.scaled.total) if one else None


def _shares(made: np.ndarray) -> np.ndarray:
    """Return each gene's share of its cell, shape ``(n_cells, n_genes)``."""
    return made / np.maximum(made.sum(axis=1, keepdims=True), 1e-8)
