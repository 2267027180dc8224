import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier

from altercell.errors import DataError, GeneMismatchError, GroupError
from altercell.metrics import inception_score

TYPES = np.repeat(["B", "NK", "T"], 40)
FAST = {"n_trees": 30}


def cells(seed: int, types: np.ndarray = TYPES, apart: float = 6.0) -> np.ndarray:
    """Cells in 8 genes; each type is higher in a gene of its own."""
    kinds = np.searchsorted(["B", "NK", "T"], types)
    return np.random.default_rng(seed).normal(size=(len(types), 8)) + apart * np.eye(8)[kinds]


def clear(seed: int, types: np.ndarray = TYPES) -> np.ndarray:
    """Cells of one gene that tells all types apart."""
    kinds = np.searchsorted(["B", "NK", "T"], types)
    return np.random.default_rng(seed).normal(size=(len(types), 1)) + 30 * kinds[:, None]


def test_the_score_is_that_of_the_equation():
    x, y = cells(0, apart=1.0), cells(1, apart=1.0)
    forest = RandomForestClassifier(30, random_state=4).fit(y, TYPES)
    p = forest.predict_proba(x)
    mean, total = p.mean(axis=0), 0.0
    for row in p:
        total += sum(q * np.log(q / m) for q, m in zip(row, mean, strict=True) if q > 0)
    expected = np.exp(total / len(p))
    assert 1.1 < expected < 2.9
    # All real cells are taken, in their order, so that the forest is the same.
    assert inception_score(x, y, TYPES, seed=4, **FAST) == pytest.approx(expected)


def test_it_is_the_number_of_types_where_all_are_clear_and_equally_frequent_and_one_where_there_is_one():
    y = clear(0)
    assert inception_score(clear(1), y, TYPES, **FAST) == pytest.approx(3, abs=0.02)
    two = np.repeat(["B", "T"], 30)
    assert inception_score(clear(2, two), y, TYPES, **FAST) == pytest.approx(2, abs=0.02)
    assert inception_score(clear(3, np.full(30, "T")), y, TYPES, **FAST) == pytest.approx(1, abs=0.05)
    # Between: three types, of which one is rare.
    uneven = np.repeat(["B", "NK", "T"], [50, 45, 5])
    p = np.array([0.5, 0.45, 0.05])
    expected = np.exp(-(p * np.log(p)).sum())
    assert inception_score(clear(4, uneven), y, TYPES, **FAST) == pytest.approx(expected, abs=0.1)


def test_cells_of_no_type_score_low():
    scores = [inception_score(cells(1, apart=apart), cells(0), TYPES, **FAST) for apart in (0.0, 3.0, 6.0)]
    # Where genes are noisy a forest is never sure, and real cells do not reach 3 either.
    assert 1 <= scores[0] < scores[1] < scores[2] < 2.9


def test_components_are_those_of_the_real_cells():
    x, y = cells(0, apart=2.0), cells(1, apart=2.0)
    pca = PCA(3).fit(y)
    expected = inception_score(pca.transform(x), pca.transform(y), TYPES, **FAST)
    assert inception_score(x, y, TYPES, n_pcs=3, **FAST) == pytest.approx(expected, abs=0.05)
    assert inception_score(x, y, TYPES, **FAST) != pytest.approx(expected, abs=1e-6)


def test_the_number_of_real_cells_is_capped_and_the_seed_draws_them():
    x, y = cells(0, apart=2.0), cells(1, apart=2.0)
    few = [inception_score(x, y, TYPES, n_cells=20, seed=seed, **FAST) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
    assert inception_score(x, y, TYPES, n_cells=120, **FAST) == inception_score(x, y, TYPES, n_cells=None, **FAST)
    assert inception_score(x, y, TYPES, n_jobs=2, **FAST) == inception_score(x, y, TYPES, **FAST)


def test_sparse_cells_and_names_of_types_do_not_matter():
    x, y = np.maximum(cells(0), 0), np.maximum(cells(1), 0)
    dense = inception_score(x, y, TYPES, **FAST)
    assert inception_score(sp.csr_matrix(x), sp.csr_array(y), TYPES, **FAST) == pytest.approx(dense, abs=0.02)
    named = pd.Series(pd.Categorical(TYPES, categories=["T", "never seen", "B", "NK"]))
    assert inception_score(x, y, named, **FAST) == dense


def test_errors_name_what_is_wrong():
    x, y = cells(0), cells(1)
    with pytest.raises(DataError, match="there are 119 labels for 120 real cells"):
        inception_score(x, y, TYPES[1:])
    with pytest.raises(DataError, match="labels are missing in 40 of 120 real cells"):
        inception_score(x, y, [None if name == "T" else name for name in TYPES])
    with pytest.raises(DataError, match="not as the name of a column"):
        inception_score(x, y, "cell_type")
    with pytest.raises(GroupError, match="all 120 real cells that were drawn have one label"):
        inception_score(x, y, ["T"] * 120)
    with pytest.raises(GeneMismatchError, match="7 genes and the second 8"):
        inception_score(x[:, 1:], y, TYPES)
