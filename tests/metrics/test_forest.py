import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from altercell.metrics import forest_auc, random_forest_error
from altercell.metrics._forest import classifier_auc, classifier_scores, equal_numbers

FAST = {"n_trees": 30}


def cells(n_cells: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_cells, 8)) + shift * np.eye(8)[0]


def test_equal_distributions_are_not_told_apart_and_shifted_ones_are():
    basis = cells(400, 9)
    scores = [forest_auc(cells(150, 0, shift), cells(150, 1), basis, **FAST) for shift in (0.0, 1.0, 6.0)]
    assert 0.35 < scores[0] < 0.65
    assert scores[0] + 0.1 < scores[1] < scores[2]
    assert scores[2] > 0.99


def test_the_area_is_that_of_out_of_fold_scores():
    x, y = cells(40, 0, 1.0), cells(40, 1)
    features, is_real = np.concatenate([x, y]), np.repeat([0, 1], 40)
    scores = np.zeros(80)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=2).split(features, is_real):
        forest = RandomForestClassifier(30, random_state=2).fit(features[train], is_real[train])
        scores[test] = forest.predict_proba(features[test])[:, 1]
    assert classifier_auc(x, y, seed=2, **FAST) == pytest.approx(roc_auc_score(is_real, scores))


def test_numbers_are_equalised_and_capped():
    for n_x, n_y, n_cells, size in ((10, 25, None, 10), (25, 10, 6, 6), (10, 10, 99, 10)):
        x_rows, y_rows = equal_numbers(n_x, n_y, n_cells, seed=0)
        assert len(x_rows) == len(y_rows) == size
        assert len(set(x_rows)) == len(set(y_rows)) == size
        assert x_rows.max() < n_x
        assert y_rows.max() < n_y


def test_real_cells_drawn_do_not_depend_on_the_prediction():
    assert equal_numbers(50, 80, 20, seed=1)[1].tolist() == equal_numbers(60, 80, 20, seed=1)[1].tolist()
    assert equal_numbers(50, 80, 20, seed=1)[1].tolist() != equal_numbers(50, 80, 20, seed=2)[1].tolist()


def test_unequal_arms_do_not_move_the_chance_level():
    assert 0.3 < forest_auc(cells(300, 0), cells(40, 1), cells(400, 9), **FAST) < 0.7


def test_same_seed_same_bits_whatever_the_threads():
    x, y = cells(30, 0, 0.5), cells(30, 1)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert forest_auc(x, y, seed=4, **FAST) == forest_auc(x, y, seed=4, n_jobs=2, **FAST)
    assert forest_auc(x, y, seed=4, **FAST) != forest_auc(x, y, seed=5, **FAST)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_sparse_cells_score_as_dense_ones():
    x, y = np.maximum(cells(30, 0, 0.5), 0), np.maximum(cells(30, 1), 0)
    dense, sparse = forest_auc(x, y, **FAST), forest_auc(sp.csr_matrix(x), sp.csr_matrix(y), **FAST)
    assert sparse == pytest.approx(dense, abs=0.03)


def test_small_arms():
    assert 0 <= forest_auc(cells(3, 0), cells(60, 1), **FAST) <= 1
    assert np.isnan(forest_auc(cells(1, 0), cells(60, 1), **FAST))
    assert np.isnan(forest_auc(cells(5, 0), np.ones((5, 8)), **FAST))


def test_the_error_is_the_mean_over_folds_on_components_of_both_kinds():
    x, y = cells(60, 0, 1.0), cells(60, 1)
    both, is_real = np.concatenate([x, y]), np.repeat([0, 1], 60)
    features, errors = PCA(4, svd_solver="full").fit_transform(both), []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=2).split(features, is_real):
        forest = RandomForestClassifier(31, random_state=2).fit(features[train], is_real[train])
        errors.append((forest.predict(features[test]) != is_real[test]).mean())
    found = random_forest_error(x, y, n_pcs=4, n_trees=31, seed=2)
    # Signs of components, and with them a tree's splits, are the solver's own.
    assert found == pytest.approx(np.mean(errors), abs=0.05)
    scores = classifier_scores(features[:60], features[60:], n_trees=31, seed=2)
    assert scores.error() == pytest.approx(np.mean(errors), abs=1e-12)
    assert 0.05 < np.mean(errors) < 0.45


def test_the_error_falls_with_the_distance_and_is_half_for_equal_distributions():
    errors = [random_forest_error(cells(150, 0, shift), cells(150, 1), **FAST) for shift in (0.0, 1.5, 9.0)]
    assert 0.4 < errors[0] < 0.62
    assert errors[0] > errors[1] + 0.1 > errors[2]
    assert errors[2] < 0.02


def test_the_error_takes_equal_numbers_of_cells_and_a_basis():
    x, y = cells(90, 0, 1.0), cells(30, 1)
    assert 0 <= random_forest_error(x, y, **FAST) <= 1
    rows = equal_numbers(90, 30, 20, seed=3)
    whole = random_forest_error(x, y, n_cells=20, seed=3, **FAST)
    drawn = np.concatenate([x[rows[0]], y[rows[1]]])
    assert whole == random_forest_error(x, y, drawn, n_cells=20, seed=3, **FAST)
    flat = np.column_stack([np.random.default_rng(0).normal(size=50), np.zeros((50, 7))])
    apart = cells(40, 0) + 9 * np.eye(8)[3]
    assert random_forest_error(apart, cells(40, 1), n_pcs=1, **FAST) < 0.1
    assert random_forest_error(apart, cells(40, 1), flat, n_pcs=1, **FAST) > 0.25  # a basis that does not see it


def test_the_error_of_sparse_cells_is_that_of_dense_ones():
    x, y = np.maximum(cells(40, 0, 0.8), 0), np.maximum(cells(40, 1), 0)
    dense, sparse = random_forest_error(x, y, **FAST), random_forest_error(sp.csr_matrix(x), sp.csr_array(y), **FAST)
    assert sparse == pytest.approx(dense, abs=0.06)
    mixed = random_forest_error(sp.csr_matrix(x), y, **FAST)
    assert mixed == pytest.approx(dense, abs=0.06)


def test_the_error_repeats_and_is_nan_where_no_forest_grows():
    x, y = cells(30, 0, 0.5), cells(30, 1)
    assert random_forest_error(x, y, seed=4, **FAST) == random_forest_error(x, y, seed=4, n_jobs=2, **FAST)
    assert np.isnan(random_forest_error(x[:1], y, **FAST))
    assert np.isnan(random_forest_error(np.ones((5, 8)), np.ones((5, 8)), **FAST))
