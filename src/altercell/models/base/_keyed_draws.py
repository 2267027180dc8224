"""Random numbers that belong to a cell and a gene: they do not depend on which cells are asked, nor on their order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

#: Molecules of a larger count are not drawn one by one.
MANY = 32
#: Molecules that are drawn at once.
CHUNK = 1_000_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class KeyedDraws:
    """Uniform numbers for pairs of a cell and a gene, from a hash of their names and a seed.

    Parameters
    ----------
    cells, genes
        Names of the cells and of the genes. Cells of the same name draw the same.
    seed
        Seed of the draws.
    """

    def __init__(self, cells: pd.Index | np.ndarray, genes: pd.Index | np.ndarray, seed: int) -> None:
        self.cells, self.genes = hashed(cells, seed), hashed(genes, seed)

    def uniform(self, stream: int, genes: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return a number in [0, 1) for each cell and gene.

        Parameters
        ----------
        stream
            Number of the draw; two streams are independent.
        genes
            Positions of the genes.

        Returns
        -------
        float64 of shape ``(n_cells, n_genes)``.
        """
        return _to_unit(_mixed(self._keys(self.cells[:, None], self.genes[genes], stream)))

    def thinned(
        self, counts: np.ndarray, keep: np.ndarray, stream: int, genes: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """Draw how many of the molecules are kept: binomial(count, keep), one draw a molecule.

        Parameters
        ----------
        counts
            Whole numbers, shape ``(n_cells, n_genes)``.
        keep
            Probability that a molecule is kept, of a shape that broadcasts to that of `counts`. With a larger one a
            superset of the molecules is kept.
        stream
            Number of the draw.
        genes
            Positions of the genes that `counts` are of.

        Returns
        -------
        Counts of the same shape and type.
        """
        rows, columns = np.nonzero(counts)
        n, p = counts[rows, columns].astype(np.int64), np.broadcast_to(keep, counts.shape)[rows, columns]
        keys = self._keys(self.cells[rows], self.genes[genes][columns], stream)
        kept = np.zeros(len(n), dtype=np.int64)
        few = n <= MANY
        entries = np.flatnonzero(few)
        for part in np.array_split(entries, max(1, -(-int(n[few].sum()) // CHUNK))):
            owner = np.repeat(part, n[part])
            number = np.arange(len(owner)) - np.repeat(np.cumsum(n[part]) - n[part], n[part])
            hit = _to_unit(_mixed(keys[owner] + (number.astype(np.uint64) + np.uint64(1)) * _GOLDEN)) < p[owner]
            kept += np.bincount(owner[hit], minlength=len(n))
        many = ~few
        if many.any():
            kept[many] = stats.binom.ppf(_to_unit(_mixed(keys[many])), n[many], p[many])
        result = np.zeros_like(counts)
        result[rows, columns] = kept
        return result

    def negative_binomial(
        self, mean: np.ndarray, theta: np.ndarray, stream: int, genes: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """Draw counts from a negative binomial, by inversion: a larger mean never draws a smaller count.

        Parameters
        ----------
        mean
            Shape ``(n_cells, n_genes)``, not negative.
        theta
            Inverse dispersion, shape ``(n_genes,)``: the variance is ``mean + mean**2 / theta``.
        stream
            Number of the draw.
        genes
            Positions of the genes that `mean` and `theta` are of.

        Returns
        -------
        int64 counts of shape ``(n_cells, n_genes)``.
        """
        uniform = self.uniform(stream, genes)
        zero = np.exp(-theta * np.log1p(mean / theta))  # most draws are none, and need no inversion
        counts = np.zeros(mean.shape, dtype=np.int64)
        rows, columns = np.nonzero(uniform >= zero)
        size = theta[columns]
        counts[rows, columns] = stats.nbinom.ppf(uniform[rows, columns], size, size / (size + mean[rows, columns]))
        return counts

    @staticmethod
    def _keys(cells: np.ndarray, genes: np.ndarray, stream: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            return _mixed(cells + np.uint64(stream + 1) * _GOLDEN) ^ genes


def hashed(names: pd.Index | np.ndarray, seed: int) -> np.ndarray:
    """Return a 64-bit number for each name, from a hash of the seed and the name.

    Parameters
    ----------
    names
        Names, shape ``(n,)``.
    seed
        Seed of the hash.
    """
    # siphash takes a key of 16 bytes.
    return pd.util.hash_array(np.asarray(names).astype(str).astype(object), hash_key=f"{seed % 10**16:016d}")


def uniform_by_name(names: pd.Index, seed: int, stream: int) -> np.ndarray:
    """Draw a number in [0, 1) for each name, from a hash of the seed and the name.

    A cell's number then does not depend on which other cells are asked, nor on their order. Cells of the same name get
    the same number.

    Parameters
    ----------
    names
        Names of the cells, shape ``(n_cells,)``.
    seed
        Seed of the draw.
    stream
        Number of the draw, from 0 to 9, for several draws of one seed.

    Returns
    -------
    float64 numbers of shape ``(n_cells,)``.
    """
    return _to_unit(hashed(names, 10 * (seed % 10**15) + stream))


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers, as the finaliser of SplitMix64 does :cite:p:`Steele2014`."""
    with np.errstate(over="ignore"):
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _to_unit(keys: np.ndarray) -> np.ndarray:
    """Turn 64-bit numbers into numbers in [0, 1): their upper 53 bits, which a float64 holds exactly."""
    return (keys >> np.uint64(11)) * 2.0**-53
