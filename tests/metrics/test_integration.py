import importlib.util
import logging
import sys
from collections import Counter
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from altercell import metrics
from altercell.errors import DataError, GroupError

BASIC = ["silhouette_label", "ari_kmeans", "nmi_kmeans", "silhouette_batch", "cross_batch_accuracy"]


class Points(NamedTuple):
    before: np.ndarray
    after: np.ndarray
    batches: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="module")
def points() -> Points:
    """Three types in two batches that are apart in `before` and lie on one another in `after`."""
    rng = np.random.default_rng(0)
    labels, batches = rng.choice(["a", "b", "c"], 160, p=[0.5, 0.3, 0.2]), rng.choice(["x", "y"], 160)
    after = rng.normal(size=(160, 4))
    after[:, 0] += 5.0 * (labels == "a")
    after[:, 1] += 5.0 * (labels == "b")
    before = after.copy()
    before[:, 2] += 4.0 * (batches == "x")
    return Points(before, after, batches, labels)


def silhouettes(points: np.ndarray, groups: np.ndarray) -> np.ndarray:
    distances, widths = cdist(points, points), []
    for i, own in enumerate(groups):
        same = (groups == own) & (np.arange(len(groups)) != i)
        if not same.any():
            widths.append(0.0)
            continue
        inside = distances[i, same].mean()
        outside = min(distances[i, groups == other].mean() for other in set(groups) - {own})
        widths.append((outside - inside) / max(inside, outside))
    return np.array(widths)


def test_silhouettes_are_those_of_the_equations(points: Points) -> None:
    widths = silhouettes(points.before, points.labels)
    assert metrics.silhouette_label(points.before, points.labels) == pytest.approx((widths.mean() + 1) / 2)
    within = [
        1 - np.abs(silhouettes(points.before[points.labels == label], points.batches[points.labels == label])).mean()
        for label in "abc"
    ]
    found = metrics.silhouette_batch(points.before, points.batches, points.labels)
    assert found == pytest.approx(np.mean(within))


def test_a_label_of_one_batch_counts_in_no_batch_silhouette(points: Points) -> None:
    batches = np.where(points.labels == "c", "x", points.batches)
    kept = points.labels != "c"
    alone = metrics.silhouette_batch(points.after[kept], batches[kept], points.labels[kept])
    assert metrics.silhouette_batch(points.after, batches, points.labels) == alone


def test_agreement_is_that_of_pairs_and_of_entropies() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat([0, 1, 2], [20, 15, 10])
    labels = np.where(rng.random(45) < 0.3, (clusters + 1) % 3, clusters)
    ari, nmi = metrics.cluster_agreement(100.0 * np.eye(3)[clusters] + rng.normal(size=(45, 3)), labels)
    pairs = [(clusters[i] == clusters[j], labels[i] == labels[j]) for i, j in combinations(range(45), 2)]
    both, one, other = (float(np.sum(values)) for values in ([a and b for a, b in pairs], *zip(*pairs, strict=True)))
    expected = one * other / len(pairs)
    assert ari == pytest.approx((both - expected) / ((one + other) / 2 - expected))
    joint = pd.crosstab(clusters, labels).to_numpy() / 45
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    information = (joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0])).sum()
    entropies = [-(p * np.log(p)).sum() for p in (joint.sum(axis=0), joint.sum(axis=1))]
    assert nmi == pytest.approx(2 * information / sum(entropies))


def test_agreement_takes_fewer_clusters_where_points_coincide() -> None:
    ari, nmi = metrics.cluster_agreement(np.zeros((6, 2)), list("aabbcc"))
    assert (ari, nmi) == (0.0, 0.0)


def test_the_nearest_cells_of_other_batches_vote(points: Points) -> None:
    distances = cdist(points.before, points.before)
    right: dict[str, list[bool]] = {label: [] for label in "abc"}
    for i, label in enumerate(points.labels):
        others = np.flatnonzero(points.batches != points.batches[i])
        votes = Counter(points.labels[others[np.argsort(distances[i, others])[:7]]])
        right[label].append(min(votes, key=lambda name: (-votes[name], name)) == label)
    found = metrics.cross_batch_accuracy(points.before, points.batches, points.labels, n_neighbors=7)
    assert found == pytest.approx(np.mean([np.mean(values) for values in right.values()]))
    assert 0 < found < 1


