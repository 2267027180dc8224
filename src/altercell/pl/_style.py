"""The look that all plots share: colours that colour-blind readers can tell apart, and new axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex

# The palette of Okabe and Ito, without its yellow (too pale on white).
CONTROL = "#a6a6a6"
REAL = "#0072b2"
CYCLE = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FAINT = "#b8c4cc"
LINE = "#333333"
# The palette again, for points of many kinds: the first three differ in lightness, to be printed grey.
KINDS = ("#d55e00", LINE, "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#f0e442", REAL)

#: Of what is missing.
NONE = "#e9e9e9"
#: Of a quantity from low to high: even in lightness, and as readable without red or green.
SEQUENTIAL = "viridis"
#: Of a quantity with a middle (white): orange below it, blue above; grey where there is none.
DIVERGING = LinearSegmentedColormap.from_list("diverging", [CYCLE[0], "#ffffff", REAL]).with_extremes(bad=NONE)
_FIXED = {"control": CONTROL, "real": REAL}


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
    axes: Any = new_grid(1, n, size)[0]
    return axes


def new_grid(n_rows: int, n_columns: int, size: tuple[float, float]) -> Any:
    """Return the axes of a new pyplot figure with panels in rows and columns: an array (n_rows, n_columns).

    Parameters
    ----------
    n_rows, n_columns
        Number of panels down and across.
    size
        Width and height of the figure, as in :func:`new_row`.
    """
    import matplotlib.pyplot as plt

    scale = mpl.rcParams["font.size"] / 10
    figsize = (size[0] * scale, size[1] * scale)
    return plt.subplots(n_rows, n_columns, figsize=figsize, layout="constrained", squeeze=False)[1]


def colours(
    names: Iterable[str], cycle: Sequence[str] = CYCLE, fixed: Mapping[str, str] = MappingProxyType(_FIXED)
) -> dict[str, str]:
    """Give each population its colour, the same in every plot: control grey, real blue, the others in order.

    Parameters
    ----------
    names
        Names of the populations.
    cycle
        Colours of the others, in order; a colour that is taken is passed over. Where there are more names, shades of
        one scale take its place.
    fixed
        The colours of those that are known by name.

    Returns
    -------
    A hexadecimal colour a name.
    """
    names = list(names)
    others = [name for name in names if name not in fixed]
    free = [shade for shade in cycle if shade not in {fixed[name] for name in fixed if name in names}]
    if len(others) <= len(free):
        return {**fixed, **dict(zip(others, free, strict=False))}
    shades = mpl.colormaps["plasma"]
    return {**fixed, **{name: to_hex(shades(0.92 * i / (len(others) - 1))) for i, name in enumerate(others)}}
