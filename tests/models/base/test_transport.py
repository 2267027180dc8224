"""Tests of the transport of templates: which cell takes which, and how it is brought to the predicted mean."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from altercell.models.base import _transport
from altercell.models.base._keyed_draws import KeyedDraws
from altercell.models.base._profiles import Profiles
from altercell.models.base._templates import counted, find_templates
from altercell.models.base._transport import Calibration, Matching, TemplateTransport

TYPES = np.array([0, 1])


@pytest.fixture(scope="module")
def truth(response, as_dense) -> np.ndarray:
    """Mean of the held-out cells on the log scale: a mean that is known to be one of cells."""
    return as_dense(response[1]).mean(0)


@pytest.fixture(scope="module")
def transport(templates, controls, profile_of, truth):
    """Return a function that makes the transport of the control cells of type_2."""

    def make(mean=truth, types=TYPES, reference=None, templates=templates, **options) -> TemplateTransport:
        reference = controls() if reference is None else reference
        options = {"fixed": False, "seed": 0, **options}
        return TemplateTransport(templates, types, reference, profile_of(reference), mean, **options)

    return make


@pytest.fixture(scope="module")
def moved(transport, controls) -> SimpleNamespace:
    """The control cells of type_2 brought to the known mean."""
    made, cells = transport(), controls()
    matching = made.matched(names_of(cells), cells.totals())
    counts, log = made.make(cells, slice(0, len(cells)), matching)
    return SimpleNamespace(transport=made, cells=cells, matching=matching, counts=counts, log=log)


def names_of(cells):
    return cells.cells.adata.obs_names[cells.cells.rows]


def answer(transport: TemplateTransport, cells, batch_size: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    matching = transport.matched(names_of(cells), cells.totals())
    parts = [transport.make(cells, block, matching.of(block)) for block in cells.slices(batch_size)]
    counts, log = (np.concatenate(part) for part in zip(*parts, strict=True))
    return counts, log


def test_every_genes_mean_is_near_the_known_one(moved, truth, profile_of):
    # 80 cells: a measured mean of as many is off by .08 in the root mean square; ours must be off by a quarter of it.
    error = moved.log.mean(0) - truth
    noise = np.sqrt(profile_of(moved.cells).noise.mean())
    assert noise > 0.06
    assert np.sqrt((error**2).mean()) < noise / 4
    assert np.abs(error).max() < 0.12
    before = np.concatenate(list(moved.cells.log_blocks())).mean(0)
    assert np.abs(before - truth).max() > 1


def test_counts_are_whole_and_the_log_values_are_theirs(moved):
    assert moved.counts.dtype == np.int64
    assert moved.counts.min() >= 0
    assert moved.counts.shape == moved.log.shape == (80, 120)
    np.testing.assert_allclose(moved.log, np.log1p(moved.counts / moved.cells.totals()[:, None]), rtol=1e-6)


def test_there_are_zeros_and_variance_as_in_measured_cells(moved, response, as_dense):
    # What a decoded mean loses. Within a fifth of the held-out cells' own, over all genes.
    real = as_dense(response[1])
    assert (moved.counts == 0).mean() == pytest.approx((real == 0).mean(), rel=0.2)
    assert moved.log.var(0).sum() == pytest.approx(real.var(0).sum(), rel=0.2)


def test_a_gene_whose_mean_is_zero_is_not_there(transport, controls, truth):
    mean = truth.copy()
    mean[:5] = 0
    counts, _ = answer(transport(mean), controls())
    assert not counts[:, :5].any()
    assert counts[:, 5:].any(axis=0).all()


def test_a_gene_that_no_cell_has_is_added(templates, transport, controls, truth, as_dense):
    # Where neither the template nor the cell has a count, all must come from the negative binomial.
    made = transport()
    blank = SimpleNamespace(**vars(made))
    low = np.flatnonzero(made.calibration.add > 0)
    draws = KeyedDraws(names_of(controls()), made.genes, 0)
    zero = np.zeros((80, 120), dtype=np.int64)
    got = TemplateTransport.finished(blank, zero, controls().totals()[:, None], draws)
    assert len(low) > 20
    assert not np.delete(got, low, axis=1).any()
    mean = controls().totals()[:, None] * made.calibration.add[low]
    want = draws.negative_binomial(mean, made.calibration.theta[low], _transport.ADD_STREAM, low)
    np.testing.assert_array_equal(got[:, low], want)


def type_weights(source: Profiles, target: Profiles, types: np.ndarray, asked: Profiles) -> np.ndarray:
    """Return w_k ~ exp(-D / (.3 median D)) / (1/n_c + 1/n_s + 1/200), from the definitions, pair by pair."""

    def distance(a: Profiles, k: int, b: Profiles, other: int) -> float:
        squared = ((a.means[k] - b.means[other]) ** 2).sum()
        return max(0.0, squared - a.noise[k].sum() - b.noise[other].sum())

    seen = [k for k in types if source.sizes[k] > 0]
    pairs = [distance(source, a, source, b) for a in seen for b in seen if a < b]
    near = {k: distance(source, k, asked, 0) for k in seen}
    median = np.median(pairs + list(near.values()))
    far = np.array([near.get(k, max(near.values())) for k in types])
    n = np.array([[max(source.sizes[k], 1), target.sizes[k]] for k in types])
    weights = np.exp(-far / (0.3 * median)) / ((1 / n).sum(1) + 1 / 200)
    return weights / weights.sum()


def test_weights_of_the_types(templates, transport, controls, profile_of):
    want = type_weights(templates.source, templates.target, TYPES, profile_of(controls()))
    np.testing.assert_allclose(transport().weights, want, rtol=1e-8)
    # type_2 is of the lineage of type_0.
    assert want[0] > 0.9
    np.testing.assert_array_equal(transport(types=np.array([1])).weights, [1.0])


def test_the_typical_distance_is_also_that_to_the_asked_type(templates, transport, controls, profile_of):
    near = profile_of(controls())
    far = Profiles(near.means + 0.5, near.sizes, near.noise)
    made = SimpleNamespace(**vars(transport()))
    made.types, made.templates = np.arange(3), replace(templates, target=templates.source)
    want = type_weights(templates.source, templates.source, made.types, far)
    np.testing.assert_allclose(TemplateTransport._type_weights(made, far), want, rtol=1e-8)


def test_a_type_without_control_cells_is_as_far_as_the_farthest(templates, transport, controls, profile_of):
    none = templates.source.emptied()
    keep = np.array([True, False, True])
    lacking = Profiles(
        *(
            np.where(keep.reshape(-1, *[1] * (full.ndim - 1)), full, empty)
            for full, empty in ((getattr(templates.source, n), getattr(none, n)) for n in ("means", "sizes", "noise"))
        )
    )
    other = replace(templates, source=lacking)
    want = type_weights(lacking, templates.target, TYPES, profile_of(controls()))
    np.testing.assert_allclose(transport(templates=other).weights, want, rtol=1e-8)
    only = transport(templates=other, types=np.array([1]))  # nothing tells how alike any is
    np.testing.assert_array_equal(only.weights, [1.0])
    np.testing.assert_allclose(answer(only, controls())[1].mean(0), only.mean, atol=0.3)


def test_templates_are_drawn_without_replacement_where_there_are_enough(transport, controls, templates):
    made, cells = transport(), controls()
    for few in (np.arange(80), np.arange(0, 80, 4)):
        matching = made.matched(names_of(cells)[few], cells.totals()[few])
        for kind in TYPES:
            taken = matching.templates[matching.types == kind]
            assert np.isin(taken, templates.pools[kind]).all()
            assert len(np.unique(taken)) == len(taken)


def test_of_more_cells_than_templates_each_is_taken_as_often(transport, templates):
    names = np.array([f"n{n}" for n in range(1_000)])
    totals = np.random.default_rng(0).lognormal(size=1_000)
    made = transport()
    matching = made.matched(names, totals)
    share = (matching.types == 0).mean()
    # Five standard deviations of a share of 1,000.
    assert share == pytest.approx(made.weights[0], abs=5 * np.sqrt(made.weights.prod() / 1_000))
    for kind in TYPES:
        taken = np.bincount(matching.templates[matching.types == kind], minlength=len(templates.cells))
        often = taken[templates.pools[kind]]
        assert often.max() - often.min() <= 1
        assert often.sum() == (matching.types == kind).sum()
    # Those that are taken once more are not all at one end.
    extra = np.flatnonzero(often > often.min())
    assert extra.min() < len(often) / 2 < extra.max()


def test_cells_and_templates_are_paired_by_rank_of_their_totals(transport, controls, templates):
    cells, have = controls(), templates.cells.totals()
    matching = transport().matched(names_of(cells), cells.totals())
    for kind in TYPES:
        mine = np.flatnonzero(matching.types == kind)
        order = mine[np.argsort(cells.totals()[mine], kind="stable")]
        assert (np.diff(have[matching.templates[order]]) >= 0).all()


def test_with_a_fixed_reference_ranks_refer_to_it(transport, controls, templates):
    cells = controls()
    made = transport(fixed=True)
    matching = made.matched(names_of(cells), cells.totals())
    pool = templates.pools[0]
    mine = matching.types == 0
    place = {template: number for number, template in enumerate(pool)}
    got = np.array([place[template] for template in matching.templates[mine]]) / len(pool)
    want = np.array([(cells.totals() < total).mean() for total in cells.totals()])[mine]
    # The noise is at most half of one over the root of the pool.
    assert np.abs(got - want).max() < 0.5 / np.sqrt(len(pool)) + 1 / len(pool)
    assert np.abs(got - want).max() > 0.1 / np.sqrt(len(pool))
    # Cells beyond all of the reference, and many of one total.
    names = np.array([f"n{n}" for n in range(200)])
    for total in (0.0, 1e9, float(np.median(cells.totals()))):
        taken = made.matched(names, np.full(200, total)).templates
        assert len(np.unique(taken)) > 3
        assert np.isin(taken, np.concatenate(templates.pools)).all()


def test_the_matching_of_some_of_the_cells():
    matching = Matching(np.array([0, 1, 1, 0]), np.array([4, 9, 7, 3]))
    for positions in (slice(1, 3), np.array([1, 2])):
        part = matching.of(positions)
        np.testing.assert_array_equal(part.types, [1, 1])
        np.testing.assert_array_equal(part.templates, [9, 7])


@pytest.fixture(scope="module")
def raw(moved):
    """Return a function that makes the first three steps, with every gene the template's or none."""

    def raw(take: bool, cells=moved.cells) -> tuple[np.ndarray, np.ndarray]:
        made = SimpleNamespace(**vars(moved.transport))
        made.calibration = replace(made.calibration, take=np.full((3, 120), take))
        counts, totals, _ = TemplateTransport.raw(made, cells, slice(0, len(cells)), moved.matching)
        return counts, totals

    return raw


