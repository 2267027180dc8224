"""The scores of scib-metrics, where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

#: Members of the two means of scib-metrics 0.6 (its classes BioConservation and BatchCorrection).
MEANS = {
    "scib_bio_conservation": ("isolated_labels", "ari_kmeans", "nmi_kmeans", "silhouette_label", "clisi"),
    "scib_batch_correction": ("bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison"),
}
# As in scib-metrics: of LISI, of kBET, of the graph's connectivity.
N_LISI, N_KBET, N_GRAPH = 90, 50, 15


def installed() -> bool:
    """Return whether scib-metrics can be imported."""
    return importlib.util.find_spec("scib_metrics") is not None


def scib_scores(
    points: np.ndarray, batch: np.ndarray, label: np.ndarray, before: np.ndarray | None, seed: int
) -> dict[str, float]:
    """Return the scores of scib-metrics by name: see :func:`altercell.metrics.integration`.

    Parameters
    ----------
    points, before
        Cells after and before the removal: (n_cells, n_dims).
    batch, label
        Their codes, without holes: (n_cells,).
    seed
        Of the eigensolver in kBET.
    """
    from altercell._random import isolated_rng  # torch

    with _quiet(), isolated_rng(seed):
        scib = package()
        near = _neighbors(scib, points)
        graph, kbet, lisi = (near.subset_neighbors(min(n, near.n_neighbors)) for n in (N_GRAPH, N_KBET, N_LISI))
        # Without a label that is in two batches these say nothing, and scib-metrics fails or divides by zero.
        shared = len(np.unique(np.stack([batch, label]), axis=1).T) > label.max() + 1
        scores = {
            "isolated_labels": scib.isolated_labels(points, label, batch),
            "clisi": scib.clisi_knn(lisi, label),
            "bras": scib.bras(points, label, batch) if shared else np.nan,
            "ilisi": scib.ilisi_knn(lisi, batch),
            "kbet": scib.kbet_per_label(kbet, batch, label) if shared else np.nan,
            "graph_connectivity": scib.graph_connectivity(graph, label),
            "pcr_comparison": np.nan if before is None else _pcr_comparison(scib, before, points, batch),
        }
    return {name: float(value) for name, value in scores.items()}


def _pcr_comparison(scib: ModuleType, before: np.ndarray, points: np.ndarray, batch: np.ndarray) -> float:
    # In float32 the last bits of the same points would leave a little more or less than nothing.
    if before.shape == points.shape and (before == points).all():
        return 0.0
    return float(scib.pcr_comparison(before, points, batch, categorical=True))


def _neighbors(scib: ModuleType, points: np.ndarray) -> Any:
    """Return every cell's nearest cells, itself first: exact, while scib-metrics' own search is not."""
    from sklearn.neighbors import NearestNeighbors

    n_cells = len(points)
    distances, indices = NearestNeighbors(n_neighbors=min(N_LISI, n_cells) - 1).fit(points).kneighbors()
    return scib.nearest_neighbors.NeighborsResults(
        indices=np.column_stack([np.arange(n_cells), indices]).astype(np.int32),
        distances=np.column_stack([np.zeros(n_cells), distances]).astype(np.float32),
    )


def package() -> ModuleType:
    """Import scib-metrics, or say how to install it."""
    try:
        import scib_metrics
    except ModuleNotFoundError as error:
        if error.name != "scib_metrics":
            raise
        raise ModuleNotFoundError(
            "scib=True needs scib-metrics: python -m pip install 'altercell[integration]'", name="scib_metrics"
        ) from error
    return scib_metrics


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep scib-metrics' notes and those of its dependencies off the screen, and the root logger as it is."""
    root, own = logging.getLogger(), logging.getLogger("scib_metrics")
    handler, level = logging.NullHandler(), own.level
    root.addHandler(handler)  # it logs to the root, which would be given a handler to the screen
    own.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
            warnings.filterwarnings("ignore", message="PCR comparison score is negative", category=UserWarning)
            warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
            yield
    finally:
        own.disabled = False
        own.setLevel(level)
        root.removeHandler(handler)
