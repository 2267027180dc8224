"""C1, life: a model with a wrong answer, or a wrong refusal, is caught."""

import numpy as np
import pytest
from scipy import sparse

from altercell.errors import GroupError

from .suite import Net, Shift, assert_caught, broken_ids


class NotANumber(Shift):
    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block * np.nan


class Changed(Shift):
    """A model whose `predict` is changed afterwards; subclasses say how."""

    def predict(self, *args, **kwargs):
        answer = super().predict(*args, **kwargs)
        return self.change(answer) or answer


class Renames(Changed):
    def change(self, answer):
        answer.obs_names = [f"{name}_predicted" for name in answer.obs_names]


class KeepsTheSource(Changed):
    def change(self, answer):
        answer.obs["condition"] = "control"


class DropsAColumn(Changed):
    def change(self, answer):
        del answer.obs["donor"]


class DropsAGene(Changed):
    def change(self, answer):
        return answer[:, 1:].copy()


class Doubles(Changed):
    def change(self, answer):
        answer.X = answer.X.astype(np.float64)


class Mute(Changed):
    def change(self, answer):
        del answer.uns["altercell"]["trust"]


class Boasts(Changed):
    def change(self, answer):
        answer.uns["altercell"]["target"] = "everything"


class WritesOtherValues(Shift):
    def predict(self, *args, path=None, **kwargs):
        self.to_file = path is not None
        return super().predict(*args, path=path, **kwargs)

    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block + 1 if self.to_file else block


class LeavesAFile(Shift):
    def predict(self, *args, path=None, **kwargs):
        if path is not None:
            path.with_name("log.txt").write_text("done")
        return super().predict(*args, path=path, **kwargs)


class OneTooMany(Net):
    def generate(self, n, **kwargs):
        return super().generate(n + 1, **kwargs)


class LongLatent(Net):
    def get_latent_representation(self, *args, **kwargs):
        return super().get_latent_representation(*args, **kwargs).astype(np.float64)


class AnswersUntrained(Shift):
    def _check_trained(self):
        pass

    def predict(self, adata=None, **kwargs):
        return super().predict(adata, **kwargs) if self.is_trained_ else self.adata.copy()


class TwoConditionsOnly(Shift):
    def train(self):
        if len(self.schema.conditions) > 2:
            raise GroupError("two conditions only")
        super().train()


class LastConditionOnly(Shift):
    """It takes its cells from the last condition, whatever the source, unless that is the target."""

    def predict(self, adata=None, *, source, target, **kwargs):
        last = self.schema.conditions[-1]
        source = last if target != last else source
        return super().predict(adata, source=source, target=target, **kwargs)


class NeedsLabels(Shift):
    def train(self):
        if self.schema.labels_key is None:
            raise RuntimeError("labels, please")
        super().train()


class RefusesVaguely(Shift):
    def train(self):
        if self.schema.labels_key is None:
            raise GroupError("something is missing")
        super().train()


class NoDoubts(Shift):
    def _doubts(self, cells, request, **options):
        return []


class DislikesSparseCells(Shift):
    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block + 0.5 if sparse.issparse(cells.matrix) else block


BROKEN = [
    ("C1-verbs", NotANumber, "predict: X holds NaN"),
    ("C1-predicted-cells", Renames, "obs_names are not those of the source cells"),
    ("C1-predicted-cells", KeepsTheSource, r"obs\['condition'\] is not the target"),
    ("C1-predicted-cells", DropsAColumn, "obs has columns"),
    ("C1-predicted-cells", DropsAGene, "var_names are not those of the training cells"),
    ("C1-predicted-cells", Doubles, "X is float64, not float32"),
    ("C1-provenance", Mute, r"lacks \['trust'\]"),
    ("C1-provenance", Boasts, r"\['target'\] is 'everything', not 'stimulated'"),
    ("C1-predict-to-file", WritesOtherValues, "predict with path=: X differ"),
    ("C1-predict-to-file", LeavesAFile, "other files are left"),
    ("C1-generated-cells", OneTooMany, r"13 cells were asked for; the answer has shape \(14, 50\)"),
    ("C1-latent-shapes", LongLatent, "latent is float64"),
    ("C1-untrained", AnswersUntrained, r"predict before train\(\): went through without an error"),
    ("C1-three-conditions", TwoConditionsOnly, "GroupError: two conditions only"),
    ("C1-three-conditions", LastConditionOnly, "the cells are not those of 'control'"),
    ("C1-without-labels", NeedsLabels, "RuntimeError: labels, please"),
    ("C1-without-labels", RefusesVaguely, "the error does not name 'labels_key'"),
    ("C1-unseen-label", NoDoubts, "says nothing of it in trust"),
    ("C1-sparse-query", DislikesSparseCells, "predict of cells in another form: X differ"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)
