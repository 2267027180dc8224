"""ScGen: AnnData in, AnnData out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from anndata import AnnData
from mudata import MuData

from altercell._random import isolated_rng
from altercell.errors import check_choice
from altercell.models.base import AltercellModel, Autoencoder, GeneLikelihood, LatentGeneration, TrainingMixin
from altercell.models.scgen._integration import BatchRemoval
from altercell.models.scgen._linearity import Linearity
from altercell.models.scgen._module import KL, ScGenModule
from altercell.models.scgen._paths import Paths
from altercell.nn import OutputActivation

logger = logging.getLogger(__name__)


class ScGen(Autoencoder, LatentGeneration, BatchRemoval, Linearity, Paths, TrainingMixin, AltercellModel):
    """scGen: a variational autoencoder and vector arithmetic in its latent space :cite:p:`Lotfollahi2019`.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_hidden, n_layers, n_latent
        Width and number of hidden blocks on each side, and dimensions of the latent space. The paper's: 800, 2, 100.
    dropout_rate
        Dropout of the hidden blocks.
    kl_weight
        Weight of the divergence from the prior; half of it enters the loss, as in the paper's code.
    kl
        One of

        * ``"standard"``: the divergence from N(0, 1);
        * ``"variance_only"``: the paper's modified divergence (Supplemental Note 1.1).
    gene_likelihood
        One of

        * ``"gaussian"``: log data, squared error (the paper);
        * ``"nb"``, ``"zinb"``: counts, (zero-inflated) negative binomial.
    output_activation
        Of the Gaussian decoder: ``"linear"`` (the paper), ``"relu"`` or ``"softplus"``, which cannot be negative.
    seed
        Seed of the initial weights, and of training where that is given none.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> ac.ScGen.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.ScGen(adata, n_hidden=32, n_latent=8)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(source="control", target="stimulated").n_vars
    100
    """

    #: The paper's optimiser: Adam with the step, epsilon and weight decay of its code, no KL warm-up.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "eps": 0.01, "weight_decay": 1e-6}

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: int = 800,
        n_layers: int = 2,
        n_latent: int = 100,
        dropout_rate: float = 0.2,
        kl_weight: float = 5e-5,
        kl: KL = "standard",
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "linear",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("kl", kl, get_args(KL))
        check_choice("output_activation", output_activation, get_args(OutputActivation))
        self._check_values(gene_likelihood)
        with isolated_rng(seed):
            self.module = ScGenModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                n_hidden=n_hidden,
                n_layers=n_layers,
                n_latent=n_latent,
                dropout_rate=dropout_rate,
                kl_weight=kl_weight,
                kl=kl,
                gene_likelihood=gene_likelihood,
                output_activation=output_activation,
                totals_over_all_genes=self.schema.size_factor_key is not None,
            )
        self._start_at_observed_share()
        if self.schema.labels_key is None:
            logger.info("no labels_key: the delta is unbalanced over cell types, since they are not known")
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def train(self, max_epochs: int = 100, *, batch_size: int = 32, **kwargs: Any) -> None:
        """Train the model; the defaults are the paper's code: batches of 32, 100 epochs, early stopping.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, at most.
        batch_size
            Cells a step. Larger batches are faster on large data.
        **kwargs
            `train_size`, `early_stopping`, `early_stopping_patience`, `seed`, `accelerator`, `devices`, `resume_dir`,
            `datamodule`, `plan_kwargs`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.
        """
        super().train(max_epochs, batch_size=batch_size, **kwargs)
