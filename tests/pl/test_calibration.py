import numpy as np
import pandas as pd
import pytest

from altercell.errors import DataError, KeyNotFoundError
from altercell.pl import calibration


@pytest.fixture
def table():
    """Three bands of two types, in no order."""
    return pd.DataFrame(
        {"label": list("BABABA"), "level": [0.9, 0.5, 0.5, 0.1, 0.1, 0.9], "share": [0.8, 0.6, 0.4, 0.2, 0.1, 1.0]}
    )


def curves(ax):
    return {line.get_label(): line.get_xydata().tolist() for line in ax.lines}


def test_a_line_a_type_and_their_mean_on_the_given_axes(table, ax):
    before = table.copy()
    assert calibration(table, ax=ax) is ax
    lines = curves(ax)
    assert lines["as it should be"] == [[0, 0], [1, 1]]
    assert lines["a type"] == [[0.1, 0.2], [0.5, 0.6], [0.9, 1.0]]
    np.testing.assert_allclose(lines["mean of the types"], [[0.1, 0.15], [0.5, 0.5], [0.9, 0.9]])
    assert len(ax.lines) == 4
    pd.testing.assert_frame_equal(table, before)


def test_what_is_no_calibration_is_refused(table):
    with pytest.raises(KeyNotFoundError, match="share"):
        calibration(table.drop(columns="share"))
    with pytest.raises(DataError, match="no rows"):
        calibration(table.iloc[:0])
    for wrong in (table.assign(share=1.5), table.assign(level=np.nan)):
        with pytest.raises(DataError, match="level and share must be numbers from 0 to 1"):
            calibration(wrong)
