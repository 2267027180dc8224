"""scPerb's mathematics: a variational autoencoder that carries control cells over by a learned latent difference."""

from __future__ import annotations

from typing import Any, Literal

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from scvi.nn import Encoder, FCLayers
from torch import nn
from torch.nn.functional import smooth_l1_loss

from altercell.errors import DataError
from altercell.losses import kl_standard_normal
from altercell.models.scperb._style import LatentStyleEncoder, StyleEncoder
from altercell.nn import ACTIVATIONS, OutputActivation
from altercell.train import pair_within

Delta = Literal["constant", "latent"]
KLReduction = Literal["mean", "sum"]


class ScPerbModule(BaseModuleClass):
    r"""The style-transfer variational autoencoder of scPerb :cite:p:`Tang2024`.

    .. math::

        z^{ctrl} &\sim N(\mu(x^{ctrl}), \sigma^2(x^{ctrl})), \quad z^{pert} \sim N(\mu(x^{pert}), \sigma^2(x^{pert})),
            \quad \hat z^{pert} = z^{ctrl} + \delta_c, \quad \hat x^{pert} = D(\hat z^{pert}) \\
        L &= w_1 \ell_\beta(z^{pert}, \hat z^{pert}) + w_2 KL^{ctrl} + w_3 KL^{pert}
            + w_4 \ell_\beta(x^{pert}, \hat x^{pert})

    with :math:`\ell_\beta` the smooth L1 loss, a mean over the entries and over the pairs of cells.

    Parameters
    ----------
    n_genes, n_conditions, n_labels
        Sizes of the data.
    control
        Code of the control condition.
    n_hidden, n_layers, n_latent
        Width and number of the hidden blocks on each side, and dimensions of z.
    n_style
        Dimensions of the style vectors; None for one a gene.
    dropout_rate
        Dropout of the hidden blocks.
    style_weight, kl_weight_control, kl_weight_perturbed, generation_weight
        :math:`w_1` to :math:`w_4`.
    kl_reduction
        Whether a cell's divergence is the ``"mean"`` over the latent dimensions, or their ``"sum"``.
    smooth_l1_beta
        :math:`\beta`, where the loss passes from the square to the absolute value.
    delta
        ``"constant"``, or ``"latent"``: a difference that depends on z.
    n_hidden_delta
        Width of the network of ``delta="latent"``.
    output_activation
        Of the decoder: ``"linear"``, ``"relu"`` or ``"softplus"``.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_labels: int,
        control: int,
        *,
        n_hidden: int = 800,
        n_layers: int = 2,
        n_latent: int = 100,
        n_style: int | None = None,
        dropout_rate: float = 0.2,
        style_weight: float = 1.0,
        kl_weight_control: float = 0.5 * 0.01,
        kl_weight_perturbed: float = 0.0,
        generation_weight: float = 1.0,
        kl_reduction: KLReduction = "mean",
        smooth_l1_beta: float = 1.0,
        delta: Delta = "constant",
        n_hidden_delta: int = 128,
        output_activation: OutputActivation = "linear",
    ) -> None:
        super().__init__()
        self.control, self.n_latent, self.smooth_l1_beta = control, n_latent, smooth_l1_beta
        self.style_weight, self.generation_weight = style_weight, generation_weight
        self.kl_weight_control, self.kl_weight_perturbed = kl_weight_control, kl_weight_perturbed
        self.kl_scale = 1 / n_latent if kl_reduction == "mean" else 1.0
        blocks: dict[str, Any] = {
            "n_layers": n_layers,
            "n_hidden": n_hidden,
            "dropout_rate": dropout_rate,
            "activation_fn": nn.ELU,
        }
        self.encoder = Encoder(n_genes, n_latent, var_eps=1e-4, **blocks)
        self.decoder = nn.Sequential(
            FCLayers(n_latent, n_hidden, **blocks), nn.Linear(n_hidden, n_genes), ACTIVATIONS[output_activation]()
        )
        sizes = n_conditions, control, n_genes if n_style is None else n_style, n_latent
        self.style_encoder = StyleEncoder(*sizes) if delta == "constant" else LatentStyleEncoder(*sizes, n_hidden_delta)
        self.register_buffer("latent_means", torch.zeros(n_conditions, n_labels, n_latent))
        self.register_buffer("group_sizes", torch.zeros(n_conditions, n_labels))
        # Pairs that training has shown of each condition: without any, its delta is as random as it was made.
        self.register_buffer("pairs_seen", torch.zeros(n_conditions, dtype=torch.int64))

    def forward(self, tensors: dict[str, torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Run a batch: its first half are control cells, its second half their partners; else it is paired first.

        Parameters
        ----------
        tensors
            The batch: ``X`` of shape ``(n_cells, n_genes)``, the codes ``batch`` and ``labels`` of ``(n_cells, 1)``.
        *args, **kwargs
            Of :class:`scvi.module.base.BaseModuleClass`.

        Raises
        ------
        DataError
            The batch, which is no batch of pairs, has too few cells to pair.
        """
        paired = tensors if self._is_paired(tensors) else self._paired(tensors)
        if self.training:
            condition = paired["batch"][len(paired["batch"]) // 2 :].to(self.pairs_seen.device)
            self.pairs_seen += (condition == torch.arange(len(self.pairs_seen), device=condition.device)).sum(0)
        return super().forward(paired, *args, **kwargs)

    def _is_paired(self, tensors: dict[str, torch.Tensor]) -> bool:
        half, rest = divmod(len(tensors["batch"]), 2)
        if rest or half == 0:
            return False
        is_control, labels = tensors["batch"] == self.control, tensors["labels"]
        return bool(is_control[:half].all() & ~is_control[half:].any() & (labels[:half] == labels[half:]).all())

    def _paired(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        conditions, labels = (tensors[name].ravel().cpu().numpy() for name in ("batch", "labels"))
        positions = pair_within(conditions, labels, self.control)
        needed = 2 if self.training else 1  # batch norm needs two
        if len(positions) < 2 * needed:
            raise DataError(
                f"a batch of {len(tensors['X'])} cells holds {len(positions) // 2} pairs of a control cell and another "
                f"cell of the same label, and at least {needed} are needed; let the data module give larger batches, "
                "shuffled, without a small last one"
            )
        rows = torch.from_numpy(positions).to(tensors["X"].device)
        return {name: tensors[name][rows] for name in ("X", "batch", "labels")}

    def _get_inference_input(self, tensors: dict[str, torch.Tensor], **kwargs: object) -> dict[str, Any]:
        return {"x": tensors["X"]}

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict[str, torch.Tensor], **kwargs: object
    ) -> dict[str, Any]:
        half = len(tensors["X"]) // 2
        return {"z": inference_outputs["z"][:half], "condition": tensors["batch"][half:]}

    @auto_move_data
    def inference(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode: q(z | x) and a sample of it. Both arms go through at once, so that batch norm sees them together.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.

        Returns
        -------
        ``qzm`` and ``qzv``, the mean and variance, and ``z``, the sample, each ``(n_cells, n_latent)``.
        """
        mean, variance, z = self.encoder(x)
        return {"qzm": mean, "qzv": variance, "z": z}

    @auto_move_data
    def generative(self, z: torch.Tensor, condition: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Carry control cells over to a condition, and decode.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        condition
            Codes of the conditions, shape ``(n_cells, 1)``; None leaves the points where they are.

        Returns
        -------
        ``z``, the points that were decoded, and ``mean``, the cells ``(n_cells, n_genes)``.
        """
        moved = z if condition is None else z + self.style_encoder(z, condition)  # (n_cells, n_latent)
        return {"z": moved, "mean": self.decoder(moved)}

    def shift(self, z: torch.Tensor, source: int, target: int) -> torch.Tensor:
        """Return the step from one condition to another, ``delta_target(z) - delta_source(z)``.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        source, target
            Codes of the conditions.

        Returns
        -------
        Shape ``(n_cells, n_latent)``.
        """
        start, end = (torch.full((len(z),), code, device=z.device) for code in (source, target))
        return self.style_encoder(z, end) - self.style_encoder(z, start)

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, torch.Tensor],
        generative_outputs: dict[str, torch.Tensor],
    ) -> LossOutput:
        """Return the loss of a batch of pairs and its terms.

        Parameters
        ----------
        tensors, inference_outputs, generative_outputs
            The batch, and what :meth:`inference` and :meth:`generative` returned for it.
        """
        half = len(tensors["X"]) // 2
        style = self._smooth_l1(generative_outputs["z"], inference_outputs["z"][half:])  # (n_pairs,)
        generation = self._smooth_l1(generative_outputs["mean"], tensors["X"][half:])  # (n_pairs,)
        kl = kl_standard_normal(inference_outputs["qzm"], inference_outputs["qzv"]) * self.kl_scale  # (n_cells,)
        kl_control, kl_perturbed = kl[:half], kl[half:]
        total = (
            self.style_weight * style
            + self.kl_weight_control * kl_control
            + self.kl_weight_perturbed * kl_perturbed
            + self.generation_weight * generation
        )
        return LossOutput(
            loss=total.mean(),
            reconstruction_loss={"generation_loss": generation, "style_loss": style},
            kl_local={"kl_control": kl_control, "kl_perturbed": kl_perturbed},
        )

    def _smooth_l1(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the smooth L1 loss of each row, the mean over its entries."""
        return smooth_l1_loss(x, y, reduction="none", beta=self.smooth_l1_beta).mean(-1)