def test_templates_are_brought_to_the_cells_totals(raw, moved, templates):
    brought, totals = raw(take=True)
    y, have = templates.cells.read(moved.matching.templates)
    ratio = totals / have
    down = (ratio < 1).ravel()
    assert 5 < down.sum() < 75
    # Down: molecules are lost. Up: the scaled count is rounded to one of its two neighbours.
    assert (brought[down] <= y[down]).all()
    exact = (y * ratio)[~down]
    assert (np.abs(brought[~down] - exact) < 1).all()
    # Either way the expected count is y n_i / n_j, with a variance of at most y r (1 - r), or 1/4: five deviations.
    variance = np.where(down[:, None], y * ratio * (1 - ratio), 0.25 * (y > 0))
    off = brought.sum(1) - (y * ratio).sum(1)
    assert (np.abs(off) < 5 * np.sqrt(variance.sum(1))).all()
    assert abs(off.sum()) < 5 * np.sqrt(variance.sum())
    assert not brought[y == 0].any()
    assert brought.dtype == np.int64


def test_where_no_gene_is_the_templates_the_cells_stay(raw, moved):
    counts, totals = raw(take=False)
    np.testing.assert_array_equal(counts, moved.cells.read(slice(0, 80))[0])
    np.testing.assert_allclose(totals.ravel(), moved.cells.totals(), rtol=1e-6)


