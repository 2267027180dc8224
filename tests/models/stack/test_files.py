"""Tests of model files, with and without the cells."""

import numpy as np
import pandas as pd
import pytest

import altercell as ac
from altercell.errors import NotTrainedError

ASK = {"source": "control", "target": "stimulated"}
QUESTION = {**ASK, "label": "type_3"}


def test_with_the_cells_it_answers_as_before(stack, train, tmp_path, dense):
    stack.save(tmp_path / "model")
    loaded = ac.ResponseStack.load(tmp_path / "model", adata=train.copy())
    pd.testing.assert_frame_equal(loaded.get_mean(**QUESTION), stack.get_mean(**QUESTION))
    got, want = (model.predict(**ASK, labels="type_3", seed=4) for model in (loaded, stack))
    np.testing.assert_array_equal(dense(got.X), dense(want.X))
    np.testing.assert_array_equal(dense(got.layers["counts"]), dense(want.layers["counts"]))


def test_the_cells_may_be_saved_with_it(stack, tmp_path):
    stack.save(tmp_path / "model", save_anndata=True)
    loaded = ac.ResponseStack.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.get_mean(**QUESTION), stack.get_mean(**QUESTION), rtol=1e-6)


def test_arguments_are_kept(train, fit, tmp_path):
    model = fit(train.copy(), members=["similar", "mean"], own_type=True, seed=3)
    model.save(tmp_path / "model")
    loaded = ac.ResponseStack.load(tmp_path / "model")
    assert (loaded.members, loaded.own_type) == (("similar", "mean"), True)
    pd.testing.assert_frame_equal(loaded.get_mean(**QUESTION), model.get_mean(**QUESTION))


def test_without_the_cells_attention_says_what_it_lacks(stack, train, tmp_path):
    stack.save(tmp_path / "model")
    loaded = ac.ResponseStack.load(tmp_path / "model")
    text = "'attention' reads training cells, and this model has none: load it with adata=, or save it"
    with pytest.raises(NotTrainedError, match=text):
        loaded.get_mean(**QUESTION)
    with pytest.raises(NotTrainedError, match=text):
        loaded.predict(train.copy(), **ASK)


def test_without_the_cells_the_other_members_answer(train, fit, tmp_path, dense):
    model = fit(train.copy(), members="kriging")
    model.save(tmp_path / "model")
    loaded = ac.ResponseStack.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.get_mean(**QUESTION), model.get_mean(**QUESTION))
    answer = loaded.predict(train.copy(), **ASK, labels="type_3")
    assert answer.uns["altercell"]["cells"] == "residual"
    assert any("the model has no training cells" in doubt for doubt in answer.uns["altercell"]["trust"])
    want = model.predict(**ASK, labels="type_3", cells="residual")
    np.testing.assert_allclose(dense(answer.X), dense(want.X), atol=1e-6)
    with pytest.raises(NotTrainedError, match="cells='transport' moves training cells, and this model has none"):
        loaded.predict(train.copy(), **ASK, labels="type_3", cells="transport")


def test_without_the_cells_it_cannot_be_trained_anew(train, fit, tmp_path):
    fit(train.copy()).save(tmp_path / "model")
    with pytest.raises(NotTrainedError, match="has no AnnData to fit"):
        ac.ResponseStack.load(tmp_path / "model").train()
