import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl import classifier, cosines
from altercell.pl._style import CONTROL, REAL


@pytest.fixture
def scored():
    """What `ScGen.classify` answers: 40 control and 60 stimulated cells, of which 10 on the wrong side."""
    score = np.concatenate([np.linspace(-5, -1, 40), np.linspace(-2, -0.1, 10), np.linspace(1, 6, 50)])
    condition = np.repeat(["control", "stimulated"], [40, 60])
    predicted = np.where(score > 0, "stimulated", "control")
    table = pd.DataFrame({"condition": condition, "score": score, "predicted": predicted})
    table.attrs["accuracy"] = 0.9
    return table


@pytest.fixture
def cosine_table():
    """What `ScGen.delta_cosines` answers."""
    rng = np.random.default_rng(0)
    rows = [("delta of a type", name, value) for name, value in zip("BTN", (0.7, 0.9, 0.8), strict=True)]
    rows += [("difference of types", f"{i}", value) for i, value in enumerate(rng.uniform(-0.3, 0.3, 10))]
    rows += [("random", "", value) for value in rng.normal(0, 0.1, 400).clip(-1, 1)]
    return pd.DataFrame(rows, columns=["kind", "name", "cosine"])


def heights(container):
    return np.array([patch.get_height() for patch in container])


def ticks(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_classifier_counts_cells_by_condition_in_shared_bins(scored, ax, figures_stay):
    before = scored.copy()
    assert classifier(scored, bins=22, ax=ax) is ax
    source, target = ax.containers
    edges = np.histogram_bin_edges(scored["score"], 22)
    np.testing.assert_array_equal(heights(source), np.histogram(scored["score"][:40], edges)[0])
    np.testing.assert_array_equal(heights(target), np.histogram(scored["score"][40:], edges)[0])
    pd.testing.assert_frame_equal(scored, before)


def test_classifier_tells_conditions_accuracy_and_threshold(scored):
    ax = classifier(scored)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["control (n = 40)", "stimulated (n = 60)"]
    assert ax.get_title() == "accuracy = 0.900"
    assert ax.lines[0].get_xdata() == [0, 0]
    assert ax.get_xlabel() == "dot product with delta (latent units, threshold at 0)"


def test_classifier_takes_the_accuracy_of_the_table_or_counts_it(scored):
    scored.attrs["accuracy"] = 0.25
    assert classifier(scored).get_title() == "accuracy = 0.250"
    scored.attrs.clear()
    assert classifier(scored).get_title() == "accuracy = 0.900"


def test_classifier_draws_the_source_grey_whatever_the_names(scored):
    renamed = scored.replace({"control": "untreated", "stimulated": "a treatment"})
    renamed["condition"] = renamed["condition"].astype("category")
    source, target = classifier(renamed).containers
    assert source[0].get_facecolor()[:3] == to_rgb(CONTROL)
    assert target[0].get_facecolor()[:3] == to_rgb(REAL)
    assert heights(source).sum() == 40


def test_classifier_wants_its_table(scored):
    with pytest.raises(KeyNotFoundError, match=r"no column 'score'; a table of ScGen\.classify is wanted"):
        classifier(scored.drop(columns="score"))
    with pytest.raises(DataError, match="no rows"):
        classifier(scored[:0])


def test_cosines_draw_a_row_a_type_and_a_row_a_kind(cosine_table, ax, figures_stay):
    before = cosine_table.copy()
    assert cosines(cosine_table, ax=ax) is ax
    kinds = ["difference of types\n(n = 10)", "random\n(n = 400)"]
    assert ticks(ax) == ["delta of T", "delta of N", "delta of B", *kinds]
    assert ax.get_xlim() == (-1.05, 1.05)
    pd.testing.assert_frame_equal(cosine_table, before)


def test_cosines_of_few_are_points_at_their_values(cosine_table):
    ax = cosines(cosine_table)
    points = [np.asarray(collection.get_offsets()) for collection in ax.collections[:4]]
    assert [p[0, 0] for p in points[:3]] == [0.9, 0.8, 0.7]
    np.testing.assert_array_equal(points[3][:, 0], cosine_table["cosine"][3:13])


def test_points_stay_in_their_row(cosine_table):
    ax = cosines(cosine_table)
    places = ax.get_yticks()
    for place, collection in zip(places[:3], ax.collections[:3], strict=True):
        assert np.asarray(collection.get_offsets())[:, 1] == pytest.approx(place)
    rows = np.asarray(ax.collections[3].get_offsets())[:, 1]
    assert np.abs(rows - places[3]).max() < 0.4
    assert len(set(rows)) == 10


def test_cosines_of_many_are_a_violin_between_their_ends(cosine_table):
    outline = cosines(cosine_table).collections[4].get_paths()[0].vertices
    random = cosine_table["cosine"][13:]
    assert (outline[:, 0].min(), outline[:, 0].max()) == pytest.approx((random.min(), random.max()))


def test_cosines_of_very_many_types_share_a_row():
    table = pd.DataFrame({"kind": "delta of a type", "name": [f"t{i}" for i in range(40)], "cosine": 0.5})
    ax = cosines(table)
    assert ticks(ax) == ["delta of a type\n(n = 40)"]
    assert len(ax.collections[0].get_offsets()) == 40


def test_cosines_want_their_table(cosine_table):
    with pytest.raises(KeyNotFoundError, match=r"no column 'cosine'; a table of ScGen\.delta_cosines is wanted"):
        cosines(cosine_table[["kind", "name"]])
