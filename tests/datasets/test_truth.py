"""The expected counts, read back from what the simulator leaves."""

import numpy as np
import pytest

from altercell.data import hold_out, normalize, select_genes
from altercell.datasets import simulate_response, true_mean
from altercell.errors import DataError, GeneMismatchError, GroupError


@pytest.fixture(scope="module")
def cells():
    return simulate_response(n_cells=300, n_genes=60, n_types=3)


def test_counts_per_ten_thousand_sum_to_that(cells):
    assert true_mean(cells, "type_2", "stimulated").sum() == pytest.approx(1e4)
    assert true_mean(cells, "type_2", "stimulated", target_sum=1.0).sum() == pytest.approx(1.0)


def test_it_is_the_profile_of_that_group(cells):
    expected = 1e4 * cells.uns["truth"]["profile"][1, 1]
    np.testing.assert_allclose(true_mean(cells, "type_1", "stimulated"), expected)
    assert not np.allclose(true_mean(cells, "type_1", "control"), expected)


def test_it_follows_the_genes_by_name(cells):
    part = cells[:, ["gene_7", "gene_3"]]
    whole = true_mean(cells, "type_0", "control")
    np.testing.assert_array_equal(true_mean(part, "type_0", "control"), whole[[7, 3]])


def test_it_survives_the_steps_before_a_model(cells):
    train, real = hold_out(cells, batch="stimulated", labels="type_1")
    train = select_genes(normalize(train), 20)
    assert true_mean(train, "type_1", "stimulated").shape == (20,)
    np.testing.assert_array_equal(true_mean(real, "type_1", "stimulated"), true_mean(cells, "type_1", "stimulated"))


def test_unknown_groups_are_listed(cells):
    with pytest.raises(
        GroupError, match=r"'B cells' is not among the simulated cell types: 'type_0', 'type_1', 'type_2'"
    ):
        true_mean(cells, "B cells", "control")
    with pytest.raises(GroupError, match=r"'IFN' is not among the simulated conditions: 'control', 'stimulated'"):
        true_mean(cells, "type_0", "IFN")


def test_other_genes_are_named(cells):
    other = cells[:, :3].copy()
    other.var_names = ["gene_0", "CD3D", "gene_2"]
    with pytest.raises(GeneMismatchError, match="not simulated: 'CD3D'"):
        true_mean(other, "type_0", "control")


@pytest.mark.parametrize("uns", [{}, {"truth": {"genes": ["gene_0"]}}, {"truth": "none"}])
def test_cells_that_were_not_simulated_have_no_truth(cells, uns):
    other = cells.copy()
    other.uns = uns
    with pytest.raises(DataError, match="holds no simulated truth"):
        true_mean(other, "type_0", "control")
