"""Simulated cells along a branching trajectory, with the topology and the expected counts beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell._space import COUNTS
from altercell.datasets._arguments import check_cells, check_positive, check_whole
from altercell.datasets._counts import assign_groups, negative_binomial
from altercell.datasets._names import numbered
from altercell.datasets._programs import CountVariance, Diffusion, base_expression, branch_parents, branch_programs
from altercell.errors import DataError

# PROSSTT's example draws 3 to 19 programmes beside 5 for each branch point; this is the mean.
EXTRA_PROGRAMS = 11
COEFFICIENT_SHAPE = 0.05


def simulate_branches(
    n_cells: int = 10_500,
    n_genes: int = 2_000,
    *,
    n_branches: int = 3,
    topology: Sequence[tuple[int, int]] | None = None,
    n_steps: int = 50,
    n_programs: int | None = None,
    coefficient_shape: float | None = None,
    start_speed: float = 0.2,
    momentum: float = 0.95,
    jitter: float = 2.0,
    max_log_change: float = 8.0,
    base_location: float = 0.8,
    base_scale: float = 1.0,
    base_highest: float = 5_000.0,
    alpha: float = 0.2,
    beta: float = 2.0,
    variance_spread: float = 0.405,
    library_spread: float = 0.7,
    seed: int | None = 0,
) -> AnnData:
    r"""Simulate counts along a trajectory that branches: cells differ by branch, time and library size.

    The model of PROSSTT :cite:p:`Papadopoulos2019`, of which MichiGAN's three branching data sets are drawn
    :cite:p:`Yu2021`. Programmes W of genes walk at random along each branch, and weights h say how they move a gene:

    .. math:: \log M_{btg} = \log \lambda_g + r_{p(b) T g} + \sum_k W_{btk} h_{kg}, \quad
        \mu_{ig} = s_i M_{b_i t_i g}, \quad
        x_{ig} \sim \mathrm{NB}(\text{mean } \mu_{ig}, \text{variance } \alpha_g \mu_{ig}^2 + \beta_g \mu_{ig}),

    where r is what the parent branch p(b) has left at its end, so that expression is continuous at the branch points,
    and :math:`\log s \sim N(0, \text{library\_spread}^2)`. Cells are spread evenly over all steps of all branches.

    The defaults are those of PROSSTT's example "many branches and cells", which the paper follows, but for the number
    of programmes, which is drawn there. The paper has 10,500 cells for 3, 10,800 for 4 and 11,000 for 5 "trajectories".
    Both readings fit these numbers: as many branches of 50 steps (70, 54 and 44 cells a step), or as many branch points
    (7, 9 and 11 branches; 30, 24 and 20 cells a step).

    Parameters
    ----------
    n_cells
        Number of cells, at least one for each step of each branch.
    n_genes
        Number of genes.
    n_branches
        Number of branches, named ``branch_0`` (the root), ``branch_1``, ...; with 3, the root splits into two, with 4
        into three, and with 5 one of two splits again. Not read where there is a `topology`.
    topology
        Another tree, as pairs (parent, child) of branches numbered from the root, 0, outwards: a child's number is
        larger than its parent's.
    n_steps
        Number of steps of each branch, at least 2. A branch's first step has the expression of its parent's last.
    n_programs
        Number of programmes. None: 5 for each branch point, and 11.
    coefficient_shape
        Shape of the gamma distribution (of scale 1) of the weights h; small makes most weights nearly zero. None: 0.05,
        or 1 / `n_programs` where that is smaller.
    start_speed, momentum, jitter
        v, m and j of the walks, natural logarithms of expression: :math:`W_0 = 0`, :math:`V_0 \sim N(0, v^2)`,
        :math:`W_{t+1} = W_t + V_t`, :math:`V_{t+1} = (m - \eta) V_t + \epsilon_t` with :math:`\eta \sim U(0, 1)` and
        :math:`\epsilon_t \sim N(0, (j / \text{n\_steps})^2)`.
    max_log_change
        Branches where the logarithm of a gene's change against its base rises above this are drawn anew.
    base_location, base_scale
        Mean and standard deviation of the log base expression :math:`\log \lambda`, in counts.
    base_highest
        Largest expected count of a gene anywhere on the tree, at :math:`s = 1`; base expression is cut off there.
    alpha
        Median over genes of :math:`\alpha`.
    beta
        Median over genes of :math:`\beta`, at least 1, where the variance is that of a count of dispersion
        :math:`\alpha`.
    variance_spread
        Standard deviation, over genes, of the logarithms of :math:`\alpha` and of :math:`\beta - 1`.
    library_spread
        Standard deviation of the logarithm of a cell's scale s, whose median is 1.
    seed
        Seed of all draws; the global generators are not touched. None draws a new one.

    Returns
    -------
    AnnData of shape `(n_cells, n_genes)`, X as CSR of whole counts in float32, with

    - `obs`: the factors `branch`, `time`, the number of steps since the root's start, and `scale`, s; and `library`,
      the cell's expected total count, which changes with branch and time too;
    - `var`: `base_mean`, :math:`\lambda`; `alpha`; `beta`;
    - `uns["truth"]`: `mean` of shape `(n_branches, n_steps, n_genes)`, the expected counts M at scale 1, so that a
      cell's noiseless counts are ``scale * mean[branch, time - start[branch]]``; `programs` of shape
      `(n_branches, n_steps, n_programs)`; `coefficients` of shape `(n_programs, n_genes)`; `parent` of shape
      `(n_branches,)`, -1 for the root; `start`, the time of each branch's first step, of the same shape; and the names:
      `branches`, `genes`;
    - `uns["altercell"]["space"]`: ``"counts"``.

    Raises
    ------
    DataError
        A number is out of range, the topology is no tree, there are fewer cells than steps, or a branch cannot be drawn
        below `max_log_change`.

    See Also
    --------
    simulate_factors, simulate_response

    Examples
    --------
    >>> adata = simulate_branches(n_cells=200, n_genes=50, n_branches=5, n_steps=10, seed=1)
    >>> adata.uns["truth"]["parent"].tolist()
    [-1, 0, 0, 1, 1]
    >>> int(adata.obs["time"].max())
    29
    """
    check_whole(n_cells=n_cells, n_genes=n_genes, n_branches=n_branches, n_steps=n_steps)
    if n_steps < 2:
        raise DataError("n_steps=1 leaves no room to move along a branch; take at least 2 steps.")
    check_positive(base_scale=base_scale, base_highest=base_highest, alpha=alpha, max_log_change=max_log_change)
    check_positive(zero=True, start_speed=start_speed, momentum=momentum, jitter=jitter)
    check_positive(zero=True, variance_spread=variance_spread, library_spread=library_spread)
    if not (np.isfinite(beta) and beta >= 1):
        raise DataError(f"beta must be a finite number of at least 1, not {beta!r}.")
    if not np.isfinite(base_location):
        raise DataError(f"base_location must be a finite number, not {base_location!r}.")
    parents = branch_parents(n_branches, topology)
    check_cells(n_cells, n_branches=len(parents), n_steps=n_steps)
    n_programs, shape = _program_parameters(parents, n_programs, coefficient_shape)
    # A stream for each part, so that more cells leave genes and branches as they are; new parts go last.
    weight_rng, walk_rng, base_rng, variance_rng, cell_rng, count_rng = np.random.default_rng(seed).spawn(6)

    coefficients = weight_rng.gamma(shape, size=(n_programs, n_genes))
    diffusion = Diffusion(n_steps, start_speed, momentum, jitter)
    programs, log_change = branch_programs(walk_rng, parents, coefficients, diffusion, max_log_change=max_log_change)
    base = base_expression(base_rng, log_change, location=base_location, scale=base_scale, highest=base_highest)
    mean = base * np.exp(log_change)
    noise = np.exp(variance_rng.normal(0.0, variance_spread, (2, n_genes)))
    variance = CountVariance(alpha * noise[0], 1.0 + (beta - 1.0) * noise[1])

    groups = assign_groups(cell_rng, np.full(mean[..., 0].size, 1 / mean[..., 0].size), n_cells)
    scale = np.exp(cell_rng.normal(0.0, library_spread, n_cells))
    counts = negative_binomial(count_rng, mean.reshape(-1, n_genes), groups, scale, variance)
    start = _starts(parents, n_steps)
    truth = {
        "mean": mean,
        "programs": programs,
        "coefficients": coefficients,
        "parent": parents,
        "start": start,
        "branches": numbered("branch", len(parents)),
        "genes": numbered("gene", n_genes),
    }
    obs = _cells(groups, start, scale, mean)
    columns = {"base_mean": base, "alpha": variance.alpha, "beta": variance.beta}
    var = pd.DataFrame(columns, index=numbered("gene", n_genes))
    return AnnData(counts, obs=obs, var=var, uns={"altercell": {"space": COUNTS}, "truth": truth})


def _program_parameters(
    parents: np.ndarray, n_programs: int | None, coefficient_shape: float | None
) -> tuple[int, float]:
    if n_programs is None:
        n_programs = 5 * len(np.unique(parents[parents >= 0])) + EXTRA_PROGRAMS
    check_whole(n_programs=n_programs)
    shape = min(COEFFICIENT_SHAPE, 1 / n_programs) if coefficient_shape is None else coefficient_shape
    check_positive(coefficient_shape=shape)
    return n_programs, shape


def _starts(parents: np.ndarray, n_steps: int) -> np.ndarray:
    starts = np.zeros_like(parents)
    for branch, parent in enumerate(parents[1:], start=1):
        starts[branch] = starts[parent] + n_steps
    return starts


def _cells(groups: np.ndarray, start: np.ndarray, scale: np.ndarray, mean: np.ndarray) -> pd.DataFrame:
    branch, step = np.unravel_index(groups, mean.shape[:2])
    columns = {
        "branch": pd.Categorical.from_codes(branch, numbered("branch", len(mean))),
        "time": start[branch] + step,
        "scale": scale,
        "library": scale * mean.sum(axis=-1)[branch, step],
    }
    return pd.DataFrame(columns, index=numbered("cell", len(groups)))
