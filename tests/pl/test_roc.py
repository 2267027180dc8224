import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.metrics import auc

from altercell.errors import DataError, GeneMismatchError, SpaceMismatchError
from altercell.metrics import forest_auc
from altercell.metrics._ceiling import halves
from altercell.pl import roc_curve

FAST = {"n_trees": 15, "n_pcs": 6}


@pytest.fixture
def cells(make):
    """Generated, real and training cells."""
    return make(0, shift=2, n_cells=40), make(1, n_cells=50), make(2)


def curves(ax):
    return {line.get_label(): line.get_xydata() for line in ax.lines}


def test_the_area_is_that_of_the_metric_and_of_the_curve(cells, ax, figures_stay):
    made, real, train = cells
    assert roc_curve(made, real, basis=train, seed=3, ax=ax, **FAST) is ax
    drawn = curves(ax)
    first, second = halves(real.n_obs, 3)
    expected = {
        "generated against real": forest_auc(made.X, real.X, train.X, seed=3, **FAST),
        "real against real (ceiling)": forest_auc(real.X[first], real.X[second], train.X, seed=3, **FAST),
    }
    assert list(drawn)[1:] == [f"{name}, AUC {area:.3f}" for name, area in reversed(expected.items())]
    for name, area in expected.items():
        points = drawn[f"{name}, AUC {area:.3f}"]
        assert auc(*points.T) == pytest.approx(area, abs=1e-12)
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]
    assert drawn["not told apart, AUC 0.5"].tolist() == [[0, 0], [1, 1]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(drawn)[::-1]
    assert expected["generated against real"] > 0.7


def test_without_the_ceiling_and_a_basis(cells):
    made, real, _ = cells
    ax = roc_curve(made, real, ceiling=False, n_cells=20, **FAST)
    area = forest_auc(made.X, real.X, n_cells=20, **FAST)
    assert list(curves(ax)) == ["not told apart, AUC 0.5", f"generated against real, AUC {area:.3f}"]


def test_two_halves_are_all_real_cells():
    first, second = halves(9, seed=1)
    assert (len(first), len(second)) == (5, 4)
    assert sorted([*first, *second]) == list(range(9))


def test_errors_name_what_is_wrong(cells, make):
    made, real, train = cells
    with pytest.raises(GeneMismatchError, match="basis lacks 1 of the 30 genes of the prediction: 'ISG15'"):
        roc_curve(made, real, basis=train[:, 1:].copy(), **FAST)
    with pytest.raises(DataError, match="'basis' must be AnnData"):
        roc_curve(made, real, basis=train.X, **FAST)
    with pytest.raises(DataError, match="need 4 cells or more; there are 3"):
        roc_curve(made, real[:3].copy(), **FAST)
    with pytest.raises(DataError, match="two generated and two real cells or more; there are 1 and 50"):
        roc_curve(made[:1].copy(), real, **FAST)
    same = make(0)
    same.X = same.X[[0] * same.n_obs]
    with pytest.raises(DataError, match="the cells of basis are all the same"):
        roc_curve(made, real, basis=same, **FAST)
    counts = made.copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="generated is 'counts'"):
        roc_curve(counts, real, **FAST)
    assert plt.get_fignums() == []
