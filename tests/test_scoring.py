import numpy as np
import pandas as pd
import pytest

from altercell._scoring import by_unit, common_units, losses, sd_over_cells, sd_over_seeds, units, way
from altercell.errors import DataError


def rows(*values, **columns):
    names = ["model", "split", "label", "seed", "value"]
    return pd.DataFrame(values, columns=names).assign(metric="mse", better="lower", sd_cells=np.nan, **columns)


def test_lower_is_better_of_every_loss():
    table = pd.DataFrame(
        {"better": ["higher", "lower", "zero", "zero"], "value": [2.0, 3.0, -4.0, 5.0]}, index=[3, 1, 2, 0]
    )
    np.testing.assert_array_equal(losses(table), [-2, 3, 4, 5])
    assert list(losses(table).index) == [3, 1, 2, 0]


def test_an_unknown_direction_is_refused():
    with pytest.raises(DataError, match="better='half' is none of 'higher', 'lower', 'zero'"):
        losses(pd.DataFrame({"better": ["half"], "value": [1.0]}))


def test_a_unit_is_the_split_or_the_label_of_older_tables():
    table = pd.DataFrame({"split": ["B", "drug", "whole"], "label": ["B", "T", ""]})
    assert list(units(table)) == ["B", "drug", "whole"]
    assert list(units(table.drop(columns="split"))) == ["B", "T", ""]
    assert list(units(table[["label"]])) == ["B", "T", ""]


def test_seeds_of_one_unit_are_averaged():
    table = rows(("a", "x", "x", 0, 1.0), ("a", "x", "x", 1, 3.0), ("a", "y", "y", 0, 5.0), ("b", "x", "x", 0, 7.0))
    losses_of = by_unit(table)
    assert losses_of.loc[("mse", "x"), "a"] == 2
    assert losses_of.loc[("mse", "y"), "a"] == 5
    assert np.isnan(losses_of.loc[("mse", "y"), "b"])
    assert by_unit(table.iloc[:0]).empty


def test_units_that_all_models_share():
    table = rows(("a", "x", "x", 0, 1.0), ("a", "y", "y", 0, 5.0), ("b", "x", "x", 0, 7.0))
    assert common_units(table) == ["x"]
    assert common_units(table[1:]) == []
    holes = rows(
        ("a", "x", "x", 0, 1.0), ("a", "y", "y", 0, float("nan")), ("b", "x", "x", 0, 7.0), ("b", "y", "y", 0, 2.0)
    )
    assert common_units(holes) == ["x"]


def test_the_way_from_floor_to_ceiling():
    loss = pd.Series({"floor": 10.0, "ceiling": 2.0, "m": 4.0, "bad": 14.0})
    expected = {"floor": 0.0, "ceiling": 1.0, "m": 0.75, "bad": -0.5}
    assert way(loss, "floor", "ceiling").to_dict() == expected
    assert way(loss, "ceiling", "floor").isna().all()
    assert way(loss, "floor", "nobody").isna().all()


def test_a_seed_that_has_not_run_everywhere_does_not_widen_the_spread():
    values = [
        ("a", u, u, seed, v)
        for seed, both in enumerate([(1, 9), (2, 10), (6, 14)])
        for u, v in zip("xy", both, strict=True)
    ]
    table = rows(*values)
    assert sd_over_seeds(table)["a"] == pytest.approx(np.std([5, 6, 10], ddof=1))
    assert sd_over_seeds(table[:-1])["a"] == pytest.approx(np.std([5, 6], ddof=1))
    assert np.isnan(sd_over_seeds(table[:2])["a"])


def test_the_spread_over_cells_is_the_root_of_the_mean_square():
    table = rows(("a", "x", "x", 0, 1.0), ("a", "y", "y", 0, 5.0)).assign(sd_cells=[3.0, 4.0])
    assert sd_over_cells(table)["a"] == pytest.approx(np.sqrt(12.5))
