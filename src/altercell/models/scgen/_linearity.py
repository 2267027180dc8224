"""Is the response a straight direction in latent space? The classifier and the cosines of the paper's Supplement."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from altercell.errors import GroupError

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object


class Linearity(Base):
    """`classify` and `delta_cosines`, for a model with latent arithmetic."""

    def classify(self, *, source: object, target: object, midpoint: bool = True, **options: Any) -> pd.DataFrame:
        r"""Tell the cells of two conditions apart by their dot product with the delta (Supplemental Figure 1a, b).

        .. math:: s_n = \langle z_n, \delta \rangle

        Parameters
        ----------
        source, target
            Conditions.
        midpoint
            Whether the scores are counted from the middle between the two conditions' mean scores; else from 0.
        **options
            Options of :meth:`get_delta`.

        Returns
        -------
        One row a registered cell of the two conditions: ``condition``, ``score`` and ``predicted`` (`target` above 0).
        The share of right ones is in ``attrs["accuracy"]``.
        """
        delta = self.get_delta(source, target, **options)
        codes = self.schema.condition_codes(self.cells().data)
        ends = [
            self.schema.condition_code(name, argument) for name, argument in ((source, "source"), (target, "target"))
        ]
        rows = np.flatnonzero(np.isin(codes, ends))
        score = self.get_latent_representation(indices=rows) @ delta
        at_target = codes[rows] == ends[1]
        if midpoint:
            score = score - 0.5 * (score[at_target].mean() + score[~at_target].mean())
        table = pd.DataFrame(
            {
                "condition": self.schema.conditions[codes[rows]],
                "score": score,
                "predicted": np.where(score > 0, self.schema.conditions[ends[1]], self.schema.conditions[ends[0]]),
            },
            index=self.schema.anndata(self.adata).obs_names[rows],
        )
        table.attrs["accuracy"] = float(((score > 0) == at_target).mean())
        return table

    def delta_cosines(
        self, *, source: object, target: object, n_random: int = 1_000, seed: int = 0, **options: Any
    ) -> pd.DataFrame:
        """Return the cosines of Supplemental Figure 1c.

        Parameters
        ----------
        source, target
            Conditions.
        n_random
            Number of standard normal vectors whose pairwise cosines are given beside.
        seed
            Seed of these.
        **options
            Options of :meth:`get_delta`.

        Returns
        -------
        One row a cosine: ``kind`` is ``"delta of a type"`` (each type's own delta with the delta),
        ``"difference of types"`` (each pair's difference, over both conditions, with the delta) or ``"random"`` (all
        pairs of the random vectors); ``name`` says which; ``cosine`` is its value.
        """
        if self.schema.labels_key is None:
            raise GroupError("cosines of cell types need labels_key at setup")
        delta = self.get_delta(source, target, **options).astype(np.float64)
        means, sizes = self.group_means()
        ends = [
            self.schema.condition_code(name, argument) for name, argument in ((source, "source"), (target, "target"))
        ]
        names = self.schema.labels
        both = np.flatnonzero((sizes[ends] > 0).all(axis=0))
        there = np.flatnonzero(sizes[ends].sum(axis=0) > 0)
        pooled = (sizes[ends][..., None] * means[ends]).sum(0) / np.maximum(sizes[ends].sum(0), 1)[:, None]
        rows = [("delta of a type", names[k], _cosine(means[ends[1], k] - means[ends[0], k], delta)) for k in both]
        rows += [
            ("difference of types", f"{names[i]} - {names[j]}", _cosine(pooled[i] - pooled[j], delta))
            for i, j in combinations(there, 2)
        ]
        vectors = np.random.default_rng(seed).standard_normal((n_random, len(delta)))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pairs = (vectors @ vectors.T)[np.triu_indices(n_random, 1)]
        table = pd.DataFrame(rows, columns=["kind", "name", "cosine"])
        return pd.concat([table, pd.DataFrame({"kind": "random", "name": "", "cosine": pairs})], ignore_index=True)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(float).tiny))
