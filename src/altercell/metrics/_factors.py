"""Codes of cells beside the known factors of the same cells: checks, levels and orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from altercell.errors import DataError, KeyNotFoundError, listing

#: What `factors` may be.
type Factors = pd.DataFrame | Mapping[str, Any]


class Inputs(NamedTuple):
    """Codes and factors of the same cells, checked.

    Attributes
    ----------
    codes
        In float64: (n_cells, n_latents).
    latents
        Names of the latents.
    factors
        A row a cell, a column a factor; no value is missing.
    """

    codes: np.ndarray
    latents: pd.Index
    factors: pd.DataFrame


def check_inputs(codes: Any, factors: Factors) -> Inputs:
    """Return codes and factors after a check that they belong together.

    Parameters
    ----------
    codes
        An array or a table: (n_cells, n_latents). Latents of an array are called ``z1``, ``z2``, ...
    factors
        A table such as ``adata.obs[["batch", "step"]]``, or values by name: n_cells rows.

    Raises
    ------
    DataError
        Values are missing or infinite, the numbers of cells differ, or two tables have their rows in different order.
    """
    values = check_array(codes, "codes")
    latents = codes.columns if isinstance(codes, pd.DataFrame) else [f"z{i + 1}" for i in range(values.shape[1])]
    if not isinstance(factors, pd.DataFrame | Mapping) or not len(list(factors)):
        raise DataError("factors are wanted as a table with a column each, such as adata.obs[['batch', 'step']]")
    table = factors if isinstance(factors, pd.DataFrame) else _as_table(factors)
    if len(table) != len(values):
        raise DataError(f"there are codes of {len(values)} cells but factors of {len(table)}: give the same cells")
    if len(values) < 2:
        raise DataError("codes and factors of one cell tell nothing: give two cells or more")
    if isinstance(codes, pd.DataFrame) and isinstance(factors, pd.DataFrame) and not codes.index.equals(factors.index):
        raise DataError(
            "codes and factors name different cells, or in another order: factors.loc[codes.index] may help"
        )
    _check_columns(table)
    return Inputs(values, pd.Index(latents, name="latent"), table)


def check_array(values: Any, name: str) -> np.ndarray:
    """Return points (n_cells, n_latents) in float64, after a check that they are finite and that there are any."""
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} are wanted as numbers (n_cells, n_latents): {error}") from error
    if points.ndim != 2 or 0 in points.shape:
        raise DataError(f"{name} are wanted as an array (n_cells, n_latents); the shape is {points.shape}")
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise DataError(f"{name} hold NaN or infinite values, in {int(bad.sum())} of {len(points)} cells")
    return points


def check_variances(variances: Any, means: np.ndarray) -> np.ndarray:
    """Return variances of posteriors, (n_cells, n_latents), after a check that they belong to the means."""
    widths = check_array(variances, "variances")
    if widths.shape != means.shape:
        raise DataError(f"variances have shape {widths.shape} and the means of the same posteriors {means.shape}")
    if (widths <= 0).any():
        cells = int((widths <= 0).any(axis=1).sum())
        raise DataError(f"variances are not above 0 in {cells} of {len(widths)} cells; logarithms were perhaps given")
    return widths


def find_continuous(factors: pd.DataFrame, continuous: Sequence[str] | None) -> list[bool]:
    """Tell of each factor whether it is continuous: those named, or where none is named those of floats.

    Raises
    ------
    KeyNotFoundError
        A name is that of no factor.
    DataError
        A factor that was named holds no numbers.
    """
    if continuous is None:
        return [pd.api.types.is_float_dtype(dtype) for dtype in factors.dtypes]
    names = [continuous] if isinstance(continuous, str) else list(continuous)
    unknown = [name for name in names if name not in factors]
    if unknown:
        raise KeyNotFoundError(f"continuous={listing(unknown)} is no factor; there are {listing(factors.columns)}")
    words = [name for name in names if not pd.api.types.is_numeric_dtype(factors[name])]
    if words:
        raise DataError(f"continuous={listing(words)} holds no numbers: leave it out, and its values are levels")
    return [name in names for name in factors.columns]


def levels_of(factor: pd.Series, cut: bool, n_quantiles: int) -> np.ndarray:
    """Return the level of every cell, numbered from 0: (n_cells,).

    Parameters
    ----------
    factor
        Its values.
    cut
        Whether it is continuous, and cut at its quantiles.
    n_quantiles
        How many levels a continuous factor gets; fewer where equal values, which are of one level, leave some empty.

    Raises
    ------
    DataError
        There are more levels than half the cells: it is no grouping of them. Or `n_quantiles` is below 2.
    """
    if cut:
        return quantile_codes(factor.to_numpy(dtype=np.float64), n_quantiles)
    codes, values = pd.factorize(factor, sort=True)
    if 2 * len(values) > max(len(codes), 4):
        raise DataError(
            f"factor '{factor.name}' has {len(values)} levels in {len(codes)} cells: where it is continuous, name it "
            "in continuous=, and it is cut at its quantiles; where it names cells, leave it out"
        )
    return codes


def quantile_codes(values: np.ndarray, n_quantiles: int) -> np.ndarray:
    """Return which of equal shares of the cells each value is in, from 0: (n_cells,); equal values are in one."""
    if n_quantiles < 2:
        raise DataError(f"n_quantiles={n_quantiles} must be 2 or more")
    inner = np.unique(np.quantile(values, np.arange(1, n_quantiles) / n_quantiles))
    return np.unique(np.searchsorted(inner, values), return_inverse=True)[1]


def ordered_values(factors: pd.DataFrame) -> np.ndarray:
    """Return numbers in the order of each factor's values: (n_cells, n_factors).

    Raises
    ------
    DataError
        A factor has three values or more without an order.
    """
    return np.column_stack([_ordered(factors[name]) for name in factors.columns])


def _ordered(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64)
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        return column.cat.codes.to_numpy(dtype=np.float64)
    codes, values = pd.factorize(column, sort=True)
    if len(values) > 2:
        raise DataError(
            f"factor '{column.name}' has {len(values)} values without an order, so that ranks mean nothing: make it an "
            "ordered category, or leave it out"
        )
    return codes.astype(np.float64)


def _as_table(factors: Mapping[str, Any]) -> pd.DataFrame:
    lengths = {name: len(values) for name, values in factors.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"factors have different numbers of cells: {listing(f'{k}: {n}' for k, n in lengths.items())}")
    # Rows are cells in the order given, whatever an index of theirs says.
    return pd.DataFrame({name: pd.Series(values).reset_index(drop=True) for name, values in factors.items()})


def _check_columns(table: pd.DataFrame) -> None:
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()].unique()
        raise DataError(f"factors have columns of the same name: {listing(twice)}")
    for name in table.columns:
        column = table[name]
        missing = column.isna()
        if pd.api.types.is_float_dtype(column):
            missing |= np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan))
        if missing.any():
            raise DataError(
                f"factor '{name}' is missing in {int(missing.sum())} of {len(column)} cells: leave them out"
            )
