"""SCVI: AnnData in, AnnData out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi.distributions import Poisson
from scvi.model import get_max_epochs_heuristic

from altercell._random import isolated_rng
from altercell.errors import check_choice
from altercell.models.base import (
    INFERENCE_BATCH,
    AltercellModel,
    Cells,
    ConditionalDecoding,
    CountDraws,
    LikelihoodModel,
    Output,
    Request,
    ResponseModel,
    TrainingMixin,
    Way,
)
from altercell.models.scvi._module import ScviModule

CountLikelihood = Literal["zinb", "nb", "poisson"]
Dispersion = Literal["gene", "gene-batch", "gene-cell"]


class SCVI(LikelihoodModel, ConditionalDecoding, ResponseModel, TrainingMixin, AltercellModel):
    """scVI's counterfactuals, the ``transform_batch`` of scvi-tools, as a baseline :cite:p:`Lopez2018,Gayoso2022`.

    The condition is scVI's batch: what is decoded under the target is what scVI takes to be a cell's state once the
    condition is accounted for. Network and loss are scvi-tools' own, with its defaults; the model works on counts. A
    cell's total is the sum over the registered genes, as in scvi-tools, also where `size_factor_key` is given: that
    only tells ``predict(output="log")`` how large the cell is over all genes.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_hidden, n_latent, n_layers
        Width of the hidden blocks, dimensions of the latent space, and number of hidden blocks on each side.
    dropout_rate
        Dropout of the encoder's hidden blocks; the decoder has none.
    dispersion
        One of

        * ``"gene"``: one for each gene;
        * ``"gene-batch"``: one for each gene and condition;
        * ``"gene-cell"``: one for each gene and cell, read from the latent point.
    gene_likelihood
        One of

        * ``"zinb"``: zero-inflated negative binomial (the default of scvi-tools); the technical zeros thin what is
          predicted;
        * ``"nb"``: negative binomial;
        * ``"poisson"``: Poisson.
    encode_covariates
        Whether the encoder sees the condition too.
    seed
        Seed of the initial weights, and of training where that is given none.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0)
    >>> ac.SCVI.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.SCVI(adata, n_hidden=32, gene_likelihood="nb")
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(source="control", target="stimulated", output="log").n_vars
    100
    """

    #: scvi-tools' own: Adam, and the weight of the divergence rising from 0 to 1 over 400 epochs.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {
        "lr": 1e-3,
        "eps": 0.01,
        "weight_decay": 1e-6,
        "n_epochs_kl_warmup": 400,
    }

    _predict_options: ClassVar[tuple[str, ...]] = ("output",)

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: int = 128,
        n_latent: int = 10,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        dispersion: Dispersion = "gene",
        gene_likelihood: CountLikelihood = "zinb",
        encode_covariates: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("dispersion", dispersion, get_args(Dispersion))
        self._check_values(gene_likelihood)
        with isolated_rng(seed):
            self.module = ScviModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                n_hidden=n_hidden,
                n_latent=n_latent,
                n_layers=n_layers,
                dropout_rate=dropout_rate,
                dispersion=dispersion,
                gene_likelihood=gene_likelihood,
                encode_covariates=encode_covariates,
            )
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int = 128,
        early_stopping: bool = False,
        **kwargs: Any,
    ) -> None:
        """Train the model; the defaults are those of scvi-tools.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, at most; None for scvi-tools' rule: 400, and above 20,000 cells
            proportionally fewer.
        batch_size
            Cells a step.
        early_stopping
            Whether to stop when the validation loss no longer falls, and to keep the best epoch's weights. That loss
            has the divergence at its full weight, whatever weight the warm-up has reached.
        **kwargs
            `train_size`, `early_stopping_patience`, `seed`, `accelerator`, `devices`, `resume_dir`, `datamodule`,
            `plan_kwargs`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`. The warm-up
            of the divergence is ``plan_kwargs={"n_epochs_kl_warmup": 400}``, None for none; its final weight is
            ``max_kl_weight`` there.
        """
        epochs = get_max_epochs_heuristic(int(self.summary_stats["n_cells"])) if max_epochs is None else max_epochs
        super().train(epochs, batch_size=batch_size, early_stopping=early_stopping, **kwargs)

    def predict(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        adata: AnnData | MuData | None = None,
        *,
        source: object,
        target: object,
        labels: object | Sequence[object] | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
        path: str | Path | None = None,
        output: Output = "model",
        cells: Way | None = None,
        reference: AnnData | MuData | None = None,
    ) -> AnnData:
        """Predict what cells of condition `source` would look like under condition `target`: decode(mu(x), target).

        Parameters
        ----------
        adata, source, target, labels, indices, batch_size, path, cells, reference
            See :meth:`altercell.models.base.ResponseModel.predict`. Expected counts have no counting noise, and in log
            space they lie above the mean of measured cells: ``cells="sampled"`` draws each cell's counts from the
            likelihood, for where predicted cells are scored against measured ones.
        seed
            Seed of the counts that are drawn.
        output
            ``"model"``: expected counts, at the source cell's total of the model's genes; ``"log"``: log1p of them per
            10,000 of the source cell's counts over all genes, which ``size_factor_key`` of :meth:`setup_anndata`
            tells. Either way the share of the counts that falls on the model's genes stays that of the source cell.

        Returns
        -------
        One predicted cell for each source cell.
        """
        self._check_output(output)
        return super().predict(
            adata,
            source=source,
            target=target,
            labels=labels,
            indices=indices,
            batch_size=batch_size,
            seed=seed,
            path=path,
            cells=cells,
            reference=reference,
            output=output,
        )

    def decode(
        self,
        latent: np.ndarray,
        *,
        condition: object = None,
        size_factor: np.ndarray | None = None,
        batch_size: int = INFERENCE_BATCH,
    ) -> np.ndarray:
        """Decode latent points of your own making under a condition.

        Parameters
        ----------
        latent, condition, batch_size
            See :meth:`altercell.models.base.ConditionalDecoding.decode`.
        size_factor
            Total counts of the model's own genes, shape ``(n_cells,)``: scVI shares a cell's total among the registered
            genes alone, whether `size_factor_key` was given or not.

        Returns
        -------
        Expected counts, float32 of shape ``(n_cells, n_genes)``, genes in the model's order.
        """
        return super().decode(latent, condition=condition, size_factor=size_factor, batch_size=batch_size)

    def _check_values(self, gene_likelihood: str) -> None:
        check_choice("gene_likelihood", gene_likelihood, get_args(CountLikelihood))
        self._require_counts()
        self._warn_of_subset()

    def _latent_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None = None) -> Cells:
        return self.cells(adata, rows, size_factors=True, groups=self.module.encode_covariates)

    def _predict_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None) -> Cells:
        return self.cells(adata, rows, size_factors=True)

    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        x = batch["X"]
        own = batch.get("batch", torch.zeros(len(x), 1, dtype=torch.int64, device=x.device))
        return self.module.posterior(x, own)

    def _decode(  # type: ignore[override] # as in ConditionalDecoding
        self, z: torch.Tensor, size_factor: torch.Tensor | None, condition: torch.Tensor
    ) -> torch.Tensor:
        self._needs_total(size_factor)
        return self.module.decoded(z, cast("torch.Tensor", size_factor), condition).mean

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        return self._decoded_under(request.target, cells, request, options["output"])

    def _unshifted(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        return self._decoded_under(request.source, cells, request, options["output"])

    def _decoded_under(self, condition: int, cells: Cells, request: Request, output: Output) -> Iterator[np.ndarray]:
        """Yield the cells encoded under the source and decoded under a condition."""
        draws = CountDraws(request.seed) if request.way == "sampled" else None
        for _, batch in cells.batches(request.batch_size):
            moved = self._to_device(batch)
            z, code = self._source_points(moved, request, condition)
            px = self.module.decoded(z, moved["X"].sum(1, keepdim=True), code)
            values = px.mean if draws is None else draws(*_parameters(px))
            yield self._to_output(values, moved, output).cpu().numpy()


def _parameters(px: Any) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Return mean, inverse dispersion and logits of a technical zero; None for what the likelihood does not have."""
    if isinstance(px, Poisson):
        return px.rate, None, None
    return px.mu, px.theta, getattr(px, "zi_logits", None)
