"""Simulated cells that respond to a perturbation, with the truth beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.special import softmax

from altercell.datasets._arguments import check_positive, check_share, check_whole, condition_names, proportions
from altercell.datasets._counts import assign_groups, negative_binomial
from altercell.datasets._effects import ResponseShape, expected_profiles, marker_effects, response_effects
from altercell.datasets._names import numbered
from altercell.errors import DataError


def simulate_response(
    n_cells: int = 2_000,
    n_genes: int = 500,
    n_types: int = 5,
    conditions: Sequence[str] = ("control", "stimulated"),
    n_batches: int = 1,
    *,
    n_lineages: int = 2,
    lineage_similarity: float = 0.9,
    type_shares: Sequence[float] | None = None,
    library_size: float = 1_500.0,
    library_spread: float = 0.45,
    expression_spread: float = 1.2,
    dispersion: float = 0.3,
    dispersion_spread: float = 0.8,
    marker_share: float = 0.05,
    marker_size: float = 2.0,
    type_spread: float = 0.2,
    response_share: float = 0.15,
    response_size: float = 1.0,
    up_share: float = 0.8,
    specific_share: float = 0.35,
    low_bias: float = 1.0,
    batch_spread: float = 0.1,
    seed: int | None = 0,
) -> AnnData:
    r"""Simulate counts of several cell types under two or more conditions; the response is known.

    Counts are negative binomial, as in Splatter :cite:p:`Zappia2017`. A cell of type t, condition c and batch b has

    .. math:: x_{ig} \sim \mathrm{NB}(\mu = l_i\,p_{tcbg},\ \alpha_g), \quad
        p_{tcb} = \mathrm{softmax}(\beta + \tau_t + \rho_{tc} + \delta_b), \quad l_i \sim \mathrm{LogNormal},

    with variance :math:`\mu + \alpha \mu^2`. The response :math:`\rho` is zero in the first condition. In every other
    one a share of the genes responds: most of them in all types alike, some in the types of one lineage, and a few in
    one type alone, which nothing seen in other types can foretell. Zeros come from sampling alone.

    Library sizes, dispersion and the strength of the response are set near those of peripheral blood cells under
    interferon-beta :cite:p:`Kang2018`. For a type whose stimulated cells are held out, "no change" is poor, and the
    mean difference of the other types is good, not perfect.

    Parameters
    ----------
    n_cells
        Number of cells, spread evenly over conditions and batches and by `type_shares` over types.
    n_genes
        Number of genes.
    n_types
        Number of cell types, named `type_0`, `type_1`, ...
    conditions
        Names of the conditions; the first is the control.
    n_batches
        Number of batches (donors), named `batch_0`, ...; each holds cells of all types and conditions.
    n_lineages
        Number of lineages, no more than types; type i belongs to lineage `i % n_lineages`. 1: no two types are nearer
        to each other than others.
    lineage_similarity
        Share of what sets a type apart that it has in common with its lineage: of the variance of its expression, and
        of the genes of `specific_share`. Not used where there is one lineage.
    type_shares
        Weights of the types, shape `(n_types,)`. None: all alike.
    library_size
        Median expected total count of a cell.
    library_spread
        Standard deviation of its natural logarithm.
    expression_spread
        Standard deviation, over genes, of the log base expression :math:`\beta`.
    dispersion
        Median over genes of the dispersion :math:`\alpha`.
    dispersion_spread
        Standard deviation, over genes, of its natural logarithm.
    marker_share
        Share of the genes that mark each type, and as many each lineage; no gene marks two types.
    marker_size
        Mean log fold change of a marker, before `lineage_similarity` weighs the lineage's against the type's own.
    type_spread
        Standard deviation of the difference in every gene, weighed likewise.
    response_share
        Share of the genes that respond in a type.
    response_size
        Mean absolute log fold change of a responding gene; the sizes are gamma distributed, so a few are far larger.
    up_share
        Share of the responding genes that go up.
    specific_share
        Share of a type's responding genes that do not respond in all types: 0 is one response for all, 1 no common one.
    low_bias
        How much weakly expressed genes are preferred as markers and responders: genes are drawn with weights
        :math:`\exp(-\mathrm{low\_bias} \cdot \beta_g)`.
    batch_spread
        Standard deviation of the batch effect :math:`\delta` of each gene; not used where there is one batch.
    seed
        Seed of all draws; the global generators are not touched. None draws a new one.

    Returns
    -------
    AnnData of shape `(n_cells, n_genes)`, X as CSR of whole counts in float32, with

    - `obs`: `condition`, `cell_type`, `batch`, and `library`, the cell's expected total count;
    - `var`: `base_mean`, the expected counts per 10,000 without any effect; `dispersion`; `marker_of`, the type that
      the gene marks or an empty text; and for each condition c but the control `shared_lfc_c`, the log fold change
      common to all types;
    - `uns["truth"]`: `log_fold_change` of shape `(n_types, n_conditions, n_genes)`; `profile` of the same shape, the
      expected share of each gene, averaged over batches; `type_effect` of shape `(n_types, n_genes)`; `batch_effect` of
      shape `(n_batches, n_genes)`; `lineage_of` of shape `(n_types,)`; and the names: `cell_types`, `conditions`,
      `batches`, `genes`. As profiles sum to one, the log ratio of two of them is the log fold change less one constant,
      the same for all genes;
    - `uns["altercell"]["space"]`: `"counts"`.

    Raises
    ------
    DataError
        A number is out of range, or there are too few cells for every type to be seen in every condition.
    GroupError
        The conditions are fewer than two, or not unique.

    See Also
    --------
    true_mean

    Examples
    --------
    >>> adata = simulate_response(n_cells=200, n_genes=50, seed=1)
    >>> adata.shape
    (200, 50)
    """
    check_whole(n_cells=n_cells, n_genes=n_genes, n_types=n_types, n_batches=n_batches, n_lineages=n_lineages)
    check_positive(library_size=library_size, dispersion=dispersion, expression_spread=expression_spread)
    check_positive(
        zero=True,
        library_spread=library_spread,
        dispersion_spread=dispersion_spread,
        marker_size=marker_size,
        type_spread=type_spread,
        response_size=response_size,
        batch_spread=batch_spread,
        low_bias=low_bias,
    )
    check_share(marker_share=marker_share, response_share=response_share, up_share=up_share)
    check_share(specific_share=specific_share, lineage_similarity=lineage_similarity)
    names = condition_names(conditions)
    shares = proportions(type_shares, n_types)
    n_lineages = min(n_lineages, n_types)
    similarity = lineage_similarity if n_lineages > 1 else 0.0
    lineage_of = np.arange(n_types) % n_lineages
    shape = ResponseShape(response_share, response_size, up_share, specific_share, similarity, low_bias)
    # A stream for each part, so that more cells or batches leave genes and responses as they are; new parts go last.
    base_rng, type_rng, response_rng, batch_rng, cell_rng, count_rng = np.random.default_rng(seed).spawn(6)

    log_base = base_rng.normal(0.0, expression_spread, n_genes)
    alpha = dispersion * np.exp(base_rng.normal(0.0, dispersion_spread, n_genes))
    markers = {"share": marker_share, "size": marker_size, "spread": type_spread, "low_bias": low_bias}
    lineage_effect, _ = marker_effects(type_rng, log_base, n_lineages, **markers)
    own_effect, marker_of = marker_effects(type_rng, log_base, n_types, **markers)
    type_effect = np.sqrt(similarity) * lineage_effect[lineage_of] + np.sqrt(1 - similarity) * own_effect
    shared, response = _responses(response_rng, log_base, lineage_of, shape, len(names))
    # One batch is the reference itself: an effect on it would only be another base expression.
    batch_effect = batch_rng.normal(0.0, batch_spread if n_batches > 1 else 0.0, (n_batches, n_genes))
    profiles = expected_profiles(log_base, type_effect, response, batch_effect)

    groups = _cell_groups(cell_rng, shares, len(names), n_batches, n_cells)
    library = library_size * np.exp(cell_rng.normal(0.0, library_spread, n_cells))
    counts = negative_binomial(count_rng, profiles.reshape(-1, n_genes), groups, library, alpha)

    obs = _cells(np.unravel_index(groups, profiles.shape[:3]), names, library)
    var = _genes(log_base, alpha, marker_of, shared, names)
    truth = {
        "log_fold_change": response,
        "profile": profiles.mean(axis=2),
        "type_effect": type_effect,
        "batch_effect": batch_effect,
        "lineage_of": lineage_of,
        "cell_types": numbered("type", n_types),
        "conditions": np.array(names, dtype=object),
        "batches": numbered("batch", n_batches),
        "genes": numbered("gene", n_genes),
    }
    return AnnData(counts, obs=obs, var=var, uns={"altercell": {"space": "counts"}, "truth": truth})


def _responses(
    rng: np.random.Generator, log_base: np.ndarray, lineage_of: np.ndarray, shape: ResponseShape, n_conditions: int
) -> tuple[np.ndarray, np.ndarray]:
    # Zero under the control; (n_conditions, n_genes) and (n_types, n_conditions, n_genes).
    drawn = [response_effects(stream, log_base, lineage_of, shape) for stream in rng.spawn(n_conditions - 1)]
    shared = np.stack([np.zeros_like(log_base)] + [common for common, _ in drawn])
    effects = np.stack([np.zeros((len(lineage_of), len(log_base)))] + [effect for _, effect in drawn], axis=1)
    return shared, effects


def _cell_groups(
    rng: np.random.Generator, shares: np.ndarray, n_conditions: int, n_batches: int, n_cells: int
) -> np.ndarray:
    grid = np.repeat(shares / (n_conditions * n_batches), n_conditions * n_batches)
    groups = assign_groups(rng, grid, n_cells)
    seen = np.bincount(groups // n_batches, minlength=len(shares) * n_conditions)
    if np.any(seen == 0):
        kind, condition = divmod(int(np.argmin(seen)), n_conditions)
        raise DataError(
            f"n_cells={n_cells} leaves type_{kind} without a cell in condition {condition}: take more cells, or fewer "
            "types, conditions or rare types."
        )
    return groups


def _cells(where: tuple[np.ndarray, ...], conditions: list[str], library: np.ndarray) -> pd.DataFrame:
    kind, condition, batch = where
    columns = {
        "condition": pd.Categorical.from_codes(condition, conditions),
        "cell_type": pd.Categorical.from_codes(kind, numbered("type", kind.max() + 1)),
        "batch": pd.Categorical.from_codes(batch, numbered("batch", batch.max() + 1)),
        "library": library,
    }
    return pd.DataFrame(columns, index=numbered("cell", len(library)))


def _genes(
    log_base: np.ndarray, dispersion: np.ndarray, marker_of: np.ndarray, shared: np.ndarray, conditions: list[str]
) -> pd.DataFrame:
    columns = {
        "base_mean": 1e4 * softmax(log_base),
        "dispersion": dispersion,
        "marker_of": [f"type_{kind}" if kind >= 0 else "" for kind in marker_of],
    }
    # A slash in a column's name cannot be written to h5ad.
    responses = {f"shared_lfc_{name.replace('/', '_')}": lfc for name, lfc in zip(conditions, shared, strict=True)}
    responses.pop(next(iter(responses)))
    return pd.DataFrame(columns | responses, index=numbered("gene", len(log_base)))
