"""Metrics of single genes: which differ, and which values cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from altercell.errors import DataError
from altercell.metrics._matrix import Matrix, as_matrices, as_matrix, genes_of, stored_values

_GENES_AT_ONCE = 256


def de_genes(real: AnnData, control: AnnData, n: int = 100) -> pd.Index:
    """Name the top differential genes of the truth: real perturbed cells against control cells.

    ``scanpy.tl.rank_genes_groups`` with the Wilcoxon rank-sum test, ranked by the absolute score: genes that go up and
    genes that go down compete on equal terms. Expects logarithms of counts. To score a prediction, not to choose the
    genes that a model is trained on: it looks at the truth.

    Parameters
    ----------
    real
        Measured perturbed cells: (n_cells, n_genes). Not changed.
    control
        Control cells of the same type, with the genes of `real` in any order, and perhaps others. Not changed.
    n
        How many genes, at most all.

    Returns
    -------
    The names, the strongest first.

    Raises
    ------
    GeneMismatchError
        If `control` lacks genes of `real`.
    DataError
        If there are fewer than 2 cells of either.
    """
    names = real.var_names
    places = rank_genes(genes_of(real, names, "real"), genes_of(control, names, "control"), n)
    return names[places]


def rank_genes(real: Matrix, control: Matrix, n: int) -> np.ndarray:
    """Find the columns of the top differential genes, the strongest first, as `de_genes` does: (min(n, n_genes),)."""
    import scanpy as sc

    if min(real.shape[0], control.shape[0]) < 2:
        raise DataError(
            f"differential genes need 2 cells an arm: there are {real.shape[0]} real and {control.shape[0]} control"
        )
    is_dense = isinstance(real, np.ndarray) and isinstance(control, np.ndarray)
    stacked = (
        np.vstack([real, control]) if is_dense else sp.vstack([sp.csr_matrix(real), sp.csr_matrix(control)]).tocsr()
    )
    both = AnnData(stacked)
    both.obs["arm"] = pd.Categorical(np.repeat(["real", "control"], [real.shape[0], control.shape[0]]))
    with np.errstate(
        all="ignore"
    ):  # scanpy's fold changes, which are not used, overflow on values that are no logarithms
        sc.tl.rank_genes_groups(
            both, "arm", groups=["real"], reference="control", method="wilcoxon", rankby_abs=True,
            n_genes=min(n, both.n_vars), use_raw=False,
        )  # fmt: skip
    return both.uns["rank_genes_groups"]["names"]["real"].astype(int)


def per_gene_test(pred: AnnData, real: AnnData) -> pd.DataFrame:
    r"""Test each gene for a difference between predicted and real cells.

    The Wilcoxon rank-sum (Mann-Whitney) test, two-sided, in its normal approximation with correction for ties and
    continuity; p-values adjusted over genes by Benjamini and Hochberg. With more cells smaller differences are found:
    compare numbers of the same size.

    Parameters
    ----------
    pred
        Predicted cells: (n_cells, n_genes).
    real
        Real cells, with the genes of `pred` in any order, and perhaps others.

    Returns
    -------
    A row a gene, indexed by name, with the columns ``auc`` (the probability that a predicted cell has more of the gene
    than a real one, ties counted half; 0.5: neither), ``p_value`` and ``p_adjusted``. A gene that is constant over all
    cells has p-values of 1.

    Raises
    ------
    GeneMismatchError
        If `real` lacks genes of `pred`.
    """
    names = pred.var_names
    table = rank_sum_tests(genes_of(pred, names, "pred"), genes_of(real, names, "real"))
    return table.set_index(names)


def rank_sum_tests(pred: Matrix, real: Matrix) -> pd.DataFrame:
    """Test each column of two populations, as `per_gene_test` does."""
    from scipy.stats import false_discovery_control, mannwhitneyu

    pred, real = as_matrices(pred, real)
    auc, p_value = np.full(pred.shape[1], 0.5), np.ones(pred.shape[1])
    for start in range(0, pred.shape[1], _GENES_AT_ONCE):
        genes = slice(start, start + _GENES_AT_ONCE)
        x, y = (_dense(m[:, genes]) for m in (pred, real))
        with np.errstate(all="ignore"):  # a constant gene divides by zero
            test = mannwhitneyu(x, y, axis=0, method="asymptotic")
        auc[genes] = test.statistic / (len(x) * len(y))
        p_value[genes] = np.nan_to_num(test.pvalue, nan=1.0)
    return pd.DataFrame({"auc": auc, "p_value": p_value, "p_adjusted": false_discovery_control(p_value)})


def genes_differ(pred: AnnData, real: AnnData, *, alpha: float = 0.05) -> float:
    """Share of genes whose distribution in predicted cells differs significantly from that in real cells.

    Lower is better; it grows with the number of cells (see :func:`per_gene_test`).

    Parameters
    ----------
    pred
        Predicted cells: (n_cells, n_genes).
    real
        Real cells, with the genes of `pred` in any order, and perhaps others.
    alpha
        Adjusted p-value below which a gene differs.

    Returns
    -------
    The share, from 0 to 1.
    """
    return float((per_gene_test(pred, real)["p_adjusted"] < alpha).mean())


def negative_share(x: Matrix) -> float:
    """Share of the values of `x` (n_cells, n_genes) below zero, which no expression has; lower is better."""
    x = as_matrix(x)
    return int((stored_values(x) < 0).sum()) / (x.shape[0] * x.shape[1])


def zero_share(x: Matrix) -> float:
    """Share of the values of `x` (n_cells, n_genes) that are exactly zero."""
    x = as_matrix(x)
    return 1 - int(np.count_nonzero(stored_values(x))) / (x.shape[0] * x.shape[1])


def _dense(x: Matrix) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else x.toarray()
