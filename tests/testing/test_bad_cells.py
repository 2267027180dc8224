"""C6, given cells: a model that answers for any cells is caught."""

import numpy as np
import pytest

from altercell.errors import AltercellError

from .suite import Net, Shift, assert_caught, broken_ids, subject_of
from .test_bad_values import DividesByTotals
from .test_life import NoDoubts


class AnswersForItsOwn(Shift):
    """Where the cells cannot be read, it answers for its own."""

    def predict(self, adata=None, **kwargs):
        try:
            return super().predict(adata, **kwargs)
        except AltercellError:
            return super().predict(None, **kwargs)


class ReadsAnything(Shift):
    """It never looks at the values that it reads."""

    def cells(self, *args, **kwargs):
        cells = super().cells(*args, **kwargs)
        cells.checked = False
        return cells


class FillsConditions(Shift):
    def predict(self, adata=None, *, source, **kwargs):
        if adata is not None:
            adata = adata.copy()
            adata.obs["condition"] = adata.obs["condition"].fillna(source)
        return super().predict(adata, source=source, **kwargs)


BROKEN = [
    ("C6-missing-genes", AnswersForItsOwn, "predict of cells without a gene: went through without an error"),
    ("C6-repeated-genes", AnswersForItsOwn, "predict of cells with a gene twice: went through without an error"),
    ("C6-nan-in-given-cells", ReadsAnything, "predict of a cell with NaN: X holds NaN"),
    ("C6-infinite-given-cells", ReadsAnything, "predict of an infinite value: X holds NaN or infinite"),
    ("C6-empty-given-cell", DividesByTotals, "predict of a cell of zeros: X holds NaN"),
    ("C6-counts-given-to-log", AnswersForItsOwn, "predict of counts, by a log model: went through without an error"),
    ("C6-no-condition-column", AnswersForItsOwn, "no column of conditions: went through without an error"),
    ("C6-missing-condition", FillsConditions, "a cell without a condition was predicted"),
    ("C6-unseen-number", NoDoubts, "says nothing of it in trust"),
]


class CountsForItsOwn(Net):
    def predict(self, adata=None, **kwargs):
        try:
            return super().predict(adata, **kwargs)
        except AltercellError:
            return super().predict(None, **kwargs)


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


def test_a_broken_count_model_is_caught():
    pattern = "predict of log data, by a count model: went through without an error"
    assert_caught(
        "C6-log-given-to-counts", CountsForItsOwn, pattern, data="counts", arguments={"gene_likelihood": "nb"}
    )


def test_an_error_without_the_gene_is_not_clear():
    class Vague(Shift):
        def predict(self, adata=None, **kwargs):
            try:
                return super().predict(adata, **kwargs)
            except AltercellError as error:
                raise AltercellError("these cells will not do") from error

    assert_caught("C6-missing-genes", Vague, "the error does not name 'gene_3'")


def test_the_cells_given_are_not_those_of_training():
    subject = subject_of(Shift)
    assert np.shares_memory(subject.trained.adata.X, subject.adata().X) is False
