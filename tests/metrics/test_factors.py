import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.metrics._factors import check_inputs, check_variances, find_continuous, levels_of, quantile_codes

CODES = np.arange(12.0).reshape(6, 2)


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_latents_have_the_names_of_the_table_or_numbers_from_one():
    factors = table(batch=list("aabbab"))
    assert check_inputs(CODES, factors).latents.tolist() == ["z1", "z2"]
    named = pd.DataFrame(CODES, columns=["time", "type"])
    assert check_inputs(named, factors).latents.tolist() == ["time", "type"]


def test_factors_by_name_are_taken_in_the_order_of_the_cells_whatever_their_index():
    batch = pd.Series(list("aabbab"), index=[5, 4, 3, 2, 1, 0])
    found = check_inputs(CODES, {"batch": batch, "step": np.arange(6)}).factors
    assert found["batch"].tolist() == list("aabbab")
    assert found.columns.tolist() == ["batch", "step"]


@pytest.mark.parametrize(("codes", "factors", "message"), [
    (CODES, table(batch=list("aabba")), "codes of 6 cells but factors of 5"),
    (CODES, {"a": [1] * 6, "b": [1] * 5}, "different numbers of cells: 'a: 6', 'b: 5'"),
    (CODES, np.zeros((6, 1)), r"factors are wanted as a table .* adata.obs\[\['batch', 'step'\]\]"),
    (CODES, pd.DataFrame(index=range(6)), "factors are wanted as a table"),
    (CODES[:, 0], table(batch=list("aabbab")), r"an array \(n_cells, n_latents\); the shape is \(6,\)"),
    (np.where(CODES == 3, np.nan, CODES), table(batch=list("aabbab")), "codes hold NaN or infinite values, in 1 of 6"),
    (np.full((6, 1), "a"), table(batch=list("aabbab")), "codes are wanted as numbers"),
    (CODES, table(batch=["a", None, "b", "b", "a", None]), "factor 'batch' is missing in 2 of 6 cells: leave them out"),
    (CODES, table(time=[1.0, np.inf, 2, 3, 4, np.nan]), "factor 'time' is missing in 2 of 6 cells"),
    (CODES[:1], table(batch=["a"]), "of one cell tell nothing"),
    (CODES, pd.DataFrame([[1, 2]] * 6, columns=["a", "a"]), "columns of the same name: 'a'"),
    (pd.DataFrame(CODES), table(batch=list("aabbab")).iloc[::-1], "name different cells, or in another order"),
])  # fmt: skip
def test_what_does_not_belong_together_is_refused(codes, factors, message):
    with pytest.raises(DataError, match=message):
        check_inputs(codes, factors)


def test_variances_are_those_of_the_means():
    with pytest.raises(DataError, match=r"variances have shape \(6, 1\) and the means of the same posteriors \(6, 2\)"):
        check_variances(np.ones((6, 1)), CODES)
    with pytest.raises(DataError, match="variances are not above 0 in 1 of 6 cells; logarithms were perhaps given"):
        check_variances(np.where(CODES == 3, -1.0, 1.0), CODES)


def test_floats_are_continuous_unless_names_are_given():
    factors = table(batch=list("aabb"), step=[1, 2, 1, 2], time=[0.1, 0.2, 0.3, 0.4], treated=[True, False] * 2)
    assert find_continuous(factors, None) == [False, False, True, False]
    assert find_continuous(factors, ["step"]) == find_continuous(factors, "step") == [False, True, False, False]
    assert find_continuous(factors, []) == [False] * 4
    with pytest.raises(KeyNotFoundError, match="continuous='age' is no factor; there are 'batch', 'step', 'time'"):
        find_continuous(factors, ["age"])
    with pytest.raises(DataError, match="continuous='batch' holds no numbers"):
        find_continuous(factors, ["batch"])


def test_continuous_factors_are_cut_at_quartiles_and_equal_values_stay_together():
    assert levels_of(pd.Series(np.arange(8.0)), True, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    values = np.random.default_rng(0).permutation(1_000) / 7
    expected = pd.qcut(values, 4, labels=False)
    np.testing.assert_array_equal(quantile_codes(values, 4), expected)
    assert quantile_codes(np.arange(5.0), 2).tolist() == pd.qcut(np.arange(5.0), 2, labels=False).tolist()
    zeros = np.array([0.0] * 7 + [1.0, 2.0, 3.0])
    assert quantile_codes(zeros, 4).tolist() == [0] * 7 + [1] * 3
    assert quantile_codes(np.ones(5), 4).tolist() == [0] * 5
    with pytest.raises(DataError, match="n_quantiles=1 must be 2 or more"):
        quantile_codes(values, 1)


def test_a_factor_that_names_cells_is_refused():
    with pytest.raises(DataError, match="factor 'total' has 10 levels in 10 cells: .* name it in continuous="):
        levels_of(pd.Series(np.arange(10), name="total"), False, 4)
    unused = pd.Series(pd.Categorical(["b", "a"] * 3, categories=list("abcdefgh")))
    assert levels_of(unused, False, 4).tolist() == [1, 0] * 3
