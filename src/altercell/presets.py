"""Models with their settings under a name: the papers' own, and those that are practical on a laptop."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from altercell import models
from altercell.errors import DataError, KeyNotFoundError, listing


@dataclass(frozen=True)
class Candidate:
    """A model that can be compared: a class with its arguments, under a name.

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
    source_argument
        Name of the constructor's argument that takes the source condition, where the model needs to know it.
    note
        Where the settings are from.
    """

    name: str
    model: type
    arguments: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    predict: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = False
    baseline: bool = False
    source_argument: str | None = None
    note: str = ""

    def describe(self) -> dict[str, Any]:
        """Return what identifies it, as plain data."""
        return {
            "model": f"{self.model.__module__}.{self.model.__qualname__}",
            **{name: dict(getattr(self, name)) for name in ("arguments", "predict")},
            "train": dict(self.train),
            "counts": self.counts,
        }


def candidate(
    model: type,
    name: str | None = None,
    *,
    train: Mapping[str, Any] | None = None,
    predict: Mapping[str, Any] | None = None,
    note: str = "",
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
    note
        Where the settings are from.
    **arguments
        Of the constructor.

    Examples
    --------
    >>> import altercell as ac
    >>> candidate(ac.SCVI, predict={"cells": "sampled"}).predict
    {'output': 'log', 'cells': 'sampled'}
    """
    parameters = inspect.signature(model).parameters
    likelihood = parameters.get("gene_likelihood")
    default = "gaussian" if likelihood is None else likelihood.default
    counts = arguments.get("gene_likelihood", default) != "gaussian"
    asked = {"output": "log"} if counts else {}
    return Candidate(
        name or model.__name__,
        model,
        arguments,
        dict(train or {}),
        {**asked, **(predict or {})},
        counts,
        # ScPerb's deltas all start from one condition.
        source_argument="control" if "control" in parameters and "control" not in arguments else None,
        note=note,
    )


_BASELINES = {
    "no change": ("NoChange", "the source cells as they are"),
    "control + mean delta": ("MeanShift", "plus the mean difference of the other types"),
    "control + PCA delta": ("PCAShift", "the same in 100 principal components"),
    "control + ridge delta": ("RidgeShift", "plus a difference that depends on the type's control profile"),
    "mean of stimulated": ("StimulatedMean", "the mean target cell of the other types"),
    "random stimulated cells": ("RandomStimulated", "target cells of other types"),
}


#: The baseline of held-out donors: there, the type that is asked for has been measured under both conditions.
OWN_DELTA = "control + own delta"


def baselines(*, own_type: bool = False) -> list[Candidate]:
    """Return the baselines for response, in the order of the tables.

    Parameters
    ----------
    own_type
        Whether to add the difference of the asked type itself, which training has seen where donors are held out.
    """
    found = [
        Candidate(name, getattr(models, model), baseline=True, note=note) for name, (model, note) in _BASELINES.items()
    ]
    own = Candidate(
        OWN_DELTA, models.MeanShift, {"own_type": True}, baseline=True, note="plus the mean difference of the same type"
    )
    return [*found, own] if own_type else found


def _epochs(number: int, batch_size: int, **options: Any) -> dict[str, Any]:
    return {"max_epochs": number, "batch_size": batch_size, **options}


