"""The networks that trVAE's paper compares with: TrVAE with other arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anndata import AnnData
from mudata import MuData

from altercell.models.base import GeneLikelihood
from altercell.models.trvae._model import TrVAE
from altercell.models.trvae._module import Estimator
from altercell.nn import OutputActivation


class CVAE(TrVAE):
    """The conditional variational autoencoder: TrVAE without the MMD (Table 5 of :cite:p:`Lotfollahi2020`).

    Parameters
    ----------
    adata, registry, n_hidden, n_latent, dropout_rate, kl_weight, reconstruction_weight, gene_likelihood, \
output_activation, n_reference_conditions, seed
        As in :class:`~altercell.TrVAE`.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] | None = None,
        n_latent: int | None = None,
        dropout_rate: float = 0.2,
        reconstruction_weight: float = 1.0,
        kl_weight: float = 1e-3,
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "relu",
        n_reference_conditions: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            adata,
            registry,
            n_hidden=n_hidden,
            n_latent=n_latent,
            dropout_rate=dropout_rate,
            reconstruction_weight=reconstruction_weight,
            kl_weight=kl_weight,
            mmd_weight=0.0,
            gene_likelihood=gene_likelihood,
            output_activation=output_activation,
            n_reference_conditions=n_reference_conditions,
            seed=seed,
        )
        self.init_params_ = self._get_init_params(locals())

    def train(self, max_epochs: int = 300, **kwargs: Any) -> None:
        """Train the model; the paper's 300 epochs, or fewer where the validation loss stops falling.

        Parameters
        ----------
        max_epochs, **kwargs
            As in :meth:`altercell.TrVAE.train`.
        """
        super().train(max_epochs, **kwargs)


class MMDCVAE(TrVAE):
    """The conditional variational autoencoder with the MMD on its latent space (Table 6 of :cite:p:`Lotfollahi2020`).

    Parameters
    ----------
    adata, registry, n_hidden, n_latent, dropout_rate, kl_weight, reconstruction_weight, mmd_weight, kernel_widths, \
kernel_mean, mmd_estimator, gene_likelihood, output_activation, n_reference_conditions, seed
        As in :class:`~altercell.TrVAE`.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] | None = None,
        n_latent: int | None = None,
        dropout_rate: float = 0.2,
        reconstruction_weight: float = 1.0,
        kl_weight: float = 1e-3,
        mmd_weight: float = 1.0,
        kernel_widths: Sequence[float] | None = None,
        kernel_mean: bool = True,
        mmd_estimator: Estimator = "v",
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "relu",
        n_reference_conditions: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            adata,
            registry,
            n_hidden=n_hidden,
            n_latent=n_latent,
            dropout_rate=dropout_rate,
            reconstruction_weight=reconstruction_weight,
            kl_weight=kl_weight,
            mmd_weight=mmd_weight,
            kernel_widths=kernel_widths,
            kernel_mean=kernel_mean,
            mmd_estimator=mmd_estimator,
            mmd_on="latent",
            gene_likelihood=gene_likelihood,
            output_activation=output_activation,
            n_reference_conditions=n_reference_conditions,
            seed=seed,
        )
        self.init_params_ = self._get_init_params(locals())


class MMDAutoencoder(TrVAE):
    """An autoencoder with the MMD on its latent space, after SAUCIE (Table 9 of :cite:p:`Lotfollahi2020`).

    512-256-128-20, a batch norm on the first block only, no dropout, no divergence. In the table the condition enters
    the encoder alone, and such a decoder cannot be asked for another condition; here its first layer takes it too.

    Parameters
    ----------
    adata, registry, n_hidden, n_latent, mmd_weight, kernel_widths, kernel_mean, mmd_estimator, \
n_reference_conditions, seed
        As in :class:`~altercell.TrVAE`.
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] = (512, 256, 128),
        n_latent: int = 20,
        mmd_weight: float = 1.0,
        kernel_widths: Sequence[float] | None = None,
        kernel_mean: bool = True,
        mmd_estimator: Estimator = "v",
        n_reference_conditions: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            adata,
            registry,
            n_hidden=n_hidden,
            n_latent=n_latent,
            dropout_rate=0.0,
            reconstruction_weight=1.0,
            kl_weight=0.0,
            mmd_weight=mmd_weight,
            kernel_widths=kernel_widths,
            kernel_mean=kernel_mean,
            mmd_estimator=mmd_estimator,
            mmd_on="latent",
            variational=False,
            batch_norm="first",
            n_reference_conditions=n_reference_conditions,
            seed=seed,
        )
        self.init_params_ = self._get_init_params(locals())

    def train(self, max_epochs: int = 1000, *, batch_size: int = 256, **kwargs: Any) -> None:
        """Train the model; the paper's batches of 256 and 1,000 epochs, or fewer where the validation loss stops.

        Parameters
        ----------
        max_epochs, batch_size, **kwargs
            As in :meth:`altercell.TrVAE.train`.
        """
        super().train(max_epochs, batch_size=batch_size, **kwargs)
