"""The mean difference of the other types, added in gene space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from altercell.models.base import ProfileWeights
from altercell.models.baselines._shift import ShiftModel


class MeanShift(ShiftModel):
    r"""Vector arithmetic in gene space: the cell and the mean difference of the other types.

    .. math:: \hat x = x + \sum_{k \in K} w^t_k \bar x_{tk} - \sum_{k \in K} w^s_k \bar x_{sk},

    where K are the types with training cells in source and target, without the cell's own. The weights are equal, as
    in scGen's balanced delta (there with ``types="shared"``) :cite:p:`Lotfollahi2019`, which is then the mean of the
    types' differences; or, with ``weights="unbalanced"``, :math:`w^c_k \propto n_{ck}`. Without ``labels_key``
    it is the difference of the two conditions' means.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a model file, where there is no AnnData.
    weights
        ``"balanced"``: every type counts alike; ``"unbalanced"``: every cell counts alike.
    clip
        Whether negative values, which a shift gives where a gene goes down, are set to 0. That moves the means.
    own_type
        Whether a type that training has seen under both conditions, for example in other donors, is moved by its own
        difference. Other types are moved as ever.
    seed
        For the signature that all models share.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        weights: ProfileWeights = "balanced",
        clip: bool = False,
        own_type: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, weights=weights, clip=clip, seed=seed)
        self.own_type = own_type
        self.init_params_ = self._get_init_params(locals())

    def _delta(self, source: int, target: int, own: int) -> np.ndarray:
        if self.own_type and own >= 0 and (self._group_sizes()[[source, target], own] > 0).all():
            return self._type_means(target)[own] - self._type_means(source)[own]
        types = self._other_types(own, source, target)
        return self._mean(target, types) - self._mean(source, types)
