"""trVAE's network for conditions that came later: new weights beside a network that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from altercell.errors import DataError
from altercell.models.trvae._convolution import ConvEncoder, ConvFirst
from altercell.models.trvae._networks import Encoder, FirstLayer
from altercell.models.trvae._unet import UNetEncoder, UNetFirst

#: Where the one-hot condition enters, by part of a network: linear layers, of whose inputs the conditions are the last.
ENTRANCES: dict[type[nn.Module], str] = {
    Encoder: "hidden.0.fc_layers.Layer 0.0",
    FirstLayer: "block.0.fc_layers.Layer 0.0",
    ConvEncoder: "condition_image.layers.0",
    ConvFirst: "condition_image.layers.0",
    UNetEncoder: "condition_image.layers.0",
    UNetFirst: "condition.0",
}


class ExtendedLinear(nn.Module):
    r"""A linear layer with more inputs, whose weights are kept beside those that it had.

    .. math:: W x + b + \sum_k V_k s_k

    The further inputs :math:`s_k` are the added part of a one-hot vector. For the conditions that the layer knew before
    they are all 0, and the layer gives the very bits that it gave before; a longer row of weights, summed by another
    routine, need not.

    Parameters
    ----------
    linear
        The layer, whose weights are taken over.
    n_added
        How many inputs were added each time; those of the last time are what is trained.
    """

    def __init__(self, linear: nn.Linear, n_added: Sequence[int]) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.added = nn.ParameterList(torch.zeros(linear.out_features, size) for size in n_added)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the layer's values, shape ``(n_cells, n_output)``.

        Parameters
        ----------
        inputs
            Shape ``(n_cells, n_input)``, the added inputs last.
        """
        n_known = self.weight.shape[1]
        # Laid out as before the extension, so that the same routine is taken.
        values = nn.functional.linear(inputs[:, :n_known].contiguous(), self.weight, self.bias)
        return values + inputs[:, n_known:] @ torch.cat(list(self.added), dim=1).T

    @torch.no_grad()
    def start_at_mean(self, n_first: int) -> None:
        """Let the new weights start at the mean of the conditions that there were before.

        Parameters
        ----------
        n_first
            How many conditions the layer had before anything was added.
        """
        known = torch.cat([self.weight[:, -n_first:], *list(self.added)[:-1]], dim=1)
        self.added[-1].copy_(known.mean(dim=1, keepdim=True).expand_as(self.added[-1]))


def check_stages(n_reference_conditions: Sequence[int] | None, n_conditions: int) -> tuple[int, ...]:
    """Return how many conditions there were before each addition; nothing where none was added.

    Parameters
    ----------
    n_reference_conditions
        The numbers as the model was given them; None for no addition.
    n_conditions
        How many conditions there are.

    Raises
    ------
    DataError
        They are no numbers that rise from at least 1 to below `n_conditions`.
    """
    if n_reference_conditions is None:
        return ()
    single = isinstance(n_reference_conditions, int | str)
    stages = () if single else tuple(n_reference_conditions)
    if not stages or any(after <= before for before, after in pairwise((0, *stages, n_conditions))):
        raise DataError(
            f"n_reference_conditions={n_reference_conditions} must be numbers that rise from at least 1 to below "
            f"{n_conditions}, the number of conditions; leave it to load_query_data"
        )
    return stages


def extend(part: nn.Module, sizes: Sequence[int]) -> None:
    """Give a part of a network inputs for further conditions, in place, where the condition enters it.

    Parameters
    ----------
    part
        Encoder or first layer of the decoder.
    sizes
        How many conditions were added each time.

    Raises
    ------
    DataError
        It is not known where the condition enters this part.
    """
    if type(part) not in ENTRANCES:
        raise DataError(
            f"it is not known where the condition enters a {type(part).__name__}, so no condition can be added to it; "
            "train a model on all conditions together"
        )
    parent, _, name = ENTRANCES[type(part)].rpartition(".")
    owner = part.get_submodule(parent)
    linear = owner.get_submodule(name)
    if not isinstance(linear, nn.Linear):
        raise DataError(f"{ENTRANCES[type(part)]} of {type(part).__name__} is no linear layer that could be extended")
    setattr(owner, name, ExtendedLinear(linear, sizes))


def extended_layers(module: nn.Module) -> list[ExtendedLinear]:
    """Return the layers of a network to which conditions were added.

    Parameters
    ----------
    module
        The network.
    """
    return [part for part in module.modules() if isinstance(part, ExtendedLinear)]


def freeze_all_but_last(module: nn.Module) -> None:
    """Leave nothing to train but the weights of the conditions that were added last.

    Parameters
    ----------
    module
        The network.
    """
    module.requires_grad_(False)
    for layer in extended_layers(module):
        layer.added[-1].requires_grad_(True)


def keep_batch_norms(module: nn.Module) -> None:
    """Put batch norms into the mode of evaluation, in which they neither read nor change a batch's statistics.

    Parameters
    ----------
    module
        The network.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
