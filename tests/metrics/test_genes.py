import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import false_discovery_control, ranksums

from altercell.errors import DataError, GeneMismatchError
from altercell.metrics import de_genes, genes_differ, negative_share, per_gene_test, zero_share

N_CHANGED = 20


def test_de_genes_finds_what_changes_in_both_directions(arms):
    genes = de_genes(arms.real, arms.control, n=N_CHANGED)
    assert set(genes) == {f"g{i}" for i in range(N_CHANGED)}


def test_de_genes_are_ranked_by_the_absolute_wilcoxon_score(arms):
    real, control = arms.real.X.toarray(), arms.control.X.toarray()
    scores = np.array([abs(ranksums(real[:, g], control[:, g]).statistic) for g in range(real.shape[1])])
    top = [int(name[1:]) for name in de_genes(arms.real, arms.control, n=30)]
    np.testing.assert_allclose(scores[top], np.sort(scores)[::-1][:30], atol=1e-5)


def test_de_genes_leaves_its_inputs_and_takes_any_format_and_order(arms):
    expected = list(de_genes(arms.real, arms.control, n=10))
    before = arms.real.copy()
    dense = arms.real.copy()
    dense.X = dense.X.toarray()
    assert list(de_genes(dense, arms.control, n=10)) == expected
    assert list(de_genes(arms.real, arms.control[:, ::-1].copy(), n=10)) == expected
    dense_control = arms.control.copy()
    dense_control.X = dense_control.X.toarray()
    assert list(de_genes(dense, dense_control, n=10)) == expected
    assert list(arms.real.obs.columns) == []
    assert set(arms.real.uns) == set(before.uns)
    assert (arms.real.X != before.X).nnz == 0


def test_de_genes_asked_for_more_than_there_are(arms):
    assert len(de_genes(arms.real, arms.control, n=10_000)) == arms.real.n_vars


def test_de_genes_needs_two_cells_and_the_same_genes(arms):
    with pytest.raises(DataError, match="2 cells an arm: there are 1 real and 120 control"):
        de_genes(arms.real[:1], arms.control)
    with pytest.raises(GeneMismatchError, match="control lacks 1 of the 150 genes of the prediction: 'g0'"):
        de_genes(arms.real, arms.control[:, 1:])


def test_per_gene_test_is_scipys_gene_by_gene(arms):
    from scipy.stats import mannwhitneyu

    table = per_gene_test(arms.control, arms.real[:, ::-1])
    assert list(table.index) == list(arms.control.var_names)
    x, y = arms.control.X.toarray(), arms.real.X.toarray()
    for g in (0, 1, 77, 149):
        expected = mannwhitneyu(x[:, g], y[:, g], method="asymptotic")
        assert table["p_value"].iloc[g] == pytest.approx(expected.pvalue, rel=1e-4)
        assert table["auc"].iloc[g] == pytest.approx(expected.statistic / (120 * 100))
    np.testing.assert_allclose(table["p_adjusted"], false_discovery_control(table["p_value"]))
    assert (table["auc"].iloc[:N_CHANGED:2] > 0.5).all()  # real cells have less of the genes that go down


def test_constant_genes_do_not_differ(arms):
    x = arms.real.copy()
    x.X = sp.csr_matrix(x.shape, dtype=np.float32)
    table = per_gene_test(x, x)
    assert (table["p_value"] == 1).all()
    assert (table["auc"] == 0.5).all()
    assert genes_differ(x, x) == 0


def test_share_of_genes_that_differ(arms):
    # A fair draw of 20 changed genes of 150; the others are tested at a false discovery rate of 5 %.
    assert N_CHANGED / 150 <= genes_differ(arms.control, arms.real) < N_CHANGED / 150 + 0.05
    assert genes_differ(arms.control, arms.real, alpha=0.0) == 0


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_matrix])
def test_shares_of_negative_and_zero_values(wrap):
    x = wrap(np.array([[0.0, -1.0, 2.0], [0.0, 0.0, -3.0]]))
    assert negative_share(x) == pytest.approx(2 / 6)
    assert zero_share(x) == pytest.approx(3 / 6)


def test_stored_zeros_are_zeros():
    x = sp.csr_matrix(np.array([[1.0, 2.0], [3.0, 4.0]]))
    x.data[:2] = 0
    assert zero_share(x) == 0.5


def null_cells(n_cells: int, seed: int) -> AnnData:
    x = np.random.default_rng(seed).poisson(1.0, size=(n_cells, 300)).astype(np.float32)
    return AnnData(np.log1p(x))


def test_equal_distributions_give_uniform_p_values_and_no_differences():
    pred, real = null_cells(200, 0), null_cells(200, 1)
    table = per_gene_test(pred, real)
    assert 0.02 < (table["p_value"] < 0.05).mean() < 0.09
    assert table["auc"].mean() == pytest.approx(0.5, abs=0.01)
    assert genes_differ(pred, real) < 0.01


def test_more_cells_find_more_differences():
    shares = []
    for n_cells in (20, 100, 500):
        shifted = null_cells(n_cells, 0)
        shifted.X = shifted.X + 0.15
        shares.append(genes_differ(shifted, null_cells(n_cells, 1)))
    assert shares[0] < shares[1] < shares[2]


def test_more_genes_than_are_tested_at_once():
    pred, real = null_cells(30, 0), null_cells(30, 1)
    whole, part = per_gene_test(pred, real), per_gene_test(pred[:, 250:], real)
    np.testing.assert_allclose(whole["p_value"].iloc[250:], part["p_value"])
    assert list(part.index) == list(pred.var_names[250:])
    assert not np.allclose(whole["p_adjusted"].iloc[250:], part["p_adjusted"])  # adjusted over the genes tested
