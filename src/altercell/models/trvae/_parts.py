"""The three parts of trVAE's network, by the name of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from altercell.errors import DataError
from altercell.models.trvae._convolution import conv_parts
from altercell.models.trvae._networks import BatchNorm, perceptrons
from altercell.models.trvae._unet import unet_parts
from altercell.nn import OutputActivation

Network = Literal["mlp", "conv", "unet"]

#: Widths of the hidden blocks, the last one being the MMD layer, and dimensions of z (Tables 3, 1 and 2).
N_HIDDEN = {"mlp": (800, 800, 128), "conv": (128,), "unet": (256,)}
N_LATENT = {"mlp": 50, "conv": 50, "unet": 60}


def network_parts(
    network: Network,
    n_genes: int,
    n_conditions: int,
    n_hidden: Sequence[int],
    n_latent: int,
    *,
    dropout_rate: float,
    variational: bool,
    batch_norm: BatchNorm,
    gene_likelihood: str,
    output_activation: OutputActivation,
    image_shape: Sequence[int] | None,
    rest: bool,
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return f, g1 and g2.

    Parameters
    ----------
    network, n_genes, n_conditions, n_hidden, n_latent, dropout_rate, variational, batch_norm, gene_likelihood, \
output_activation, image_shape
        See :class:`~altercell.TrVAE`.
    rest
        See :class:`~altercell.nn.CountDecoder`.

    Raises
    ------
    DataError
        An image network on counts, an image shape without one, or images that the network cannot take.
    """
    shared = {"dropout_rate": dropout_rate, "variational": variational, "output_activation": output_activation}
    if network == "mlp":
        if image_shape is not None:
            raise DataError("image_shape= belongs to network='conv' or network='unet'; this network is 'mlp'")
        return perceptrons(
            n_genes,
            n_conditions,
            n_hidden,
            n_latent,
            batch_norm=batch_norm,
            gene_likelihood=gene_likelihood,
            rest=rest,
            **shared,  # type: ignore[arg-type]
        )
    if gene_likelihood != "gaussian":
        raise DataError(f"network='{network}' draws pixels, not counts; take gene_likelihood='gaussian'")
    if batch_norm != "all":
        raise DataError(f"batch_norm='{batch_norm}' belongs to network='mlp'; this network is '{network}'")
    parts = conv_parts if network == "conv" else unet_parts
    given = {} if image_shape is None else {"image_shape": tuple(image_shape)}
    return parts(n_genes, n_conditions, n_latent=n_latent, n_mmd=n_hidden[-1], **given, **shared)  # type: ignore[arg-type]
