import numpy as np
import pandas as pd
import pytest

from altercell import SCVI
from altercell.errors import DataError, GroupError, NotTrainedError

KEYS = {"batch_key": "condition", "labels_key": "cell_type"}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
POINTS = np.random.default_rng(0).normal(size=(9, 3))
TOTALS = np.arange(100.0, 1_000, 100)


def trained(adata) -> SCVI:
    SCVI.setup_anndata(adata, **KEYS)
    model = SCVI(adata, n_hidden=8, n_latent=3)
    model.train(2, **QUIET)
    return model


@pytest.fixture(scope="module")
def conditional(make_cells) -> SCVI:
    """A trained model whose decoder reads the condition."""
    return trained(make_cells(counts=True))


def test_points_are_decoded_under_the_condition(conditional):
    decoded = {
        condition: conditional.decode(POINTS, condition=condition, size_factor=TOTALS)
        for condition in ("control", "other", "stimulated")
    }
    for values in decoded.values():
        assert (values.dtype, values.shape) == (np.float32, (9, 30))
    pairs = [("control", "other"), ("control", "stimulated"), ("other", "stimulated")]
    assert all(np.abs(decoded[one] - decoded[other]).max() > 0.1 for one, other in pairs)


def test_cells_decoded_under_the_target_are_its_prediction(conditional, rows):
    where = rows(conditional.adata, "control")
    latent = conditional.get_latent_representation(indices=where)
    total = conditional.adata.X[where].sum(1)
    predicted = conditional.predict(source="control", target="stimulated").X
    decoded = conditional.decode(latent, condition="stimulated", size_factor=total)
    np.testing.assert_allclose(predicted, decoded, rtol=1e-5, atol=1e-6)


def test_the_batch_size_does_not_matter(conditional):
    whole = conditional.decode(POINTS, condition="other", size_factor=TOTALS)
    parts = conditional.decode(POINTS, condition="other", size_factor=TOTALS, batch_size=2)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (None, "SCVI decodes a latent point under a condition; give condition=, one of 'control', 'other', 'stim"),
        ("nowhere", r"condition='nowhere' is no condition of obs\['condition'\] in training; there are 'control'"),
    ],
)
def test_a_condition_that_training_knows_is_needed(conditional, condition, message):
    with pytest.raises(GroupError, match=message):
        conditional.decode(POINTS, condition=condition, size_factor=TOTALS)


def test_a_condition_without_training_cells_is_refused(counts):
    kept = counts[(counts.obs["condition"] != "other").to_numpy()].copy()
    kept.obs["condition"] = pd.Categorical(kept.obs["condition"], categories=["control", "other", "stimulated"])
    model = trained(kept)
    if "other" not in model.schema.conditions:
        pytest.skip("scvi-tools registers no category without cells")
    with pytest.raises(GroupError, match="condition='other' has no training cell; there are 'control', 'stimulated'"):
        model.decode(POINTS, condition="other", size_factor=TOTALS)


def test_bad_points_and_totals_are_refused(conditional):
    asked = {"condition": "control"}
    with pytest.raises(DataError, match=r"latent has shape \(9, 2\)"):
        conditional.decode(POINTS[:, :2], size_factor=TOTALS, **asked)
    with pytest.raises(DataError, match="a count model decodes to counts of a total; give size_factor="):
        conditional.decode(POINTS, **asked)
    with pytest.raises(DataError, match=r"size_factor has shape \(3,\); give one total for each of the 9 points"):
        conditional.decode(POINTS, size_factor=TOTALS[:3], **asked)
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(DataError, match="size_factor must be finite and positive"):
            conditional.decode(POINTS, size_factor=np.append(TOTALS[1:], bad), **asked)


def test_an_untrained_model_decodes_nothing(counts):
    SCVI.setup_anndata(counts, **KEYS)
    with pytest.raises(NotTrainedError, match=r"call train\(\) first"):
        SCVI(counts, n_hidden=8, n_latent=3).decode(POINTS, condition="control", size_factor=TOTALS)


def test_the_sizes_of_the_groups_are_those_of_the_training_cells(conditional):
    wanted = pd.crosstab(conditional.adata.obs["condition"], conditional.adata.obs["cell_type"]).to_numpy()
    np.testing.assert_array_equal(conditional._group_sizes(), wanted)
