"""Scores of batch removal: how well batches mix, and whether the cell types stay apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from altercell.errors import DataError, GroupError
from altercell.metrics import _scib


def integration(
    embedding: np.ndarray,
    batches: Any,
    labels: Any,
    *,
    before: np.ndarray | None = None,
    scib: bool | None = None,
    n_neighbors: int = 15,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Score an embedding from which batch effects were removed.

    With scikit-learn alone there are :func:`silhouette_label`, :func:`cluster_agreement` (``ari_kmeans`` and
    ``nmi_kmeans``), :func:`silhouette_batch` and :func:`cross_batch_accuracy`. With scib-metrics
    :cite:p:`Luecken2022` there are also

    * ``isolated_labels``: :math:`(s + 1) / 2` of the labels that are in the fewest batches, a mean of their means;
    * ``clisi``, ``ilisi``: with :math:`L_i` the local inverse Simpson index :cite:p:`Korsunsky2019` of the labels, or
      of the batches, among a cell's 90 nearest cells, the medians of :math:`(n_{labels} - L_i) / (n_{labels} - 1)` and
      of :math:`(L_i - 1) / (n_{batches} - 1)`;
    * ``bras``: as :func:`silhouette_batch`, with the cosine distance and the mean distance to all cells of other
      batches in place of the nearest batch :cite:p:`Rautenstrauch2025`;
    * ``kbet``: the share of cells whose neighbours of the same label have the batches of that label (a chi-squared
      test, 5 %), a mean over labels :cite:p:`Buttner2019`;
    * ``graph_connectivity``: the share of a label's cells in its largest component of the graph of 15 nearest cells, a
      mean over labels;
    * ``pcr_comparison``: :math:`\max(0, (R_0 - R) / R_0)`, with R the share of variance that the batch explains, and
      :math:`R_0` that in `before`;
    * ``scib_bio_conservation``: the mean of isolated_labels, ari_kmeans, nmi_kmeans, silhouette_label and clisi;
    * ``scib_batch_correction``: the mean of bras, ilisi, kbet, graph_connectivity and pcr_comparison.

    The two means have the members of scib-metrics 0.6. They are taken of the scores as they are, not scaled between the
    best and the worst method of a table, and are nan where a member is; without scib-metrics they are not there. All
    scores are at most 1, which is best. Neighbours are exact.

    Parameters
    ----------
    embedding
        Cells after the removal: (n_cells, n_dims).
    batches, labels
        Of the cells: (n_cells,).
    before
        Cells before it, such as principal components: (n_cells, n_dims); ``pcr_comparison`` is nan without.
    scib
        Whether to compute the scores of scib-metrics; None: where it is installed.
    n_neighbors
        Of :func:`cross_batch_accuracy`.
    seed
        Of the clusters and of the eigensolver in kbet.

    Returns
    -------
    A frame indexed by ``metric``, with the columns ``value``, ``genes`` ("all") and ``better`` ("higher").

    Raises
    ------
    DataError
        The arrays have other shapes, or values that are missing or not finite.
    GroupError
        There is only one batch, or only one label.
    ModuleNotFoundError
        `scib` is true and scib-metrics is not installed; it comes with the extra ``integration``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels, batches = np.repeat(["a", "b"], 40), np.tile(["x", "y"], 40)
    >>> mixed = rng.normal(size=(80, 3)) + 20 * (labels == "a")[:, None]
    >>> integration(mixed, batches, labels, scib=False)["value"].round(1)["ari_kmeans"].item()
    1.0
    """
    points, batch, label = _checked(embedding, batches, labels)
    for name, codes in (("batches", batch), ("labels", label)):
        if codes.max() == 0:
            raise GroupError(f"all cells have one value of {name}; scores of integration compare two or more")
    ari, nmi = cluster_agreement(points, label, seed=seed)
    scores = {
        "silhouette_label": silhouette_label(points, label),
        "ari_kmeans": ari,
        "nmi_kmeans": nmi,
        "silhouette_batch": silhouette_batch(points, batch, label),
        "cross_batch_accuracy": cross_batch_accuracy(points, batch, label, n_neighbors=n_neighbors),
    }
    if _scib.installed() if scib is None else scib:
        start = None if before is None else _checked(before, batches, labels)[0]
        scores |= _scib.scib_scores(points, batch, label, start, seed)
        for name, members in _scib.MEANS.items():
            scores[name] = float(np.mean([scores[member] for member in members]))
    frame = pd.DataFrame({"value": pd.Series(scores, dtype=np.float64)}).assign(genes="all", better="higher")
    return frame.rename_axis("metric")


def silhouette_label(embedding: np.ndarray, labels: Any) -> float:
    r"""Silhouette of the labels, rescaled :cite:p:`Rousseeuw1987,Luecken2022`.

    .. math:: \frac{1}{n} \sum_i \frac{s_i + 1}{2}, \qquad s_i = \frac{b_i - a_i}{\max(a_i, b_i)}

    with :math:`a_i` the mean distance of a cell to the others of its label, and :math:`b_i` that to the cells of the
    nearest other label. From 0 to 1, 0.5 where the labels are no groups; higher is better.

    Parameters
    ----------
    embedding
        Cells: (n_cells, n_dims).
    labels
        Of the cells: (n_cells,).

    Returns
    -------
    The score; nan where there is one label, or one for each cell.
    """
    points, _, label = _checked(embedding, labels, labels)
    widths = _silhouettes(points, label)
    return float("nan") if widths is None else float((widths.mean() + 1) / 2)


