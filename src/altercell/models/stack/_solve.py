"""From evidence to predictions: the members' answers, their weights, and how far off they may be."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from altercell.models.base import Cells
from altercell.models.stack._attention import CellAttention, effective_pairs
from altercell.models.stack._error import calibrated
from altercell.models.stack._evidence import Evidence
from altercell.models.stack._kriging import Kriging
from altercell.models.stack._mean_delta import MeanDelta
from altercell.models.stack._member import Member
from altercell.models.stack._network import NetworkMember
from altercell.models.stack._similar_types import SimilarTypes
from altercell.models.stack._weights import stacked

CLOSED_FORMS = ("kriging", "attention", "similar", "mean")
#: All members; the last is a network, and trained.
MEMBERS = (*CLOSED_FORMS, NetworkMember.name)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the stack says of a type.

    Attributes
    ----------
    source, mean, standard_error
        Mean control cell, predicted mean target cell and its standard error, shape ``(n_genes,)`` each.
    weights
        Weight of each member.
    n_types
        Number of types whose response was read.
    effective_pairs
        Effective number of pairs that the type's cells attend to; NaN without attention.
    inner_error, mean_delta_error
        Error of the stack and of the mean response of the other types, over the types whose response is known, each
        predicted from the others: squared error relative to the squared response, so that no change has 1. NaN
        where there is no such type.
    """

    source: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    weights: dict[str, float]
    n_types: int
    effective_pairs: float
    inner_error: float
    mean_delta_error: float


@dataclass(frozen=True, eq=False)
class Last:
    """The last answer, which one call of a verb asks for several times.

    Attributes
    ----------
    cells
        The asked cells, not kept alive.
    question
        Codes of the conditions, and the types in the order of the predictions.
    predictions
        The answer.
    """

    cells: weakref.ref[Cells]
    question: tuple[object, ...]
    predictions: list[Prediction]


def make_members(names: tuple[str, ...], network: Callable[[], NetworkMember] | None = None) -> list[Member]:
    """Make members by name; attention falls back on kriging.

    Parameters
    ----------
    names
        Their names.
    network
        Makes the member that is a network, where it is named.
    """
    kriging = Kriging()
    known: dict[str, Member] = {
        "kriging": kriging,
        "attention": CellAttention(kriging),
        "similar": SimilarTypes(),
        "mean": MeanDelta(),
    }
    if network is not None and NetworkMember.name in names:
        known[NetworkMember.name] = network()
    return [known[name] for name in names]


def solve(evidence: Evidence, members: list[Member]) -> list[Prediction]:
    """Predict the asked types.

    Parameters
    ----------
    evidence
        What is known.
    members
        The members, of which the first stands alone where there is no inner type.

    Returns
    -------
    A prediction for each asked type.
    """
    attention = next((member for member in members if isinstance(member, CellAttention)), None)
    anchor = Kriging() if attention is None else attention.anchor
    kriging = next((member for member in members if isinstance(member, Kriging)), anchor)
    variances, n_asked, inner = evidence.variances(kriging), len(evidence.asked), evidence.inner_types
    pairs = np.full(n_asked, np.nan) if attention is None else effective_pairs(attention.weights(evidence)[0])
    real, noise = evidence.target.means[inner], evidence.target.noise[inner]
    size = np.maximum(((real - evidence.source.means[inner]) ** 2).sum(axis=1), 1e-12)
    plain = real - evidence.means(MeanDelta())[n_asked:]
    result = []
    for row, found in enumerate(stacked(evidence, members)):
        own, known = found.spread[0] + variances[row], found.spread[1:] + variances[n_asked:]
        wrong = real - found.means[1:]
        result.append(
            Prediction(
                source=evidence.source.means[evidence.asked[row]],
                mean=found.means[0],
                standard_error=calibrated(own, wrong, known, noise),
                weights=dict(zip((member.name for member in members), found.weights.tolist(), strict=True)),
                n_types=len(evidence.types),
                effective_pairs=float(pairs[row]),
                inner_error=_mean((wrong**2).sum(axis=1) / size),
                mean_delta_error=_mean((plain**2).sum(axis=1) / size),
            )
        )
    return result


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
