"""Splatter's parts, each against its own distribution, and the parameters found again in counts."""

import anndata
import numpy as np
import pytest
from scipy import sparse, stats

from altercell.datasets._counts import negative_binomial
from altercell.datasets._splatter import (
    SMALLEST_FACTOR,
    Reference,
    Variation,
    effect_factors,
    gene_shares,
    path_factors,
)
from altercell.errors import DataError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def counts_of(bcv: float, n_cells: int = 4_000, n_genes: int = 200) -> anndata.AnnData:
    """Cells of one kind, with the trend of Splatter around one profile."""
    shares = rng(1).dirichlet(np.full(n_genes, 2.0))
    library = 5_000 * np.exp(rng(2).normal(0.0, 0.4, n_cells))
    variation = Variation(bcv, np.ones(n_genes))
    x = negative_binomial(rng(3), shares[None], np.zeros(n_cells, dtype=int), library, variation)
    adata = anndata.AnnData(x, uns={"shares": shares})
    adata.var_names = [f"G{i}" for i in range(n_genes)]
    return adata


def test_variation_is_the_trend_of_the_paper():
    mean = np.array([[1.0, 4.0], [25.0, 0.25]])
    scale = np.array([1.0, 2.0])
    expected = (scale * (0.1 + 1 / np.sqrt(mean))) ** 2
    np.testing.assert_allclose(Variation(0.1, scale)(mean), expected)
    np.testing.assert_array_equal(mean, [[1.0, 4.0], [25.0, 0.25]], err_msg="the means were changed")


def test_variation_stays_finite_where_nothing_is_expected():
    assert np.isfinite(Variation(0.1, np.ones(1))(np.zeros((1, 1)))).all()


def test_scales_are_those_of_an_inverse_chi_square():
    scale = Variation.draw(rng(), 0.1, 10.0, 20_000).scale
    assert stats.kstest(10.0 / scale**2, stats.chi2(10).cdf).pvalue > 0.01
    assert Variation.draw(rng(), 0.1, 1e6, 100).scale == pytest.approx(np.ones(100), abs=0.01)


def test_shares_are_gamma_but_for_the_outliers():
    shares = gene_shares(rng(), 20_000, shape=0.6, outlier_share=0.0, location=4.0, scale=0.5)
    assert shares.sum() == pytest.approx(1.0)
    assert stats.kstest(shares / shares.mean(), stats.gamma(0.6, scale=1 / 0.6).cdf).pvalue > 0.01


def test_outliers_are_as_many_and_as_far_above_the_median_as_asked():
    plain = gene_shares(rng(), 20_000, shape=0.6, outlier_share=0.0, location=4.0, scale=0.5)
    shares = gene_shares(rng(), 20_000, shape=0.6, outlier_share=0.05, location=4.0, scale=0.5)
    ratio = shares / shares[0] / (plain / plain[0])
    outlier = np.abs(ratio - np.median(ratio)) > 1e-9 * np.median(ratio)
    assert outlier.mean() == pytest.approx(0.05, abs=0.01)
    far = np.log(shares[outlier] / np.median(shares[~outlier]))
    assert far.mean() == pytest.approx(4.0, abs=0.1)
    assert far.std() == pytest.approx(0.5, abs=0.05)


def test_factors_are_those_of_splatter():
    factors = effect_factors(rng(), 2, 20_000, share=0.5, location=0.01, scale=0.5)
    log = np.log(factors)
    assert (log != 0).mean() == pytest.approx(0.5, abs=0.02)
    assert (log[log != 0] > 0).mean() == pytest.approx(0.5, abs=0.02)
    size = np.abs(log[log != 0])
    assert stats.kstest(size, stats.foldnorm(0.02, scale=0.5).cdf).pvalue > 0.01
    assert abs(np.corrcoef(log)[0, 1]) < 0.03


def test_another_group_leaves_the_first_ones_as_they_are():
    settings = {"share": 0.5, "location": 0.1, "scale": 0.1}
    two, three = (effect_factors(rng(), n, 30, **settings) for n in (2, 3))
    np.testing.assert_array_equal(two, three[:2])


def test_a_straight_path_goes_from_one_to_its_end_in_equal_steps():
    ends = np.array([[0.5, 1.0, 3.0]])
    factors = path_factors(rng(), ends, 5, curved_share=0.0, curve_spread=0.8)
    np.testing.assert_allclose(factors[0, :, 2], [1.0, 1.5, 2.0, 2.5, 3.0])
    np.testing.assert_allclose(np.diff(factors, n=2, axis=1), 0.0, atol=1e-12)


