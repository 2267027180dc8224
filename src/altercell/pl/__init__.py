"""Plots of predicted beside real cells: every function takes `ax`, draws with matplotlib and returns the Axes."""

from __future__ import annotations

from altercell.pl._augmentation import augmentation_curve
from altercell.pl._calibration import calibration
from altercell.pl._distribution import gene_distribution
from altercell.pl._dots import dots
from altercell.pl._entropy_error import entropy_error
from altercell.pl._factor_map import factor_map
from altercell.pl._generated import generated_map
from altercell.pl._genes import gene_means, gene_variances
from altercell.pl._images import image_grid
from altercell.pl._interpolation import interpolation
from altercell.pl._latent import latent_umap
from altercell.pl._linearity import classifier, cosines
from altercell.pl._markers import marker_correlations
from altercell.pl._moments import means_and_variances
from altercell.pl._roc import roc_curve
from altercell.pl._score_bars import score_bars
from altercell.pl._score_map import score_map
from altercell.pl._score_pairs import score_pairs
from altercell.pl._scores import scores
from altercell.pl._training import training
from altercell.pl._traversal import traversal_map
from altercell.pl._umap import umap

__all__ = [
    "augmentation_curve",
    "calibration",
    "classifier",
    "cosines",
    "dots",
    "entropy_error",
    "factor_map",
    "gene_distribution",
    "gene_means",
    "gene_variances",
    "generated_map",
    "image_grid",
    "interpolation",
    "latent_umap",
    "marker_correlations",
    "means_and_variances",
    "roc_curve",
    "score_bars",
    "score_map",
    "score_pairs",
    "scores",
    "training",
    "traversal_map",
    "umap",
]
