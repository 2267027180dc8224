"""Whether the right perturbation is the nearest one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from altercell.errors import GeneMismatchError, GroupError, listing


def perturbation_rank(
    pred_mean: np.ndarray, target_means: Mapping[str, np.ndarray] | pd.DataFrame, target: str
) -> float:
    r"""Rank of the right condition among all real ones, by distance to the predicted mean.

    .. math:: \frac{|\{k : d_k < d_t\}| + \frac12 |\{k \ne t : d_k = d_t\}|}{K - 1}, \qquad d_k = |p - r_k|

    0: the right condition is the nearest (best); 1: the farthest; 0.5 on average for a model that predicts the same for
    every condition (mode collapse). Average it over the predicted conditions. Lower is better.

    Parameters
    ----------
    pred_mean
        Mean of the cells predicted for `target`: (n_genes,).
    target_means
        Mean of the real cells of each of the K conditions, `target` among them: a mapping from names to vectors
        (n_genes,), or a frame (n_conditions, n_genes) indexed by name.
    target
        The condition that was predicted.

    Returns
    -------
    The rank, from 0 to 1.

    Raises
    ------
    GroupError
        If there are fewer than 3 conditions, or `target` is not among them.
    GeneMismatchError
        If a profile has another number of genes than `pred_mean`.

    Examples
    --------
    >>> means = {"a": np.array([0.0, 1.0]), "b": np.array([1.0, 0.0]), "c": np.array([5.0, 5.0])}
    >>> perturbation_rank(np.array([0.1, 0.9]), means, "a")
    0.0
    """
    if isinstance(target_means, pd.DataFrame):
        target_means = {str(name): row.to_numpy() for name, row in target_means.iterrows()}
    if target not in target_means:
        raise GroupError(f"there is no condition '{target}' among the real ones: {listing(target_means)}")
    if len(target_means) < 3:
        raise GroupError(f"a rank needs 3 conditions or more; there are {listing(target_means)}")
    for name, mean in target_means.items():
        if np.shape(mean) != np.shape(pred_mean):
            raise GeneMismatchError(
                f"the mean of '{name}' has shape {np.shape(mean)}, the predicted one {np.shape(pred_mean)}"
            )
    distances = {name: float(np.linalg.norm(pred_mean - mean)) for name, mean in target_means.items()}
    right = distances.pop(target)
    others = np.array(list(distances.values()))
    return float((np.sum(others < right) + 0.5 * np.sum(others == right)) / len(others))
