import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, spearmanr

from altercell.errors import DataError
from altercell.pl import entropy_error

GAP = np.array([-0.2, 0.1, 0.8, 2.0, 3.5, 1.2])
ERROR = np.array([0.45, 0.3, 0.35, 0.2, 0.05, 0.1])


def test_a_point_a_combination_on_the_given_axes(ax, figures_stay):
    assert entropy_error(GAP, ERROR, ylabel="MichiGAN less BetaTCVAE", ax=ax) is ax
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([GAP, ERROR]))
    assert ax.get_ylabel() == "MichiGAN less BetaTCVAE"
    assert ax.get_xlabel().startswith("ΔH")


def test_the_line_is_that_of_least_squares_from_end_to_end():
    fit = linregress(GAP, ERROR)
    zero, line = entropy_error(list(GAP), list(ERROR)).lines
    np.testing.assert_allclose(line.get_ydata(), fit.intercept + fit.slope * line.get_xdata())
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (GAP.min(), GAP.max())
    assert list(zero.get_xdata()) == [0, 0]


def test_the_title_has_spearmans_r():
    r, p = spearmanr(GAP, ERROR)
    assert entropy_error(GAP, ERROR).get_title() == f"Spearman r = {r:.2f} (p = {p:.2g}, n = 6)"
    assert r < -0.7


def test_without_variation_there_is_no_correlation_and_no_line():
    ax = entropy_error(np.ones(6), ERROR)
    assert "not defined" in ax.get_title()
    assert len(ax.lines) == 1
    ax = entropy_error(GAP, np.ones(6))
    assert "not defined" in ax.get_title()
    assert len(ax.lines) == 2


def test_names_are_written_beside_the_points():
    names = ["A549-S1628", "K562-S1096", "MCF7-S7259", "a", "b", "c"]
    assert [text.get_text() for text in entropy_error(GAP, ERROR, names=names).texts] == names


def test_errors_name_what_is_wrong():
    with pytest.raises(DataError, match="there are 6 values of delta-H and 5 errors"):
        entropy_error(GAP, ERROR[1:])
    with pytest.raises(DataError, match="two points or more are wanted; there are 1 values"):
        entropy_error([1.0], [0.2])
    with pytest.raises(DataError, match="error holds NaN or infinite values, in 1 points"):
        entropy_error(GAP, np.where(GAP == 2, np.nan, ERROR))
    with pytest.raises(DataError, match="6 points have 2 names"):
        entropy_error(GAP, ERROR, names=["a", "b"])
    gap, error = pd.Series(GAP, index=list("abcdef")), pd.Series(ERROR, index=list("fedcba"))
    with pytest.raises(DataError, match="different indices"):
        entropy_error(gap, error)
    assert entropy_error(gap, error[gap.index]).get_title() != ""
