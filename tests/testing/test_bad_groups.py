"""C6, groups: a model that looks at no name and no column is caught."""

import numpy as np
import pytest

from .suite import Shift, assert_caught, broken_ids
from .test_bad_values import LooksAtNothing


class TakesWhatItGets(LooksAtNothing):
    @classmethod
    def setup_anndata(cls, adata, **kwargs):
        adata.obs  # noqa: B018 - fails, with no error of ours, on what is no AnnData
        super().setup_anndata(adata, **kwargs)


class NeedsTwoOfEach(Shift):
    """It takes a variance of every group."""

    def _keep(self, fitted):
        sizes = fitted["group_sizes"][..., None]
        with np.errstate(all="ignore"):
            super()._keep({**fitted, "group_means": fitted["group_means"] * (1 + 0 / (sizes != 1))})


class LooksUpNames(Shift):
    def train(self):
        self.adata.obs.loc[self.adata.obs_names].reindex(self.adata.obs_names)
        super().train()


class KnowsTextOnly(Shift):
    def predict(self, adata=None, *, source, target, **kwargs):
        return super().predict(adata, source=str(source), target=str(target), **kwargs)


class AnswersForTheFirst(Shift):
    """It takes an unknown number for the first condition."""

    def predict(self, adata=None, *, source, target, **kwargs):
        answer = super().predict(adata, source=source, target=target, **kwargs)
        answer.obs["condition"] = 0
        return answer


class PredictsGhosts(Shift):
    def _check_seen(self, **codes):
        pass

    def _delta(self, source, target, own):
        return np.zeros(len(self.schema.genes))


BROKEN = [
    ("C6-one-condition", LooksAtNothing, "data with one condition: went through without an error"),
    ("C6-no-condition-key", LooksAtNothing, "no batch_key: went through without an error"),
    ("C6-rare-group", NeedsTwoOfEach, "a type with one target cell: X holds NaN"),
    ("C6-missing-category", LooksAtNothing, r"NaN in obs\['condition'\]: (went through|raised)"),
    ("C6-missing-key", LooksAtNothing, "an absent batch_key: raised KeyError, which is no AltercellError"),
    ("C6-missing-layer", LooksAtNothing, "an absent layer: raised .*Error, which is no AltercellError"),
    ("C6-duplicate-genes", LooksAtNothing, "a gene name twice: went through without an error"),
    ("C6-duplicate-cells", LooksUpNames, "ValueError: cannot reindex on an axis with duplicate labels"),
    ("C6-no-cells", LooksAtNothing, "0 cells: (went through|raised)"),
    ("C6-no-genes", LooksAtNothing, "0 genes: (went through|raised)"),
    ("C6-integer-categories", KnowsTextOnly, "GroupError: source='0' is no condition"),
    ("C6-integer-categories", AnswersForTheFirst, r"obs\['condition'\] is not the target 1"),
    ("C6-unused-category", PredictsGhosts, "a target without cells: went through without an error"),
    ("C6-not-an-anndata", TakesWhatItGets, "a DataFrame: raised AttributeError, which is no AltercellError"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)
