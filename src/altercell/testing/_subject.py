"""The model under test: its class, how it is made and trained, and one trained model that all checks share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anndata import AnnData
from mudata import MuData

from altercell.errors import DataError
from altercell.models.base import AltercellModel, TrainingMixin
from altercell.testing._data import BATCH_KEY, LABELS_KEY, Data, tiny

#: What a model that learns by gradient descent is trained with, unless `train_arguments` says otherwise.
TRAINING = {"max_epochs": 3, "batch_size": 32, "accelerator": "cpu", "enable_progress_bar": False}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model class, and how it is made and trained for the checks.

    Parameters
    ----------
    Model
        The class.
    arguments
        Arguments of the constructor: make it small.
    train_arguments
        Arguments of ``train``: make it short.
    setup_arguments
        Arguments of ``setup_anndata`` beside ``batch_key`` and ``labels_key``.
    learning_arguments
        Arguments of ``train`` that only the checks of learning (C3) use, for example more epochs.
    data
        What the model works on: ``"log"`` data or ``"counts"``.
    known_failures
        Reason by check id.
    floor
        What Pearson's correlation of the predicted with the real delta must reach on the simulator.
    verbs
        Further verbs of the model by name, each a function of (model, seed).
    name
        What to call it; None for the name of the class.

    Raises
    ------
    DataError
        `Model` is no class that derives from :class:`~altercell.models.base.AltercellModel`, or `data` is unknown.
    """

    Model: type[AltercellModel]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    train_arguments: Mapping[str, Any] = field(default_factory=dict)
    setup_arguments: Mapping[str, Any] = field(default_factory=dict)
    learning_arguments: Mapping[str, Any] = field(default_factory=dict)
    data: Data = "log"
    known_failures: Mapping[str, str] = field(default_factory=dict)
    floor: float = 0.5
    verbs: Mapping[str, Callable[[Any, int], Any]] = field(default_factory=dict)
    name: str | None = None
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.Model, type) and issubclass(self.Model, AltercellModel)):
            raise DataError(f"{self.Model!r} is no class that derives from altercell.models.base.AltercellModel")
        if self.data not in ("log", "counts"):
            raise DataError(f"data='{self.data}' is unknown; there are 'log' and 'counts'")

    @property
    def title(self) -> str:
        """The name, or that of the class."""
        return self.name or self.Model.__name__

    @property
    def gradient(self) -> bool:
        """Whether the model learns by gradient descent."""
        return issubclass(self.Model, TrainingMixin)

    def adata(self) -> AnnData:
        """Return a fresh copy of the training cells."""
        return tiny(self.data)

    def renamed(self, names: Mapping[str, object]) -> Subject:
        """Return the subject for data whose conditions have other names, as its constructor's arguments must have them.

        Parameters
        ----------
        names
            The new name of each condition.
        """
        arguments = {
            name: names.get(value, value) if isinstance(value, str) else value for name, value in self.arguments.items()
        }
        return replace(self, arguments=arguments)

    def setup(self, data: AnnData | MuData, **changes: Any) -> None:
        """Register data with the model class.

        Parameters
        ----------
        data
            The data; ``modality="rna"`` of a MuData.
        **changes
            Arguments in place of the usual ones.
        """
        keys = {"batch_key": BATCH_KEY, "labels_key": LABELS_KEY, **self.setup_arguments, **changes}
        if isinstance(data, MuData):
            self.Model.setup_mudata(data, modality="rna", **keys)
        else:
            self.Model.setup_anndata(data, **keys)

    def make(self, data: AnnData | MuData | None = None, *, seed: int | None = None, **setup: Any) -> Any:
        """Register data and return a model that is not trained.

        Parameters
        ----------
        data
            The data, registered in place; None for a fresh copy of the training cells.
        seed
            Seed of the constructor; None for its default.
        **setup
            Of :meth:`setup`.
        """
        data = self.adata() if data is None else data
        self.setup(data, **setup)
        extra: dict[str, Any] = {} if seed is None else {"seed": seed}
        return self.Model(data, **self.arguments, **extra)

    def train(self, model: Any, epochs: int | None = None, **changes: Any) -> Any:
        """Train a model and return it.

        Parameters
        ----------
        model
            What :meth:`make` returned.
        epochs
            Number of epochs, where the model learns by epochs; None for the usual one.
        **changes
            Arguments of ``train`` in place of the usual ones.
        """
        options = {**(TRAINING if self.gradient else {}), **self.train_arguments, **changes}
        if epochs is not None and self.gradient:
            options["max_epochs"] = epochs
        model.train(**options)
        return model

    def fit(self, data: AnnData | MuData | None = None, epochs: int | None = None, **setup: Any) -> Any:
        """Return a model trained on `data`; None for a fresh copy of the training cells.

        Parameters
        ----------
        data, epochs, **setup
            Of :meth:`make` and :meth:`train`.
        """
        return self.train(self.make(data, **setup), epochs)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, made once: checks share what is costly, and must not change it.

        Parameters
        ----------
        name
            Name of the thing.
        make
            Called the first time.
        """
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @property
    def trained(self) -> Any:
        """One trained model that the checks share."""
        return self.once("trained", self.fit)

    def takes(self, method: str, argument: str) -> bool:
        """Return whether a method of the model names an argument.

        Parameters
        ----------
        method, argument
            Their names.
        """
        return argument in inspect.signature(getattr(self.Model, method)).parameters
