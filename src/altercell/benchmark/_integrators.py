"""What removes batch effects: published methods, and what they have to beat."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from altercell._random import isolated_rng
from altercell.errors import KeyNotFoundError, listing
from altercell.presets import Candidate

#: Where a task puts the principal components of the uncorrected log data.
PCS = "X_pca"


class Integrator(ABC):
    """A method that gives cells an embedding without batch effects; none of them reads labels.

    Parameters
    ----------
    **options
        Of the function of the package that does the work.
    """

    #: The package that it needs, of the extra ``integration``.
    package: ClassVar[str | None] = None

    def __init__(self, **options: Any) -> None:
        self.options = options

    @classmethod
    def installed(cls) -> bool:
        """Return whether its package can be imported."""
        return cls.package is None or importlib.util.find_spec(cls.package) is not None

    def embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        """Return an embedding of the cells in their order, shape ``(n_cells, n_dims)``.

        Parameters
        ----------
        cells
            Log data, with principal components in ``obsm["X_pca"]``.
        batch_key
            Column of the batches.
        seed
            Seed of everything random; the global generators stay as they are.

        Raises
        ------
        ModuleNotFoundError
            Its package is not installed; it comes with the extra ``integration``.
        """
        if not self.installed():
            raise ModuleNotFoundError(
                f"{type(self).__name__} needs {self.package}: python -m pip install 'altercell[integration]'",
                name=self.package,
            )
        with isolated_rng(seed), _quiet():
            return np.asarray(self._embed(cells, batch_key, seed), dtype=np.float64)

    @abstractmethod
    def _embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        """Return the embedding."""


class NoCorrection(Integrator):
    """The principal components of the log data: what every method has to beat in mixing."""

    def _embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        return cells.obsm[PCS]


class ShuffledCells(Integrator):
    """The principal components of other cells, at random: batches mixed as well as can be, and nothing of the types."""

    def _embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).permutation(cells.obsm[PCS])


class Harmony(Integrator):
    """Harmony :cite:p:`Korsunsky2019` by ``harmonypy.run_harmony``, on the principal components."""

    package = "harmonypy"

    def _embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        import harmonypy

        # scanpy's wrapper expects the transposed answer of older versions.
        batches = pd.DataFrame({batch_key: cells.obs[batch_key].astype(str).to_numpy()})
        options = {"verbose": False, "random_state": seed, "ncores": 1, **self.options}
        corrected = np.asarray(harmonypy.run_harmony(np.asarray(cells.obsm[PCS]), batches, batch_key, **options).Z_corr)
        return corrected if len(corrected) == cells.n_obs else corrected.T


class Scanorama(Integrator):
    """Scanorama :cite:p:`Hie2019` by ``scanorama.integrate``, on the genes of the log data, in 50 dimensions."""

    package = "scanorama"

    def _embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        import scanorama

        batches = cells.obs[batch_key].astype(str).to_numpy()
        rows = [np.flatnonzero(batches == batch) for batch in np.unique(batches)]
        n_dims = min(50, *(len(found) for found in rows), cells.n_vars - 1)
        options = {"dimred": n_dims, "seed": seed, "verbose": 0, **self.options}
        genes = list(cells.var_names)
        # It sorts the genes in place and scales each cell to length 1.
        parts = [sp.csr_matrix(cells.X[found], copy=True) for found in rows]
        integrated, _ = scanorama.integrate(parts, [genes] * len(rows), **options)
        embedding = np.empty((cells.n_obs, integrated[0].shape[1]))
        for found, points in zip(rows, integrated, strict=True):
            embedding[found] = points
        return embedding


class BBKNN(Integrator):
    r"""bbknn :cite:p:`Polanski2020`, whose answer is a graph: here its diffusion map.

    The graph is ``bbknn.matrix.bbknn`` of the principal components. Scores that need points get those of scanpy's
    diffusion map of it, :math:`\psi_k \lambda_k / (1 - \lambda_k)` for the 14 largest eigenvalues below the first: the
    components by which the diffusion over any number of steps tells cells apart :cite:p:`Haghverdi2016`. What of the
    graph they do not show is not scored.

    Parameters
    ----------
    n_comps
        Eigenvectors, with the first, which is constant and left out.
    **options
        Of ``bbknn.matrix.bbknn``.
    """

    package = "bbknn"

    def __init__(self, n_comps: int = 15, **options: Any) -> None:
        super().__init__(**options)
        self.n_comps = n_comps

    def _embed(self, cells: AnnData, batch_key: str, seed: int) -> np.ndarray:
        import scanpy as sc
        from bbknn.matrix import bbknn

        batches = cells.obs[batch_key].astype(str).to_numpy()
        distances, connectivities, parameters = bbknn(np.asarray(cells.obsm[PCS]), batches, **self.options)
        graph = AnnData(obs=pd.DataFrame(index=cells.obs_names))
        graph.obsp["distances"], graph.obsp["connectivities"] = distances, connectivities
        keys = {"distances_key": "distances", "connectivities_key": "connectivities"}
        graph.uns["neighbors"] = {"params": {**parameters, "method": "umap"}, **keys}
        sc.tl.diffmap(graph, n_comps=min(self.n_comps, cells.n_obs - 2), random_state=seed)
        share = np.minimum(graph.uns["diffmap_evals"][1:].astype(np.float64), 1 - 1e-6)  # 1: a part of its own
        return graph.obsm["X_diffmap"][:, 1:] * (share / (1 - share))


INTEGRATORS: dict[str, tuple[type[Integrator], str]] = {
    "no correction": (NoCorrection, "principal components of the log data"),
    "shuffled cells": (ShuffledCells, "the same, of other cells at random"),
    "harmony": (Harmony, "harmonypy's defaults"),
    "scanorama": (Scanorama, "scanorama's defaults, 50 dimensions"),
    "bbknn": (BBKNN, "bbknn's defaults, its graph as a diffusion map"),
}


def integrators() -> list[Candidate]:
    """Return the published methods of batch removal that are installed, after what they have to beat.

    Examples
    --------
    >>> [method.name for method in integrators()][:2]
    ['no correction', 'shuffled cells']
    """
    return [integrator(name) for name, (method, _) in INTEGRATORS.items() if method.installed()]


def integrator(name: str, **options: Any) -> Candidate:
    """Return a method of batch removal as a candidate.

    Parameters
    ----------
    name
        ``"no correction"``, ``"shuffled cells"``, ``"harmony"``, ``"scanorama"`` or ``"bbknn"``.
    **options
        Of the function of the package that does the work; give the candidate another name with
        :func:`dataclasses.replace`.

    Raises
    ------
    KeyNotFoundError
        There is none of that name.
    ModuleNotFoundError
        Its package is not installed; it comes with the extra ``integration``.

    Examples
    --------
    >>> integrator("no correction").baseline
    True
    """
    if name not in INTEGRATORS:
        raise KeyNotFoundError(f"there is no method of batch removal '{name}'; there are {listing(INTEGRATORS)}")
    method, note = INTEGRATORS[name]
    if not method.installed():
        raise ModuleNotFoundError(
            f"'{name}' needs {method.package}: python -m pip install 'altercell[integration]'", name=method.package
        )
    return Candidate(name, method, options, baseline=method.package is None, note=note)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the packages' notes off the screen."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        yield
