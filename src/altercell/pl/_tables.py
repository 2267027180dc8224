"""Tables that are drawn: checks of them, and the numbers and names of a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.pl._style import LINE


def check_columns(table: pd.DataFrame, columns: Sequence[str], source: str) -> None:
    """Check that a table has rows and the columns that are drawn.

    Parameters
    ----------
    table
        The table.
    columns
        Names of columns.
    source
        What makes such a table, for the message.

    Raises
    ------
    KeyNotFoundError
        If a column is not there.
    DataError
        If there are no rows.
    """
    missing = [column for column in columns if column not in table]
    if missing:
        raise KeyNotFoundError(
            f"the table has no column {listing(missing)}; a table of {source} is wanted, this one has {listing(table)}"
        )
    if table.empty:
        raise DataError(f"the table has no rows; a table of {source} is wanted")


def write_fields(ax: Axes, table: pd.DataFrame, strong: np.ndarray, form: str = ".2g") -> None:
    """Write the numbers of a table into the fields of a heat map, and its rows and columns beside and above them.

    Parameters
    ----------
    ax
        Axes with the image.
    table
        What is written; a dash where a value is missing.
    strong
        Which fields are so dark that letters on them are white, of the table's shape.
    form
        How numbers are written.
    """
    for (y, x), value in np.ndenumerate(table.to_numpy(dtype=float)):
        text = "–" if np.isnan(value) else f"{value:{form}}"
        ax.text(x, y, text, ha="center", va="center", fontsize="x-small", color="white" if strong[y, x] else LINE)
    ax.set_xticks(
        range(table.shape[1]), table.columns, rotation=40, ha="left", rotation_mode="anchor", fontsize="small"
    )
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(table)), table.index)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(-0.5, table.shape[1]), minor=True)
    ax.set_yticks(np.arange(-0.5, len(table)), minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