def _network(
    name: str,
    model: type,
    note: str,
    train: Mapping[str, Any],
    predict: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Candidate:
    return candidate(model, name, train=train, predict=predict, note=note, **arguments)


_QUADRATIC: dict[str, Any] = {"smooth_l1_beta": 10.0, "style_weight": 10.0, "generation_weight": 10.0}
# The published lengths of the trVAE family and of scPerb take hours on a laptop; four times as many updates an epoch as
# with the papers' batches make the short ones.
_SHORT = _epochs(50, 128)
_PRESETS: tuple[Callable[[], Candidate], ...] = (
    lambda: _network("stack", models.ResponseStack, "altercell's own: kriging and attention, transported cells", {}),
    lambda: _network("scgen", models.ScGen, "scGen's code: batches of 32, up to 100 epochs", _epochs(100, 32)),
    lambda: _network(
        "scgen-paper",
        models.ScGen,
        "scGen's own runs: 300 epochs, patience 20",
        _epochs(300, 32, early_stopping_patience=20),
    ),
    lambda: _network(
        "scgen-unbalanced",
        models.ScGen,
        "scGen's biased delta: every cell counts alike",
        _epochs(100, 32),
        {"weights": "unbalanced"},
    ),
    lambda: _network("scgen-nb", models.ScGen, "scGen on counts", _epochs(100, 32), gene_likelihood="nb"),
    lambda: _network("trvae", models.TrVAE, "trVAE's Table 3 and weights, 50 epochs in batches of 128", _SHORT),
    lambda: _network(
        "trvae-paper", models.TrVAE, "trVAE's Table 3: 5,000 epochs in batches of 512", _epochs(5_000, 512)
    ),
    lambda: _network("cvae", models.CVAE, "trVAE's comparison, 50 epochs in batches of 128", _SHORT),
    lambda: _network("cvae-paper", models.CVAE, "trVAE's comparison: 300 epochs", _epochs(300, 512)),
    lambda: _network("mmd-cvae", models.MMDCVAE, "trVAE's comparison, 50 epochs in batches of 128", _SHORT),
    lambda: _network("mmd-cvae-paper", models.MMDCVAE, "trVAE's comparison: 500 epochs", _epochs(500, 512)),
    lambda: _network("mmd-autoencoder", models.MMDAutoencoder, "trVAE's Table 9 (SAUCIE-like), 50 epochs", _SHORT),
    lambda: _network("scperb", models.ScPerb, "scPerb's code, 50 epochs in batches of 128", _SHORT),
    lambda: _network("scperb-paper", models.ScPerb, "scPerb's code: 500 epochs in batches of 256", _epochs(500, 256)),
    lambda: _network("scperb-transport", models.ScPerb, "pairs by optimal transport", _SHORT, pairing="transport"),
    lambda: _network(
        "scperb-quadratic",
        models.ScPerb,
        "pairs by optimal transport, squares in place of the smooth L1 loss",
        _SHORT,
        pairing="transport",
        **_QUADRATIC,
    ),
    lambda: _network("style-transfer", models.StyleTransferGAN, "trVAE's Table 7, in batches of 256", {}),
    lambda: _network(
        "scvi",
        models.SCVI,
        "counterfactuals of scvi-tools' own model, drawn counts",
        {"max_epochs": 100, "plan_kwargs": {"max_kl_weight": 0.25, "n_epochs_kl_warmup": 100}},
        {"cells": "sampled"},
    ),
    lambda: _network(
        "wgan",
        models.WGAN,
        "responses by arithmetic on noise (sc-WGAN), 1,000 moves of the generator",
        {"n_steps": 1_000},
    ),
)


def _generator(name: str, model: str, note: str, output: str | None = "counts", **arguments: Any) -> Candidate:
    counts, steps = output is not None, arguments.pop("n_steps", 5_000)
    predict = {"output": output} if counts else {}
    return Candidate(name, getattr(models, model), arguments, {"n_steps": steps}, predict, counts, note=note)


def generators() -> list[Candidate]:
    """Return the presets for generated cells, which :func:`altercell.benchmark.generation` compares.

    Their ``predict`` are arguments of ``generate``; their lengths are 5,000 moves of the generator where the name does
    not say that they are the paper's.
    """
    return [
        _generator("scgan", "ScGAN", "scGAN's networks; its cells on the log scale", "log"),
        _generator("scgan-paper", "ScGAN", "scGAN's code: a million moves of the generator", "log", n_steps=1_000_000),
        _generator("scgan-counts", "ScGAN", "scGAN's networks, counts drawn around its cells"),
        _generator("scgan-poisson", "ScGAN", "scGAN with counts inside training", output_layer="poisson"),
        _generator("cscgan", "CscGAN", "cscGAN, its critic by projection; its cells on the log scale", "log"),
        _generator(
            "cscgan-paper",
            "CscGAN",
            "cscGAN's code: a million moves, a head for each class",
            "log",
            n_steps=1_000_000,
            conditioning="heads",
        ),
        _generator("cscgan-heads", "CscGAN", "cscGAN with a head for each class, drawn counts", conditioning="heads"),
        _generator("cscgan-acgan", "CscGAN", "with an auxiliary classifier, drawn counts", conditioning="classifier"),
        _generator("cscgan-counts", "CscGAN", "cscGAN, counts drawn around its cells"),
        _generator("cscgan-poisson", "CscGAN", "cscGAN with counts inside training", output_layer="poisson"),
        _generator("wgan-cells", "WGAN", "a Wasserstein GAN on log data", None),
        _generator("latent-gan", "LatentGAN", "altercell's own: a GAN in the latent space of an autoencoder of counts"),
        _generator("latent-gan-labels", "LatentGAN", "the same, of labels", classes="labels"),
    ]


def names() -> list[str]:
    """Return the names of all presets: of responses, their baselines, and of generated cells."""
    return [preset.name for preset in [*available(), *generators()]]


def available() -> list[Candidate]:
    """Return the presets of responses, the baselines last."""
    return [*(make() for make in _PRESETS), *baselines()]


def get(name: str) -> Candidate:
    """Return the preset of a name.

    Parameters
    ----------
    name
        One of :func:`names`.

    Raises
    ------
    KeyNotFoundError
        There is none of that name.

    Examples
    --------
    >>> get("trvae-paper").train["max_epochs"]
    5000
    """
    known = {preset.name: preset for preset in [*available(), *generators()]}
    if name not in known:
        there = [*known, "baselines"]
        near = difflib.get_close_matches(name.lower(), there, n=1)
        meant = f"did you mean '{near[0]}'? " if near else ""
        raise KeyNotFoundError(f"there is no preset '{name}'; {meant}there are {listing(there, limit=len(there))}")
    return known[name]


def resolve(wanted: Iterable[str | Candidate | type]) -> list[Candidate]:
    """Return candidates for names of presets, model classes and candidates; what is named twice is there once.

    Parameters
    ----------
    wanted
        Any mixture of them. ``"baselines"`` stands for all baselines.

    Raises
    ------
    DataError
        Nothing is asked for, or two different ones have one name.
    KeyNotFoundError
        A name is no preset's.
    """
    if isinstance(wanted, str | Candidate | type):
        wanted = [wanted]
    found: list[Candidate] = []
    for item in wanted:
        if isinstance(item, Candidate):
            found.append(item)
        elif isinstance(item, str):
            found += baselines() if item == "baselines" else [get(item)]
        else:
            found.append(candidate(item))
    if not found:
        raise DataError("no model is asked for")
    found = [model for number, model in enumerate(found) if model not in found[:number]]
    asked = [model.name for model in found]
    twice = {name for name in asked if asked.count(name) > 1}
    if twice:
        raise DataError(f"two models have the name {listing(sorted(twice))}; give each its own")
    return found


def shortened(model: Candidate, factor: float) -> Candidate:
    """Return a candidate with its number of epochs, or of a generator's moves, multiplied.

    Parameters
    ----------
    model
        A candidate; without ``max_epochs`` or ``n_steps`` among its arguments of ``train`` it stays as it is.
    factor
        The factor; at least one is left.
    """
    lengths = {name: model.train[name] for name in ("max_epochs", "n_steps") if name in model.train}
    if not lengths:
        return model
    fewer = {name: max(1, round(length * factor)) for name, length in lengths.items()}
    return replace(model, train={**model.train, **fewer})
