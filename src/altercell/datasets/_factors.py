"""Simulated cells that vary by four known factors: batch, path, step and library size."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell._space import COUNTS
from altercell.datasets._arguments import check_cells, check_positive, check_share, check_whole
from altercell.datasets._counts import assign_groups, negative_binomial
from altercell.datasets._names import numbered
from altercell.datasets._splatter import Reference, Variation, effect_factors, gene_shares, path_factors
from altercell.errors import DataError, check_choice

N_GENES = 2_000
# Splatter's default is exp(11) counts for 10,000 genes; for 2,000 of them that is a fifth.
LIBRARY_SIZE = 12_000.0
LIBRARY_SPREAD = 0.2

Step = Literal["linear", "nonlinear"]


def simulate_factors(
    n_cells: int = 10_000,
    n_genes: int | None = None,
    *,
    n_batches: int = 2,
    n_paths: int = 2,
    n_steps: int = 20,
    step: Step = "linear",
    like: AnnData | None = None,
    factor_share: float = 0.5,
    factor_location: float = 0.01,
    factor_scale: float = 0.5,
    batch_location: float = 0.1,
    batch_scale: float = 0.1,
    curved_share: float = 1.0,
    curve_spread: float = 0.8,
    bcv: float | None = 0.1,
    bcv_freedom: float = 60.0,
    library_size: float | None = None,
    library_spread: float | None = None,
    mean_shape: float = 0.6,
    outlier_share: float = 0.05,
    outlier_location: float = 4.0,
    outlier_scale: float = 0.5,
    seed: int | None = 0,
) -> AnnData:
    r"""Simulate counts whose cells differ by batch, path, step along the path and library size, and nothing else.

    For measures of disentanglement: MichiGAN's first two data sets :cite:p:`Yu2021`, one with a linear and one with a
    non-linear step, by the model of Splatter :cite:p:`Zappia2017`. A cell of batch b at step s of path k has

    .. math:: x_{ig} \sim \mathrm{NB}(\mu_{ig} = l_i\,p_{bksg},\ B_{ig}^2), \quad
        p_{bksg} \propto \lambda_g\,\delta_{bg}\,f_{ksg}, \quad
        B_{ig} = c_g (\phi + 1 / \sqrt{\mu_{ig}}), \quad l_i \sim \mathrm{LogNormal},

    with variance :math:`\mu + B^2 \mu^2`. All paths begin at the same state, where the factors f are one. With a linear
    step a gene's factor goes to its end in equal steps; with a non-linear one it follows a Brownian bridge between the
    same two ends. Cells are spread evenly over batches, paths and steps, so that the factors are independent.

    The defaults of `factor_share`, `factor_location`, `factor_scale` and `bcv` are the paper's; its other parameters
    were estimated from Tabula Muris (see `like`) and are not on record, so that the others are Splatter's defaults, but
    for `curved_share`.

    Parameters
    ----------
    n_cells
        Number of cells, at least one for each combination of batch, path and step.
    n_genes
        Number of genes. None: all genes of `like`, or 2,000.
    n_batches
        Number of batches, named ``batch_0``, ...
    n_paths
        Number of paths, named ``path_0``, ...
    n_steps
        Number of steps of a path, at least 2, counted from 0; step 0 is the origin, the same for all paths.
    step
        How expression changes along a path. One of:

        - ``"linear"``: every gene in equal steps;
        - ``"nonlinear"``: `curved_share` of the genes along a Brownian bridge.
    like
        Measured counts. Means of the genes (and their names), `library_size` and `library_spread` are taken from them
        where they are not given, and with ``bcv=None`` the common variation too. What makes their cells differ enters
        the variation.
    factor_share
        Probability that a gene changes along a path.
    factor_location, factor_scale
        m and s of the factor at a path's end, :math:`e^{\pm z}` with :math:`z \sim N(m, s^2)`, up or
        down with equal probability.
    batch_location, batch_scale
        The same for the batch factor :math:`\delta`, which every gene has; not used where there is one batch.
    curved_share
        Probability that a gene follows a bridge where the step is non-linear. The paper does not give
        it, and Splatter's default is 0.1; with all genes, nothing is left of the straight line.
    curve_spread
        Largest standard deviation of a bridge's Brownian motion at the path's end, in means of the two ends; each
        gene's is uniform between 0 and this.
    bcv
        The biological coefficient of variation :math:`\phi` of all genes. None: estimated from `like`, on the tenth of
        its genes that is expressed most.
    bcv_freedom
        Degrees of freedom f of the genes' own share in it, :math:`c_g^2 = f / \chi^2_f`; more makes genes more alike.
    library_size
        Median expected total count of a cell. None: that of `like`, or 12,000, as many a gene as Splatter's default of
        exp(11) for 10,000 genes.
    library_spread
        Standard deviation of its natural logarithm. None: that of `like`, or 0.2.
    mean_shape
        Shape of the gamma distribution of the base means :math:`\lambda`; not used with `like`, as the next three.
    outlier_share
        Probability that a gene is expressed far above the others.
    outlier_location, outlier_scale
        Mean and standard deviation of the logarithm of its ratio to the median gene.
    seed
        Seed of all draws; the global generators are not touched. None draws a new one.

    Returns
    -------
    AnnData of shape `(n_cells, n_genes)`, X as CSR of whole counts in float32, with

    - `obs`: the factors `batch`, `path`, `step` and `library`, the cell's expected total count;
    - `var`: `base_mean`, the expected counts per 10,000 without any effect, and `bcv_scale`, :math:`c_g`;
    - `uns["truth"]`: `profile` of shape `(n_batches, n_paths, n_steps, n_genes)`, the expected share of each gene, so
      that a cell's noiseless counts are ``library * profile[batch, path, step]``; `batch_factor` of shape
      `(n_batches, n_genes)`; `path_factor` of shape `(n_paths, n_steps, n_genes)`; `bcv`; and the names: `batches`,
      `paths`, `genes`;
    - `uns["altercell"]["space"]`: ``"counts"``.

    Raises
    ------
    DataError
        A number is out of range, there are fewer cells than combinations of the factors, or `like` does not hold
        counts or has fewer genes than asked for.

    See Also
    --------
    simulate_branches, simulate_response

    Examples
    --------
    >>> adata = simulate_factors(n_cells=200, n_genes=50, step="nonlinear", seed=1)
    >>> list(adata.obs.columns)
    ['batch', 'path', 'step', 'library']
    """
    check_choice("step", step, ("linear", "nonlinear"))
    _check_design(n_cells, n_batches=n_batches, n_paths=n_paths, n_steps=n_steps)
    check_share(factor_share=factor_share, curved_share=curved_share, outlier_share=outlier_share)
    check_positive(bcv_freedom=bcv_freedom, mean_shape=mean_shape)
    check_positive(zero=True, factor_location=factor_location, factor_scale=factor_scale, curve_spread=curve_spread)
    check_positive(zero=True, batch_location=batch_location, batch_scale=batch_scale)
    check_positive(zero=True, outlier_location=outlier_location, outlier_scale=outlier_scale)
    reference = None if like is None else Reference.estimate(like)
    size, spread, common = _cell_parameters(reference, library_size, library_spread, bcv)
    # A stream for each part, so that more cells or steps leave genes and effects as they are; new parts go last.
    base_rng, batch_rng, path_rng, bridge_rng, cell_rng, count_rng = np.random.default_rng(seed).spawn(6)

    outliers = {"outlier_share": outlier_share, "location": outlier_location, "scale": outlier_scale}
    base, genes = _base(base_rng, reference, n_genes, shape=mean_shape, **outliers)
    variation = Variation.draw(base_rng, common, bcv_freedom, len(base))
    # One batch is the reference itself: an effect on it would only be another base expression.
    batch = {"share": float(n_batches > 1), "location": batch_location, "scale": batch_scale}
    batch_factor = effect_factors(batch_rng, n_batches, len(base), **batch)
    path = {"share": factor_share, "location": factor_location, "scale": factor_scale}
    curved = {"curved_share": curved_share if step == "nonlinear" else 0.0, "curve_spread": curve_spread}
    ends = effect_factors(path_rng, n_paths, len(base), **path)
    path_factor = path_factors(bridge_rng, ends, n_steps, **curved)
    profile = base * batch_factor[:, None, None] * path_factor
    profile /= profile.sum(axis=-1, keepdims=True)

    obs, groups = _cells(cell_rng, profile.shape[:3], n_cells)
    obs["library"] = size * np.exp(cell_rng.normal(0.0, spread, n_cells))
    var = pd.DataFrame({"base_mean": 1e4 * base, "bcv_scale": variation.scale}, index=genes)
    library = obs["library"].to_numpy()
    counts = negative_binomial(count_rng, profile.reshape(-1, len(base)), groups, library, variation)
    truth = {
        "profile": profile,
        "batch_factor": batch_factor,
        "path_factor": path_factor,
        "bcv": common,
        "batches": numbered("batch", n_batches),
        "paths": numbered("path", n_paths),
        "genes": genes,
    }
    return AnnData(counts, obs=obs, var=var, uns={"altercell": {"space": COUNTS}, "truth": truth})


def _check_design(n_cells: int, **levels: int) -> None:
    check_whole(n_cells=n_cells, **levels)
    if levels["n_steps"] < 2:
        raise DataError("n_steps=1 leaves every path at its origin; take at least 2 steps.")
    check_cells(n_cells, **levels)


def _cell_parameters(
    reference: Reference | None, library_size: float | None, library_spread: float | None, bcv: float | None
) -> tuple[float, float, float]:
    """Return library size, its spread and the common variation: what is given, else the reference's, else defaults."""
    if bcv is None:
        if reference is None:
            raise DataError("bcv=None estimates the variation from measured counts; name them by like=, or give a bcv.")
        bcv = reference.bcv
    known = (LIBRARY_SIZE, LIBRARY_SPREAD) if reference is None else (reference.library_size, reference.library_spread)
    size = known[0] if library_size is None else library_size
    spread = known[1] if library_spread is None else library_spread
    check_positive(library_size=size)
    check_positive(zero=True, library_spread=spread, bcv=bcv)
    return size, spread, bcv


def _base(
    rng: np.random.Generator, reference: Reference | None, n_genes: int | None, **gamma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the genes' base shares and names, drawn or taken from the reference, each of shape `(n_genes,)`."""
    if n_genes is not None:
        check_whole(n_genes=n_genes)
    if reference is not None:
        return reference.take(rng, n_genes)
    n_genes = N_GENES if n_genes is None else n_genes
    return gene_shares(rng, n_genes, **gamma), numbered("gene", n_genes)


def _cells(rng: np.random.Generator, levels: tuple[int, ...], n_cells: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return batch, path and step of each cell, and the index of their combination, shape `(n_cells,)`."""
    n_groups = int(np.prod(levels))
    groups = assign_groups(rng, np.full(n_groups, 1 / n_groups), n_cells)
    batch, path, step = np.unravel_index(groups, levels)
    columns = {
        "batch": pd.Categorical.from_codes(batch, numbered("batch", levels[0])),
        "path": pd.Categorical.from_codes(path, numbered("path", levels[1])),
        "step": step,
    }
    return pd.DataFrame(columns, index=numbered("cell", n_cells)), groups
