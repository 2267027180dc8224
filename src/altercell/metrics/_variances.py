"""Metrics of the genes' variances over cells: vectors (n_genes,), the prediction always first."""

from __future__ import annotations

import numpy as np

from altercell.metrics._means import pearson_r2


def variance_log_ratio(pred_var: np.ndarray, real_var: np.ndarray, *, eps: float = 1e-3) -> float:
    r"""Mean over genes of the log ratio of predicted to real variance.

    .. math:: \frac1G \sum_g \log \frac{v^{pred}_g + \epsilon}{v^{real}_g + \epsilon}

    Below 0 the predicted cells are too much alike, as decoded means are; above 0 they vary too much. 0 is best.

    Parameters
    ----------
    pred_var, real_var
        Variances of the genes over predicted and over real cells: (n_genes,).
    eps
        Added to both, in squared units of the data, so that genes that no cell expresses do not decide: in log space
        1e-3 is about the variance of a gene seen in one cell of a thousand.

    Returns
    -------
    The mean log ratio (natural logarithm).
    """
    pred_var, real_var = np.asarray(pred_var, dtype=np.float64), np.asarray(real_var, dtype=np.float64)
    return float(np.mean(np.log((pred_var + eps) / (real_var + eps))))


def variance_pearson_r2(pred_var: np.ndarray, real_var: np.ndarray) -> float:
    """Squared Pearson correlation of the genes' variances, the papers' "R2" of variances.

    :func:`pearson_r2` of the two vectors, as in :cite:p:`Lotfollahi2019`: a common factor goes unseen, which
    :func:`variance_log_ratio` shows. From 0 to 1; higher is better.

    Parameters
    ----------
    pred_var, real_var
        Variances of the genes over predicted and over real cells: (n_genes,).

    Returns
    -------
    The score; nan where one of them is constant.
    """
    return pearson_r2(pred_var, real_var)
