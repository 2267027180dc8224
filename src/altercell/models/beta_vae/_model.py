"""BetaTCVAE: AnnData in, AnnData out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

from anndata import AnnData
from mudata import MuData

from altercell._random import isolated_rng
from altercell.errors import DataError, check_choice
from altercell.models.base import AltercellModel, Autoencoder, GeneLikelihood, LatentGeneration, TrainingMixin
from altercell.models.beta_vae._module import BetaTCVAEModule
from altercell.nn import OutputActivation
from altercell.train import CellDataModule


class BetaTCVAE(Autoencoder, LatentGeneration, TrainingMixin, AltercellModel):
    r"""The beta-TCVAE: latent dimensions that vary independently of each other :cite:p:`Chen2018`.

    A variational autoencoder that pays :math:`\beta` times the total correlation of its latent space. Where the factors
    behind the cells (a batch, a branch, time along it) are independent, one dimension tends to follow each. It is the
    first stage of MichiGAN :cite:p:`Yu2021`, whose networks it has.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_hidden
        Widths of the encoder's hidden blocks; the decoder has them in the other order.
    n_latent
        Dimensions of the latent space.
    dropout_rate
        Dropout of the hidden blocks.
    kl_weight
        Weight of the divergence from the prior.
    tc_weight
        :math:`\beta`, the weight of the total correlation. MichiGAN's authors took 10 for simulated cells, 50 for a
        trajectory, 100 for two large data sets, and recommend 10 to 50.
    gene_likelihood
        One of

        * ``"gaussian"``: log data, variance 1 (the paper);
        * ``"nb"``, ``"zinb"``: counts, (zero-inflated) negative binomial.
    output_activation
        Of the Gaussian's mean: ``"linear"`` (the paper), ``"relu"`` or ``"softplus"``, which cannot be negative.
    seed
        Seed of the initial weights, and of training where that is given none.

    Raises
    ------
    DataError
        A width, the number of dimensions or a weight is out of range, or the values do not fit the likelihood.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> ac.BetaTCVAE.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.BetaTCVAE(adata, n_hidden=[32, 16], n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.get_latent_representation().shape
    (300, 4)
    """

    #: It encodes and generates without conditions too.
    _needs_conditions: ClassVar[bool] = False
    #: Adam with its own epsilon, and no weight decay.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "eps": 1e-8, "weight_decay": 0.0}

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] = (512, 256),
        n_latent: int = 10,
        dropout_rate: float = 0.2,
        kl_weight: float = 1.0,
        tc_weight: float = 10.0,
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "linear",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("output_activation", output_activation, get_args(OutputActivation))
        if isinstance(n_hidden, str) or not len(n_hidden) or min(map(int, n_hidden)) < 1 or n_latent < 1:
            raise DataError(f"n_hidden={n_hidden!r} must be widths of 1 or more, such as [512, 256]; n_latent too")
        if kl_weight < 0 or tc_weight < 0 or not 0 <= dropout_rate < 1:
            raise DataError(
                f"kl_weight={kl_weight} and tc_weight={tc_weight} must be at least 0, dropout_rate={dropout_rate} "
                "below 1"
            )
        self._check_values(gene_likelihood)
        with isolated_rng(self.seed):
            self.module = BetaTCVAEModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                n_hidden=[int(width) for width in n_hidden],
                n_latent=n_latent,
                dropout_rate=dropout_rate,
                kl_weight=kl_weight,
                tc_weight=tc_weight,
                gene_likelihood=gene_likelihood,
                output_activation=output_activation,
                totals_over_all_genes=self.schema.size_factor_key is not None,
            )
        self._start_at_observed_share()
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def train(self, max_epochs: int = 200, *, batch_size: int = 128, **kwargs: Any) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, at most; the paper has 1,000.
        batch_size
            Cells a step. The total correlation is estimated within a batch, and small ones are noisy.
        **kwargs
            `train_size`, `early_stopping`, `early_stopping_patience`, `seed`, `accelerator`, `devices`, `resume_dir`,
            `datamodule`, `plan_kwargs`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.
        """
        if kwargs.get("datamodule") is not None:
            self.module.n_cells.fill_(int(self.summary_stats["n_cells"]))
        super().train(max_epochs, batch_size=batch_size, **kwargs)

    def _data_module(self, *arguments: Any, **options: Any) -> CellDataModule:
        data = super()._data_module(*arguments, **options)
        self.module.n_cells.fill_(len(data.train_idx))  # of the aggregated posterior
        return data


class BetaVAE(BetaTCVAE):
    """The beta-VAE :cite:p:`Higgins2017`: :class:`BetaTCVAE` without a weight of the total correlation.

    With ``kl_weight=1`` it is the variational autoencoder that MichiGAN :cite:p:`Yu2021` compares with.

    Parameters
    ----------
    adata, registry, n_hidden, n_latent, dropout_rate, kl_weight, gene_likelihood, output_activation, seed
        As in :class:`BetaTCVAE`.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] = (512, 256),
        n_latent: int = 10,
        dropout_rate: float = 0.2,
        kl_weight: float = 1.0,
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "linear",
        seed: int = 0,
    ) -> None:
        super().__init__(
            adata,
            registry,
            n_hidden=n_hidden,
            n_latent=n_latent,
            dropout_rate=dropout_rate,
            kl_weight=kl_weight,
            tc_weight=0.0,
            gene_likelihood=gene_likelihood,
            output_activation=output_activation,
            seed=seed,
        )
        self.init_params_ = self._get_init_params(locals())
