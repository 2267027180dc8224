"""C6, values: a model that looks at nothing, or cannot live with odd values, is caught."""

import numpy as np
import pytest

from altercell.testing._bad_values import lives_or_refuses

from .suite import Net, Shift, assert_caught, broken_ids, subject_of

NOTHING_KNOWN = {
    "space": "log1p of counts per 10,000",
    "place": "adata.X",
    "largest": 1.0,
    "smallest": 0.0,
    "whole": False,
    "empty_cells": np.array([], dtype=np.int64),
}


class LooksAtNothing(Shift):
    @classmethod
    def _check(cls, adata, arguments, source):
        return dict(NOTHING_KNOWN)


class CountsAnything(Net):
    @classmethod
    def _check(cls, adata, arguments, source):
        return {**NOTHING_KNOWN, "space": "counts", "whole": True}


class NamesNoPlace(Shift):
    """It refuses NaN, and does not say where it is."""

    @classmethod
    def _check(cls, adata, arguments, source):
        from altercell.errors import DataError

        try:
            return super()._check(adata, arguments, source)
        except DataError as error:
            raise DataError("there is NaN somewhere") from error


class Standardises(Shift):
    """It divides by each gene's standard deviation."""

    def _keep(self, fitted):
        spread = self.adata.X.std(axis=0)
        with np.errstate(all="ignore"):
            super()._keep({**fitted, "group_means": fitted["group_means"] / spread})

    def _delta(self, source, target, own):
        with np.errstate(all="ignore"):
            return super()._delta(source, target, own)


class DividesByTotals(Shift):
    def _start(self, values):
        with np.errstate(all="ignore"):
            return values / values.sum(axis=1, keepdims=True)


class NeedsTwoGenes(Shift):
    def train(self):
        if len(self.schema.genes) == 1:
            raise RuntimeError("a matrix is needed")
        super().train()


BROKEN = [
    ("C6-nan", LooksAtNothing, "NaN in X: went through without an error"),
    ("C6-nan", NamesNoPlace, "NaN in X: the error does not name 'gene_3', 'cell_"),
    ("C6-nan-sparse", LooksAtNothing, "NaN in a CSR X: went through without an error"),
    ("C6-infinite", LooksAtNothing, "an infinite value in X: went through without an error"),
    ("C6-counts-for-log", LooksAtNothing, "counts are taken for 'log1p of counts per 10,000'"),
    ("C6-overflow", LooksAtNothing, "1e300 in X: went through without an error"),
    ("C6-no-numbers", LooksAtNothing, "complex values in X: went through without an error"),
    ("C6-no-values", LooksAtNothing, "an AnnData without X: went through without an error"),
    ("C6-empty-cell", DividesByTotals, "predict with a cell of zeros: X holds NaN"),
    ("C6-empty-gene", Standardises, "predict with a gene of zeros: X holds NaN"),
    ("C6-constant-gene", Standardises, "predict with a constant gene: X holds NaN"),
    ("C6-one-gene", NeedsTwoGenes, "RuntimeError: a matrix is needed"),
]
BROKEN_COUNTS = [
    ("C6-negative", CountsAnything, "a negative count: went through without an error"),
    ("C6-fractions", CountsAnything, "half a count: went through without an error"),
    ("C6-log-for-counts", CountsAnything, "log data for a count model: went through without an error"),
    ("C6-integer-overflow", CountsAnything, r"a count of 2\*\*24 \+ 1: went through without an error"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN_COUNTS, ids=broken_ids(BROKEN_COUNTS))
def test_a_broken_count_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern, data="counts", arguments={"gene_likelihood": "nb"})


def test_weights_are_looked_at_too():
    class SpoilsItsState(Shift):
        def train(self):
            super().train()
            self.module.add("unused", (2,))
            self.module.unused.fill_(np.nan)

    subject = subject_of(SpoilsItsState)
    with pytest.raises(AssertionError, match="odd data: .* holds NaN"):
        lives_or_refuses(subject, subject.adata(), "odd data")
