"""Scores of predicted and generated cells: pure functions with their formulas, and one table of them all."""

from __future__ import annotations

from altercell.metrics._ceiling import ceiling, subsample_spread
from altercell.metrics._disentanglement import (
    factor_gaps,
    factor_vae_score,
    mutual_information_gap,
    spearman,
    spearman_gap,
)
from altercell.metrics._distances import edistance, mmd, wasserstein_pcs
from altercell.metrics._evaluate import evaluate, metric_names
from altercell.metrics._forest import forest_auc, random_forest_error
from altercell.metrics._generation import (
    class_confusion,
    class_recall,
    copying,
    marker_correlation,
    mean_distance,
    neighbour_mmd,
    precision_coverage,
    variable_gene_overlap,
)
from altercell.metrics._genes import de_genes, genes_differ, negative_share, per_gene_test, zero_share
from altercell.metrics._images import stroke_thickness
from altercell.metrics._inception import inception_score
from altercell.metrics._information import mutual_information
from altercell.metrics._integration import (
    cluster_agreement,
    cross_batch_accuracy,
    integration,
    silhouette_batch,
    silhouette_label,
)
from altercell.metrics._means import direction, mse, pearson_delta, pearson_r2, r2, top_overlap
from altercell.metrics._perturbation_rank import perturbation_rank
from altercell.metrics._posterior import latent_entropy, latent_entropy_gap
from altercell.metrics._variances import variance_log_ratio, variance_pearson_r2

__all__ = [
    "ceiling",
    "class_confusion",
    "class_recall",
    "cluster_agreement",
    "copying",
    "cross_batch_accuracy",
    "de_genes",
    "direction",
    "edistance",
    "evaluate",
    "factor_gaps",
    "factor_vae_score",
    "forest_auc",
    "genes_differ",
    "inception_score",
    "integration",
    "latent_entropy",
    "latent_entropy_gap",
    "marker_correlation",
    "mean_distance",
    "metric_names",
    "mmd",
    "mse",
    "mutual_information",
    "mutual_information_gap",
    "negative_share",
    "neighbour_mmd",
    "pearson_delta",
    "pearson_r2",
    "per_gene_test",
    "perturbation_rank",
    "precision_coverage",
    "r2",
    "random_forest_error",
    "silhouette_batch",
    "silhouette_label",
    "spearman",
    "spearman_gap",
    "stroke_thickness",
    "subsample_spread",
    "top_overlap",
    "variable_gene_overlap",
    "variance_log_ratio",
    "variance_pearson_r2",
    "wasserstein_pcs",
    "zero_share",
]