def test_a_bridge_keeps_its_ends_and_has_the_variance_of_brownian_motion():
    ends = np.full((1, 40_000), 2.0)
    factors = path_factors(rng(), ends, 11, curved_share=1.0, curve_spread=0.2)[0]
    np.testing.assert_allclose(factors[0], 1.0)
    np.testing.assert_allclose(factors[-1], 2.0)
    time = np.linspace(0, 1, 11)
    # The standard deviation is uniform up to 0.2 times the mean of the ends, 1.5, so that its square has mean 0.03.
    expected = 0.03 * time * (1 - time)
    np.testing.assert_allclose((factors - (1 + time[:, None])).var(axis=1), expected, rtol=0.05, atol=1e-12)


def test_only_the_share_asked_for_is_curved():
    factors = path_factors(rng(), np.full((1, 5_000), 2.0), 6, curved_share=0.3, curve_spread=0.8)
    curved = np.abs(np.diff(factors, n=2, axis=1)).max(axis=1) > 1e-9
    assert curved.mean() == pytest.approx(0.3, abs=0.03)


def test_bridges_stay_above_zero():
    factors = path_factors(rng(), np.full((1, 2_000), 0.05), 20, curved_share=1.0, curve_spread=5.0)
    assert factors.min() == SMALLEST_FACTOR


@pytest.mark.parametrize("bcv", [0.0, 0.2, 0.5])
def test_parameters_are_found_again(bcv):
    adata = counts_of(bcv)
    found = Reference.estimate(adata)
    assert found.library_size == pytest.approx(5_000, rel=0.03)
    assert found.library_spread == pytest.approx(0.4, rel=0.08)
    assert found.bcv == pytest.approx(bcv, abs=0.05)
    assert np.corrcoef(found.shares, adata.uns["shares"])[0, 1] > 0.99
    assert found.genes.tolist() == adata.var_names.tolist()


def test_dense_and_sparse_counts_give_the_same_and_stay_as_they_are():
    adata = counts_of(0.1, n_cells=100)
    dense = anndata.AnnData(adata.X.toarray(), var=adata.var)
    before = adata.X.copy()
    first, second = Reference.estimate(adata), Reference.estimate(dense)
    np.testing.assert_allclose(first.shares, second.shares)
    assert first.bcv == pytest.approx(second.bcv)
    assert (before != adata.X).nnz == 0


def test_empty_cells_and_unseen_genes_do_no_harm():
    adata = counts_of(0.1, n_cells=500)
    x = sparse.lil_matrix(adata.X)
    x[:5] = 0
    x[:, 1:] = 0
    found = Reference.estimate(anndata.AnnData(x.tocsr()))
    assert np.isfinite([found.library_size, found.library_spread, found.bcv]).all()
    np.testing.assert_array_equal(found.shares[1:], 0.0)


def test_values_that_are_no_counts_are_refused():
    adata = counts_of(0.1, n_cells=50)
    adata.X = np.log1p(adata.X.toarray() * 1.37)
    with pytest.raises(DataError, match="like must hold counts in X, but it holds: "):
        Reference.estimate(adata)


def test_genes_are_taken_in_their_order():
    found = Reference(np.array([0.4, 0.3, 0.2, 0.1]), np.array(list("abcd"), dtype=object), 1e3, 0.1, 0.1)
    shares, genes = found.take(rng(), None)
    assert genes.tolist() == list("abcd")
    np.testing.assert_allclose(shares, found.shares)
    shares, genes = found.take(rng(1), 2)
    assert shares.sum() == pytest.approx(1.0)
    kept = ["abcd".index(gene) for gene in genes]
    assert kept == sorted(kept)
    assert len(set(kept)) == 2
    np.testing.assert_allclose(shares[0] / shares[1], found.shares[kept[0]] / found.shares[kept[1]])


def test_more_genes_than_there_are_or_none_with_counts_is_refused():
    found = Reference(np.array([1.0, 0.0, 0.0]), np.array(list("abc"), dtype=object), 1e3, 0.1, 0.1)
    with pytest.raises(DataError, match="n_genes=4 is more than the 3 genes of like"):
        found.take(rng(), 4)
    unseen = Reference(np.zeros(3), found.genes, 1e3, 0.1, 0.1)
    with pytest.raises(DataError, match="none of the 2 genes drawn from like has a count"):
        unseen.take(rng(), 2)
