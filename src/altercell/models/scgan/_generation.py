"""`generate`: cells of noise, of any number and class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from altercell import __version__
from altercell._space import COUNTS, log_space
from altercell.errors import DataError, check_choice
from altercell.models.base import ClassCounts, ClassedGeneration, CountDraws, CountHead, answer
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


class Generation(ClassedGeneration, Base):
    """`generate`, for a model that makes cells of noise and perhaps of a class."""

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
        check_choice("output", output, get_args(Values))
        if output in ("rounded", "counts") and not self.module.scales:
            raise DataError(f"output='{output}' makes counts, and this model was set up on log data")
        if output == "log" and self.module.scales and self._total_is_of_a_subset():
            raise DataError(
                "output='log' needs each cell's total over all genes, and these counts are of a choice of genes; set "
                "the model up with size_factor_key='size_factor' (altercell.data writes it)"
            )
        with self._inference(seed) as used:
            rng = np.random.default_rng(used)
            groups = self._asked_groups(n, labels, condition, rng)
            obs = self._obs_of(groups)
            provenance = {
                "model": type(self).__name__,
                "verb": "generate",
                "version": __version__,
                "space": self._output_space(output),
                "library_size": float(self.module.generator.scaled.total) if self.module.scales else None,
                "seed": used,
                "batch_key": self.schema.batch_key if self.classes in ("conditions", "both") else None,
                "labels_key": self.schema.labels_key if self.classes in ("labels", "both") else None,
                "n_genes_total": self.registry_.get(REGISTRY_ENTRY, {}).get("n_genes_total"),
                "trust": [DOUBTS.get(output, DOUBTS["model"]), *self._few_cells(groups)],
            }
            key = self.schema.size_factor_key
            if key is not None and output in ("rounded", "counts"):
                classes = self._class_of(groups)
                drawn = self._latent_draws(np.random.default_rng(used), len(classes))[:, -1]
                obs[key] = self._totals(classes, drawn) / self.module.covered.cpu().numpy()[classes]
            var = pd.DataFrame(index=pd.Index(self.schema.genes)) if self.adata is None else self.cells().var()
            draws = CountDraws(used) if output == "counts" else None
            blocks = self._made(self._class_of(groups), output, check_batch_size(batch_size), rng, draws)
            made = answer(blocks, obs, var, provenance, path)
            if key is not None and key in made.obs and not made.isbacked:
                # A cell's total is not below what was drawn of the registered genes.
                made.obs[key] = np.maximum(made.obs[key], np.asarray(made.X.sum(axis=1)).ravel())
            return made

    def _made(
        self,
        classes: np.ndarray,
        output: Values,
        batch_size: int,
        rng: np.random.Generator,
        draws: CountDraws | None = None,
    ) -> Iterator[np.ndarray]:
        device = self.module.device
        for start in range(0, len(classes), batch_size):
            mine = classes[start : start + batch_size]
            # Drawn row by row, so that the batch size changes nothing.
            drawn = self._latent_draws(rng, len(mine))
            noise = torch.from_numpy(np.ascontiguousarray(drawn[:, :-1])).to(device)
            made = self.module.make(noise, torch.from_numpy(mine).to(device)).cpu().numpy()
            yield self._as(output, made, mine, drawn[:, -1], draws)

    def _latent_draws(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return normal numbers for so many cells: the noise, and one that chooses the total."""
        return rng.standard_normal((n, self.module.n_latent + 1), dtype=np.float32)

    def _as(
        self, output: Values, made: np.ndarray, classes: np.ndarray, drawn: np.ndarray, draws: CountDraws | None
    ) -> np.ndarray:
        """Return cells as they are asked for; `drawn` are standard normal numbers, which choose the totals."""
        if output == "model" or not self.module.scales:
            return made
        share = made / np.maximum(made.sum(axis=1, keepdims=True), 1e-8)
        if output == "log":
            return np.log1p(LOG_TOTAL * self.module.covered.cpu().numpy()[classes][:, None] * share)
        totals = self._totals(classes, drawn)
        if draws is None:
            return np.rint(totals[:, None] * share).astype(np.float32)
        head = CountHead(self.module.head_factors.cpu().numpy(), self.module.head_dispersion.cpu().numpy())
        # As little dispersion as makes no difference stands for none.
        size = torch.from_numpy(1 / np.maximum(head.dispersion, 1e-6))
        return draws(torch.from_numpy(head.means(share, totals, classes)), size).numpy()

    def _fit_count_head(self, measured: ClassCounts) -> None:
        """Fit the head that draws counts to what the trained generator makes of every class."""
        there = np.flatnonzero(measured.sizes > 0)
        classes = np.repeat(there, max(HEAD_CELLS, -(-LEAST_HEAD_CELLS // len(there))))
        with self._inference(0) as used:
            rng = np.random.default_rng(used)
            made = np.concatenate(list(self._made(classes, "model", HEAD_CELLS, rng))).astype(np.float64)
        profiles = made / np.maximum(made.sum(axis=1, keepdims=True), 1e-8)
        totals = self._totals(classes, rng.standard_normal(len(classes), dtype=np.float32)).astype(np.float64)
        head = CountHead.fit(profiles, totals, classes, measured)
        self.module.head_factors.copy_(torch.from_numpy(head.factors))
        self.module.head_dispersion.copy_(torch.from_numpy(head.dispersion))

    def _totals(self, classes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return totals from the distribution of each class."""
        quantiles = self.module.totals.cpu().numpy()
        place = torch.special.ndtr(torch.from_numpy(drawn)).numpy() * (quantiles.shape[1] - 1)
        below = np.minimum(place.astype(np.int64), quantiles.shape[1] - 2)
        low, high = quantiles[classes, below], quantiles[classes, below + 1]
        return low + (place - below) * (high - low)

    def _output_space(self, output: Values) -> str:
        if not self.module.scales:
            return self.space
        if output in ("rounded", "counts"):
            return COUNTS
        return log_space(LOG_TOTAL) if output == "log" else f"counts scaled to {self._library_size():,.0f}"

    def _library_size(self) -> float:
        return float(self.module.generator.scaled.total)
