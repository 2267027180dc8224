"""Scores of disentanglement: whether each known factor is held by one latent, and by one alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from altercell.errors import DataError
from altercell.metrics._factors import Factors, check_inputs, find_continuous, levels_of, ordered_values
from altercell.metrics._information import mutual_information

#: Values that are held at once.
_BLOCK = 1_000_000


def spearman(codes: Any, factors: Factors) -> pd.DataFrame:
    """Spearman's rank correlation of every latent with every known factor :cite:p:`Yu2021`.

    It sees monotone relations alone: a latent that is high at both ends of a factor is not correlated with it.

    Parameters
    ----------
    codes
        Codes of cells, as an array or a table with the latents' names: (n_cells, n_latents).
    factors
        A column a factor, such as ``adata.obs[["batch", "step"]]``: n_cells rows. Numbers and booleans are taken as
        they are, ordered categories by their order, and two unordered values by their names.

    Returns
    -------
    A row a latent, a column a factor: from -1 to 1. A latent with one value is correlated with none: 0. A factor with
    one value is nan, for it has nothing to tell.

    Raises
    ------
    DataError
        Lengths do not match, values are missing or infinite, or a factor has three unordered values or more.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.arange(10)
    >>> spearman(np.column_stack([step**3, -step]), {"step": step})["step"].round(2).to_dict()
    {'z1': 1.0, 'z2': -1.0}
    """
    from scipy.stats import rankdata

    values, latents, table = check_inputs(codes, factors)
    first, second = (_unit(rankdata(part, axis=0)) for part in (values, ordered_values(table)))
    found = np.clip(first.T @ second, -1, 1)
    found[:, ~second.any(axis=0)] = np.nan
    answer = pd.DataFrame(found, index=latents, columns=pd.Index(table.columns, name="factor"))
    answer.attrs["score"] = "Spearman correlation"
    return answer


def factor_gaps(table: pd.DataFrame) -> pd.Series:
    """Return by how much the first latent of each factor is ahead of the second.

    Parameters
    ----------
    table
        A row a latent, a column a factor, such as the answer of :func:`spearman` or :func:`mutual_information`.

    Returns
    -------
    The largest absolute value of each column less the second largest, which is 0 where there is one latent.

    Raises
    ------
    DataError
        There are no latents.

    Examples
    --------
    >>> import pandas as pd
    >>> factor_gaps(pd.DataFrame({"batch": [0.1, -0.9, 0.2]})).round(2).to_dict()
    {'batch': 0.7}
    """
    if not len(table):
        raise DataError("the table has no latents: a row a latent is wanted, and a column a factor")
    size = np.sort(table.abs().to_numpy(dtype=np.float64), axis=0)
    return pd.Series(size[-1] - (size[-2] if len(size) > 1 else 0), index=table.columns, name="gap")


def spearman_gap(codes: Any, factors: Factors) -> float:
    r"""Mean gap of the two latents that are most correlated with each factor :cite:p:`Yu2021`.

    .. math:: \frac{1}{K} \sum_k \left( |\rho(z_{j(k)}, v_k)| - \max_{j \ne j(k)} |\rho(z_j, v_k)| \right), \qquad
              j(k) = \arg\max_j |\rho(z_j, v_k)|

    From 0 to 1; higher is better. One latent may be the best of several factors, and those that are best of none are
    not looked at.

    Parameters
    ----------
    codes, factors
        As in :func:`spearman`.

    Returns
    -------
    The mean over the factors that vary; nan where none does.

    Raises
    ------
    DataError
        As in :func:`spearman`.
    """
    return float(factor_gaps(spearman(codes, factors)).mean())


def mutual_information_gap(
    codes: Any,
    factors: Factors,
    *,
    variances: Any = None,
    method: str | None = None,
    continuous: Sequence[str] | None = None,
    n_quantiles: int = 4,
    n_cells: int | None = 10_000,
    n_neighbors: int = 3,
    n_bins: int = 20,
    seed: int = 0,
) -> float:
    r"""Mean gap of the two latents that tell most of each factor :cite:p:`Chen2018,Yu2021`.

    .. math:: \mathrm{MIG} = \frac{1}{K} \sum_k \frac{1}{H(v_k)} \left( I(z_{j(k)}; v_k) -
              \max_{j \ne j(k)} I(z_j; v_k) \right), \qquad j(k) = \arg\max_j I(z_j; v_k)

    From 0 to 1; higher is better: each factor is in one latent. It is near 0 both where factors are spread over latents
    and where no latent knows them, and also where posteriors are so narrow that every latent gives each cell away
    (:func:`mutual_information`); the table tells which.

    Parameters
    ----------
    codes, factors, variances, method, continuous, n_quantiles, n_cells, n_neighbors, n_bins, seed
        As in :func:`mutual_information`.

    Returns
    -------
    The mean over the factors that vary; nan where none does.

    Raises
    ------
    DataError, KeyNotFoundError
        As in :func:`mutual_information`.
    """
    table = mutual_information(
        codes, factors, variances=variances, method=method, normalised=True, continuous=continuous,
        n_quantiles=n_quantiles, n_cells=n_cells, n_neighbors=n_neighbors, n_bins=n_bins, seed=seed,
    )  # fmt: skip
    return float(factor_gaps(table).mean())


def factor_vae_score(
    codes: Any,
    factors: Factors,
    *,
    continuous: Sequence[str] | None = None,
    n_quantiles: int = 4,
    n_votes: int = 8_000,
    n_test: int = 2_000,
    n_cells: int = 40,
    min_std: float = 0.0,
    seed: int = 0,
) -> float:
    """Tell how well the latent that varies least gives away which factor was held fixed :cite:p:`Kim2018`.

    A vote is taken as follows: a factor at random, a level of it (that of a cell at random), cells of that level with
    replacement; the latent whose variance among them is least, relative to its variance over all cells, votes for the
    factor. Each latent then stands for the factor that it has most votes for, and the score is the share of fresh votes
    that are right. From about 1 / n_factors, which is chance, to 1; higher is better. One factor alone scores 1.

    It asks whether every factor has a latent that does not vary without it: a factor may be spread over several. Where
    two factors go together in the data, holding one fixed holds the other, and the score is lower whatever the codes.

    Parameters
    ----------
    codes
        Codes of cells, as an array or a table: (n_cells, n_latents).
    factors
        A column a factor, such as ``adata.obs[["batch", "step"]]``: n_cells rows.
    continuous, n_quantiles
        Which factors are cut into how many levels, as in :func:`mutual_information`.
    n_votes, n_test
        Votes that make the classifier, and votes that it is tested on; the defaults, with `n_cells`, are those of
        MichiGAN's published code :cite:p:`Yu2021`.
    n_cells
        Cells a vote.
    min_std
        Latents whose standard deviation over all cells is not above it do not vote; raise it where latents have
        collapsed to noise of little variance.
    seed
        Of the draws.

    Returns
    -------
    The share; nan where no latent varies, or no factor does.

    Raises
    ------
    DataError
        Lengths do not match, values are missing or infinite, a factor has more levels than half the cells, or a number
        is too small.
    KeyNotFoundError
        `continuous` names no factor.

    Examples
    --------
    >>> import numpy as np
    >>> batch, path = np.tile([0, 1], 50), np.repeat([0, 1], 50)
    >>> factor_vae_score(np.column_stack([path, batch]), {"batch": batch, "path": path}, n_votes=200, n_test=100)
    1.0
    """
    values, _, table = check_inputs(codes, factors)
    if min(n_votes, n_test) < 1 or n_cells < 2:
        raise DataError(f"n_votes={n_votes} and n_test={n_test} must be 1 or more, and n_cells={n_cells} 2 or more")
    cut = find_continuous(table, continuous)
    levels = [levels_of(table[name], is_cut, n_quantiles) for name, is_cut in zip(table.columns, cut, strict=True)]
    levels = [level for level in levels if np.ptp(level)]
    spread = values.std(axis=0)
    alive = (spread > min_std) & (np.ptp(values, axis=0) > 0)
    if not alive.any() or not levels:
        return float("nan")
    points, rng = values[:, alive] / spread[alive], np.random.default_rng(seed)
    fixed = rng.integers(len(levels), size=n_votes + n_test)
    least = np.zeros(len(fixed), dtype=np.intp)
    for factor, level in enumerate(levels):
        least[fixed == factor] = _votes(points, level, int((fixed == factor).sum()), n_cells, rng)
    counts = np.zeros((points.shape[1], len(levels)))
    np.add.at(counts, (least[:n_votes], fixed[:n_votes]), 1)
    guess = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)  # a latent without votes is never right
    return float((guess[least[n_votes:]] == fixed[n_votes:]).mean())


def _votes(points: np.ndarray, level: np.ndarray, n: int, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return the latent that varies least among cells of one level, for n levels at random: (n,)."""
    order, counts = np.argsort(level, kind="stable"), np.bincount(level)
    first = np.cumsum(counts) - counts
    # A cell alone in its level has no variance in any latent.
    chosen = rng.choice(level[counts[level] > 1], n)
    answer = np.zeros(n, dtype=np.intp)
    step = max(1, _BLOCK // (n_cells * points.shape[1]))
    for start in range(0, n, step):
        of = chosen[start : start + step, None]
        places = first[of] + (rng.random((len(of), n_cells)) * counts[of]).astype(np.intp)
        answer[start : start + step] = points[order[places]].var(axis=1).argmin(axis=1)
    return answer


def _unit(ranks: np.ndarray) -> np.ndarray:
    """Return columns with mean 0 and length 1; 0 where a column has one value."""
    centred = ranks - ranks.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
