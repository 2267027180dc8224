from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from altercell.metrics import pearson_delta
from altercell.metrics._comparison import Comparison

RNG = np.random.default_rng(0)
N_GENES = 200


def noise_arms(n_cells: int = 16) -> dict[str, np.ndarray]:
    """Real, control and predicted cells of one distribution: there is no response, only noise of the means."""
    return {name: RNG.normal(size=(n_cells, N_GENES)) for name in ("pred", "real", "control")}


def test_shared_controls_make_a_response_out_of_noise_and_split_ones_do_not():
    shared, split = [], []
    for seed in range(20):
        arms = noise_arms()
        shared.append(Comparison(**arms, truth_control=arms["control"]).over_responses(pearson_delta))
        split.append(Comparison(**arms, seed=seed).over_responses(pearson_delta))
    assert np.mean(shared) > 0.4
    assert abs(np.mean(split)) < 0.05


def test_paired_predictions_are_compared_with_their_own_sources():
    control, real = RNG.normal(size=(10, 5)), RNG.normal(size=(8, 5))
    names = np.array([f"c{i}" for i in range(10)])
    order = RNG.permutation(10)  # the prediction need not be in the order of the control
    comparison = Comparison(
        control[order] + 2 * np.arange(5), real, control, pred_names=names[order], control_names=names
    )
    assert len(comparison.responses) == 2
    seen = []
    for pred_mean, real_mean, control_mean, truth_control_mean in comparison.responses:
        np.testing.assert_allclose(pred_mean - control_mean, 2 * np.arange(5), atol=1e-12)
        np.testing.assert_allclose(real_mean, real.mean(axis=0))
        np.testing.assert_allclose(control_mean + truth_control_mean, 2 * control.mean(axis=0))
        seen.append(control_mean)
    np.testing.assert_allclose(seen[0], comparison.responses[1][3])
    assert not np.allclose(seen[0], seen[1])


def test_score_is_the_mean_over_both_orders():
    arms = noise_arms()
    comparison = Comparison(**arms)
    expected = [pearsonr(p - c, r - t).statistic for p, r, c, t in comparison.responses]
    assert len(expected) == 2
    assert comparison.over_responses(pearson_delta) == pytest.approx(np.mean(expected))


def test_unpaired_predictions_take_the_whole_mean():
    arms = noise_arms()
    for pred_mean, *_ in Comparison(**arms).responses:
        np.testing.assert_allclose(pred_mean, arms["pred"].mean(axis=0))


def test_predictions_from_some_control_cells_use_those_alone_and_the_rest_for_the_truth():
    control = RNG.normal(size=(40, 5))
    names = np.array([f"c{i}" for i in range(40)])
    comparison = Comparison(control[:6], control, control, pred_names=names[:6], control_names=names)
    for pred_mean, _, control_mean, truth_control_mean in comparison.responses:
        np.testing.assert_allclose(pred_mean, control_mean)  # each from the same three cells
        assert not np.allclose(truth_control_mean, control_mean)
    assert [p.shape for p, *_ in comparison.responses] == [(5,), (5,)]
    given = replace(comparison, truth_control=control[6:])
    np.testing.assert_allclose(given.responses[0][2], control[:6].mean(axis=0))
    np.testing.assert_allclose(given.responses[0][3], control[6:].mean(axis=0))


def test_halves_do_not_depend_on_the_order_of_the_cells():
    control, names = RNG.normal(size=(11, 5)), np.array([f"c{i}" for i in range(11)])
    order = RNG.permutation(11)
    arms = {"pred": control + 1, "real": control, "pred_names": names}
    first = Comparison(control=control, control_names=names, **arms).responses
    second = Comparison(control=control[order], control_names=names[order], **arms).responses
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b)


def test_cells_of_one_name_stay_together():
    names = np.repeat([f"c{i}" for i in range(5)], 2)
    control = np.repeat(np.arange(5.0), 2)[:, None] * np.ones(3)
    comparison = Comparison(control, control, control, pred_names=names, control_names=names)
    halves = [c[0] for _, _, c, _ in comparison.responses]
    assert sorted(halves) == pytest.approx(sorted(halves))
    for pred_mean, _, control_mean, _ in comparison.responses:
        np.testing.assert_allclose(pred_mean, control_mean)


def test_one_source_cannot_be_split():
    arms = noise_arms(4)
    comparison = Comparison(**arms, pred_names=np.repeat("c", 4), control_names=np.repeat("c", 4))
    assert comparison.responses == []
    assert np.isnan(comparison.over_responses(pearson_delta))


def test_another_seed_is_another_split():
    comparison = Comparison(**noise_arms())
    scores = [replace(comparison, seed=seed).over_responses(pearson_delta) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


def test_equal_numbers_of_cells_and_components_of_all_real_cells():
    arms = {**noise_arms(30), "pred": RNG.normal(size=(12, N_GENES))}
    comparison = Comparison(**arms, n_cells=None)
    assert [cells.shape[0] for cells in comparison.cells] == [12, 12]
    assert comparison.pcs[0].shape == (12, 29)
    assert [cells.shape[0] for cells in Comparison(**arms, n_cells=5).cells] == [5, 5]
