import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl import augmentation_curve


@pytest.fixture
def table():
    """Three methods, three shares and four seeds, in no order of shares."""
    rows = [
        (share, method, seed)
        for share in (0.1, 0.01, 0.5)
        for method in ("cut", "up", "augmented")
        for seed in range(4)
    ]
    rng = np.random.default_rng(0)
    return pd.DataFrame(rows, columns=["share", "method", "seed"]).assign(value=rng.uniform(size=len(rows)))


def curves(ax):
    """Shares and means by method, and the ends of the bars."""
    lines = {bar.get_label(): bar.lines[0].get_xydata() for bar in ax.containers}
    ends = {bar.get_label(): np.array(bar.lines[2][0].get_segments()) for bar in ax.containers if bar.has_yerr}
    return lines, ends


def test_lines_are_the_means_and_bars_the_spreads_over_seeds(table, ax, figures_stay):
    before = table.copy()
    assert augmentation_curve(table, ax=ax) is ax
    lines, ends = curves(ax)
    assert list(lines) == ["cut", "up", "augmented"]
    for method, points in lines.items():
        values = table[table["method"] == method].groupby("share")["value"]
        assert points[:, 0].tolist() == [0.01, 0.1, 0.5]
        np.testing.assert_allclose(points[:, 1], values.mean())
        np.testing.assert_allclose(ends[method][:, 0, 1], values.mean() - values.std())
        np.testing.assert_allclose(ends[method][:, 1, 1], values.mean() + values.std())
    pd.testing.assert_frame_equal(table, before)


def test_the_axis_of_shares_is_logarithmic_and_names_them(table):
    ax = augmentation_curve(table, metric="AUPRC")
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1 %", "10 %", "50 %"]
    assert ax.get_ylabel() == "AUPRC (mean ± SD over seeds)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cut", "up", "augmented"]


def test_methods_differ_in_colour_and_in_marker(table):
    lines = [bar.lines[0] for bar in augmentation_curve(table).containers]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 3


def test_several_values_of_a_seed_are_averaged_first(table):
    twice = pd.concat([table, table.assign(value=table["value"] + 0.5)], ignore_index=True)
    once, both = (curves(augmentation_curve(rows)) for rows in (table, twice))
    np.testing.assert_allclose(both[0]["up"][:, 1], once[0]["up"][:, 1] + 0.25)
    np.testing.assert_allclose(np.ptp(both[1]["up"][..., 1], axis=1), np.ptp(once[1]["up"][..., 1], axis=1))


def test_one_seed_has_no_bar_and_a_method_may_lack_shares(table):
    table = table[(table["seed"] == 0) & ((table["method"] != "up") | (table["share"] == 0.1))]
    table.loc[table.index[0], "value"] = np.nan
    lines, ends = curves(augmentation_curve(table))
    assert ends == {}
    assert {method: len(points) for method, points in lines.items()} == {"cut": 2, "up": 1, "augmented": 3}


def test_the_rows_of_the_metric_are_taken_where_there_are_several(table):
    both = pd.concat([table.assign(metric="f1"), table.assign(metric="recall", value=1.0)], ignore_index=True)
    both["method"] = both["method"].astype("category")
    lines, _ = curves(augmentation_curve(both, metric="recall"))
    assert (lines["cut"][:, 1] == 1).all()
    with pytest.raises(KeyNotFoundError, match="no value of metric 'auc'; its metrics are 'f1', 'recall'"):
        augmentation_curve(both, metric="auc")


def test_what_cannot_be_drawn_is_refused(table):
    with pytest.raises(KeyNotFoundError, match="no column 'seed'; a table of augmentation is wanted"):
        augmentation_curve(table.drop(columns="seed"))
    with pytest.raises(DataError, match="no rows"):
        augmentation_curve(table.iloc[:0])
    for wrong in (0.0, 5, np.nan):
        with pytest.raises(DataError, match=f"share must be above 0 and at most 1.*there are {wrong}"):
            augmentation_curve(table.assign(share=table["share"].replace(0.1, wrong)))
    with pytest.raises(DataError, match="share must be above 0.*'half'"):
        augmentation_curve(table.assign(share="half"))
    with pytest.raises(DataError, match="infinite numbers, of method 'cut'$"):
        augmentation_curve(table.assign(value=table["value"].where(table.index > 0, np.inf)))
    with pytest.raises(KeyNotFoundError, match="no value of metric 'f1'"):
        augmentation_curve(table.assign(value=np.nan))
    assert plt.get_fignums() == []
