"""What the posteriors of cells say of latent points: densities, and the entropy that foretells a bad prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from altercell.errors import DataError
from altercell.metrics._factors import check_array, check_variances

#: Densities that are held at once: as many as the processor keeps near.
BLOCK = 1_000_000


def latent_entropy(codes: Any, means: Any, variances: Any) -> float:
    r"""Cross entropy of latent points and the posteriors of reference cells :cite:p:`Yu2021`.

    .. math:: H(\tau, g) = -\frac{1}{m} \sum_{k=1}^m \log \frac{1}{n} \sum_{i=1}^n \prod_j
              \mathcal{N}(z_{kj}; \mu_{ij}, \sigma_{ij}^2)

    in nats. The more of the points lie where the reference cells have little density, the higher it is. It has no
    bounds, and changes with the scale of the latents: only differences between points in one space can be read, which
    is what :func:`latent_entropy_gap` is.

    Parameters
    ----------
    codes
        The points, :math:`z \sim \tau`: (n_points, n_latents).
    means, variances
        Posteriors of the reference cells, :math:`x \sim g`: (n_cells, n_latents) each.

    Raises
    ------
    DataError
        Shapes do not match, values are NaN or infinite, or variances are not above 0.

    Examples
    --------
    >>> round(latent_entropy([[0.0]], [[0.0]], [[1.0]]), 4)  # half the logarithm of 2 pi
    0.9189
    """
    means = check_array(means, "means")
    variances, points = check_variances(variances, means), check_array(codes, "codes")
    if points.shape[1] != means.shape[1]:
        raise DataError(f"codes have {points.shape[1]} latents and the posteriors {means.shape[1]}")
    total = 0.0
    for rows in blocks(len(points), len(means)):
        joint = sum(log_densities(points[rows, j], means[:, j], variances[:, j]) for j in range(means.shape[1]))
        total += float(_log_mean_exp(np.asarray(joint)).sum())
    return -total / len(points)


def latent_entropy_gap(fake: Any, real: Any, means: Any, variances: Any) -> float:
    r"""Tell how much worse predicted codes fit the reference cells than real ones, the paper's delta-H.

    .. math:: \Delta H = H(\tau_{fake}, g) - H(\tau_{real}, g)

    with the entropies of :func:`latent_entropy`, in nats :cite:p:`Yu2021`.

    * About 0: the predicted codes are as likely under the reference cells as the real ones.
    * Above 0: they lie where there are few cells; the paper finds the predictions of such combinations worse.
    * Below 0: they lie nearer to the middle of the cells than real ones do. That is no praise: they may have too little
      spread, as posterior means have beside samples. So let `fake` and `real` be of one kind, means or samples.

    With the real codes of the combination that was held out it explains an error **afterwards**. **Beforehand** it can
    be had only of combinations that were held out inside the training cells. The paper does not say which cells g is.
    Where they are those whose codes `real` are, every real code meets its own posterior and no predicted one does: the
    narrower the posteriors, the higher is delta-H, without bound, also of codes as good as new real ones. Reference
    cells that are in neither, such as those in training or one half of the real ones, do not favour one side.

    Parameters
    ----------
    fake
        Codes by latent arithmetic, :math:`\tau_{fake}`: (n_fake, n_latents).
    real
        The encoder's codes of the real cells, :math:`\tau_{real}`: (n_real, n_latents).
    means, variances
        Posteriors of the reference cells, g: (n_cells, n_latents) each.

    Raises
    ------
    DataError
        Shapes do not match, values are NaN or infinite, or variances are not above 0.

    Examples
    --------
    >>> latent_entropy_gap([[2.0]], [[0.0]], means=[[0.0]], variances=[[1.0]])
    2.0
    """
    return latent_entropy(fake, means, variances) - latent_entropy(real, means, variances)


def log_densities(points: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Logarithm of every posterior's density at every point of one latent: (n_cells, n_points).

    Parameters
    ----------
    points
        (n_points,).
    means, variances
        (n_cells,) each.
    """
    values = means[:, None] - points
    values *= values
    values *= (-0.5 / variances)[:, None]
    values -= 0.5 * np.log(2 * np.pi * variances)[:, None]
    return np.asarray(values)


def blocks(n_points: int, n_cells: int) -> Iterator[slice]:
    """Walk over points so that their densities under all cells fit into memory."""
    step = max(1, BLOCK // n_cells)
    return (slice(start, start + step) for start in range(0, n_points, step))


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    """Logarithm of the mean over cells, (n_points,), of what is given as logarithms; changes `values`."""
    top = values.max(axis=0)
    values -= top
    return np.asarray(top + np.log(np.exp(values, out=values).mean(axis=0)))