def test_a_label_without_cells_in_other_batches_has_no_vote(points: Points) -> None:
    # b is in one batch alone: its cells are not scored, though they vote.
    batches = np.where(points.labels == "b", "x", points.batches)
    assert metrics.cross_batch_accuracy(points.after, batches, points.labels) > 0.9
    assert np.isnan(metrics.cross_batch_accuracy(points.after, points.labels, points.labels))


def test_what_is_not_defined_is_nan(points: Points) -> None:
    assert np.isnan(metrics.silhouette_label(points.after, ["a"] * 160))
    assert np.isnan(metrics.silhouette_label(points.after, np.arange(160)))
    assert np.isnan(metrics.silhouette_batch(points.after, points.labels, points.labels))


def test_table_without_scib(points: Points) -> None:
    table = metrics.integration(points.after, points.batches, points.labels, scib=False)
    assert list(table.index) == BASIC
    assert table.index.name == "metric"
    assert list(table.columns) == ["value", "genes", "better"]
    assert set(table["better"]) == {"higher"}
    assert table.loc["silhouette_label", "value"] == metrics.silhouette_label(points.after, points.labels)
    before = metrics.integration(points.before, points.batches, points.labels, scib=False)
    assert table.loc["silhouette_batch", "value"] > before.loc["silhouette_batch", "value"] + 0.1


def test_scores_are_invariant_to_the_order_of_cells_and_to_names(points: Points) -> None:
    order = np.random.default_rng(3).permutation(160)
    renamed = np.array([{"a": 7, "b": 8, "c": 9}[label] for label in points.labels])
    table = metrics.integration(points.after, points.batches, points.labels, scib=False)
    moved = metrics.integration(points.after[order], points.batches[order], renamed[order], scib=False)
    np.testing.assert_allclose(moved["value"], table["value"], rtol=1e-9)


def test_without_the_package_its_scores_are_left_out(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    assert list(metrics.integration(points.after, points.batches, points.labels).index) == BASIC
    with pytest.raises(ModuleNotFoundError, match=r"needs scib-metrics: .* 'altercell\[integration\]'"):
        metrics.integration(points.after, points.batches, points.labels, scib=True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"embedding": np.zeros(160)}, DataError, "an array .n_cells, n_dims.; the shape is .160,."),
        ({"embedding": np.full((160, 2), np.nan)}, DataError, "NaN or infinite values, in 160 of 160 cells"),
        ({"labels": ["a", "b"]}, DataError, "labels has shape .2,.; give one for each of the 160"),
        ({"batches": ["x"] * 159 + [None]}, DataError, "batches is missing in 1 of 160 cells"),
        ({"batches": ["x"] * 160}, GroupError, "all cells have one value of batches"),
        ({"labels": ["x"] * 160}, GroupError, "all cells have one value of labels"),
        ({"before": np.zeros((3, 2))}, DataError, "give one for each of the 3 cells"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    points: Points, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"embedding": points.after, "batches": points.batches, "labels": points.labels, **change}
    if "before" in change and importlib.util.find_spec("scib_metrics") is None:
        pytest.skip("needs scib-metrics")
    with pytest.raises(error, match=message):
        metrics.integration(**given, scib="before" in change)


needs_scib = pytest.mark.skipif(importlib.util.find_spec("scib_metrics") is None, reason="needs scib-metrics")


@pytest.fixture(scope="module")
def scored(points: Points) -> pd.Series:
    """The scores of `after` with those of scib-metrics, which take a minute to compile."""
    return metrics.integration(points.after, points.batches, points.labels, before=points.before)["value"]


@needs_scib
@pytest.mark.heavy
def test_silhouettes_are_also_those_of_scib_metrics(points: Points, scored: pd.Series) -> None:
    import scib_metrics

    theirs = scib_metrics.silhouette_label(points.after, points.labels)
    assert scored["silhouette_label"] == pytest.approx(theirs, abs=1e-5)
    theirs = scib_metrics.silhouette_batch(points.after, points.labels, points.batches)
    assert scored["silhouette_batch"] == pytest.approx(theirs, abs=1e-5)


