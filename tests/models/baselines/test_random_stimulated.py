"""Tests of the baseline that draws measured cells."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from altercell.errors import NotTrainedError
from altercell.models import RandomStimulated, StimulatedMean

ASK = {"source": "control", "target": "ifn"}


@pytest.fixture
def many(adata, truth) -> AnnData:
    """Ten thousand control cells of T, each with a name of its own."""
    rows = np.resize(np.flatnonzero(truth.rows("control", "T")), 10_000)
    obs = adata.obs.iloc[rows].set_axis([f"copy{i}" for i in range(len(rows))])
    return AnnData(adata.X[rows], obs, adata.var)


def drawn_types(pred, truth, values) -> list[tuple[str, str]]:
    """Find each predicted cell among the measured ones and return its condition and type."""
    measured = {cell.tobytes(): row for row, cell in enumerate(truth.x)}
    rows = [measured[cell.tobytes()] for cell in values(pred)]
    return list(truth.obs[["condition", "cell_type"]].iloc[rows].itertuples(index=False, name=None))


def test_cells_are_measured_target_cells_of_other_types(full, full_truth, fit, values):
    pred = fit(RandomStimulated, full).predict(labels="B", seed=0, **ASK)
    found = drawn_types(pred, full_truth, values)
    assert len(found) == full_truth.rows("control", "B").sum()
    assert {condition for condition, _ in found} == {"ifn"}
    assert "B" not in {kind for _, kind in found}


def test_several_types_each_without_itself(full, full_truth, fit, values):
    pred = fit(RandomStimulated, full).predict(seed=0, **ASK)
    found = drawn_types(pred, full_truth, values)
    assert all(kind != own for (_, kind), own in zip(found, pred.obs["cell_type"], strict=True))


def test_the_seed_decides(adata, fit, values):
    model = fit(RandomStimulated, adata)
    first, again, other = (values(model.predict(labels="T", seed=seed, **ASK)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_seed_is_recorded_and_repeats_the_draw(adata, fit, values):
    model = fit(RandomStimulated, adata)
    first = model.predict(labels="T", **ASK)
    again = model.predict(labels="T", seed=int(first.uns["altercell"]["seed"]), **ASK)
    np.testing.assert_array_equal(values(first), values(again))


@pytest.mark.parametrize("weights", ["balanced", "unbalanced"])
def test_the_expected_cell_is_the_stimulated_mean(adata, many, fit, values, weights):
    drawn = values(fit(RandomStimulated, adata.copy(), weights=weights).predict(many, seed=2, **ASK))
    mean = values(fit(StimulatedMean, adata.copy(), weights=weights).predict(labels="T", **ASK))[0]
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert np.abs((drawn.mean(0) - mean) / error).max() < 4.5


def test_weighting_sets_the_shares_of_the_types(adata, many, truth, fit, values):
    sizes = {kind: truth.rows("ifn", kind).sum() for kind in ("B", "Mono", "NK")}
    for weights in ("balanced", "unbalanced"):
        pred = fit(RandomStimulated, adata.copy(), weights=weights).predict(many, seed=0, **ASK)
        kinds = pd.Series([kind for _, kind in drawn_types(pred, truth, values)]).value_counts(normalize=True)
        for kind, size in sizes.items():
            share = 1 / 3 if weights == "balanced" else size / sum(sizes.values())
            assert abs(kinds[kind] - share) < 0.03


def test_without_labels_any_target_cell_is_drawn(full, full_truth, fit, values):
    pred = fit(RandomStimulated, full, labels_key=None).predict(seed=0, **ASK)
    found = drawn_types(pred, full_truth, values)
    assert {kind for _, kind in found} == {"B", "Mono", "NK", "T"}
    assert {condition for condition, _ in found} == {"ifn"}


def test_the_draw_does_not_depend_on_the_batch_nor_on_the_order(adata, truth, fit, values):
    model = fit(RandomStimulated, adata)
    whole = model.predict(seed=3, **ASK)
    rows = np.flatnonzero(truth.rows("control"))[::-1]
    turned = model.predict(indices=rows, batch_size=3, seed=3, **ASK)
    np.testing.assert_array_equal(values(turned)[::-1], values(whole))


def test_it_needs_the_training_cells(adata, fit, tmp_path):
    fit(RandomStimulated, adata).save(tmp_path)
    with pytest.raises(
        NotTrainedError, match="draws from the training cells, and this model has none: load it with adata="
    ):
        RandomStimulated.load(tmp_path).predict(adata, seed=0, **ASK)


def test_cells_saved_with_the_model_are_enough(adata, fit, values, tmp_path):
    model = fit(RandomStimulated, adata)
    want = values(model.predict(seed=0, **ASK))
    model.save(tmp_path, save_anndata=True)
    np.testing.assert_array_equal(values(RandomStimulated.load(tmp_path).predict(seed=0, **ASK)), want)
