"""The verb `generate`: cells that were never measured."""

from __future__ import annotations

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
