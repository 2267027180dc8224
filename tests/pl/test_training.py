from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError, NotTrainedError
from altercell.pl import training

VALUES = {
    "train_loss": [9.0, 5.0, 4.0, 3.5],
    "validation_loss": [8.0, 5.5, 5.0, 5.2],
    "kl_local_train": [1.0, 2.0, 3.0, 4.0],
    "kl_local_validation": [1.5, 2.5, 3.5, 4.5],
    "critic_train": [0.1, 0.2, 0.3, 0.4],
}


@pytest.fixture
def history():
    index = pd.RangeIndex(4, name="epoch")
    return {name: pd.DataFrame({name: values}, index=index) for name, values in VALUES.items()}


def curves(ax):
    return {line.get_label(): line for line in ax.lines}


def test_draws_training_and_validation_loss_on_the_given_axes(history, ax, figures_stay):
    before = {name: frame.copy() for name, frame in history.items()}
    assert training(history, ax=ax) is ax
    for label, name in (("training cells", "train_loss"), ("validation cells", "validation_loss")):
        x, y = curves(ax)[label].get_data()
        assert x.tolist() == [0, 1, 2, 3]
        assert y.tolist() == VALUES[name]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    for name, frame in history.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_a_model_is_asked_for_its_history(history):
    ax = training(SimpleNamespace(history_=history))
    assert curves(ax)["training cells"].get_ydata().tolist() == VALUES["train_loss"]


def test_the_epoch_of_the_lowest_validation_loss_is_marked(history):
    assert list(curves(training(history))["lowest: epoch 2"].get_xdata()) == [2, 2]


def test_a_term_has_its_own_curves_and_no_mark(history):
    ax = training(history, terms="kl_local")
    assert curves(ax)["validation cells"].get_ydata().tolist() == VALUES["kl_local_validation"]
    assert len(ax.lines) == 2
    assert ax.get_ylabel() == "kl local"


def test_several_terms_make_a_panel_each(history):
    axes = training(history, terms=["loss", "kl_local"])
    assert isinstance(axes, np.ndarray)
    assert [ax.get_ylabel() for ax in axes] == ["loss", "kl local"]
    assert axes[0].figure is axes[1].figure
    assert training(history, terms=["loss"]).shape == (1,)


def test_several_terms_are_drawn_on_given_axes(history):
    given = plt.subplots(1, 2)[1]
    axes = training(history, terms=["kl_local", "loss"], ax=given)
    assert list(axes) == list(given)
    assert plt.get_fignums() == [given[0].figure.number]


def test_without_validation_cells_there_is_one_curve(history):
    del history["validation_loss"]
    assert list(curves(training(history))) == ["training cells"]
    assert list(curves(training(history, terms="critic"))) == ["training cells"]


def test_epochs_without_validation_are_left_out(history):
    history["validation_loss"].iloc[1] = np.nan
    ax = training(history)
    assert curves(ax)["validation cells"].get_xdata().tolist() == [0, 2, 3]
    assert "lowest: epoch 2" in curves(ax)


def test_epochs_are_whole_numbers(history):
    ax = training(history)
    ax.figure.draw_without_rendering()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


@pytest.mark.parametrize("untrained", [{}, None, SimpleNamespace(history_=None), object()])
def test_no_history_is_an_error(untrained):
    with pytest.raises(NotTrainedError, match=r"call model\.train\(\) first"):
        training(untrained)


def test_an_unknown_term_lists_what_was_logged(history):
    with pytest.raises(KeyNotFoundError, match=r"no term 'reconstruction'.*there are 'loss', 'kl_local', 'critic'"):
        training(history, terms=["loss", "reconstruction"])
    assert plt.get_fignums() == []


def test_axes_must_be_as_many_as_terms(history, ax):
    with pytest.raises(DataError, match="2 terms need as many axes; 1 were given"):
        training(history, terms=["loss", "kl_local"], ax=ax)
