"""Mutual information of latents and known factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from altercell.errors import DataError, check_choice
from altercell.metrics._factors import (
    Factors,
    check_inputs,
    check_variances,
    find_continuous,
    levels_of,
    quantile_codes,
)
from altercell.metrics._posterior import blocks, log_densities

METHODS = ("posterior", "knn", "bins")


def mutual_information(
    codes: Any,
    factors: Factors,
    *,
    variances: Any = None,
    method: str | None = None,
    normalised: bool = False,
    continuous: Sequence[str] | None = None,
    n_quantiles: int | None = 4,
    n_cells: int | None = 10_000,
    n_neighbors: int = 3,
    n_bins: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Mutual information of every latent and every known factor, in nats :cite:p:`Chen2018`.

    .. math:: I(z_j; v) = H(z_j) - H(z_j | v), \qquad q(z_j | v) = \frac{1}{n_v} \sum_{i: v_i = v} q(z_j | x_i)

    with :math:`q(z_j | x_i)` the Gaussian posterior of a cell: what one draw of latent j says of the factor, from 0 to
    the factor's entropy H(v) :cite:p:`Yu2021`. It is of these cells alone, so that it depends on how wide posteriors
    are: where they are far narrower than the distance between cells, a draw gives its cell away, and with it every
    factor, and all latents come near to H(v). ``"knn"`` and ``"bins"`` do not have that fault.

    Parameters
    ----------
    codes
        Posterior means, or other codes, as an array or a table with the latents' names: (n_cells, n_latents).
    factors
        A column a factor, such as ``adata.obs[["batch", "step"]]``: n_cells rows.
    variances
        Variances of the posteriors: (n_cells, n_latents). None: the codes are taken as they are.
    method
        - ``"posterior"``: the equation above, by one draw of each of `n_cells` posteriors under the mixtures of all;
          needs `variances`
        - ``"knn"``: nearest neighbours, :func:`sklearn.feature_selection.mutual_info_classif` :cite:p:`Ross2014`
        - ``"bins"``: shares of cells in as many bins of equal size a latent; independent ones reach about
          (n_bins - 1) (n_levels - 1) / (2 n_cells)

        The last two look at one draw of each cell's posterior, or at the codes where there are no variances. None:
        ``"posterior"`` with variances, and ``"knn"`` without.
    normalised
        Whether to divide by H(v): from 0 to 1.
    continuous
        Names of the factors that are continuous. None: those of floats; integers, words and booleans are levels.
    n_quantiles
        Levels into which a continuous factor is cut, at its quantiles: the paper's quartiles. None: it is left as it
        is, with ``"knn"`` alone (:func:`sklearn.feature_selection.mutual_info_regression` :cite:p:`Kraskov2004`).
    n_cells
        Cells at whose draws ``"posterior"`` takes the mean, at most, without replacement; None: all. Time grows with
        this times the number of cells, memory does not.
    n_neighbors
        Of ``"knn"``.
    n_bins
        Of ``"bins"``.
    seed
        Of the draws.

    Returns
    -------
    A row a latent, a column a factor. What the noise of an estimate puts below 0 or above H(v) is set to it. A latent
    with one value has 0; a factor with one value has 0, and nan where it is normalised, for it has nothing to tell.

    Raises
    ------
    DataError
        Lengths do not match, values are missing or infinite, variances are not above 0 or not there where they are
        needed, a factor has more levels than half the cells, or an option is unknown.
    KeyNotFoundError
        `continuous` names no factor.

    Examples
    --------
    >>> import numpy as np
    >>> batch = np.repeat([0, 1], 50)
    >>> codes = np.column_stack([10.0 * batch, np.tile([0.0, 1.0], 50)])
    >>> table = mutual_information(codes, {"batch": batch}, variances=np.ones((100, 2)), normalised=True)
    >>> table["batch"].round(2).to_dict()
    {'z1': 1.0, 'z2': 0.0}
    """
    means, latents, table = check_inputs(codes, factors)
    widths = None if variances is None else check_variances(variances, means)
    method = _method(method, widths is not None, n_quantiles, normalised)
    if n_cells is not None and n_cells < 1:
        raise DataError(f"n_cells={n_cells} must be 1 or more")
    targets = _targets(table, continuous, n_quantiles)
    rng = np.random.default_rng(seed)
    # One noise for all latents: they are compared with each other, and none depends on its place.
    points = means if widths is None else means + np.sqrt(widths) * rng.standard_normal((len(means), 1))
    if method == "posterior" and widths is not None:
        rows = np.sort(rng.permutation(len(means))[:n_cells])
        found = _by_posterior(points, means, widths, np.column_stack(targets), rows)
    elif method == "bins":
        found = _by_bins(points, targets, n_bins)
    else:
        found = _by_neighbours(points, targets, n_neighbors, seed)
    # What does not vary tells nothing; estimators of neighbours would see their own jitter in it.
    found[np.ptp(points, axis=0) == 0] = 0
    found[:, [np.ptp(target) == 0 for target in targets]] = 0
    entropy = np.array([_entropy(target) for target in targets])
    found = np.clip(found, 0, entropy)
    if normalised:
        found = np.divide(found, entropy, out=np.full_like(found, np.nan), where=entropy > 0)
    answer = pd.DataFrame(found, index=latents, columns=pd.Index(table.columns, name="factor"))
    answer.attrs["score"] = "normalised mutual information" if normalised else "mutual information (nats)"
    return answer


