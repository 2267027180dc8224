"""When a prediction is not to be relied on, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from altercell.errors import listing
from altercell.models.stack._solve import Prediction

FEW_PAIRS = 20.0
FEW_TYPES = 3
#: Where the known responses are predicted with so small a relative error, it does not matter that others do as well.
WELL_PREDICTED = 0.1
HARDLY_PREDICTED = 0.8


def doubts_of(names: Sequence[str], found: Sequence[Prediction]) -> list[str]:
    """Return the reasons not to rely on predictions, each a part of a sentence.

    Parameters
    ----------
    names
        Names of the asked types.
    found
        What the stack says of each.
    """
    doubts = []
    few = [name for name, one in zip(names, found, strict=True) if one.effective_pairs < FEW_PAIRS]
    if few:
        number = min(one.effective_pairs for one in found)
        doubts.append(
            f"few measured cells are like those of {listing(few)}: as much is known as from {number:.0f} of them"
        )
    inner = _of_inner_error(max(found, key=_badness))
    if inner is not None:
        doubts.append(inner)
    few_types = min(one.n_types for one in found)
    if few_types < FEW_TYPES:
        doubts.append(f"the response of only {few_types} other types could be read")
    return doubts


def _of_inner_error(one: Prediction) -> str | None:
    """Return what the test on types with a known response says against a prediction; None for nothing."""
    error, plain = one.inner_error, one.mean_delta_error
    if np.isnan(error):
        return "no cell type's known response could be predicted from others, so that nothing was tested"
    if error >= min(plain, 1.0) and error > WELL_PREDICTED:
        better = "no change" if plain >= 1 else "the mean response of the others"
        return (
            f"on cell types whose response is known, the prediction was no better than {better} (relative squared "
            f"error {error:.2f}; the mean response {plain:.2f}, no change 1)"
        )
    if error > HARDLY_PREDICTED:
        return (
            "on cell types whose response is known, the prediction was hardly better than no change (relative squared "
            f"error {error:.2f}, no change 1)"
        )
    return None


def _badness(one: Prediction) -> float:
    """Return the error over known types relative to that of the simplest answers; infinite where nothing was tested."""
    return float("inf") if np.isnan(one.inner_error) else one.inner_error / max(min(one.mean_delta_error, 1.0), 1e-12)
