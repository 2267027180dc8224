"""C12 as a property: whatever values the held-out cells have, whichever they are, the prediction is the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from altercell.data import hold_out, select_genes
from altercell.models.base import ResponseModel
from altercell.testing import Subject
from altercell.testing._data import SOURCE, TARGET, simulated

from .models import SUBJECTS, VARIANTS

MODELS = [*SUBJECTS, *VARIANTS]

# The values are drawn anew for every example; a network is trained for each, so it has fewer of them.
MANY, FEW = 15, 3


def _predicted(subject, adata, kind):
    train, _ = hold_out(adata, batch=TARGET, labels=kind)
    totals = {"size_factor_key": "size_factor"} if subject.data == "counts" else {}
    model = subject.fit(select_genes(train, 20), 1, **totals)
    if not isinstance(model, ResponseModel):
        return model.generate(20, seed=0)
    return model.predict(source=SOURCE, target=TARGET, labels=kind, seed=0)


def _values(adata, rows):
    whole = st.integers(0, 60).map(np.float32)
    numbers = whole if not np.mod(adata.X, 1).any() else st.floats(0, 9, width=32)
    return hnp.arrays(np.float32, (len(rows), adata.n_vars), elements=numbers, fill=numbers)


@pytest.mark.parametrize("subject", MODELS, ids=[subject.title for subject in MODELS])
def test_held_out_values_reach_nothing(subject: Subject):
    @settings(max_examples=FEW if subject.gradient else MANY, deadline=None, derandomize=True, database=None)
    @given(data=st.data(), kind=st.sampled_from(["type_0", "type_3"]))
    def holds(data, kind):
        adata = simulated(subject.data)
        rows = np.flatnonzero((adata.obs["condition"] == TARGET) & (adata.obs["cell_type"] == kind))
        changed = adata.copy()
        changed.X[rows] = data.draw(_values(adata, rows))
        expected = subject.once(f"prediction of {kind}", lambda: _predicted(subject, adata, kind))
        found = _predicted(subject, changed, kind)
        assert list(found.var_names) == list(expected.var_names)
        np.testing.assert_array_equal(_dense(found), _dense(expected))

    holds()


def _dense(answer):
    return answer.X.toarray() if hasattr(answer.X, "toarray") else answer.X
