import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.spatial.distance import cdist

from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics import (
    class_confusion,
    class_recall,
    copying,
    marker_correlation,
    mean_distance,
    neighbour_mmd,
    precision_coverage,
    variable_gene_overlap,
)


def sample(n_cells: int, seed: int, shift: float = 0.0, n_genes: int = 6) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).normal(1, 1, (n_cells, n_genes)) + shift, 0)


def pcs(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """All principal components, so that distances are those in gene space."""
    centred = basis - basis.mean(axis=0)
    return (x - basis.mean(axis=0)) @ np.linalg.svd(centred, full_matrices=False)[2].T


X, Y = sample(40, 0), sample(35, 1, shift=0.4)


def test_the_mmd_is_the_sum_over_three_gaussians():
    real, made = pcs(Y, Y), pcs(X, Y)
    distances = np.sort(cdist(real, real), axis=1)[:, 1:26]
    m = np.median(distances.mean(axis=1))
    wanted = 0.0
    for s in (0.5, 1, 2):
        for a, b, factor in ((made, made, 1), (real, real, 1), (made, real, -2)):
            values = np.exp(-(cdist(a, b) ** 2) / (s * m) ** 2)
            wanted += factor * (values[~np.eye(len(a), dtype=bool)].mean() if a is b else values.mean())
    assert neighbour_mmd(X, Y) == pytest.approx(wanted, rel=1e-6)
    assert neighbour_mmd(sp.csr_matrix(X), sp.csr_matrix(Y)) == pytest.approx(wanted, rel=1e-6)


def test_the_mmd_sees_a_shift_and_is_nothing_for_one_population():
    real = sample(300, 2)
    assert abs(neighbour_mmd(sample(300, 3), real)) < 0.02
    assert neighbour_mmd(sample(300, 3, shift=1), real) > 0.2
    assert np.isnan(neighbour_mmd(X[:1], Y))
    assert np.isnan(neighbour_mmd(X, np.ones((5, 6))))


def test_copies_and_new_cells():
    train, test = sample(300, 0), sample(200, 1)
    copies = copying(train[:50], train, test)
    assert copies == {"nearest_ratio": pytest.approx(0, abs=1e-6), "nearer_share": 1.0}
    new = copying(sample(400, 2), train, test)
    assert new["nearest_ratio"] == pytest.approx(1, abs=0.15)
    assert new["nearer_share"] == pytest.approx(0.05, abs=0.04)
    far = copying(sample(100, 2) + 5, train, test)
    assert far["nearest_ratio"] > 3
    assert far["nearer_share"] == 0
    half = copying(np.concatenate([train[:50], sample(50, 3)]), train, test)
    assert half["nearer_share"] == pytest.approx(0.525, abs=0.05)


def test_copying_is_measured_in_the_components_of_the_training_cells():
    train, test, made = sample(60, 0), sample(40, 1), sample(30, 2)
    near = [cdist(pcs(cells, train), pcs(train, train)).min(axis=1) for cells in (made, test)]
    found = copying(made, train, test)
    assert found["nearest_ratio"] == pytest.approx(np.median(near[0]) / np.median(near[1]), rel=1e-6)
    assert found["nearer_share"] == pytest.approx((near[0] < np.quantile(near[1], 0.05)).mean())


def test_precision_and_coverage_are_the_definition():
    real, made = pcs(Y, Y), pcs(X, Y)
    radius = np.sort(cdist(real, real), axis=1)[:, 3]
    within = cdist(made, real) <= radius
    found = precision_coverage(X, Y, n_neighbors=3)
    assert found["precision"] == pytest.approx(within.any(axis=1).mean())
    assert found["coverage"] == pytest.approx(within.any(axis=0).mean())
    assert 0 < found["precision"] < 1


def test_a_model_of_one_mode_is_precise_and_covers_little():
    real = np.concatenate([sample(150, 0), sample(150, 1) + 20])
    one = precision_coverage(sample(300, 2), real)
    assert one["precision"] > 0.9
    assert one["coverage"] < 0.55
    both = precision_coverage(np.concatenate([sample(150, 3), sample(150, 4) + 20]), real)
    assert both["coverage"] > 0.9


def test_marker_correlations():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(500, 1))
    bound = common + 0.1 * rng.normal(size=(500, 3))
    free = rng.normal(size=(500, 3))
    names = pd.DataFrame(index=["a", "b", "c"])
    real, made = AnnData(bound, var=names), AnnData(sp.csr_matrix(free), var=names)
    wanted = np.abs(np.corrcoef(bound.T) - np.corrcoef(free.T))[np.triu_indices(3, 1)].mean()
    assert marker_correlation(made, real, ["a", "b", "c"]) == pytest.approx(wanted, rel=1e-6)
    assert marker_correlation(real, real, ["c", "a"]) == 0
    # A gene that is constant in generated cells is correlated with none.
    still = AnnData(np.column_stack([free[:, :2], np.ones(500)]), var=names)
    wanted = np.mean([abs(np.corrcoef(free.T)[0, 1]), 0, 0])
    zero = AnnData(np.zeros((4, 3)), var=names)
    assert marker_correlation(still, zero, ["a", "b", "c"]) == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(KeyNotFoundError, match="genes='z' are not in both"):
        marker_correlation(made, real, ["a", "z"])
    with pytest.raises(KeyNotFoundError, match="genes='CD79A' are not in both"):
        marker_correlation(made, real, "CD79A")
    with pytest.raises(DataError, match="give both cells as AnnData"):
        marker_correlation(made.X, real.X, ["a", "b"])
    with pytest.raises(DataError, match="not as an AnnData: give its X"):
        mean_distance(made, real)
    with pytest.raises(DataError, match="two genes or more"):
        marker_correlation(made, real, ["a", "a"])