def test_a_gene_is_the_templates_where_its_type_is_nearer_to_the_mean(moved, raw, templates, truth, profile_of):
    own, near = profile_of(moved.cells).means[0], np.abs(templates.target.means - truth)
    take = near < np.abs(own - truth)
    np.testing.assert_array_equal(moved.transport.calibration.take, take)
    assert 0.1 < take[0].mean() < 0.9
    counts, _, _ = moved.transport.raw(moved.cells, slice(0, 80), moved.matching)
    theirs, mine = raw(take=True)[0], raw(take=False)[0]
    np.testing.assert_array_equal(counts, np.where(take[moved.matching.types], theirs, mine))


def test_the_fourth_step_thins_and_adds(moved):
    made = moved.transport
    counts, totals, draws = made.raw(moved.cells, slice(0, 80), moved.matching)
    neutral, made = made.calibration, SimpleNamespace(**vars(made))
    made.calibration = Calibration(neutral.take, np.zeros(120), np.ones(120), neutral.theta)
    np.testing.assert_array_equal(TemplateTransport.finished(made, counts, totals, draws), counts)
    keep, add = np.where(np.arange(120) < 40, 0.3, 1.0), np.where(np.arange(120) >= 100, 5.0, 0.0)
    made.calibration = Calibration(neutral.take, add, keep, neutral.theta)
    got = TemplateTransport.finished(made, counts, totals, draws)
    np.testing.assert_array_equal(got[:, 40:100], counts[:, 40:100])
    np.testing.assert_array_equal(got[:, :40], draws.thinned(counts, keep, _transport.THIN_STREAM)[:, :40])
    assert (got[:, 100:] >= counts[:, 100:]).all()
    more = (got - counts)[:, 100:]
    variance = (5 * totals + (5 * totals) ** 2 / neutral.theta[100:]).sum()
    assert abs(more.sum() - 20 * (5 * totals).sum()) < 5 * np.sqrt(variance)