@needs_scib
@pytest.mark.heavy
def test_variance_that_batches_explain_is_that_of_a_regression(points: Points, scored: pd.Series) -> None:
    def explained(x: np.ndarray) -> float:
        means = pd.DataFrame(x).groupby(points.batches).transform("mean").to_numpy()
        return float(((means - x.mean(axis=0)) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())

    before, after = explained(points.before), explained(points.after)
    assert scored["pcr_comparison"] == pytest.approx((before - after) / before, abs=1e-4)


def lisi(points: np.ndarray, groups: np.ndarray, n_neighbors: int = 90) -> np.ndarray:
    """Korsunsky et al.: Gaussian-like weights of one perplexity, and one over the sum of the groups' squared shares."""
    distances, answer = cdist(points, points), []
    for i in range(len(points)):
        near = np.argsort(distances[i])[1:n_neighbors]
        low, high, goal = 0.0, 1e4, np.log(np.floor(n_neighbors / 3))
        for _ in range(80):
            beta = (low + high) / 2
            weights = np.exp(-(distances[i, near] - distances[i, near].min()) * beta)
            weights /= weights.sum()
            entropy = -(weights * np.log(weights + 1e-300)).sum()
            low, high = (beta, high) if entropy > goal else (low, beta)
        answer.append(1 / sum(weights[groups[near] == group].sum() ** 2 for group in set(groups)))
    return np.array(answer)


@needs_scib
@pytest.mark.heavy
def test_inverse_simpson_indices_are_those_of_the_paper(points: Points, scored: pd.Series) -> None:
    assert scored["ilisi"] == pytest.approx(np.median(lisi(points.after, points.batches)) - 1, abs=1e-3)
    assert scored["clisi"] == pytest.approx((3 - np.median(lisi(points.after, points.labels))) / 2, abs=1e-3)


@needs_scib
@pytest.mark.heavy
def test_connectivity_is_the_share_of_the_largest_component(points: Points, scored: pd.Series) -> None:
    near = np.argsort(cdist(points.after, points.after), axis=1)[:, 1:15]
    graph = np.zeros((160, 160))
    graph[np.arange(160)[:, None], near] = 1
    shares = []
    for label in "abc":
        rows = points.labels == label
        _, parts = connected_components(graph[np.ix_(rows, rows)], connection="strong")
        shares.append(np.bincount(parts).max() / rows.sum())
    assert scored["graph_connectivity"] == pytest.approx(np.mean(shares))


@needs_scib
@pytest.mark.heavy
def test_means_of_scib(points: Points, scored: pd.Series) -> None:
    bio = scored[["isolated_labels", "ari_kmeans", "nmi_kmeans", "silhouette_label", "clisi"]]
    batch = scored[["bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison"]]
    assert scored["scib_bio_conservation"] == pytest.approx(bio.mean())
    assert scored["scib_batch_correction"] == pytest.approx(batch.mean())
    assert batch.min() > 0.5  # the batches are one population


@needs_scib
@pytest.mark.heavy
def test_scib_scores_repeat_and_leave_the_process_as_it_was(points: Points, scored: pd.Series) -> None:
    handlers, state = list(logging.getLogger().handlers), np.random.get_state()[1].copy()  # noqa: NPY002
    again = metrics.integration(points.after, points.batches, points.labels, before=points.before, seed=0)["value"]
    pd.testing.assert_series_equal(again, scored)
    assert logging.getLogger().handlers == handlers
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@needs_scib
@pytest.mark.heavy
def test_means_of_scib_need_all_their_members(points: Points) -> None:
    plain = metrics.integration(points.before, points.batches, points.labels)["value"]
    assert plain[["pcr_comparison", "scib_batch_correction"]].isna().all()
    assert np.isfinite(plain["scib_bio_conservation"])
    same = metrics.integration(points.before, points.batches, points.labels, before=points.before)["value"]
    assert same["pcr_comparison"] == 0
    assert same["kbet"] < 0.2
    nested = metrics.integration(points.after, points.labels, points.labels)["value"]
    assert nested[["bras", "kbet", "silhouette_batch"]].isna().all()
