import numpy as np
import pytest

from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.pl._populations import as_names, check_populations, find_genes, values_of, with_space

SPACE = "log1p of counts per 10,000"


def test_one_gene_is_a_list_of_one():
    assert as_names("ISG15") == ["ISG15"]
    assert as_names(np.array(["ISG15", "MX1"])) == ["ISG15", "MX1"]


def test_no_genes_is_an_error():
    with pytest.raises(DataError, match="name at least one"):
        as_names([])


def test_genes_are_found_in_the_order_asked(make):
    assert find_genes(make(0), ["MX1", "ISG15"], "pred").tolist() == [2, 0]


def test_an_unknown_gene_is_answered_with_near_names_in_any_case(make):
    with pytest.raises(KeyNotFoundError, match="pred has no gene 'Isg51'; near names: 'ISG15'"):
        find_genes(make(0), ["MX1", "Isg51"], "pred")


def test_an_unknown_gene_without_near_names_is_answered_with_some_genes(make):
    with pytest.raises(KeyNotFoundError, match=r"no gene 'QQQQ'; its genes are 'ISG15', .* and 26 more"):
        find_genes(make(0), ["QQQQ"], "pred")


def test_values_are_dense_float64_in_the_order_asked(populations, unchanged, dense):
    values = values_of(populations["real"], ["MX1", "ISG15"], "real")
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, dense(populations["real"])[:, [2, 0]])


def test_values_of_data_on_disk_are_those_in_memory(make, tmp_path):
    import anndata as ad

    cells = make(0)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_array_equal(values_of(backed, ["MX1"], "cells"), values_of(cells, ["MX1"], "cells"))
    backed.file.close()


def test_values_of_no_cells_are_an_error(make):
    with pytest.raises(DataError, match="real has no cells"):
        values_of(make(0)[:0], ["MX1"], "real")


def test_genes_named_twice_are_an_error(make):
    cells = make(0)
    cells.var_names = ["ISG15", "ISG15", *cells.var_names[2:]]
    with pytest.raises(GeneMismatchError, match="genes of the same name: 'ISG15'"):
        values_of(cells, ["ISG15"], "real")


def test_values_that_are_nan_are_an_error(make):
    cells = make(0)
    cells.X = cells.X.toarray()
    cells.X[3, 0] = np.nan
    with pytest.raises(DataError, match="real holds NaN or infinite values, in 1 of 60 cells"):
        values_of(cells, ["ISG15"], "real")


@pytest.mark.parametrize("given", [{}, ["cells"], None])
def test_populations_must_have_names(given):
    with pytest.raises(DataError, match="populations are wanted by name"):
        check_populations(given)


def test_populations_in_two_spaces_are_refused(make):
    counts = make(1)
    counts.X = counts.X.astype(bool).astype(np.float32)
    counts.uns["altercell"]["space"] = "counts"
    with pytest.raises(SpaceMismatchError, match="but real is 'counts'"):
        check_populations({"ScGen": make(0), "real": counts})


def test_the_label_tells_the_space(make):
    assert with_space("mean", [make(0)]) == f"mean ({SPACE})"


def test_the_label_takes_the_space_whose_total_is_known(make):
    subset = make(1)
    subset.uns["altercell"]["space"] = "log1p of counts"
    assert with_space("mean", [subset, make(0)]) == f"mean ({SPACE})"
    assert with_space("mean", [subset]) == "mean (log1p of counts)"


def test_the_label_is_silent_about_an_unknown_space(make):
    cells = make(0)
    cells.uns["altercell"]["space"] = "unknown"
    assert with_space("mean", [cells]) == "mean"
