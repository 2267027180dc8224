"""The parts of the simulator's mean: markers, responses, and how they combine."""

import numpy as np
import pytest

from altercell.datasets._effects import (
    ResponseShape,
    effect_sizes,
    expected_profiles,
    marker_effects,
    random_order,
    response_effects,
)
from altercell.errors import DataError

MARKERS = {"share": 0.1, "size": 2.0, "spread": 0.0, "low_bias": 0.0}


def shape(**changes) -> ResponseShape:
    values = {"share": 0.4, "size": 1.0, "up_share": 0.75, "specific_share": 0.5, "lineage_similarity": 0.5}
    return ResponseShape(**{**values, "low_bias": 0.0, **changes})


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_effect_sizes_are_positive_with_the_mean_asked_and_a_heavy_tail():
    sizes = effect_sizes(rng(), 1.5, 50_000)
    assert sizes.min() > 0
    assert sizes.mean() == pytest.approx(1.5, rel=0.02)
    # A gamma distribution of shape 2: the variance is half the squared mean.
    assert sizes.var() == pytest.approx(1.5**2 / 2, rel=0.05)


def test_random_order_is_a_permutation():
    order = random_order(rng(), np.zeros(40), 1.0)
    assert sorted(order) == list(range(40))
    assert list(order) != list(range(40))


def test_random_order_prefers_weak_genes_by_their_weights():
    log_base = np.log([1.0, 3.0])
    first = [random_order(generator, log_base, 1.0)[0] for generator in rng().spawn(4_000)]
    # Weights 1 and 1/3: the weak gene comes first three times in four.
    assert np.mean(np.array(first) == 0) == pytest.approx(0.75, abs=0.03)


def test_random_order_without_bias_takes_all_alike():
    first = [random_order(generator, np.array([-3.0, 0.0, 3.0]), 0.0)[0] for generator in rng().spawn(3_000)]
    np.testing.assert_allclose(np.bincount(first) / 3_000, 1 / 3, atol=0.04)


def test_markers_are_high_in_their_own_group_only():
    effects, marker_of = marker_effects(rng(), np.zeros(100), 3, **MARKERS)
    assert effects.shape == (3, 100)
    np.testing.assert_array_equal(np.bincount(marker_of + 1), [70, 10, 10, 10])
    for group in range(3):
        assert (effects[group, marker_of == group] > 0).all()
        assert (effects[group, marker_of != group] == 0).all()


def test_every_gene_differs_a_little_between_groups():
    effects, _ = marker_effects(rng(), np.zeros(5_000), 2, **{**MARKERS, "share": 0.0, "spread": 0.3})
    assert effects.std() == pytest.approx(0.3, rel=0.03)
    assert abs(np.corrcoef(effects)[0, 1]) < 0.05


def test_markers_prefer_weak_genes():
    log_base = rng(1).normal(size=2_000)
    _, marker_of = marker_effects(rng(), log_base, 2, **{**MARKERS, "low_bias": 1.0})
    assert log_base[marker_of >= 0].mean() < log_base.mean() - 0.5


def test_more_markers_than_genes_is_an_error_that_says_how_many_fit():
    with pytest.raises(DataError, match=r"marker_share=0.5 gives each of 3 groups 5 markers.*at most 0.333 fits"):
        marker_effects(rng(), np.zeros(10), 3, **{**MARKERS, "share": 0.5})


def test_a_draw_changes_the_asked_number_of_free_genes():
    free = np.arange(50) >= 20
    effects = shape().draw(rng(), np.zeros(50), 12, free)
    assert np.count_nonzero(effects) == 12
    assert not effects[~free].any()


def test_a_draw_goes_up_in_the_share_asked():
    effects = shape(up_share=0.75).draw(rng(), np.zeros(20_000), 20_000, np.ones(20_000, dtype=bool))
    assert (effects > 0).mean() == pytest.approx(0.75, abs=0.01)
    assert np.abs(effects).mean() == pytest.approx(1.0, rel=0.02)


def test_response_has_the_levels_asked():
    lineage_of = np.array([0, 1, 0, 1])
    shared, effects = response_effects(rng(), np.zeros(100), lineage_of, shape())
    # 40 genes respond in a type: 20 of them everywhere, 10 in its lineage, 10 in itself alone.
    np.testing.assert_array_equal((effects != 0).sum(axis=1), 40)
    assert np.count_nonzero(shared) == 20
    for effect in effects:
        np.testing.assert_array_equal(effect[shared != 0], shared[shared != 0])
    own = effects - shared
    same_lineage = (own[0] != 0) & (own[0] == own[2])
    assert same_lineage.sum() == 10
    assert not ((own[0] != 0) & (own[0] == own[1])).any()


def test_one_response_for_all_and_no_common_response():
    lineage_of = np.zeros(3, dtype=int)
    shared, effects = response_effects(rng(), np.zeros(50), lineage_of, shape(specific_share=0.0))
    np.testing.assert_array_equal(effects, np.tile(shared, (3, 1)))
    shared, effects = response_effects(
        rng(), np.zeros(50), lineage_of, shape(specific_share=1.0, lineage_similarity=0.0)
    )
    assert not shared.any()
    assert len({tuple(np.flatnonzero(effect)) for effect in effects}) == 3


def test_all_genes_may_respond():
    _, effects = response_effects(rng(), np.zeros(30), np.array([0, 1]), shape(share=1.0))
    assert (effects != 0).all()


def test_profiles_are_the_softmax_of_the_sum_of_effects():
    generator = rng(3)
    log_base, types = generator.normal(size=6), generator.normal(size=(2, 6))
    response, batches = generator.normal(size=(2, 3, 6)), generator.normal(size=(4, 6))
    profiles = expected_profiles(log_base, types, response, batches)
    assert profiles.shape == (2, 3, 4, 6)
    weights = np.exp(log_base + types[1] + response[1, 2] + batches[3])
    np.testing.assert_allclose(profiles[1, 2, 3], weights / weights.sum())
    np.testing.assert_allclose(profiles.sum(axis=-1), 1.0)