def silhouette_batch(embedding: np.ndarray, batches: Any, labels: Any) -> float:
    r"""Silhouette of the batches within each label, turned so that mixed batches are good :cite:p:`Luecken2022`.

    .. math:: \frac{1}{|L|} \sum_{l \in L} \frac{1}{n_l} \sum_{i: l_i = l} (1 - |s_i|)

    with :math:`s_i` the silhouette of a cell's batch among the cells of its label, and L the labels that are in two
    batches or more. From 0 to 1; higher is better. It can be high where batches only overlap in part
    :cite:p:`Rautenstrauch2025`: read it beside :func:`cross_batch_accuracy`.

    Parameters
    ----------
    embedding
        Cells: (n_cells, n_dims).
    batches, labels
        Of the cells: (n_cells,).

    Returns
    -------
    The score; nan where no label is in two batches.
    """
    points, batch, label = _checked(embedding, batches, labels)
    groups = (label == code for code in range(label.max() + 1))
    widths = (_silhouettes(points[group], batch[group]) for group in groups)
    means = [1 - np.abs(found).mean() for found in widths if found is not None]
    return float(np.mean(means)) if means else float("nan")


def cluster_agreement(embedding: np.ndarray, labels: Any, *, seed: int = 0) -> tuple[float, float]:
    r"""Agreement of the labels with as many k-means clusters: adjusted Rand index, normalised mutual information.

    .. math:: \mathrm{ARI} = \frac{R - \mathbb{E} R}{\max R - \mathbb{E} R}, \qquad
              \mathrm{NMI} = \frac{2 \, I(C; L)}{H(C) + H(L)}

    with R the number of pairs of cells that are together in both, its expectation that of clusters of the same sizes
    drawn at random :cite:p:`Hubert1985`, I the mutual information and H the entropy. 1: the same groups; about 0: no
    relation; higher is better. There are as many clusters as labels, as in scib-metrics :cite:p:`Luecken2022`.

    Parameters
    ----------
    embedding
        Cells: (n_cells, n_dims).
    labels
        Of the cells: (n_cells,).
    seed
        Of the clusters' starts, the best of 10.

    Returns
    -------
    The adjusted Rand index and the normalised mutual information.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    points, _, label = _checked(embedding, labels, labels)
    n_clusters = min(label.max() + 1, len(np.unique(points, axis=0)))  # scikit-learn warns of clusters that stay empty
    clusters = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(points)
    return float(adjusted_rand_score(label, clusters)), float(normalized_mutual_info_score(label, clusters))


def cross_batch_accuracy(embedding: np.ndarray, batches: Any, labels: Any, *, n_neighbors: int = 15) -> float:
    r"""Share of cells whose label is the most frequent one among their nearest cells of other batches.

    .. math:: \frac{1}{|L|} \sum_{l \in L} \frac{1}{n_l} \sum_{i: l_i = l} \left[ \hat{l}_i = l \right]

    with :math:`\hat{l}_i` the vote of the nearest cells out of all batches but the cell's own. Cells whose label is in
    no other batch are left out. It needs both: types that are apart, and batches that lie on one another. From 0 to 1;
    higher is better.

    Parameters
    ----------
    embedding
        Cells: (n_cells, n_dims).
    batches, labels
        Of the cells: (n_cells,).
    n_neighbors
        How many nearest cells vote.

    Returns
    -------
    The share; nan where no label is in two batches.
    """
    from sklearn.neighbors import KNeighborsClassifier

    points, batch, label = _checked(embedding, batches, labels)
    right = np.full(len(points), np.nan)
    for code in np.unique(batch) if batch.max() else ():
        here, there = np.flatnonzero(batch == code), np.flatnonzero(batch != code)
        here = here[np.isin(label[here], label[there])]
        if len(here):
            voters = KNeighborsClassifier(min(n_neighbors, len(there))).fit(points[there], label[there])
            right[here] = voters.predict(points[here]) == label[here]
    shares = pd.Series(right).groupby(label).mean()
    return float(shares.mean())


def _silhouettes(points: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
    """Return every cell's silhouette: (n_cells,); None where there is one group, or one a cell."""
    from sklearn.metrics import silhouette_samples

    n_groups = len(np.unique(codes))
    return np.asarray(silhouette_samples(points, codes)) if 1 < n_groups < len(codes) else None


def _checked(embedding: Any, batches: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points in float64 and the codes of batches and labels, without holes."""
    points = np.asarray(embedding, dtype=np.float64)
    if points.ndim != 2 or 0 in points.shape:
        raise DataError(f"an embedding is wanted as an array (n_cells, n_dims); the shape is {points.shape}")
    if not np.isfinite(points).all():
        raise DataError(f"the embedding holds NaN or infinite values, in {_n_bad(points)} of {len(points)} cells")
    codes = []
    for name, groups in (("batches", batches), ("labels", labels)):
        found, _ = pd.factorize(np.asarray(groups), sort=True)
        if found.shape != (len(points),):
            raise DataError(f"{name} has shape {found.shape}; give one for each of the {len(points)} cells")
        if (found < 0).any():
            raise DataError(f"{name} is missing in {int((found < 0).sum())} of {len(points)} cells: remove those cells")
        codes.append(found)
    return points, codes[0], codes[1]


def _n_bad(points: np.ndarray) -> int:
    return int((~np.isfinite(points).all(axis=1)).sum())
