"""Names of what is simulated."""

from altercell.datasets._names import numbered


def test_names_are_numbered_from_zero():
    names = numbered("gene", 3)
    assert names.tolist() == ["gene_0", "gene_1", "gene_2"]
    assert names.dtype == object
