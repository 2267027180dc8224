"""Checks of the simulator's arguments: a wrong one is named before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from altercell.errors import DataError, GroupError, listing


def check_whole(**values: int) -> None:
    """Require whole numbers of at least one.

    Parameters
    ----------
    **values
        The arguments by name.

    Raises
    ------
    DataError
        An argument is not a whole number, or is below one.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise DataError(f"{name} must be a whole number of at least 1, not {value!r}.")


def check_positive(*, zero: bool = False, **values: float) -> None:
    """Require finite numbers above zero.

    Parameters
    ----------
    zero
        Whether zero itself is allowed.
    **values
        The arguments by name.

    Raises
    ------
    DataError
        An argument is not finite, or is too small.
    """
    for name, value in values.items():
        if not np.isfinite(value) or value < 0 or (value == 0 and not zero):
            bound = "0 or larger" if zero else "larger than 0"
            raise DataError(f"{name} must be a finite number {bound}, not {value!r}.")


def check_share(**values: float) -> None:
    """Require shares, numbers from 0 to 1.

    Parameters
    ----------
    **values
        The arguments by name.

    Raises
    ------
    DataError
        An argument lies outside [0, 1].
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise DataError(f"{name} must lie between 0 and 1, not {value!r}.")


def check_cells(n_cells: int, **levels: int) -> None:
    """Require a cell for every combination of the factors' levels.

    Parameters
    ----------
    n_cells
        Number of cells.
    **levels
        Number of levels of each factor, by the name of its argument.

    Raises
    ------
    DataError
        There are fewer cells than combinations.
    """
    needed = math.prod(levels.values())
    if n_cells < needed:
        made_of = " x ".join(f"{name}={number}" for name, number in levels.items())
        raise DataError(f"n_cells={n_cells} is too few: {made_of} make {needed} groups; take at least as many cells.")


def condition_names(conditions: Sequence[str]) -> list[str]:
    """Return the conditions as a list of names, the first being the control.

    Parameters
    ----------
    conditions
        Names as the caller gave them.

    Raises
    ------
    GroupError
        A single string, fewer than two names, or a name given twice.
    """
    if isinstance(conditions, str):
        raise GroupError(f"conditions must be a sequence of names, such as ('control', '{conditions}').")
    names = [str(name) for name in conditions]
    if len(names) < 2 or len(set(names)) < len(names):
        raise GroupError(f"conditions must be two or more different names, the control first; got {listing(names)}.")
    return names


def proportions(shares: Sequence[float] | None, n_types: int) -> np.ndarray:
    """Return the share of cells of each type, summing to one.

    Parameters
    ----------
    shares
        Positive weights, one a type; None gives every type the same share.
    n_types
        Number of types.

    Returns
    -------
    Shares, shape `(n_types,)`.

    Raises
    ------
    DataError
        The number of weights is not `n_types`, or one is not positive.
    """
    weights = np.ones(n_types) if shares is None else np.asarray(shares, dtype=float)
    if weights.shape != (n_types,) or not np.all(np.isfinite(weights)) or np.any(weights <= 0):
        raise DataError(f"type_shares must be {n_types} positive numbers, one a type; got {shares!r}.")
    return weights / weights.sum()
