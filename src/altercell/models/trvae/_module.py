"""trVAE's mathematics: a conditional autoencoder whose decoder's first layer is made alike across conditions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import torch
from scvi.module.base import LossOutput, auto_move_data
from torch.nn.functional import one_hot

from altercell.losses import TRVAE_WIDTHS, kl_standard_normal, mmd_between_conditions
from altercell.models.base import GeneLikelihood, LikelihoodModule
from altercell.models.trvae._extension import check_stages, extend, freeze_all_but_last, keep_batch_norms
from altercell.models.trvae._networks import BatchNorm
from altercell.models.trvae._parts import N_HIDDEN, N_LATENT, Network, network_parts
from altercell.nn import CountDecoder, OutputActivation

MMDLayer = Literal["decoder", "latent"]
Estimator = Literal["v", "u"]


class TrVAEModule(LikelihoodModule):
    r"""The conditional variational autoencoder of trVAE :cite:p:`Lotfollahi2020`.

    .. math::

        \hat z &= f(x, s), \qquad \hat y = g_1(\hat z, s), \qquad \hat x = g_2(\hat y) \qquad (5) \\
        L &= \frac1N \sum_n \left( \frac{\eta}{2} \sum_g (x_{ng} - \hat x_{ng})^2
             + \alpha\, KL(q(z \mid x_n, s_n) \,\|\, N(0, 1)) \right)
             + \beta \sum_{s < s'} \ell_{MMD}(\hat Y_s, \hat Y_{s'}) \qquad (6, 7)

    Equation 7 writes the objective to be maximised; this is its negative, with the MMD as a penalty. With counts, half
    the squared error gives way to the negative log-likelihood of a (zero-inflated) negative binomial.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    **options
        See :class:`~altercell.TrVAE`.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        *,
        n_hidden: Sequence[int] | None = None,
        n_latent: int | None = None,
        dropout_rate: float = 0.2,
        reconstruction_weight: float = 100.0,
        kl_weight: float = 1e-5,
        mmd_weight: float = 100.0,
        mmd_on: MMDLayer = "decoder",
        kernel_widths: Sequence[float] | None = None,
        kernel_mean: bool = True,
        mmd_estimator: Estimator = "v",
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "relu",
        network: Network = "mlp",
        image_shape: Sequence[int] | None = None,
        variational: bool = True,
        batch_norm: BatchNorm = "all",
        totals_over_all_genes: bool = False,
        n_reference_conditions: Sequence[int] | None = None,
    ) -> None:
        super().__init__(gene_likelihood, totals_over_all_genes)
        widths = list(N_HIDDEN[network] if n_hidden is None else n_hidden)
        self.n_latent = n_latent = N_LATENT[network] if n_latent is None else n_latent
        self.n_conditions, self.n_mmd = n_conditions, widths[-1]
        self.reconstruction_weight, self.kl_weight, self.mmd_weight = reconstruction_weight, kl_weight, mmd_weight
        self.mmd_on, self.kernel_mean, self.unbiased = mmd_on, kernel_mean, mmd_estimator == "u"
        self.kernel_widths = tuple(TRVAE_WIDTHS if kernel_widths is None else kernel_widths)
        self.variational = variational
        self.stages = check_stages(n_reference_conditions, n_conditions)
        self.encoder, self.first, self.decoder = network_parts(
            network,
            n_genes,
            self.stages[0] if self.stages else n_conditions,
            widths,
            n_latent,
            dropout_rate=dropout_rate,
            variational=variational,
            batch_norm=batch_norm,
            gene_likelihood=gene_likelihood,
            output_activation=output_activation,
            image_shape=image_shape,
            rest=self.totals_over_all_genes,
        )
        self.register_buffer("latent_means", torch.zeros(n_conditions, n_labels, n_latent))
        self.register_buffer("group_sizes", torch.zeros(n_conditions, n_labels))
        if self.stages:
            self._extend()

    def _extend(self) -> None:
        """Make room for the conditions that came later, and freeze all but the weights of the last of them."""
        sizes = [after - before for before, after in pairwise((*self.stages, self.n_conditions))]
        for part in (self.encoder, self.first):
            extend(part, sizes)
        freeze_all_but_last(self)
        self.register_buffer("reference_means", torch.zeros_like(self.latent_means))
        self.register_buffer("reference_sizes", torch.zeros_like(self.group_sizes))

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the batch norms of a network to which conditions were added stay in that of evaluation.

        Parameters
        ----------
        mode
            Whether it is to be the mode of training.
        """
        super().train(mode)
        if self.stages:
            keep_batch_norms(self)
        return self

    def _get_inference_input(self, tensors: dict[str, torch.Tensor], **kwargs: object) -> dict[str, Any]:
        return {**self.read(tensors), "condition": tensors["batch"]}

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict[str, torch.Tensor], **kwargs: object
    ) -> dict[str, Any]:
        return {
            "z": inference_outputs["z"],
            "condition": tensors["batch"],
            "size_factor": inference_outputs["size_factor"],
        }

    def _one_hot(self, condition: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return one_hot(condition.long().reshape(-1), self.n_conditions).to(like.dtype)

    @auto_move_data
    def inference(
        self, x: torch.Tensor, condition: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Encode, equation 5a: q(z | x, s) and a sample of it.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        condition
            Codes of their conditions, shape ``(n_cells, 1)``.
        size_factor
            Total counts, shape ``(n_cells, 1)``; None for log data, or for the sum of the genes.

        Returns
        -------
        ``qzm`` and ``qzv``, the mean and variance, and ``z``, the sample, each ``(n_cells, n_latent)``; the size
        factor.
        """
        x, size_factor = self.encoder_input(x, size_factor)
        mean, variance = self.encoder(x, self._one_hot(condition, x))
        z = mean + variance.sqrt() * torch.randn_like(mean) if self.variational else mean
        return {"qzm": mean, "qzv": variance, "z": z, "size_factor": size_factor}

    @auto_move_data
    def generative(
        self, z: torch.Tensor, condition: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Decode, equations 5b and 5c.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        condition
            Codes of the conditions to decode to, shape ``(n_cells, 1)``.
        size_factor
            Total counts, shape ``(n_cells, 1)``, for count likelihoods.

        Returns
        -------
        ``y`` ``(n_cells, n_mmd)``, the first layer; ``mean``, the expected cells ``(n_cells, n_genes)``; and for counts
        ``theta`` ``(n_genes,)`` and ``zi_logits``.
        """
        y = self.first_layer(z, condition)
        if not isinstance(self.decoder, CountDecoder):
            return {"y": y, "mean": self.decoder(y), "theta": None, "zi_logits": None}
        mean, theta, zi_logits = self.decoder(y, size_factor)
        return {"y": y, "mean": mean, "theta": theta, "zi_logits": zi_logits}

    def first_layer(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return y, equation 5b, shape ``(n_cells, n_mmd)``.

        Parameters
        ----------
        z, condition
            As in :meth:`generative`.
        """
        return self.first(z, self._one_hot(condition, z))

    def mmd(self, layer: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the sum over pairs of conditions of their discrepancy, equations 2 and 3.

        Parameters
        ----------
        layer
            Activations, shape ``(n_cells, n_units)``.
        condition
            Codes of the cells' conditions, shape ``(n_cells, 1)``.
        """
        return mmd_between_conditions(
            layer,
            condition.reshape(-1),
            self.n_conditions,
            widths=self.kernel_widths,
            kernel_mean=self.kernel_mean,
            unbiased=self.unbiased,
        )

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, torch.Tensor],
        generative_outputs: dict[str, Any],
    ) -> LossOutput:
        """Return the loss of a batch and its terms, equations 6 and 7.

        Parameters
        ----------
        tensors, inference_outputs, generative_outputs
            The batch, and what :meth:`inference` and :meth:`generative` returned for it.
        """
        reconstruction = self.reconstruction(tensors["X"], generative_outputs)  # (n_cells,)
        mean, variance = inference_outputs["qzm"], inference_outputs["qzv"]
        kl = kl_standard_normal(mean, variance) if self.variational else torch.zeros_like(reconstruction)  # (n_cells,)
        loss = (self.reconstruction_weight * reconstruction + self.kl_weight * kl).mean()
        extra = {}
        if self.mmd_weight > 0:
            layer = generative_outputs["y"] if self.mmd_on == "decoder" else inference_outputs["z"]
            extra["mmd"] = self.mmd(layer, tensors["batch"])
            loss = loss + self.mmd_weight * extra["mmd"]
        return LossOutput(loss=loss, reconstruction_loss=reconstruction, kl_local=kl, extra_metrics=extra)
