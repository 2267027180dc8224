"""Count models on a choice of genes: the total is over all genes, or log output is refused."""

import numpy as np
import pytest
from anndata import AnnData

import altercell as ac
from altercell.errors import DataError

ASK = {"source": "control", "target": "stimulated", "labels": "type_0", "output": "log"}


@pytest.fixture(scope="module")
def chosen() -> AnnData:
    cells = ac.data.normalize(ac.datasets.simulate_response(n_cells=200, n_genes=80, n_types=2, seed=3))
    return ac.data.select_genes(cells, 20)


def test_the_decoder_starts_at_the_share_that_the_genes_have(chosen: AnnData) -> None:
    ac.ScGen.setup_anndata(chosen, layer="counts", batch_key="condition", size_factor_key="size_factor")
    module = ac.ScGen(chosen, gene_likelihood="nb", n_hidden=8, n_latent=2).module
    bias = module.decoder.share.bias.detach().numpy().astype(float)
    kept = 20 / (20 + np.exp(bias[-1]))
    observed = chosen.layers["counts"].sum() / chosen.obs["size_factor"].sum()
    assert kept == pytest.approx(observed, rel=1e-3)
    assert observed < 0.9


def test_log_output_without_the_total_over_all_genes_is_refused(chosen: AnnData) -> None:
    cells = chosen.copy()
    ac.ScGen.setup_anndata(cells, layer="counts", batch_key="condition", labels_key="cell_type")
    with pytest.warns(UserWarning, match="the sum over 20 of 80 genes"):
        model = ac.ScGen(cells, gene_likelihood="nb", n_hidden=8, n_latent=2)
    model.train(1, enable_progress_bar=False)
    with pytest.raises(DataError, match="output='log' needs each cell's total over all genes"):
        model.predict(**ASK)
