"""The metrics in plain words, for the report's readers."""

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "mse": "How far the predicted mean expression of the genes is from the measured one (mean squared error).",
    "pearson_delta": "Whether the right genes change: correlation of the predicted with the measured change.",
    "pearson_r2": "Squared correlation of mean expression over genes. High even where nothing is predicted to change.",
    "pearson_r2_top100": "The same over the 100 genes that respond most.",
    "variance_pearson_r2": "Whether the genes vary from cell to cell as they do in reality.",
    "edistance": "Distance between the predicted and the measured populations of cells (E-distance); 0: the same.",
    "mmd": "Distance between the two populations in principal components (maximum mean discrepancy); 0: the same.",
    "forest_auc": "How well a classifier tells predicted from measured cells; 0.5: not at all, 1: always.",
}
