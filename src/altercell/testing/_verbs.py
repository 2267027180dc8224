"""How each public verb is called in the checks, and which verbs a model has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData

from altercell.models.base import ConditionalDecoding
from altercell.testing._data import BATCH_KEY, HELD_OUT, SOURCE, TARGET
from altercell.testing._registry import NotApplicable
from altercell.testing._subject import Subject

N_POINTS = 5
TOTAL = 1_000.0


@dataclass(frozen=True)
class Verb:
    """A call of a public method on the registered cells.

    Attributes
    ----------
    method
        Name of the method.
    call
        Function of (model, seed).
    random
        Whether the answer depends on the seed; a function of the model class.
    """

    method: str
    call: Callable[[Any, int], Any]
    random: Callable[[Any], bool] = lambda Model: False


def _predict(model: Any, seed: int) -> Any:
    return model.predict(source=SOURCE, target=TARGET, seed=seed)


def _predict_held_out(model: Any, seed: int) -> Any:
    return model.predict(source=SOURCE, target=TARGET, labels=HELD_OUT, seed=seed)


def _decode(model: Any, seed: int) -> Any:
    return decode_points(model, np.random.default_rng(0).standard_normal((N_POINTS, model.module.n_latent)))


def _generate(model: Any, seed: int) -> Any:
    return model.generate(20, seed=seed)


def _prior(model: Any, seed: int) -> Any:
    return model.generate(20, origin="prior", seed=seed)


def _interpolate_noise(model: Any, seed: int) -> Any:
    ends = {"labels": model.schema.labels[0], "condition": SOURCE}
    known = {"labels": ("labels", "both"), "condition": ("conditions", "both")}
    asked = {name: end for name, end in ends.items() if model.classes in known[name]}
    return model.interpolate(N_POINTS, seed=seed, **asked)


def _resampled(model: Any, seed: int) -> Any:
    return model.get_delta(SOURCE, TARGET, weights="resampled", seed=seed)


#: Every public verb of the package's models, by the name that messages call it; `predict_study` needs cells, see below.
VERBS: dict[str, Verb] = {
    "predict": Verb("predict", _predict, lambda Model: Model._random_response),
    "predict of one type": Verb("predict", _predict_held_out, lambda Model: Model._random_response),
    "get_latent_representation": Verb(
        "get_latent_representation", lambda model, seed: model.get_latent_representation()
    ),
    "samples of the posterior": Verb(
        "get_latent_representation",
        lambda model, seed: model.get_latent_representation(give_mean=False, seed=seed),
        lambda Model: True,
    ),
    "get_mmd_representation": Verb("get_mmd_representation", lambda model, seed: model.get_mmd_representation()),
    "decode": Verb("decode", _decode),
    "generate": Verb("generate", _generate, lambda Model: True),
    "generate from the prior": Verb("generate", _prior, lambda Model: True),
    "get_delta": Verb("get_delta", lambda model, seed: model.get_delta(SOURCE, TARGET)),
    "get_delta, resampled": Verb("get_delta", _resampled, lambda Model: True),
    "get_mean": Verb("get_mean", lambda model, seed: model.get_mean(SOURCE, TARGET, HELD_OUT).to_numpy()),
    "group_means": Verb("group_means", lambda model, seed: model.group_means()),
    "remove_batch_effect": Verb("remove_batch_effect", lambda model, seed: model.remove_batch_effect()),
    "interpolate": Verb("interpolate", lambda model, seed: model.interpolate(source=SOURCE, target=TARGET, n=N_POINTS)),
    "interpolate noise": Verb("interpolate", _interpolate_noise, lambda Model: True),
    "predict_two_axes": Verb(
        "predict_two_axes", lambda model, seed: model.predict_two_axes(source=SOURCE, target=TARGET, label=HELD_OUT)
    ),
    "classify": Verb("classify", lambda model, seed: model.classify(source=SOURCE, target=TARGET)),
    "delta_cosines": Verb(
        "delta_cosines",
        lambda model, seed: model.delta_cosines(source=SOURCE, target=TARGET, n_random=N_POINTS, seed=seed),
        lambda Model: True,
    ),
}

#: Verbs that take cells of another AnnData; functions of (model, cells, options).
QUERIES: dict[str, Callable[..., Any]] = {
    "predict": lambda model, cells, **options: model.predict(
        cells, source=SOURCE, target=TARGET, **{"seed": 0, **options}
    ),
    "get_latent_representation": lambda model, cells, **options: model.get_latent_representation(cells, **options),
    "get_mmd_representation": lambda model, cells, **options: model.get_mmd_representation(cells, **options),
}


def decode_points(model: Any, points: np.ndarray, **options: Any) -> np.ndarray:
    """Call `decode`, under the target condition where the model's decoder reads one.

    Parameters
    ----------
    model
        A trained model.
    points
        Latent points, shape ``(n_points, n_latent)``.
    **options
        Further arguments of ``decode``.
    """
    condition = {"condition": TARGET} if isinstance(model, ConditionalDecoding) else {}
    return model.decode(points, size_factor=np.full(len(points), TOTAL), **{**condition, **options})


def verbs_of(subject: Subject) -> dict[str, Verb]:
    """Return the verbs that a model has, its own (`subject.verbs`) among them.

    Parameters
    ----------
    subject
        The model under test.
    """
    Model = subject.Model
    cells = control_cells(subject)
    study = Verb("predict_study", lambda model, seed: model.predict_study(cells, source=SOURCE, target=TARGET))
    own = {name: Verb(name, call, lambda Model: True) for name, call in subject.verbs.items()}
    known = {name: verb for name, verb in {**VERBS, "predict_study": study}.items() if hasattr(Model, verb.method)}
    if "generate" in known and not subject.takes("generate", "origin"):
        known.pop("generate from the prior")
    if "interpolate" in known:
        known.pop("interpolate noise" if subject.takes("interpolate", "source") else "interpolate")
    if "get_delta" in known and not subject.takes("get_delta", "weights"):
        known.pop("get_delta, resampled")
    return {**known, **own}


def queries_of(subject: Subject, needed: bool = True) -> dict[str, Callable[..., Any]]:
    """Return the verbs of a model that take other cells.

    Parameters
    ----------
    subject
        The model under test.
    needed
        Whether a check has no meaning without such a verb.

    Raises
    ------
    NotApplicable
        There is none.
    """
    known = {name: call for name, call in QUERIES.items() if hasattr(subject.Model, name)}
    if needed and not known:
        raise NotApplicable("no verb takes cells")
    return known


def control_cells(subject: Subject) -> AnnData:
    """Return the training cells of the source condition, in an AnnData that is not registered.

    Parameters
    ----------
    subject
        The model under test.
    """
    adata = subject.adata()
    return adata[(adata.obs[BATCH_KEY] == SOURCE).to_numpy()].copy()


def answers(subject: Subject, model: Any, seed: int = 0, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Call every verb of a model.

    Parameters
    ----------
    subject
        The model under test.
    model
        A trained model of it, with cells.
    seed
        Seed of the random verbs.
    without
        Names of verbs that are not called.

    Returns
    -------
    The answers by the name of the verb.
    """
    return {name: verb.call(model, seed) for name, verb in verbs_of(subject).items() if name not in without}
