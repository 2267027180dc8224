"""Scores of generated cells: whether they copy, whether they cover, and whether their genes are as real ones are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import DataError, KeyNotFoundError, listing
from altercell.metrics._distances import mmd
from altercell.metrics._matrix import Matrix, as_matrices, dense_blocks, gene_means, genes_of, stored_values
from altercell.metrics._pcs import project_on_pcs

#: Above this, values are no logarithms of counts.
LARGEST_LOG = 25.0
#: Scales of the three Gaussians, relative to the median distance to the neighbours.
SCALES = (0.5, 1.0, 2.0)


def neighbour_mmd(
    x: Matrix, y: Matrix, basis: Matrix | None = None, *, n_neighbors: int = 25, n_pcs: int = 50, seed: int = 0
) -> float:
    r"""Squared maximum mean discrepancy with three Gaussian kernels on principal components :cite:p:`Marouf2020`.

    .. math:: k(a, b) = \sum_{s \in \{1/2, 1, 2\}} \exp\left(-\frac{|a - b|^2}{(s m)^2}\right)

    with m the median, over real cells, of the mean distance to the 25 nearest other ones. 0 for equal distributions (at
    times a little negative: pairs of a cell with itself are left out); lower is better; at most 6.

    Parameters
    ----------
    x
        Generated cells, dense or sparse: (n_cells, n_genes).
    y
        Real cells: (n_cells, n_genes).
    basis
        Cells whose principal components are used. None takes `y`; give the training cells, so that copies of them have
        no advantage.
    n_neighbors
        Neighbours of the scale; fewer where there are fewer other cells.
    n_pcs
        Number of components, fewer where the cells or genes do not have as many.
    seed
        Of the start vector of the eigensolver.

    Returns
    -------
    The discrepancy; nan where a population has one cell, or most real cells are copies of one.
    """
    from sklearn.neighbors import NearestNeighbors

    generated, real = project_on_pcs(x, y, basis, n_pcs=n_pcs, seed=seed)
    if min(len(generated), len(real)) < 2 or real.shape[1] == 0:
        return float("nan")
    nearest = NearestNeighbors(n_neighbors=min(n_neighbors, len(real) - 1)).fit(real)
    scale = float(np.median(nearest.kneighbors()[0].mean(axis=1)))
    return float(sum(mmd(generated, real, bandwidth=s * scale / np.sqrt(2)) for s in SCALES))


def copying(
    x: Matrix, train: Matrix, test: Matrix, *, n_pcs: int = 50, share: float = 0.05, seed: int = 0
) -> dict[str, float]:
    """Tell whether generated cells are copies of training cells, by the distance to the nearest one.

    On the principal components of the training cells. Real cells that training has not seen say how near is usual.

    Parameters
    ----------
    x
        Generated cells, dense or sparse: (n_cells, n_genes).
    train, test
        Training cells, and real cells that training has not seen.
    n_pcs
        Number of components.
    share
        Which of the test cells' distances, from the smallest, is called near.
    seed
        Of the start vector of the eigensolver.

    Returns
    -------
    ``nearest_ratio``, the median distance of generated cells over that of test cells (1: as far as new real cells are;
    0: copies), and ``nearer_share``, the share of generated cells that are nearer to a training cell than the nearest
    `share` of test cells (`share` is what new real cells have; 1: copies). nan where there is no variance.
    """
    from sklearn.neighbors import NearestNeighbors

    basis, _ = as_matrices(train, test)
    generated, known = project_on_pcs(x, basis, basis, n_pcs=n_pcs, seed=seed)
    new, _ = project_on_pcs(test, basis, basis, n_pcs=n_pcs, seed=seed)
    if known.shape[1] == 0:
        return {"nearest_ratio": float("nan"), "nearer_share": float("nan")}
    nearest = NearestNeighbors(n_neighbors=1).fit(known)
    made, usual = (nearest.kneighbors(cells)[0].ravel() for cells in (generated, new))
    middle = float(np.median(usual))
    return {
        "nearest_ratio": float(np.median(made)) / middle if middle > 0 else float("nan"),
        "nearer_share": float((made < np.quantile(usual, share)).mean()),
    }


def precision_coverage(
    x: Matrix, y: Matrix, basis: Matrix | None = None, *, n_neighbors: int = 5, n_pcs: int = 50, seed: int = 0
) -> dict[str, float]:
    r"""Tell how many generated cells lie among real ones, and how many real ones have a generated cell beside them.

    With :math:`B(y)` the ball around a real cell y that reaches to its k-th nearest other real cell, precision
    :cite:p:`Kynkaanniemi2019` is the share of generated cells that lie in any ball, and coverage :cite:p:`Naeem2020`
    the share of balls in which a generated cell lies. A model that makes few kinds of cells has a high precision and a
    low coverage. New real cells have a precision near 1, and a coverage that depends on their number: compare with the
    real-against-real row.

    Parameters
    ----------
    x
        Generated cells, dense or sparse: (n_cells, n_genes).
    y
        Real cells: (n_cells, n_genes).
    basis
        Cells whose principal components are used. None takes `y`.
    n_neighbors
        k; fewer where there are fewer other cells.
    n_pcs
        Number of components.
    seed
        Of the start vector of the eigensolver.

    Returns
    -------
    ``precision`` and ``coverage``, from 0 to 1; higher is better. nan where there is no variance, or one real cell.
    """
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    generated, real = project_on_pcs(x, y, basis, n_pcs=n_pcs, seed=seed)
    if real.shape[1] == 0 or len(real) < 2:
        return {"precision": float("nan"), "coverage": float("nan")}
    k = min(n_neighbors, len(real) - 1)
    radius = NearestNeighbors(n_neighbors=k).fit(real).kneighbors()[0][:, -1]
    inside, covered = [], np.zeros(len(real), dtype=bool)
    for distances in pairwise_distances_chunked(generated, real):
        within = distances <= radius
        inside.append(within.any(axis=1))
        covered |= within.any(axis=0)
    return {"precision": float(np.concatenate(inside).mean()), "coverage": float(covered.mean())}


def marker_correlation(x: AnnData, y: AnnData, genes: Sequence[str]) -> float:
    """Mean absolute difference of the correlations between marker genes, in generated and in real cells.

    Pearson's correlation over cells, of every pair of genes :cite:p:`Marouf2020`. A gene without variance is correlated
    with none. 0 for equal correlations; lower is better; at most 2.

    Parameters
    ----------
    x, y
        Generated and real cells.
    genes
        Two marker genes or more.

    Raises
    ------
    KeyNotFoundError
        A gene is not in both.
    DataError
        There are fewer than two genes, values are NaN or infinite, or cells are not given as AnnData.
    """
    _, first, second = correlations(x, y, genes)
    return mean_difference(first, second)


def correlations(x: AnnData, y: AnnData, genes: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the genes, each once, and their correlations in `x` and in `y`: (n_genes, n_genes) each.

    See `marker_correlation`.
    """
    if not isinstance(x, AnnData) or not isinstance(y, AnnData):
        raise DataError("correlations find genes by name: give both cells as AnnData")
    names = list(dict.fromkeys([genes] if isinstance(genes, str) else genes))
    missing = [name for name in names if name not in x.var_names or name not in y.var_names]
    if missing:
        raise KeyNotFoundError(f"genes={listing(missing)} are not in both the generated and the real cells")
    if len(names) < 2:
        raise DataError(f"correlations need two genes or more; genes={listing(names)}")
    first, second = (
        _correlations(genes_of(cells, np.asarray(names), name)) for cells, name in ((x, "generated"), (y, "real"))
    )
    return names, first, second


def mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two matrices of correlations over the pairs of genes."""
    pairs = np.triu_indices(len(first), 1)
    return float(np.abs(first - second)[pairs].mean())


def _correlations(values: Matrix) -> np.ndarray:
    cells = np.asarray(values if isinstance(values, np.ndarray) else values.toarray(), dtype=np.float64)
    if len(cells) < 2:
        return np.zeros((cells.shape[1], cells.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.corrcoef(cells, rowvar=False))


def mean_distance(x: Matrix, y: Matrix) -> float:
    """Euclidean distance between the mean generated and the mean real cell; 0 is best.

    Parameters
    ----------
    x, y
        Generated and real cells, dense or sparse: (n_cells, n_genes).
    """
    x, y = as_matrices(x, y)
    return float(np.linalg.norm(gene_means(x) - gene_means(y)))


def class_confusion(
    x: Matrix,
    classes: Sequence[object] | np.ndarray,
    y: Matrix,
    y_classes: Sequence[object] | np.ndarray,
    *,
    n_pcs: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Return which class of real cells the cells generated as each class are nearest to.

    A class is its real cells' mean on their principal components. Real cells are not all nearest to their own either:
    compare with the table of some real cells beside others.

    Parameters
    ----------
    x, classes
        Generated cells, (n_cells, n_genes), and the class that each was generated as.
    y, y_classes
        Real cells and their classes.
    n_pcs
        Number of components.
    seed
        Of the start vector of the eigensolver.

    Returns
    -------
    A row each class that cells were generated as, a column each class of real cells, both in the order of the latter:
    shares of the row's cells.

    Raises
    ------
    DataError
        A class without real cells, or numbers of classes that are not those of the cells.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0, 1.0], [0.0, 2.0], [5.0, 0.0], [4.0, 0.0]])
    >>> class_confusion(x, ["a", "b", "b", "b"], x, ["a", "a", "b", "b"], n_pcs=1).loc["b"].round(2).tolist()
    [0.33, 0.67]
    """
    from sklearn.metrics import pairwise_distances_argmin

    if isinstance(classes, str) or isinstance(y_classes, str):
        raise DataError("classes are wanted cell by cell, such as adata.obs['cell_type'], not as the name of a column")
    asked, known = np.asarray(classes, dtype=object), np.asarray(y_classes, dtype=object)
    x, y = as_matrices(x, y)
    if len(asked) != x.shape[0] or len(known) != y.shape[0]:
        raise DataError(f"{x.shape[0]} and {y.shape[0]} cells have {len(asked)} and {len(known)} classes")
    names = list(dict.fromkeys(known.tolist()))
    unknown = [name for name in dict.fromkeys(asked.tolist()) if name not in names]
    if unknown:
        raise DataError(f"no real cell is of class {listing(unknown)}")
    generated, real = project_on_pcs(x, y, n_pcs=n_pcs, seed=seed)
    row = {name: number for number, name in enumerate(names)}
    of_asked, of_known = (np.array([row[name] for name in part], dtype=int) for part in (asked, known))
    centres = np.stack([real[of_known == number].mean(axis=0) for number in row.values()])
    # Cells without variance are all as near to the first.
    nearest = pairwise_distances_argmin(generated, centres) if real.shape[1] else np.zeros(len(asked), dtype=int)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (of_asked, nearest), 1)
    index, columns = (pd.Index(names, name=name, tupleize_cols=False) for name in ("asked", "nearest"))
    table = pd.DataFrame(counts, index=index, columns=columns)
    table = table[counts.sum(axis=1) > 0]
    return table.div(table.sum(axis=1), axis=0)


