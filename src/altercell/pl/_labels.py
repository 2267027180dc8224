"""Names beside points, set where they cover neither each other nor, as far as possible, the points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

# Distances from the point, in typographic points, and directions to try: near ones are taken first.
_DISTANCES = (7, 14, 24, 36, 50, 66)
_ANGLES = np.deg2rad(np.arange(0, 360, 22.5) + 11.25)


def place_labels(
    ax: Axes,
    xy: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    names: Iterable[str],
    *,
    line: np.ndarray | None = None,
    obstacles: Sequence[Artist] = (),
    laid_out: bool = False,
) -> list[Annotation]:
    """Name some of the points of a scatter plot.

    For each name in turn the best of 96 places around its point is taken: the cost of a place is the area that it
    shares with names already placed and with the named points, or has outside the axes, then the number of points that
    it covers, then its distance. Call it last, when the limits of the axes stand.

    Parameters
    ----------
    ax
        Axes with the points.
    xy
        All points, in data coordinates: (n_points, 2).
    rows
        The points to name: (n_names,).
    names
        What to write: (n_names,).
    line
        Points along a line that is better not covered either: (n, 2).
    obstacles
        What is drawn already, as a legend, and must not be covered.
    laid_out
        Whether the figure has been drawn since its axes, titles and labels were set, so that the layout stands.

    Returns
    -------
    The annotations, each with a thin line to its point.
    """
    figure = ax.figure.canvas.figure
    if not laid_out:
        figure.draw_without_rendering()  # places are in pixels, which stand only after the layout
    pixels, frame = ax.transData.transform(xy), ax.get_window_extent()
    seen = pixels if line is None else np.concatenate([pixels, ax.transData.transform(line)])
    taken = [artist.get_window_extent() for artist in obstacles]
    taken += [Bbox([point, point]).padded(2) for point in pixels[np.asarray(rows, dtype=int)]]
    placed = []
    for row, name in zip(rows, names, strict=True):
        label = _annotation(ax, name, xy[row])
        size = Text.get_window_extent(label)
        boxes = [_box(pixels[row], *place, size, figure.dpi / 72) for place in product(_DISTANCES, _ANGLES)]
        best = int(np.argmin([_cost(box, taken, frame, seen) + i // len(_ANGLES) for i, box in enumerate(boxes)]))
        label.set_position((np.array([boxes[best].x0, boxes[best].y0]) - pixels[row]) * 72 / figure.dpi)
        taken.append(boxes[best])
        placed.append(label)
    return placed


def _annotation(ax: Axes, name: str, point: np.ndarray) -> Annotation:
    line = {"arrowstyle": "-", "linewidth": 0.6, "color": "0.35", "shrinkA": 0, "shrinkB": 2, "relpos": (0.5, 0.5)}
    return ax.annotate(
        name, tuple(point), xytext=(0, 0), textcoords="offset points", fontsize="small",
        ha="left", va="bottom", arrowprops=line, zorder=5,
        path_effects=[withStroke(linewidth=1.5, foreground=ax.get_facecolor())],  # to be read where it covers points
    )  # fmt: skip


def _box(point: np.ndarray, distance: float, angle: float, size: Bbox, scale: float) -> Bbox:
    """Return where a text of this size lies when its near edge is at this distance and angle from the point."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    half = np.array([size.width, size.height]) / 2
    centre = point + direction * (distance * scale + half)
    return Bbox([centre - half, centre + half])


def _cost(box: Bbox, taken: Sequence[Bbox], frame: Bbox, pixels: np.ndarray) -> float:
    area = box.width * box.height
    shared = sum(_shared(box.padded(3), other) for other in taken) + area - _shared(box, frame)
    inside = (pixels > box.min).all(axis=1) & (pixels < box.max).all(axis=1)
    return 1_000 * shared / area + min(int(inside.sum()), 50) * 0.5


def _shared(box: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(box, other)
    return 0.0 if both is None else both.width * both.height
