"""Heat map of latents and known factors: which latent holds which factor."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from altercell.errors import DataError, listing
from altercell.pl._style import CYCLE, DIVERGING, LINE, NONE, SEQUENTIAL, new_axes
from altercell.pl._tables import write_fields


def factor_map(table: pd.DataFrame, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what every latent tells of every known factor, as in Figure 1c, d of :cite:p:`Yu2021`.

    Parameters
    ----------
    table
        A row a latent, a column a factor: the answer of :func:`~altercell.metrics.mutual_information` or
        :func:`~altercell.metrics.spearman`. Not changed.
    label
        What the numbers are; None takes what the table says (``table.attrs["score"]``).
    ax
        Axes to draw on; None makes a figure.

    Returns
    -------
    The axes: a field a latent and factor with its number, the largest (in absolute value) of each factor in a frame. A
    table with negative numbers, or of correlations, is coloured from -1 (orange) to 1 (blue); others from 0 to the
    largest number, or to 1 where they are normalised. Factors that do not vary have no number.

    Raises
    ------
    DataError
        If the table is empty, or holds something else than numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import altercell as ac
    >>> step = np.arange(20)
    >>> ax = ac.pl.factor_map(ac.metrics.spearman(np.column_stack([step, step % 4]), {"step": step}))
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['z1', 'z2']
    """
    values = _checked(table)
    score = str(table.attrs.get("score", ""))
    largest = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    if "correlation" in score or (values < 0).any():
        colours, high = DIVERGING, max(largest, 1.0)
        low, strong, frame = -high, np.abs(values) > 0.6 * high, LINE
    else:
        colours, high = mpl.colormaps[SEQUENTIAL].with_extremes(bad=NONE), 1.0 if "normalised" in score else largest
        low, strong, frame = 0.0, values < 0.5 * high, CYCLE[0]
    ax = new_axes(ax, (2.4 + 0.72 * values.shape[1], 1.6 + 0.3 * len(values)))
    image = ax.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=low, vmax=high, aspect="auto")
    write_fields(ax, table, strong, ".2f")
    for column in np.flatnonzero(np.isfinite(values).all(axis=0)):
        row = int(np.abs(values[:, column]).argmax())
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=frame, linewidth=1.8, zorder=3))
    ax.figure.colorbar(image, ax=ax, shrink=0.9, pad=0.02, label=score if label is None else label)
    ax.set_ylabel("latent")
    return ax


def _checked(table: pd.DataFrame) -> np.ndarray:
    if not isinstance(table, pd.DataFrame) or table.empty:
        raise DataError("a table with a row a latent and a column a factor is wanted, as metrics.spearman answers")
    words = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        raise DataError(
            f"the table holds no numbers in {listing(words)}; a row a latent and a column a factor is wanted"
        )
    return table.to_numpy(dtype=np.float64)
