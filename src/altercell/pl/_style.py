"""The look that all plots share: colours that colour-blind readers can tell apart, and new axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

# The palette of Okabe and Ito, without its yellow (too pale on white).
CONTROL = "#a6a6a6"
REAL = "#0072b2"
CYCLE = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FAINT = "#b8c4cc"
LINE = "#333333"

#: Of a quantity from low to high: even in lightness, and as readable without red or green.
SEQUENTIAL = "viridis"


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new pyplot figure that keeps its labels inside.

    Parameters
    ----------
    ax
        Axes to draw on; None makes a figure.
    size
        Width and height of a new figure, as in :func:`new_row`.
    """
    return ax if ax is not None else new_row(1, size)[0]


def new_row(n: int, size: tuple[float, float]) -> Any:
    """Return the axes of a new pyplot figure with `n` panels in a row: an array (n,).

    Parameters
    ----------
    n
        Number of panels.
    size
        Width and height of the figure, in inches, for letters of 10 points; where the caller's style has larger ones
        the figure grows with them.
    """
    import matplotlib.pyplot as plt

    scale = mpl.rcParams["font.size"] / 10
    figsize = (size[0] * scale, size[1] * scale)
    return plt.subplots(1, n, figsize=figsize, layout="constrained", squeeze=False)[1][0]


def colours(names: Iterable[str]) -> dict[str, str]:
    """Give each population its colour, the same in every plot: control grey, real blue, the others in order.

    Parameters
    ----------
    names
        Names of the populations; ``"control"`` and ``"real"`` are known by name.

    Returns
    -------
    A hexadecimal colour a name.
    """
    fixed = {"control": CONTROL, "real": REAL}
    others = [name for name in names if name not in fixed]
    if len(others) <= len(CYCLE):
        return fixed | dict(zip(others, CYCLE, strict=False))
    shades = mpl.colormaps["plasma"]
    return fixed | {name: to_hex(shades(0.92 * i / (len(others) - 1))) for i, name in enumerate(others)}