def test_a_gene_is_either_thinned_or_added_to(moved, truth):
    fit = moved.transport.calibration
    counts, totals, _ = moved.transport.raw(moved.cells, slice(0, 80), moved.matching)
    low = np.log1p(counts / totals).mean(0) < truth
    np.testing.assert_array_equal(fit.add > 0, low)
    assert (fit.keep[low] == 1).all()
    assert (fit.keep[~low] < 1).all()
    assert (fit.keep >= 0).all()
    assert 20 < low.sum() < 100


def test_the_mean_of_the_cells_themselves_leaves_them(transport, controls):
    # The control mean as the mean: no gene is nearer elsewhere, and nothing is to be calibrated.
    cells = controls()
    own = np.concatenate(list(cells.log_blocks())).mean(0)
    made = transport(own)
    assert not made.calibration.take.any()
    counts, _ = answer(made, cells)
    np.testing.assert_array_equal(counts, cells.read(slice(0, 80))[0])


@pytest.mark.parametrize("fixed", [False, True])
def test_neither_the_order_of_cells_nor_the_size_of_batches_matters(transport, controls, fixed):
    cells = controls()
    counts, log = answer(transport(fixed=fixed), cells)
    order = np.random.default_rng(0).permutation(80)
    shuffled = cells.at(cells.cells.rows[order])
    got = answer(transport(reference=shuffled, fixed=fixed), shuffled, batch_size=7)
    np.testing.assert_array_equal(got[0], counts[order])
    np.testing.assert_array_equal(got[1], log[order])


