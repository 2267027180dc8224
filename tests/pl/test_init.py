import subprocess
import sys

import altercell.pl as pl

NAMES = ["augmentation_curve", "calibration", "classifier", "cosines", "dots", "entropy_error", "factor_map"]
NAMES += ["gene_distribution", "gene_means", "gene_variances", "generated_map", "image_grid", "interpolation"]
NAMES += ["latent_umap", "marker_correlations", "means_and_variances", "roc_curve", "score_bars", "score_map"]
NAMES += ["score_pairs", "scores", "training", "traversal_map", "umap"]


def test_the_plots_of_the_first_set_are_public():
    assert pl.__all__ == NAMES
    assert all(callable(getattr(pl, name)) and getattr(pl, name).__doc__ for name in NAMES)


def test_importing_the_plots_waits_for_no_network_library_and_chooses_no_backend():
    code = (
        "import sys, altercell.pl; "
        "print([name for name in ('scvi', 'torch', 'scanpy', 'umap', 'matplotlib.pyplot') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