def _method(method: str | None, has_variances: bool, n_quantiles: int | None, normalised: bool) -> str:
    """Return the method after a check that it can do what is asked."""
    method = ("posterior" if has_variances else "knn") if method is None else method
    check_choice("method", method, METHODS)
    if method == "posterior" and not has_variances:
        raise DataError("method='posterior' needs variances=, those of the cells' posteriors; 'knn' and 'bins' do not")
    if n_quantiles is None and (normalised or method != "knn"):
        raise DataError(
            "n_quantiles=None leaves continuous factors as they are, which method='knn' alone can do, and then they "
            "have no entropy to divide by: give a number of quantiles"
        )
    return method


def _targets(table: pd.DataFrame, continuous: Sequence[str] | None, n_quantiles: int | None) -> list[np.ndarray]:
    """Return the level of each cell by factor, or its value where a continuous factor is left as it is."""
    cut = find_continuous(table, continuous)
    return [
        table[name].to_numpy(dtype=np.float64)
        if is_cut and n_quantiles is None
        else levels_of(table[name], is_cut, n_quantiles or 2)
        for name, is_cut in zip(table.columns, cut, strict=True)
    ]


def _entropy(target: np.ndarray) -> float:
    """Entropy of levels, which bounds the information; a continuous factor has no bound."""
    from scipy.stats import entropy

    return float(entropy(np.bincount(target))) if np.issubdtype(target.dtype, np.integer) else np.inf


def _by_posterior(
    points: np.ndarray, means: np.ndarray, variances: np.ndarray, levels: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Mean of log q(z_j | v) - log q(z_j) over the draws of some cells: (n_latents, n_factors)."""
    sizes = levels.max(axis=0) + 1
    groups = levels + np.concatenate([[0], np.cumsum(sizes)[:-1]])  # levels of all factors, numbered through
    n_cells, n_factors = levels.shape
    member = sp.csr_array((np.ones(groups.size), (groups.T.ravel(), np.tile(np.arange(n_cells), n_factors))))
    share = np.asarray(member.sum(axis=1)) / n_cells
    answer = np.zeros((means.shape[1], n_factors))
    for j in range(means.shape[1]):
        for block in blocks(len(rows), n_cells):
            here = rows[block]
            density = log_densities(points[here, j], means[:, j], variances[:, j])
            density -= density.max(axis=0)
            np.exp(density, out=density)  # a draw's own cell keeps its group above 0
            of_group = np.asarray(member @ density)
            own = of_group[groups[here].T, np.arange(len(here))] / share[groups[here].T]  # (n_factors, n_draws)
            answer[j] += np.log(own / density.sum(axis=0)).sum(axis=1)
    return answer / len(rows)


def _by_neighbours(points: np.ndarray, targets: Sequence[np.ndarray], n_neighbors: int, seed: int) -> np.ndarray:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    estimates = []
    for target in targets:
        estimate = mutual_info_classif if np.issubdtype(target.dtype, np.integer) else mutual_info_regression
        estimates.append(estimate(points, target, discrete_features=False, n_neighbors=n_neighbors, random_state=seed))
    return np.column_stack(estimates)


def _by_bins(points: np.ndarray, targets: Sequence[np.ndarray], n_bins: int) -> np.ndarray:
    from sklearn.metrics import mutual_info_score

    if n_bins < 2:
        raise DataError(f"n_bins={n_bins} must be 2 or more")
    binned = [quantile_codes(latent, n_bins) for latent in points.T]
    return np.array([[mutual_info_score(target, latent) for target in targets] for latent in binned])
