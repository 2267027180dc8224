"""C8: a model whose answer for a cell depends on the other cells, or on an order, is caught."""

import numpy as np
import pytest

from altercell.errors import GeneMismatchError

from .suite import Net, Shift, assert_caught, broken_ids


class CountsRows(Shift):
    """Its answer depends on the place of the cell."""

    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block + np.arange(len(block), dtype=np.float32)[:, None]


class Centres(Shift):
    """Its answer depends on the cells that are asked with it, batch by batch."""

    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block - block.max(axis=0)


class IgnoresNames(Shift):
    def cells(self, *args, **kwargs):
        cells = super().cells(*args, **kwargs)
        cells.columns = None
        return cells


class WantsTheSameGenes(Shift):
    def predict(self, adata=None, **kwargs):
        if adata is not None and adata.n_vars != len(self.schema.genes):
            raise GeneMismatchError("another number of genes")
        return super().predict(adata, **kwargs)


class CountsCategories(Shift):
    def _delta(self, source, target, own):
        return super()._delta(source, target, own) + len(self.schema.labels)


class CountsGivenCategories(Shift):
    def _predicted(self, cells, request):
        for block in super()._predicted(cells, request):
            yield block + len(cells.adata.obs["cell_type"].cat.categories)


class ReadsCodes(Shift):
    """It takes the codes of the given cells' categories for its own."""

    def _predicted(self, cells, request):
        codes = cells.adata.obs["cell_type"].cat.codes.to_numpy()[cells.rows]
        for block in super()._predicted(cells, request):
            yield block + codes[:, None].astype(np.float32)


class FailsOnATail(Net):
    def train(self, *args, batch_size=32, **kwargs):
        if self.adata.n_obs % batch_size == 1:
            raise ValueError("Expected more than 1 value per channel when training")
        super().train(*args, batch_size=batch_size, **kwargs)


class NoVarianceOfOne(Net):
    def train(self, *args, **kwargs):
        super().train(*args, **kwargs)
        if len(self.validation_indices_) == 1:
            self.history_["validation_loss"].iloc[:] = np.nan


class DecodesTogether(Net):
    def decode(self, latent, **kwargs):
        return super().decode(latent, **kwargs) - np.float32(len(latent))


class DecodesByBatches(Net):
    def decode(self, latent, *, batch_size=1024, **kwargs):
        return super().decode(latent, batch_size=batch_size, **kwargs) * np.float32(1 + 1 / batch_size)


class RemembersTheFirstCell(Shift):
    def _keep(self, fitted):
        super()._keep({**fitted, "group_means": fitted["group_means"] + 0.0})
        self.module.group_means[0] += float(self.adata.X[0].sum())


class WeighsGenesByPlace(Shift):
    def _keep(self, fitted):
        place = np.arange(len(self.schema.genes))
        super()._keep({**fitted, "group_means": fitted["group_means"] * (1 + place)})


BROKEN = [
    ("C8-order-of-cells", CountsRows, "predict of cells in another order: X differ"),
    ("C8-order-of-genes", IgnoresNames, "predict of genes in another order: .* differ"),
    ("C8-more-genes", WantsTheSameGenes, "GeneMismatchError: another number of genes"),
    ("C8-subset", Centres, "predict of a subset of the cells: X differ"),
    ("C8-subset-by-labels", Centres, "predict of one type: X differ"),
    ("C8-subset-by-indices", Centres, "predict with indices as row numbers: X differ"),
    ("C8-batch-size", Centres, "predict with batch_size=1: X differ"),
    ("C8-last-training-batch-of-one", FailsOnATail, "ValueError: Expected more than 1 value per channel"),
    ("C8-one-validation-cell", NoVarianceOfOne, r"history\['validation_loss'\] with one validation cell: .* NaN"),
    ("C8-unused-category", CountsGivenCategories, "predict of cells with an unused category: X differ"),
    ("C8-unused-category", CountsCategories, "predict after training with an unused category: X differ"),
    ("C8-order-of-categories", ReadsCodes, "predict of cells with categories in another order: X differ"),
    ("C8-decode-rows", DecodesTogether, "decode of one point: values differ"),
    ("C8-decode-rows", DecodesByBatches, "decode with batch_size=2: values differ"),
    ("C8-refit-on-other-order", RemembersTheFirstCell, "predict after a fit on cells in another order: values differ"),
    ("C8-refit-on-other-order", WeighsGenesByPlace, "predict after a fit on genes in another order: values differ"),
]


@pytest.mark.parametrize(("check_id", "Model", "pattern"), BROKEN, ids=broken_ids(BROKEN))
def test_a_broken_model_is_caught(check_id, Model, pattern):
    assert_caught(check_id, Model, pattern)
