"""Stacks of hidden blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from scvi.nn import FCLayers
from torch import nn


def hidden_blocks(
    n_input: int,
    widths: Sequence[int],
    *,
    dropout_rate: float,
    negative_slope: float = 0.01,
    batch_norm: bool | Sequence[bool] = True,
) -> nn.Sequential:
    """Return blocks of Linear, BatchNorm (epsilon 1e-3, momentum .01), LeakyReLU and dropout, of the given widths.

    Parameters
    ----------
    n_input
        Number of inputs.
    widths
        Width of each block.
    dropout_rate
        Dropout of every block.
    negative_slope
        Of the LeakyReLU.
    batch_norm
        Whether the blocks have a batch norm: one answer for all, or one each.
    """
    norms = [batch_norm] * len(widths) if isinstance(batch_norm, bool) else list(batch_norm)
    sizes = [n_input, *widths]
    return nn.Sequential(
        *(
            FCLayers(
                n_in,
                n_out,
                n_layers=1,
                dropout_rate=dropout_rate,
                use_batch_norm=norm,
                activation_fn=partial(nn.LeakyReLU, negative_slope),
            )
            for n_in, n_out, norm in zip(sizes[:-1], sizes[1:], norms, strict=True)
        )
    )