def test_the_distance_of_means():
    assert mean_distance(X, Y) == pytest.approx(np.sqrt(((X.mean(0) - Y.mean(0)) ** 2).sum()))
    assert mean_distance(sp.csr_matrix(X), X) == pytest.approx(0, abs=1e-12)


def test_cells_are_of_the_class_whose_mean_is_nearest():
    far = 9 * np.eye(6)[:2]
    real = np.concatenate([sample(50, 0), sample(50, 1) + far[0], sample(50, 2) + far[1]])
    names = np.repeat(["a", "b", "c"], 50)
    made = np.concatenate([real[:10], real[50:55], real[100:105]])
    found = class_recall(made, ["a"] * 10 + ["b"] * 10, real, names)
    assert found == {"a": 1.0, "b": 0.5}
    confusion = class_confusion(made, ["a"] * 10 + ["b"] * 10, real, names)
    assert (confusion.index.tolist(), confusion.columns.tolist()) == (["a", "b"], ["a", "b", "c"])
    assert (confusion.index.name, confusion.columns.name) == ("asked", "nearest")
    np.testing.assert_allclose(confusion, [[1, 0, 0], [0, 0.5, 0.5]])
    with pytest.raises(DataError, match="no real cell is of class 'z'"):
        class_recall(made, ["z"] * 20, real, names)
    with pytest.raises(DataError, match="wanted cell by cell"):
        class_recall(made, "cell_type", real, "cell_type")
    with pytest.raises(DataError, match="20 and 150 cells have 3 and 150 classes"):
        class_recall(made, ["a"] * 3, real, names)


def test_classes_may_be_pairs():
    pairs = np.empty(4, dtype=object)
    pairs[:] = [("B", "control"), ("B", "stimulated"), ("T", "control"), ("T", "stimulated")]
    real = 9 * np.eye(4)
    table = class_confusion(real[[1, 0, 3]], pairs[[1, 1, 3]], real, pairs)
    assert table.index.tolist() == [("B", "stimulated"), ("T", "stimulated")]
    np.testing.assert_allclose(table, [[0.5, 0.5, 0, 0], [0, 0, 0, 1]])
    assert class_recall(real[[1, 0, 3]], pairs[[1, 1, 3]], real, pairs) == {pairs[1]: 0.5, pairs[3]: 1}


def test_variable_genes():
    rng = np.random.default_rng(0)
    mean = np.linspace(1, 5, 40)
    size = np.where(np.arange(40) % 4 == 0, 0.3, 50)  # every fourth gene varies much

    def made(seed):
        rng = np.random.default_rng(seed)
        return np.log1p(rng.poisson(rng.gamma(size, mean / size, (800, 40))))

    assert variable_gene_overlap(made(1), made(2), 10) == 1
    shuffled = made(1)[:, rng.permutation(40)]
    assert variable_gene_overlap(shuffled, made(2), 10) < 0.7
    counts = np.expm1(made(1))
    wanted = np.argsort(-counts.var(axis=0) / counts.mean(axis=0))[:10]
    assert set(wanted) == {g for g in range(40) if g % 4 == 0}
    assert variable_gene_overlap(sp.csr_matrix(made(1)), sp.csr_matrix(made(2)), 10) == 1
    assert np.isnan(variable_gene_overlap(X[:, :1], Y[:, :1]))
    # Ties, sparse data and values that are no logarithms.
    thin = np.log1p(np.random.default_rng(1).poisson(0.02, (60, 40)))
    assert variable_gene_overlap(thin, thin, 20) == 1
    assert np.isnan(variable_gene_overlap(np.full((5, 6), 90.0), np.ones((5, 6)), 2))


def test_a_single_class_is_recalled():
    assert class_recall(X, ["a"] * len(X), Y, ["a"] * len(Y)) == {"a": 1}
    same = np.ones((4, 3))
    assert class_recall(same, ["b", "b", "a", "a"], same, ["a", "b", "a", "b"]) == {"b": 0, "a": 1}
