"""Checks of the tables that are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from altercell.errors import DataError, KeyNotFoundError, listing


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