def class_recall(
    x: Matrix,
    classes: Sequence[object] | np.ndarray,
    y: Matrix,
    y_classes: Sequence[object] | np.ndarray,
    *,
    n_pcs: int = 50,
    seed: int = 0,
) -> dict[object, float]:
    """Return the share of the cells generated as each class whose nearest class of real cells is that one.

    The diagonal of :func:`class_confusion`.

    Parameters
    ----------
    x, classes, y, y_classes, n_pcs, seed
        See :func:`class_confusion`.

    Returns
    -------
    The share of each class that cells were generated as.

    Raises
    ------
    DataError
        A class without real cells, or numbers of classes that are not those of the cells.
    """
    table = class_confusion(x, classes, y, y_classes, n_pcs=n_pcs, seed=seed)
    own = {name: float(table.to_numpy()[i, table.columns.get_loc(name)]) for i, name in enumerate(table.index)}
    return {name: own[name] for name in dict.fromkeys(np.asarray(classes, dtype=object).tolist())}


def variable_gene_overlap(x: Matrix, y: Matrix, n: int = 500) -> float:
    """Share of the `n` most variable genes of real cells that are among those of generated cells.

    Variable by the variance over the mean of each gene, without the logarithm: ``expm1`` of log data. Higher is better;
    `n` over the number of genes is what chance gives.

    Parameters
    ----------
    x, y
        Generated and real cells on the log scale, dense or sparse: (n_cells, n_genes).
    n
        How many genes, at most half of all.

    Returns
    -------
    The share; nan where there are fewer than two genes, or where values are too large for logarithms.
    """
    x, y = as_matrices(x, y)
    n = min(n, x.shape[1] // 2)
    if n < 1:
        return float("nan")
    if max(float(stored_values(cells).max(initial=0)) for cells in (x, y)) > LARGEST_LOG:
        return float("nan")
    first, second = (set(np.argsort(-_dispersions(cells), kind="stable")[:n].tolist()) for cells in (x, y))
    return len(first & second) / n


def _dispersions(cells: Matrix) -> np.ndarray:
    """Return variance over mean of every gene, of ``expm1`` of the values; 0 for a gene that is not there."""
    total, squares = np.zeros(cells.shape[1]), np.zeros(cells.shape[1])
    for _, block in dense_blocks(cells, 1_024):
        values = np.expm1(block)
        total += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    mean = total / cells.shape[0]
    variance = np.maximum(squares / cells.shape[0] - mean**2, 0)
    return np.divide(variance, mean, out=np.zeros_like(mean), where=mean > 0)
