"""How often the bands of a standard error hold what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell.errors import DataError
from altercell.pl._style import CONTROL, FAINT, REAL, new_axes
from altercell.pl._tables import check_columns


def calibration(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the share of genes inside the bands of a standard error against the share that should be.

    Parameters
    ----------
    table
        A row a type and band: ``label``, ``level`` (the share that the band should hold) and ``share`` (that it holds),
        as :meth:`altercell.models.ResponseStack.get_calibration` gives it. Not changed.
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a thin line a type, a thick one for their mean, and the diagonal of bands that hold what they should. A
    line below it is of a standard error that is too small.

    Raises
    ------
    KeyNotFoundError
        If a column is not there.
    DataError
        If there is no row, or a number is not a share.
    """
    check_columns(table, ("label", "level", "share"), "the calibration")
    numbers = table[["level", "share"]].to_numpy(dtype=float)
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise DataError("level and share must be numbers from 0 to 1")
    ax = new_axes(ax, (3.8, 3.8))
    ax.plot([0, 1], [0, 1], linestyle="--", linewidth=1, color=CONTROL, label="as it should be")
    by_type = table.pivot_table(index="level", columns="label", values="share", observed=True)
    for number, shares in enumerate(by_type.to_numpy().T):
        ax.plot(by_type.index, shares, linewidth=1, color=FAINT, label="a type" if number == 0 else None)
    mean = np.nanmean(by_type.to_numpy(), axis=1)
    ax.plot(by_type.index, mean, marker="o", markersize=4, linewidth=2, color=REAL, label="mean of the types")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="share that the band should hold", ylabel="share of genes inside the band")
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    return ax
