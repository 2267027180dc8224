"""C6, requests: a model that always answers something is caught."""

import numpy as np
import pytest

import altercell as ac
from altercell.errors import AltercellError

from .suite import Net, Shift, assert_caught, broken_ids, outcome_of


class Obliging(Shift):
    """It answers something, whatever it is asked."""

    def predict(self, adata=None, **kwargs):
        try:
            return super().predict(adata, **kwargs)
        except AltercellError:
            return super().predict(source="control", target="stimulated")

    @classmethod
    def load(cls, folder, adata=None, **kwargs):
        try:
            return super().load(folder, adata, **kwargs)
        except AltercellError:
            return super().load(folder, **kwargs)


class ObligingNet(Net):
    def decode(self, latent, **kwargs):
        try:
            return super().decode(latent, **kwargs)
        except AltercellError:
            return np.zeros((len(latent), len(self.schema.genes)), dtype=np.float32)

    def generate(self, n, *, labels=None, **kwargs):
        try:
            return super().generate(n, labels=labels, **kwargs)
        except AltercellError:
            return super().generate(1, **kwargs)


class WritesBeforeItLooks(Shift):
    def predict(self, *args, path=None, **kwargs):
        if path is not None:
            path.write_text("")
        return super().predict(*args, path=path, **kwargs)


class LeavesHalfAFile(Shift):
    def predict(self, *args, path=None, **kwargs):
        if path is not None:
            path.with_name("half.txt").write_text("")
        return super().predict(*args, path=path, **kwargs)


REQUESTS = [
    ("unknown-condition", "an unknown target"),
    ("same-condition", "source == target"),
    ("unknown-label", "an unknown type"),
    ("no-label", "no labels"),
    ("empty-group", "a type without source cells"),
    ("rows-out-of-range", r"indices=\[0, 10000\]"),
    ("no-rows", r"indices=\[\]"),
    ("mask-of-wrong-length", "a mask of 3 cells"),
    ("batch-size-of-zero", "predict with batch_size=0"),
    ("bad-path", "a path that exists"),
    ("load-on-other-groups", "load on cells of an unseen condition"),
    ("load-on-other-genes", "load on cells without a gene"),
]
BROKEN = [(f"C6-{name}", Obliging, f"{what}: went through without an error") for name, what in REQUESTS]
BROKEN += [
    ("C6-bad-path", WritesBeforeItLooks, "predict overwrote a file"),
    ("C6-bad-path", LeavesHalfAFile, "a refused prediction left a file"),
    ("C6-bad-latent-points", ObligingNet, "points of another dimension: went through without an error"),
    ("C6-generate-nothing", ObligingNet, r"generate\(0\): went through without an error"),
    ("C6-generate-unknown", ObligingNet, "generate of an unknown type: went through without an error"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)


@pytest.mark.parametrize(
    ("obliged", "what"), [(None, "no condition"), ("nowhere", "an unknown condition")], ids=["none", "unknown"]
)
def test_a_model_that_decodes_under_any_condition_is_caught(obliged, what):
    class AnyCondition(ac.SCVI):
        def decode(self, latent, *, condition=None, **kwargs):
            return super().decode(latent, condition="control" if condition == obliged else condition, **kwargs)

    pattern = f"{what}: went through without an error"
    assert_caught("C6-decode-without-condition", AnyCondition, pattern, data="counts")


def test_generation_without_labels_knows_no_unknown_one():
    class Plain(Net):
        def generate(self, n, *, seed=None):
            return super().generate(n, seed=seed)

    outcome = outcome_of("C6-generate-unknown", Plain)
    assert (outcome.status, outcome.reason) == ("not applicable", "generate takes no labels")
