import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from altercell.errors import DataError
from altercell.metrics import mutual_information, spearman
from altercell.pl import factor_map
from altercell.pl._style import DIVERGING, NONE


@pytest.fixture
def codes():
    return np.random.default_rng(0).normal(size=(60, 3))


@pytest.fixture
def factors(codes):
    return pd.DataFrame({"batch": codes[:, 1] > 0, "time": -codes[:, 2]})


def values(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_a_field_a_latent_and_factor_on_the_given_axes(codes, factors, ax, figures_stay):
    table = spearman(codes, factors)
    before = table.copy()
    assert factor_map(table, ax=ax) is ax
    np.testing.assert_allclose(values(ax), table)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["batch", "time"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["z1", "z2", "z3"]
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in table.to_numpy().ravel()]
    assert ax.figure.axes[-1].get_ylabel() == "Spearman correlation"
    pd.testing.assert_frame_equal(table, before)


def test_correlations_are_coloured_from_orange_to_blue_and_information_from_zero(codes, factors):
    image = factor_map(spearman(codes, factors).abs()).images[0]
    assert (image.get_clim(), image.get_cmap().name) == ((-1, 1), DIVERGING.name)
    share = mutual_information(codes, factors, normalised=True)
    image = factor_map(share).images[0]
    assert (image.get_clim(), image.get_cmap().name) == ((0, 1), "viridis")
    nats = mutual_information(codes, factors)
    assert factor_map(nats).images[0].get_clim() == (0, pytest.approx(nats.max(axis=None)))
    signed = pd.DataFrame({"batch": [-3.0, 2.0]}, index=["z1", "z2"])
    assert factor_map(signed).images[0].get_clim() == (-3, 3)
    assert factor_map(0 * nats).images[0].get_clim() == (0, 1)


def test_the_largest_of_each_factor_has_a_frame_whatever_its_sign(codes, factors):
    ax = factor_map(spearman(codes, factors))
    assert [patch.get_xy() for patch in ax.patches] == [(-0.5, 0.5), (0.5, 1.5)]


def test_letters_are_white_on_dark_fields():
    table = pd.DataFrame({"batch": [0.05, 1.0]}, index=["z1", "z2"])
    table.attrs["score"] = "normalised mutual information"
    dark, light = factor_map(table).texts
    assert dark.get_color() == "white"
    assert light.get_color() != "white"
    table = pd.DataFrame({"batch": [0.1, -0.9]}, index=["z1", "z2"])
    light, dark = factor_map(table).texts
    assert (light.get_color() != "white", dark.get_color()) == (True, "white")


def test_a_factor_that_does_not_vary_is_a_dash_on_grey_without_a_frame(codes, factors):
    for table in (
        spearman(codes, factors.assign(one=1)),
        mutual_information(codes, factors.assign(one=1), normalised=True),
    ):
        ax = factor_map(table)
        assert ax.texts[2].get_text() == "–"
        assert len(ax.patches) == 2
        assert ax.images[0].get_cmap()(np.ma.masked_invalid(np.nan)) == pytest.approx(to_rgba(NONE))


def test_the_label_may_be_given(codes, factors):
    table = spearman(codes, factors)
    assert factor_map(table, label="rank correlation").figure.axes[-1].get_ylabel() == "rank correlation"
    plain = pd.DataFrame(table.to_numpy(), index=table.index, columns=table.columns)
    assert factor_map(plain).figure.axes[-1].get_ylabel() == ""


def test_errors_name_what_is_wrong():
    for table in (pd.DataFrame(), np.ones((2, 2))):
        with pytest.raises(DataError, match="a table with a row a latent and a column a factor is wanted"):
            factor_map(table)
    with pytest.raises(DataError, match="the table holds no numbers in 'latent'"):
        factor_map(pd.DataFrame({"latent": ["z1"], "batch": [0.5]}))
