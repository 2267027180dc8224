"""What can be compared: a model class with its arguments, under a name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from altercell import models
from altercell.errors import DataError, listing

BASELINES = {
    "no change": "NoChange",
    "control + mean delta": "MeanShift",
    "control + PCA delta": "PCAShift",
    "control + ridge delta": "RidgeShift",
    "mean of stimulated": "StimulatedMean",
    "random stimulated cells": "RandomStimulated",
}


@dataclass(frozen=True)
class Candidate:
    """A model to be compared.

    Attributes
    ----------
    name
        Its name in the tables.
    model
        The class.
    arguments, train, predict
        Keyword arguments of its constructor, of ``train`` and of ``predict``.
    counts
        Whether it reads the counts (layer ``"counts"``) in place of the log data.
    baseline
        Whether it is one of the trivial predictors that every table shows.
    """

    name: str
    model: type
    arguments: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    predict: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = False
    baseline: bool = False


def baselines() -> list[Candidate]:
    """Return the baselines for response, in the order of the tables."""
    return [Candidate(name, getattr(models, model), baseline=True) for name, model in BASELINES.items()]


def candidate(
    model: type,
    name: str | None = None,
    *,
    train: Mapping[str, Any] | None = None,
    predict: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Candidate:
    """Return a model as a candidate; with a likelihood of counts it reads the counts and answers in log space.

    Parameters
    ----------
    model
        The class.
    name
        Its name in the tables; None for the name of the class.
    train, predict
        Keyword arguments of ``train`` and of ``predict``.
    **arguments
        Of the constructor.

    Examples
    --------
    >>> import altercell as ac
    >>> candidate(ac.SCVI, predict={"draw": True}).predict
    {'output': 'log', 'draw': True}
    """
    likelihood = inspect.signature(model).parameters.get("gene_likelihood")
    default = "gaussian" if likelihood is None else likelihood.default
    counts = arguments.get("gene_likelihood", default) != "gaussian"
    asked = {"output": "log"} if counts else {}
    return Candidate(name or model.__name__, model, arguments, dict(train or {}), {**asked, **(predict or {})}, counts)


def scgen(
    name: str = "ScGen",
    *,
    train: Mapping[str, Any] | None = None,
    predict: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Candidate:
    """Return ScGen as a candidate.

    Parameters
    ----------
    name
        Its name in the tables.
    train, predict
        Keyword arguments of ``train`` and of ``predict``.
    **arguments
        Of the constructor. With a count likelihood it reads the counts and answers in log space.
    """
    return candidate(models.ScGen, name, train=train, predict=predict, **arguments)


def unique_names(candidates: Sequence[Candidate]) -> None:
    """Check that no two candidates have one name.

    Parameters
    ----------
    candidates
        What is to be compared.

    Raises
    ------
    DataError
        A name stands twice.
    """
    names = [candidate.name for candidate in candidates]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"two models have the name {listing(sorted(twice))}; give each its own")
