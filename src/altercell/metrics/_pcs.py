"""Principal components of real cells, the space of several metrics."""

from __future__ import annotations

import numpy as np

from altercell.metrics._matrix import Matrix, as_matrices, gene_variances


def project_on_pcs(
    x: Matrix, y: Matrix, basis: Matrix | None = None, *, n_pcs: int = 50, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Project two populations on the principal components of the real cells: (n_cells, n_components) each.

    The components are fitted on `basis` (None: on `y`) alone, centred and not scaled: what is real decides what is
    signal, as in :cite:p:`Marouf2020`. There are at most `n_pcs`; fewer where the basis has fewer genes or no more
    cells, and none where all its cells are the same. `seed` starts the eigensolver.
    """
    from sklearn.decomposition import PCA

    x, y = as_matrices(x, y)
    basis = y if basis is None else as_matrices(basis, y)[0]
    n_cells, n_genes = basis.shape
    n_components = min(n_pcs, n_cells - 1, n_genes)
    if n_components == 0 or not gene_variances(basis).any():
        return np.zeros((x.shape[0], 0)), np.zeros((y.shape[0], 0))
    solver = "arpack" if n_components < n_genes else "full"
    if solver == "full" and not isinstance(basis, np.ndarray):
        basis = basis.toarray()  # no more genes than components: a few columns
    pca = PCA(n_components, svd_solver=solver, random_state=seed).fit(basis)
    return pca.transform(x), pca.transform(y)
