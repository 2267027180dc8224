"""scPerb's style encoders: from a fixed random vector a condition to the latent difference from the control."""

from __future__ import annotations

import torch
from torch import nn


class StyleEncoder(nn.Module):
    r"""The style encoder of scPerb :cite:p:`Tang2024`: an affine map of a fixed random style vector.

    .. math:: \delta_c = W s_c + b, \qquad s_c \sim U(0, 1)^S \text{ drawn once}, \qquad \delta_{\text{control}} = 0

    Since :math:`s_c` never changes, :math:`\delta_c` is one learned constant.

    Parameters
    ----------
    n_conditions
        Number of conditions.
    control
        Code of the control condition.
    n_style, n_latent
        Dimensions of the style vectors and of the latent space.
    """

    perturbed: torch.Tensor
    style: torch.Tensor

    def __init__(self, n_conditions: int, control: int, n_style: int, n_latent: int) -> None:
        super().__init__()
        self.affine = nn.Linear(n_style, n_latent)
        perturbed = torch.ones(n_conditions, 1)
        perturbed[control] = 0
        self.register_buffer("perturbed", perturbed)
        self.register_buffer("style", torch.rand(n_conditions, n_style) * perturbed)

    def codes(self) -> torch.Tensor:
        """Return each condition's difference from the control, shape ``(n_conditions, n_latent)``."""
        return self.affine(self.style) * self.perturbed

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the difference of a condition from the control for each latent point.

        Parameters
        ----------
        z
            Latent points of control cells, shape ``(n_cells, n_latent)``.
        condition
            Codes of the conditions, shape ``(n_cells,)`` or ``(n_cells, 1)``.

        Returns
        -------
        Shape ``(n_cells, n_latent)``.
        """
        return self.codes()[condition.ravel()]


class LatentStyleEncoder(StyleEncoder):
    r"""A style encoder whose difference depends on the cell: a small network of the style's code and the latent point.

    .. math:: \delta_c(z) = \kappa_c + W_2 \operatorname{ELU}(W_1 [\kappa_c, z] + b_1) + b_2, \qquad
        \kappa_c = W s_c + b

    It is ours, not the paper's. It starts as the constant :math:`\kappa_c`, since :math:`W_2` and :math:`b_2` are 0.

    Parameters
    ----------
    n_conditions, control, n_style, n_latent
        As in :class:`StyleEncoder`.
    n_hidden
        Width of the network.
    """

    def __init__(self, n_conditions: int, control: int, n_style: int, n_latent: int, n_hidden: int) -> None:
        super().__init__(n_conditions, control, n_style, n_latent)
        last = nn.Linear(n_hidden, n_latent)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(2 * n_latent, n_hidden), nn.ELU(), last)

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the difference of a condition from the control at each latent point.

        Parameters
        ----------
        z, condition
            As in :meth:`StyleEncoder.forward`.
        """
        code = super().forward(z, condition)
        rest = self.network(torch.cat([code, z], dim=1))
        return code + rest * self.perturbed[condition.ravel()]
