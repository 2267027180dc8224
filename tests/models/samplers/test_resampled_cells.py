"""Tests of cells that are drawn again."""

import numpy as np
import pytest

import altercell as ac
from altercell.errors import DataError, GroupError, NotTrainedError


def test_every_cell_is_a_training_cell_of_its_group(logs, fit, dense):
    made = fit(ac.ResampledCells, logs.copy(), batch_key="condition").generate(300, seed=0)
    groups = ["cell_type", "condition"]
    known = {(row.tobytes(), *of) for row, of in zip(dense(logs), logs.obs[groups].astype(str).to_numpy(), strict=True)}
    drawn = zip(dense(made), made.obs[groups].astype(str).to_numpy(), strict=True)
    assert all((row.tobytes(), *of) in known for row, of in drawn)
    assert made.var_names.equals(logs.var_names)


def test_classes_are_drawn_in_their_shares_or_as_asked(logs, fit):
    part = logs[(logs.obs["cell_type"] != "type_2") | (np.arange(logs.n_obs) % 4 == 0)].copy()
    model = fit(ac.ResampledCells, part)
    shares = model.generate(4_000, seed=0).obs["cell_type"].value_counts(normalize=True)
    wanted = part.obs["cell_type"].value_counts(normalize=True)
    np.testing.assert_allclose(shares, wanted[shares.index], atol=0.03)
    made = model.generate({"type_2": 3, "type_0": 2}, seed=0)
    assert made.obs["cell_type"].tolist() == ["type_2"] * 3 + ["type_0"] * 2
    assert "condition" not in made.obs
    with pytest.raises(
        GroupError, match="condition='control': this ResampledCells tells labels apart; name batch_key= in"
    ):
        model.generate(3, condition="control")


@pytest.mark.parametrize(
    ("labels_key", "batch_key", "classes"),
    [
        (None, None, None),
        ("cell_type", None, "labels"),
        (None, "condition", "conditions"),
        ("cell_type", "condition", "both"),
    ],
)
def test_classes_are_what_is_registered(logs, fit, labels_key, batch_key, classes):
    model = fit(ac.ResampledCells, logs.copy(), labels_key=labels_key, batch_key=batch_key)
    assert model.classes == classes
    assert set(model.generate(20, seed=0).obs.columns) == {labels_key, batch_key} - {None}


def test_it_needs_its_training_cells(logs, fit, dense, tmp_path):
    model = fit(ac.ResampledCells, logs.copy())
    model.save(tmp_path / "model")
    alone = ac.ResampledCells.load(tmp_path / "model")
    with pytest.raises(NotTrainedError, match="ResampledCells draws from the training cells, and this model has none"):
        alone.generate(3)
    again = ac.ResampledCells.load(tmp_path / "model", adata=logs.copy())
    np.testing.assert_array_equal(*(dense(one.generate(9, seed=1)) for one in (model, again)))
    other = ac.ResampledCells.load(tmp_path / "model", adata=logs[:500].copy())
    with pytest.raises(DataError, match="is not the one that it was trained on: its groups have other numbers"):
        other.generate(3)
