"""On real cells: interferon moves the genes that it is known to move, and the pictures say so."""

import anndata as ad
import numpy as np
import pytest

from altercell import pl

pytestmark = pytest.mark.real

INTERFERON = {"ISG15", "ISG20", "IFI6", "IFIT1", "IFIT2", "IFIT3", "MX1", "LY6E"}


@pytest.fixture(scope="module")
def kang(real_data):
    """CD4 T cells of the two conditions, in log space."""
    import scanpy as sc

    adata = ad.read_h5ad(real_data / "kang_pbmc.h5ad")
    adata = adata[(adata.obs["cell_type"] == "CD4 T cells").to_numpy()].copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return {
        name: adata[(adata.obs["condition"] == value).to_numpy()].copy()
        for name, value in (("control", "control"), ("real", "stimulated"))
    }


def test_the_named_genes_are_interferons(kang):
    ax = pl.gene_means(kang["control"], kang["real"], control=kang["control"])
    assert len({text.get_text() for text in ax.texts} & INTERFERON) >= 4
    assert ax.get_xlabel() == "real mean (log1p of counts per 10,000)"


def test_names_do_not_overlap_among_thousands_of_genes(kang):
    from matplotlib.text import Text

    ax = pl.gene_means(kang["control"], kang["real"], control=kang["control"], genes=15)
    ax.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert len(boxes) == 15
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_dots_show_the_response(kang):
    points = pl.dots(["ISG15", "CD3D"], kang).collections[0]
    (control_isg15, _), (real_isg15, _) = np.asarray(points.get_array()).reshape(2, 2)
    assert real_isg15 > control_isg15 + 2


def test_umap_draws_all_cells(kang):
    ax = pl.umap(kang, n_cells=300)
    assert len(ax.collections[0].get_offsets()) == 600
