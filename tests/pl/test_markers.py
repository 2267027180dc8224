from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from altercell.errors import DataError, KeyNotFoundError, SpaceMismatchError
from altercell.metrics import marker_correlation
from altercell.pl import marker_correlations

GENES = ["MX1", "ISG15", "gene7", "gene3"]


@pytest.fixture
def pair(make):
    """Generated and real cells, whose first genes go together."""
    made, real = make(0), make(1, n_cells=50)
    for adata, strength in ((made, 0.5), (real, 2)):
        common = np.random.default_rng(adata.n_obs).normal(size=(adata.n_obs, 1)) ** 2
        adata.X = adata.X.toarray()
        adata.X[:, :8] += (strength * common).astype(np.float32)
    return made, real


def test_real_above_and_generated_below_the_diagonal(pair, dense, ax, figures_stay):
    made, real = pair
    assert marker_correlations(made, real, GENES, ax=ax) is ax
    shown = ax.images[0].get_array()
    above, below = np.triu_indices(4, 1), np.tril_indices(4, -1)
    np.testing.assert_allclose(shown[above], np.corrcoef(dense(real[:, GENES]).T)[above], rtol=1e-6)
    np.testing.assert_allclose(shown[below], np.corrcoef(dense(made[:, GENES]).T)[below], rtol=1e-6)
    assert np.ma.getmaskarray(shown).tolist() == np.eye(4, dtype=bool).tolist()
    assert ax.images[0].get_clim() == (-1, 1)


def test_the_title_is_the_metric_and_genes_are_named_in_their_order(pair):
    ax = marker_correlations(*pair, GENES)
    assert ax.get_title() == f"above: real\nmean absolute difference {marker_correlation(*pair, GENES):.3f}"
    assert ax.get_xlabel() == "below: generated"
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [text.get_text() for text in labels] == GENES
    assert ax.figure.axes[1].get_ylabel() == "Pearson correlation over cells"


def test_a_gene_named_twice_is_shown_once_and_one_that_is_constant_has_no_correlation(pair):
    made, real = pair
    made.X[:, made.var_names.get_loc("MX1")] = 1
    shown = marker_correlations(made, real, ["MX1", "ISG15", "MX1"]).images[0].get_array()
    assert shown.shape == (2, 2)
    assert shown[1, 0] == 0
    assert shown[0, 1] > 0.5


def test_names_of_many_genes_do_not_cover_each_other(make):
    for n in (12, 30):
        ax = marker_correlations(make(0), make(1), make(0).var_names[:n])
        ax.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
        assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))


def test_errors_name_what_is_wrong(pair):
    made, real = pair
    with pytest.raises(KeyNotFoundError, match="genes='CD79A' are not in both the generated and the real cells"):
        marker_correlations(made, real, ["MX1", "CD79A"])
    with pytest.raises(DataError, match="need two genes or more; genes='MX1'"):
        marker_correlations(made, real, "MX1")
    with pytest.raises(DataError, match="give both cells as AnnData"):
        marker_correlations(made.X, real, GENES)
    with pytest.raises(DataError, match="generated has 1 cells; a correlation over cells needs two or more"):
        marker_correlations(made[:1], real, GENES)
    counts = made.copy()
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="generated is 'counts'"):
        marker_correlations(counts, real, GENES)
    real.X[3, real.var_names.get_loc("MX1")] = np.nan
    with pytest.raises(DataError, match="real holds NaN or infinite values, in 1 of 50 cells"):
        marker_correlations(made, real, GENES)
    assert plt.get_fignums() == []
