"""The difference of a type, regressed on what its cells look like in the source condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError, KeyNotFoundError
from altercell.models.base import Cells, Request, group_sums
from altercell.models.baselines._shift import ShiftModel


def ridge_delta(
    profiles: np.ndarray, deltas: np.ndarray, profile: np.ndarray, n_components: int, penalty: float
) -> np.ndarray:
    r"""Predict the difference of one type from its source profile, by ridge regression over the other types.

    .. math::

        \delta = \bar d + z B, \qquad
        B = \arg\min_B \lVert D - \bar d - Z B \rVert^2 + \lambda K \lVert B \rVert^2

    Z are the first principal scores of the K profiles, scaled to unit variance, and z those of `profile`. As
    :math:`Z^\top Z = K I`, it is :math:`B = Z^\top (D - \bar d) / (K (1 + \lambda))`.

    Parameters
    ----------
    profiles, deltas
        Source profile and difference of the other types, shape ``(n_types, n_genes)`` each.
    profile
        Source profile of the asked type, shape ``(n_genes,)``.
    n_components
        Number of principal scores, at most ``n_types - 1``.
    penalty
        :math:`\lambda`.

    Returns
    -------
    The difference, shape ``(n_genes,)``.
    """
    n_types, mean = len(profiles), profiles.mean(axis=0)
    left, scale, axes = np.linalg.svd(profiles - mean, full_matrices=False)  # (n_types, r), (r,), (r, n_genes)
    used = (np.arange(len(scale)) < min(n_components, n_types - 1)) & (scale > 1e-6 * scale.max())
    scores = left[:, used] * np.sqrt(n_types)
    asked = axes[used] @ (profile - mean) / scale[used] * np.sqrt(n_types)
    slopes = scores.T @ (deltas - deltas.mean(axis=0)) / (n_types * (1 + penalty))  # (n_used, n_genes)
    return deltas.mean(axis=0) + asked @ slopes


class RidgeShift(ShiftModel):
    """A difference for each type, by ridge regression of the other types' differences on their source profiles.

    The equation is that of :func:`ridge_delta`, over the types with training cells in source and target, without the
    cell's own. A type's source profile is the mean of its training cells in the source condition; of a type without
    such cells, the mean of the cells that are asked together.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    n_components
        Number of principal components of the profiles.
    penalty
        Ridge penalty for each type: 1/5 shrinks every slope by 1/1.2.
    clip
        Whether negative values, which a shift gives where a gene goes down, are set to 0. That moves the means.
    seed
        For the signature that all models share.

    Raises
    ------
    DataError
        `n_components` is below 1, or `penalty` is negative.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_components: int = 5,
        penalty: float = 0.2,
        clip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, clip=clip, seed=seed)
        if n_components < 1 or penalty < 0:
            raise DataError(f"n_components={n_components} must be at least 1, and penalty={penalty} not negative")
        self.n_components, self.penalty = n_components, penalty
        self.init_params_ = self._get_init_params(locals())

    def _delta(self, source: int, target: int, own: int, profile: np.ndarray | None = None) -> np.ndarray:
        types = self._other_types(own, source, target)
        means = self._type_means(source)
        deltas = self._type_means(target)[types] - means[types]
        asked = means[own] if profile is None else profile
        return ridge_delta(means[types], deltas, asked, self.n_components, self.penalty)

    def _deltas(self, cells: Cells, request: Request) -> tuple[np.ndarray, np.ndarray]:
        own, kinds = self._own_types(request), self._asked_kinds(cells, request)
        _, first, place = np.unique(kinds, return_index=True, return_inverse=True)
        unknown = self._without_profile(request)
        sums = group_sums(self.cells(cells.data, cells.rows[unknown]), place[unknown], len(first), request.batch_size)
        sizes = np.bincount(place, minlength=len(first))
        deltas = [
            self._delta(request.source, request.target, own[cell], sums[kind] / sizes[kind] if unknown[cell] else None)
            for kind, cell in enumerate(first)
        ]
        return np.stack(deltas), place

    def _without_profile(self, request: Request) -> np.ndarray:
        """Return which asked cells are of a type that training has not seen in the source condition."""
        own = self._own_types(request)
        return (own < 0) | (self._group_sizes()[request.source, own] == 0)

    def _asked_kinds(self, cells: Cells, request: Request) -> np.ndarray:
        """Return a number for each asked cell's type, the types that training has not seen being told apart by name."""
        kinds, key = self._own_types(request).copy(), self.schema.labels_key
        unseen = kinds < 0
        try:
            names = None if key is None else self.schema.column(cells.data, key, "labels_key")
        except KeyNotFoundError:
            names = None
        if names is None or not unseen.any():
            return kinds
        names = names.iloc[cells.rows]
        kinds[unseen] = -1 - pd.factorize(names[unseen], use_na_sentinel=False)[0]
        return kinds

    def _doubts(self, cells: Cells, request: Request, **options: object) -> list[str]:
        doubts = super()._doubts(cells, request, **options)
        if self.schema.labels_key is not None and self._without_profile(request).any():
            doubts.append(
                "the source profile of a type that training has not seen is the mean of the cells asked together"
            )
        return doubts
