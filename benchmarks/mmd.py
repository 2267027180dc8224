"""Speed of the discrepancy between conditions beside a loop over their pairs: ``python -m benchmarks.mmd``.

One batch, value and gradient, one thread. The loop computes for each pair of conditions its three distance matrices and
their kernels, as the published code does; once with the published distances, from all differences, and once with those
of a matrix product, the quickest that a loop can have. The sides run in turn, so that the machine's drift touches all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch

from altercell.losses import TRVAE_WIDTHS, mmd_between_conditions

Distances = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def by_differences(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return squared distances from all differences, shape (n_a, n_b).

    Parameters
    ----------
    a, b
        Cells, shape (n_cells, n_dims).
    """
    return (a[:, None] - b).square().sum(-1)


def by_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return squared distances from a matrix product, shape (n_a, n_b).

    Parameters
    ----------
    a, b
        Cells, shape (n_cells, n_dims).
    """
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return torch.addmm(squares, a, b.T, alpha=-2).clamp(min=0)


def loop(y: torch.Tensor, conditions: torch.Tensor, distances: Distances) -> torch.Tensor:
    """Return the sum over pairs of conditions, pair by pair.

    Parameters
    ----------
    y
        Cells, shape (n_cells, n_dims).
    conditions
        Code of the condition of each cell.
    distances
        How squared distances are computed.
    """
    factors = 0.5 / torch.tensor(TRVAE_WIDTHS, dtype=y.dtype)[:, None]

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-factors * distances(a, b).reshape(1, -1)).sum(0) / len(TRVAE_WIDTHS)

    parts = [y[conditions == code] for code in conditions.unique()]
    pairs = itertools.combinations(parts, 2)
    return torch.stack([kernel(a, a).mean() + kernel(b, b).mean() - 2 * kernel(a, b).mean() for a, b in pairs]).sum()


def compare(n_cells: int, n_dims: int, n_conditions: int, rounds: int) -> dict[str, Any]:
    """Time the three in turn, forward and backward.

    Parameters
    ----------
    n_cells, n_dims, n_conditions
        The batch: normal draws, the conditions' means a little apart.
    rounds
        How often each is timed.

    Returns
    -------
    Seconds of each with their spread, ratios, and how far value and gradient differ from a loop in double precision.
    """
    generator = torch.Generator().manual_seed(0)
    conditions = torch.arange(n_cells) % n_conditions
    means = 0.3 * torch.randn(n_conditions, n_dims, generator=generator)
    y = torch.randn(n_cells, n_dims, generator=generator) + means[conditions]
    sides: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "altercell": lambda cells: mmd_between_conditions(cells, conditions, n_conditions),
        "loop_by_differences": lambda cells: loop(cells, conditions, by_differences),
        "loop_by_product": lambda cells: loop(cells, conditions, by_product),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            taken = timed(side, y)
            if number:  # the first round warms up
                seconds[name].append(taken)
    result: dict[str, Any] = {"cells": n_cells, "dimensions": n_dims, "conditions": n_conditions, "rounds": rounds}
    for name, values in seconds.items():
        result[name] = {"seconds": statistics.median(values), "least": min(values), "most": max(values)}
    for name in list(sides)[1:]:
        ratios = [a / b for a, b in zip(seconds[name], seconds["altercell"], strict=True)]
        result[name] |= {
            "ratio_of_medians": result[name]["seconds"] / result["altercell"]["seconds"],
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        }
    exact = value_and_gradient(lambda cells: loop(cells, conditions, by_differences), y.double())
    for name, side in sides.items():
        value, gradient = value_and_gradient(side, y)
        result[name]["relative_error_of_value"] = float(abs(value - exact[0]) / exact[0])
        result[name]["relative_error_of_gradient"] = float((gradient - exact[1]).norm() / exact[1].norm())
    return result


def value_and_gradient(
    side: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the value at the cells and its gradient.

    Parameters
    ----------
    side
        The function.
    y
        Cells, shape (n_cells, n_dims).
    """
    cells = y.clone().requires_grad_()
    value = side(cells)
    return value.detach(), torch.autograd.grad(value, cells)[0]


def timed(side: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor) -> float:
    """Return the seconds that value and gradient take.

    Parameters
    ----------
    side
        The function.
    y
        Cells, shape (n_cells, n_dims).
    """
    start = time.perf_counter()
    value_and_gradient(side, y)
    return time.perf_counter() - start


def main() -> None:
    """Run the comparison and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=512)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--conditions", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    machine = {
        "processor": platform.machine(),
        "cores": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    result = compare(given.cells, given.dims, given.conditions, given.rounds)
    print(json.dumps({"machine": machine, **result}, indent=2))


if __name__ == "__main__":
    main()
