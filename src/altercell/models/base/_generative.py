"""The verb `generate`: cells that were never measured."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any

from anndata import AnnData


class GenerativeModel(ABC):
    """A model that generates cells."""

    @abstractmethod
    def generate(self, n: int, *, seed: int | None = None, **options: Any) -> AnnData:
        """Generate cells.

        Parameters
        ----------
        n
            How many.
        seed
            Seed of the noise.
        **options
            Options of the model.

        Returns
        -------
        The cells, with the genes' names and, in ``uns["altercell"]``, how they were made.
        """


def numbers_like(model: Any, cells: AnnData, labels_key: str | None) -> int | dict[object, int]:
    """Return how many cells a model is to generate to be compared with these.

    Parameters
    ----------
    model
        A model with ``generate``.
    cells
        The cells.
    labels_key
        Column of their labels; None for none.

    Returns
    -------
    The number of each label, where the model can be asked for labels; else their number.
    """
    named = "labels" in inspect.signature(model.generate).parameters
    if labels_key is None or not named or getattr(model, "classes", "labels") not in ("labels", "both"):
        return cells.n_obs
    return {label: int(number) for label, number in cells.obs[labels_key].value_counts().items() if number}
