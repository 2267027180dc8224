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


def test_several_predictions_are_drawn_beside_each_other_with_their_scores(kang):
    control, real = kang.values()
    halves = {"half of the truth": real[::2].copy(), "no change": control}
    axes = pl.means_and_variances(halves, real, control=control)
    scores = [float(ax.get_title().split("pearson_r2: ")[1].split()[0]) for ax in axes[0]]
    assert scores[0] > 0.99 > scores[1]
    assert all(len({text.get_text() for text in ax.texts} & INTERFERON) >= 4 for ax in axes.ravel())


def test_a_latent_umap_of_expression_parts_the_conditions(kang):
    import scanpy as sc
    from matplotlib.colors import to_rgb

    from altercell.pl._style import CONTROL

    both = ad.concat(kang, label="condition", index_unique="-")
    sc.pp.pca(both, n_comps=20)
    ax = pl.latent_umap(both.obsm["X_pca"], both.obs["condition"], n_cells=800)
    points, faces = np.asarray(ax.collections[0].get_offsets()), ax.collections[0].get_facecolor()[:, :3]
    is_control = (faces == to_rgb(CONTROL)).all(axis=1)
    gap = np.linalg.norm(points[is_control].mean(axis=0) - points[~is_control].mean(axis=0))
    assert len(points) == 800
    assert gap > points[is_control].std(axis=0).max()


def test_digits_are_chosen_and_drawn_by_label(real_data):
    import gzip

    folder = real_data / "morphomnist"
    with (
        gzip.open(folder / "t10k-images-idx3-ubyte.gz") as images,
        gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as labels,
    ):
        pixels = np.frombuffer(images.read(), np.uint8, offset=16).reshape(-1, 784).astype(np.float32)
        digits = np.frombuffer(labels.read(), np.uint8, offset=8)
    cells = ad.AnnData(pixels)
    cells.obs["digit"] = digits
    ax = pl.image_grid(cells, cells, cells, image_shape=(28, 28), labels_key="digit")
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(digit) for digit in range(10)]
    picture = np.ma.filled(ax.images[0].get_array(), np.nan)
    for digit in range(10):
        shown = picture[:28, digit * 30 : digit * 30 + 28].ravel()
        assert digits[(pixels == shown).all(axis=1)].tolist() == [digit]
