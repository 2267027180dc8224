"""The first half of LatentGAN: a variational autoencoder of counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from anndata import AnnData
from mudata import MuData

from altercell._random import isolated_rng
from altercell.models.base import AltercellModel, TrainingMixin
from altercell.models.scvi import ScviModule

#: Dispersion of a gene's counts beyond Poisson's, from which training starts: a usual one of counts of molecules.
START_DISPERSION = 0.2


class CountVAE(TrainingMixin, AltercellModel):
    """scVI's network with negative binomial counts :cite:p:`Lopez2018`, which knows neither conditions nor labels.

    Whatever tells cells apart is then in its latent space. It is trained by :class:`LatentGAN`.

    Parameters
    ----------
    adata
        AnnData of counts registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_latent, n_hidden, n_layers
        Dimensions of the latent space, width of the hidden blocks, and their number on each side.
    seed
        Seed of the initial weights, and of training where that is given none.
    """

    _plan_defaults: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-3,
        "eps": 0.01,
        "weight_decay": 1e-6,
        "n_epochs_kl_warmup": 50,
    }

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_latent: int = 10,
        n_hidden: int = 128,
        n_layers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._require_counts()
        with isolated_rng(self.seed):
            self.module = ScviModule(
                len(self.schema.genes),
                1,
                1,
                n_latent=n_latent,
                n_hidden=n_hidden,
                n_layers=n_layers,
                gene_likelihood="nb",
            )
            # scVI starts with dispersions between .1 and 10, and few cells do not move them far in a short training.
            torch.nn.init.constant_(self.module.px_r, -math.log(START_DISPERSION))
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())
