"""Maximum mean discrepancy between the conditions of a batch, all kernels and all pairs at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import one_hot

TRVAE_WIDTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6)
_PDIST_DEVICES = ("cpu", "cuda")


def mmd_between_conditions(
    y: torch.Tensor,
    conditions: torch.Tensor,
    n_conditions: int,
    *,
    widths: Sequence[float] = TRVAE_WIDTHS,
    kernel_mean: bool = True,
    unbiased: bool = False,
) -> torch.Tensor:
    r"""Return the squared maximum mean discrepancy, summed over all pairs of conditions in the batch.

    .. math::
        L = \sum_{s < s'} \left[ \frac{1}{n_s^2} \sum_{n,m \in s} k(y_n, y_m)
        + \frac{1}{n_{s'}^2} \sum_{n,m \in s'} k(y_n, y_m)
        - \frac{2}{n_s n_{s'}} \sum_{n \in s, m \in s'} k(y_n, y_m) \right], \qquad
        k(a, b) = \frac1l \sum_{i=1}^l e^{-\|a - b\|^2 / 2 w_i}

    Equations 2 and 3 of :cite:p:`Lotfollahi2020`, with :math:`\gamma_i = 1 / 2 w_i`. Equation 3 sums the kernels; the
    authors' code averages them, which with its 19 widths makes the same weight of the loss 19 times weaker.

    Parameters
    ----------
    y
        Representation of the cells, shape ``(n_cells, n_dims)``. Half precision is computed in single precision.
    conditions
        Code of each cell's condition, from 0 to ``n_conditions - 1``, shape ``(n_cells,)`` or ``(n_cells, 1)``.
    n_conditions
        Number of conditions that there are; those that the batch does not hold take no part.
    widths
        The widths :math:`w_i`, above 0, in units of squared distance.
    kernel_mean
        Average the kernels; False sums them.
    unbiased
        Leave out the pairs of a cell with itself and divide by :math:`n_s (n_s - 1)` (the U-statistic). A condition of
        a single cell then takes no part.

    Returns
    -------
    The sum, a scalar; exactly 0, with a gradient of 0, where fewer than two conditions take part.

    Raises
    ------
    RuntimeError
        A code is out of range, or a second derivative is asked for.
    """
    values = y if y.dtype == torch.float64 else y.float()
    members = one_hot(conditions.reshape(-1), n_conditions).to(values.dtype)
    with torch.autocast(values.device.type, enabled=False):  # it would round the products that follow
        return _PairwiseMMD.apply(values, members, tuple(widths), kernel_mean, unbiased)


class _PairwiseMMD(torch.autograd.Function):
    """The sum over pairs as sum over cells of W_nm k(y_n, y_m), W being constant in a pair of conditions.

    The gradient is made together with the value: both need the same exponentials, and keeping those of each kernel for
    autograd would cost more than to use them at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        y: torch.Tensor,
        members: torch.Tensor,
        widths: tuple[float, ...],
        kernel_mean: bool,
        unbiased: bool,
    ) -> torch.Tensor:
        distances = _squared_distances(y)  # (n_cells (n_cells - 1) / 2,)
        kernel, slope = _kernel_and_slope(distances, widths, 1 / len(widths) if kernel_mean else 1.0)
        itself = 0.0 if unbiased else 1.0 if kernel_mean else float(len(widths))
        kernel = _symmetric(kernel, len(y), itself)  # (n_cells, n_cells)
        weights = _pair_weights(members.sum(0), unbiased)  # (n_conditions, n_conditions)
        if ctx.needs_input_grad[0]:
            pull = _symmetric(slope, len(y), 0.0).mul_(members @ weights @ members.T)
            centred = y - y.mean(0)  # only differences count, and small numbers cancel with less error
            ctx.save_for_backward(4 * (pull.sum(1, keepdim=True) * centred - pull @ centred))
        return (weights * (members.T @ kernel @ members)).sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        if torch.is_grad_enabled():  # else a second derivative would lack this term without a word
            raise RuntimeError("mmd_between_conditions can be differentiated once; it has no create_graph=True")
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None, None, None, None


def _squared_distances(y: torch.Tensor) -> torch.Tensor:
    """Return the upper triangle of the squared distances, row by row.

    From differences: the narrowest kernels tell apart distances that the rounding of a matrix product would drown, and
    cells that coincide are at exactly 0. Autograd never sees the root that is taken and undone here.
    """
    if y.device.type in _PDIST_DEVICES:
        return torch.pdist(y.contiguous()).square_()
    full = torch.cdist(y, y, compute_mode="donot_use_mm_for_euclid_dist").square_()
    return full[_upper(len(y), y.device)]


def _kernel_and_slope(
    distances: torch.Tensor, widths: tuple[float, ...], scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the kernel and its derivative by the squared distance, both times ``scale``, without large temporaries."""
    kernel, slope = torch.zeros_like(distances), torch.zeros_like(distances)
    term = torch.empty_like(distances)
    # Numbers below the least normal one are up to two hundred times slower, so the exponential stops at a greater one,
    # 4e-29 in single precision, whose products with a slope are normal too. It is nothing beside kernels of 1.
    least = 0.75 * math.log(torch.finfo(distances.dtype).tiny)
    for width in widths:
        torch.mul(distances, -0.5 / width, out=term).clamp_(min=least).exp_()
        kernel.add_(term, alpha=scale)
        slope.add_(term, alpha=-0.5 * scale / width)
    # Where two cells coincide their difference is 0: the steep slope would leave rounding errors alone.
    return kernel, slope.masked_fill_(distances == 0, 0.0)


def _upper(n_cells: int, device: torch.device) -> torch.Tensor:
    """Return the mask of the entries above the diagonal, shape ``(n_cells, n_cells)``."""
    return torch.ones(n_cells, n_cells, dtype=torch.bool, device=device).triu_(1)


def _symmetric(triangle: torch.Tensor, n_cells: int, diagonal: float) -> torch.Tensor:
    """Return the full matrix of an upper triangle, shape ``(n_cells, n_cells)``."""
    upper = triangle.new_zeros(n_cells, n_cells).masked_scatter_(_upper(n_cells, triangle.device), triangle)
    return (upper + upper.T).fill_diagonal_(diagonal)


def _pair_weights(sizes: torch.Tensor, unbiased: bool) -> torch.Tensor:
    """Return the weight of a pair of cells by their conditions, shape ``(n_conditions, n_conditions)``.

    A condition meets each of the others once, so that its own kernels count once for each of them. With fewer than two
    conditions all weights are 0, without a look at the numbers that would halt a GPU.
    """
    present = sizes > int(unbiased)
    inverse = torch.where(present, 1 / sizes, 0.0)
    within = torch.where(present, (present.sum() - 1) / (sizes * (sizes - int(unbiased))), 0.0)
    weights = -torch.outer(inverse, inverse)
    weights.diagonal().copy_(within)
    return weights