def test_the_order_of_genes_does_not_matter(transport, controls, profile_of, fitted, response, truth):
    order = np.random.default_rng(0).permutation(120)
    model = fitted(response[0][:, order].copy())
    cells = controls(model=model)
    made = TemplateTransport(
        find_templates(model, 0, 1), TYPES, cells, profile_of(cells), truth[order], fixed=False, seed=0
    )
    np.testing.assert_array_equal(answer(made, cells)[0], answer(transport(), controls())[0][:, order])


def test_with_a_fixed_reference_some_get_what_they_got_among_all(transport, controls):
    made, cells = transport(fixed=True), controls()
    counts, log = answer(made, cells)
    for some in (np.array([0]), np.array([70, 3, 11]), np.arange(0, 80, 2)):
        few = cells.at(cells.cells.rows[some])
        got = answer(made, few, batch_size=5)
        np.testing.assert_array_equal(got[0], counts[some])
        np.testing.assert_array_equal(got[1], log[some])


def test_a_reference_of_other_cells_brings_the_asked_ones_near(transport, controls, truth, profile_of):
    # Calibrated on every other cell; the mean of the rest is off by what 40 cells' sampling lets it, .1.
    even, all_cells = controls(every=2), controls()
    odd = all_cells.at(all_cells.cells.rows[1::2])
    log = answer(transport(reference=even, fixed=True), odd)[1]
    assert np.sqrt(((log.mean(0) - truth) ** 2).mean()) < 2 * np.sqrt(profile_of(odd).noise.mean())


def test_seeds(transport, controls):
    cells = controls()
    first, again, other = (answer(transport(seed=seed), cells)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


def test_calibration_on_some_of_many_cells(transport, controls, truth, profile_of, monkeypatch):
    cells, used = controls(), []
    read = TemplateTransport.raw
    monkeypatch.setattr(_transport, "CALIBRATION_CELLS", 30)
    monkeypatch.setattr(
        TemplateTransport, "raw", lambda self, some, *more: used.append(some) or read(self, some, *more)
    )
    made = transport()
    assert [len(some) for some in used] == [30]
    error = answer(made, cells)[1].mean(0) - truth
    assert np.sqrt((error**2).mean()) < 2 * np.sqrt(profile_of(used[0]).noise.mean())
    # Which, is a matter of their names.
    order = np.random.default_rng(0).permutation(80)
    transport(reference=cells.at(cells.cells.rows[order]))
    assert set(names_of(used[-1])) == set(names_of(used[0]))


def test_blocks_of_calibration_are_one_whole(transport, controls, monkeypatch):
    whole = transport().calibration
    slices = type(controls()).slices
    monkeypatch.setattr(type(controls()), "slices", lambda self, size=7: slices(self, 7))
    parts = transport().calibration
    for name in ("take", "add", "keep", "theta"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-6)


def test_a_model_of_counts_has_templates_too(counts, fitted, profile_of):
    model = fitted(counts)
    obs = counts.obs
    rows = np.flatnonzero((obs["condition"] == "control") & (obs["cell_type"] == "T"))
    cells, found = counted(model, model.cells(rows=rows), "the cells"), find_templates(model, 0, 2)
    mean = found.target.means[0]
    made = TemplateTransport(found, TYPES, cells, profile_of(cells), mean, fixed=False, seed=0)
    # 24 cells, in which genes of a log value of 6 are so much apart that their mean is off by .3.
    assert np.sqrt(((answer(made, cells)[1].mean(0) - mean) ** 2).mean()) < 0.2
