"""Cells that were never measured: samples of the aggregated posterior, or of the prior, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from altercell import __version__
from altercell.errors import DataError, GroupError, NotTrainedError, check_choice
from altercell.models.base._answer import answer
from altercell.models.base._cells import Cells, check_batch_size
from altercell.models.base._generative import GenerativeModel
from altercell.models.base._latent import INFERENCE_BATCH

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

Origin = Literal["posterior", "prior"]


class LatentGeneration(GenerativeModel, Base):
    """`generate`, for a model with a latent space whose decoder reads no group."""

    def generate(  # type: ignore[override] # as in predict
        self,
        n: int,
        *,
        origin: Origin = "posterior",
        condition: object | None = None,
        labels: object | None = None,
        size_factor: float | None = None,
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells: decode samples of the aggregated posterior, or of the prior.

        Parameters
        ----------
        n
            How many.
        origin
            ``"posterior"``: a random training cell's posterior is sampled (its obs is kept, its name in
            ``obs["seed_cell"]``); ``"prior"``: z ~ N(0, 1), with no group.
        condition, labels
            Only seed cells of this condition and this type; with ``origin="posterior"``.
        size_factor
            Total of a generated cell, for count likelihoods; None: the seed cell's, or the median with ``"prior"``.
        seed
            Seed of the draw.
        batch_size
            Cells a batch.
        path
            An ``.h5ad`` file to write to.

        Returns
        -------
        The generated cells. The decoder gives expected values: they vary less than measured cells.

        Raises
        ------
        NotTrainedError
            ``origin="posterior"`` and the model has no training cells (it was loaded without).
        """
        if n < 1:
            raise DataError(f"n={n} must be at least 1")
        check_choice("origin", origin, get_args(Origin))
        if origin == "prior" and (condition is not None or labels is not None):
            raise GroupError("the prior knows no groups; use origin='posterior' with condition= and labels=")
        with self._inference(seed) as used:
            rng = np.random.default_rng(used)
            cells = self._seed_cells(n, condition, labels, rng) if origin == "posterior" else None
            obs = pd.DataFrame(index=[f"generated_{number}" for number in range(n)])
            if cells is not None:
                obs = cells.obs().assign(seed_cell=cells.adata.obs_names[cells.rows]).set_index(obs.index)
            provenance = {
                "model": type(self).__name__,
                "verb": "generate",
                "version": __version__,
                "origin": origin,
                "space": self.space,
                "seed": used,
                "batch_key": self.schema.batch_key,
                "labels_key": self.schema.labels_key,
                "trust": ["a decoder's mean has too little variance and too few zeros: compare with real cells"],
            }
            var = cells.var() if cells is not None else pd.DataFrame(index=pd.Index(self.schema.genes))
            return answer(self._generated(n, cells, size_factor, batch_size, rng), obs, var, provenance, path)

    def _generated(
        self, n: int, cells: Cells | None, size_factor: float | None, batch_size: int, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        for start in range(0, n, check_batch_size(batch_size)):
            rows = min(batch_size, n - start)
            # Drawn row by row, so that the batch size changes nothing.
            drawn = rng.standard_normal((rows, self.module.n_latent), dtype=np.float32)
            noise, sizes = torch.from_numpy(drawn).to(self.module.device), None
            if cells is None:
                z = noise
                if self.counts:
                    sizes = torch.full((rows, 1), size_factor or self._median_size(), device=z.device)
            else:
                batch = self._to_device(cells[slice(start, start + rows)])
                mean, variance = self._encode(batch)
                z = mean + variance.sqrt() * noise
                sizes = batch.get("size_factor")
                if sizes is not None and size_factor is not None:
                    sizes = torch.full_like(sizes, size_factor)
            yield self._decode(z, sizes).cpu().numpy()

    def _median_size(self) -> float:
        if self.adata is None:
            raise NotTrainedError("size_factor= is needed: this model has no training cells to take a total from")
        cells = self.cells(size_factors=True)
        totals = [batch["size_factor"] for _, batch in cells.batches(INFERENCE_BATCH)]
        return float(torch.cat(totals).median())

    def _seed_cells(self, n: int, condition: object | None, labels: object | None, rng: np.random.Generator) -> Cells:
        if self.adata is None:
            raise NotTrainedError(
                "origin='posterior' draws from the training cells, and this model has none; give load() an adata="
            )
        keep = np.ones(self.schema.anndata(self.adata).n_obs, dtype=bool)
        if condition is not None:
            keep &= self.schema.condition_codes(self.adata) == self.schema.condition_code(condition, "condition")
        if labels is not None:
            keep &= self.schema.cell_label_codes(self.adata) == self.schema.label_code(labels, "labels")
        if not keep.any():
            raise GroupError(f"no training cell is of condition '{condition}' and label '{labels}'")
        return self._latent_cells(None, np.sort(rng.choice(np.flatnonzero(keep), n)))
