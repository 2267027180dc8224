"""A model that reads all cells at once, in a file of its own so that another process can import it."""

import torch

from altercell.models.baselines import MeanShift


class Hoarder(MeanShift):
    """Both training and prediction hold a dense copy of all cells."""

    def train(self):
        self.held = torch.from_numpy(self.adata.X[:].toarray())
        super().train()

    def _predicted(self, cells, request):
        yield from list(super()._predicted(cells, request))
