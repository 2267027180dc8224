"""Pairs by optimal transport: a control cell's likely partners are the perturbed cells that it is sent to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import ot
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from altercell.train._pairs import Arms

# Principal axes of so many cells are those of all of them, for our purpose.
FIT_CELLS = 3_000
READ_CELLS = 1_024
MAX_STEPS = 10_000_000


def transport_arms(
    arms: Sequence[Arms],
    read: Callable[[np.ndarray], np.ndarray],
    *,
    n_components: int = 50,
    block_size: int = 1_000,
    seed: int = 0,
) -> list[Arms]:
    """Give each of the arms its partners by optimal transport between principal components :cite:p:`Flamary2021`.

    Parameters
    ----------
    arms
        What is to be paired; see :func:`find_arms`.
    read
        Function of positions that gives the cells' values, shape ``(n_positions, n_genes)``.
    n_components
        How many principal components of the cells of all arms; fewer where there are fewer cells or genes.
    block_size
        Cells of an arm that are transported at once. A larger arm is cut at random into blocks of at most so many, each
        transported to one block of the other arm, so that the cost grows with the number of cells, not its square.
    seed
        Seed of the blocks and of the axes.

    Returns
    -------
    The arms in their order, with :attr:`Arms.partners`.
    """
    if not arms:
        return []
    rng = np.random.default_rng(seed)
    cells = np.unique(np.concatenate([part for arm in arms for part in (arm.control, arm.perturbed)]))
    points = _principal_points(read, cells, n_components, rng)
    return [
        replace(
            arm,
            partners=transport_partners(
                points[np.searchsorted(cells, arm.control)],
                points[np.searchsorted(cells, arm.perturbed)],
                block_size=block_size,
                rng=rng,
            ),
        )
        for arm in arms
    ]


def transport_partners(
    control: np.ndarray, perturbed: np.ndarray, *, block_size: int, rng: np.random.Generator
) -> sparse.csr_array:
    """Return the plan of least total squared distance that sends uniform weights to uniform weights, by blocks.

    Parameters
    ----------
    control, perturbed
        Points of the two arms, shapes ``(n_control, n_components)`` and ``(n_perturbed, n_components)``.
    block_size
        Points of an arm that are transported at once.
    rng
        Source of the blocks.

    Returns
    -------
    Weights, shape ``(n_control, n_perturbed)``; no row is empty.
    """
    blocks = [
        np.array_split(rng.permutation(len(points)), -(-len(points) // block_size)) for points in (control, perturbed)
    ]
    parts = []
    for number in range(max(map(len, blocks))):
        # The blocks of the arm that has fewer are taken again from the start.
        rows, columns = (block[number % len(block)] for block in blocks)
        cost = ot.dist(control[rows], perturbed[columns])
        plan = ot.emd(ot.unif(len(rows)), ot.unif(len(columns)), cost, numItermax=MAX_STEPS)
        i, j = np.nonzero(plan)
        parts.append((rows[i], columns[j], plan[i, j]))
    i, j, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sparse.csr_array((weights, (i, j)), shape=(len(control), len(perturbed)))


def _principal_points(
    read: Callable[[np.ndarray], np.ndarray], cells: np.ndarray, n_components: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the cells' principal components, float64 of shape ``(n_cells, n_components)``."""
    some = np.sort(rng.permutation(cells)[:FIT_CELLS])
    values = read(some)
    center = values.mean(axis=0)
    n_axes = min(n_components, *values.shape)
    _, _, axes = randomized_svd(values - center, n_axes, random_state=int(rng.integers(2**31)))
    blocks = [cells[start : start + READ_CELLS] for start in range(0, len(cells), READ_CELLS)]
    return np.concatenate([(read(block) - center) @ axes.T for block in blocks]).astype(np.float64)
