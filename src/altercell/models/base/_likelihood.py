"""Log data or counts: what a model and its module share when a gene's likelihood can be chosen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial
from scvi.module.base import BaseModuleClass

from altercell.errors import DataError, check_choice
from altercell.losses import half_squared_error
from altercell.models.base._cells import Cells
from altercell.models.base._draws import CountDraws
from altercell.models.base._latent import INFERENCE_BATCH
from altercell.models.base._request import Request, Way
from altercell.models.base._response import COUNT_SCALE
from altercell.nn import CountDecoder

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

GeneLikelihood = Literal["gaussian", "nb", "zinb"]
Output = Literal["model", "log"]

# Counts enter the encoder as log1p of counts per 10,000, so that a cell's depth is not part of its latent point.
ENCODER_TOTAL = COUNT_SCALE
LOG_SPACE = "log1p of counts per 10,000"


class LikelihoodModule(BaseModuleClass):
    """A module that models log data with a unit Gaussian, or counts with a (zero-inflated) negative binomial.

    Parameters
    ----------
    gene_likelihood
        ``"gaussian"`` on log data; ``"nb"`` or ``"zinb"`` on counts.
    totals_over_all_genes
        Whether size factors count genes that are not among the registered ones.
    """

    def __init__(self, gene_likelihood: GeneLikelihood = "gaussian", totals_over_all_genes: bool = False) -> None:
        super().__init__()
        self.gene_likelihood = gene_likelihood
        self.totals_over_all_genes = totals_over_all_genes and gene_likelihood != "gaussian"

    def read(self, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the cells and their totals, as :meth:`encoder_input` takes them.

        Parameters
        ----------
        tensors
            A batch.
        """
        # Data modules of others carry a size relative to the batch's mean, which is no total.
        return {"x": tensors["X"], "size_factor": tensors["size_factor"] if self.totals_over_all_genes else None}

    def encoder_input(
        self, x: torch.Tensor, size_factor: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the encoder sees of the cells, and their totals where there are any.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        size_factor
            Total counts, shape ``(n_cells, 1)``; None for log data, or for the sum of the genes.

        Returns
        -------
        Log values, shape ``(n_cells, n_genes)``, and the totals ``(n_cells, 1)``; None for log data.
        """
        if self.gene_likelihood == "gaussian":
            return x, size_factor
        size_factor = x.sum(1, keepdim=True) if size_factor is None else size_factor
        return torch.log1p(x / size_factor * ENCODER_TOTAL), size_factor

    def expected(self, generative_outputs: dict[str, Any]) -> torch.Tensor:
        """Return the expected values of decoded cells: the mean, thinned by the technical zeros where there are any.

        Parameters
        ----------
        generative_outputs
            ``mean`` ``(n_cells, n_genes)``, and for counts ``theta`` ``(n_genes,)`` and ``zi_logits``.
        """
        mean, zi_logits = generative_outputs["mean"], generative_outputs["zi_logits"]
        return mean if zi_logits is None else mean * torch.sigmoid(-zi_logits)

    def reconstruction(self, x: torch.Tensor, generative_outputs: dict[str, Any]) -> torch.Tensor:
        """Return the negative log-likelihood of each cell (of a Gaussian: up to a constant), shape ``(n_cells,)``.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        generative_outputs
            As in :meth:`expected`.
        """
        mean, theta, zi_logits = (generative_outputs[key] for key in ("mean", "theta", "zi_logits"))
        if self.gene_likelihood == "gaussian":
            return half_squared_error(x, mean)
        if self.gene_likelihood == "nb":
            return -NegativeBinomial(mu=mean, theta=theta, validate_args=False).log_prob(x).sum(-1)
        return (
            -ZeroInflatedNegativeBinomial(mu=mean, theta=theta, zi_logits=zi_logits, validate_args=False)
            .log_prob(x)
            .sum(-1)
        )


class LikelihoodModel(Base):
    """A model of log data or of counts, as its module's ``gene_likelihood`` says.

    Where totals are over all genes, the module's ``decoder`` is a :class:`~altercell.nn.CountDecoder`.
    """

    def _check_values(self, gene_likelihood: str) -> None:
        """Refuse a likelihood that there is not, or one that does not fit the registered values."""
        check_choice("gene_likelihood", gene_likelihood, get_args(GeneLikelihood))
        if gene_likelihood == "gaussian":
            self._require_log()
        else:
            self._require_counts()
            self._warn_of_subset()

    @property
    def counts(self) -> bool:
        """Whether the model works on counts."""
        return self.module.gene_likelihood != "gaussian"

    def _check_output(self, output: str) -> None:
        check_choice("output", output, get_args(Output))
        if output == "log" and self.counts and self._total_is_of_a_subset():
            raise DataError(
                "output='log' needs each cell's total over all genes, and this model was set up on a choice of genes "
                "without size_factor_key=; set it up with size_factor_key='size_factor' (altercell.data writes it)"
            )

    def _start_at_observed_share(self) -> None:
        """Start the decoder where these genes have the share of the counts that they have in the data.

        Left at zero, the genes that are not among them would start at one share in n_genes + 1, and take long to learn.
        """
        if not self.module.totals_over_all_genes or self.adata is None:
            return
        batch = self.cells(size_factors=True)[slice(0, INFERENCE_BATCH)]
        share = float((batch["X"].sum() / batch["size_factor"].sum()).clamp(1e-4, 1 - 1e-4))
        with torch.no_grad():
            cast(CountDecoder, self.module.decoder).share.bias[-1] = math.log(
                len(self.schema.genes) * (1 - share) / share
            )

    def _warn_of_subset(self) -> None:
        if self.schema.size_factor_key is not None or self.adata is None:
            return
        adata = self.schema.anndata(self.adata)
        total = dict(adata.uns.get("altercell", {})).get("n_genes_total", adata.n_vars)
        if int(total) > adata.n_vars:
            warnings.warn(
                f"a cell's total is the sum over {adata.n_vars} of {total} genes; name the total over all "
                "genes with size_factor_key= "
                "(altercell.data writes it to obs['size_factor'])",
                UserWarning,
                stacklevel=4,
            )

    def _training_cells(self) -> Cells:
        return self.cells(groups=True, size_factors=self.counts)

    def _latent_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None = None) -> Cells:
        return self.cells(adata, rows, size_factors=self.counts)

    def _predict_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None) -> Cells:
        return self._latent_cells(adata, rows)

    def _given_total(self, batch: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """Return the totals that the encoder divides by; None where they are the sum of the genes."""
        return batch.get("size_factor") if self.schema.size_factor_key else None

    def _needs_total(self, size_factor: torch.Tensor | None) -> None:
        if self.counts and size_factor is None:
            raise DataError("a count model decodes to counts of a total; give size_factor=")

    def _answer_space(self, **options: Any) -> str:
        return LOG_SPACE if self.counts and options.get("output") == "log" else self.space

    @property
    def works_on_counts(self) -> bool:
        """Whether the model is set up on counts, rather than on log data."""
        return self.counts

    @property
    def cell_ways(self) -> tuple[Way, ...]:
        """The ways to make cells of a prediction that the model offers, its own first; see ``predict``."""
        return (*self._log_ways(), "sampled") if self.counts else super().cell_ways

    def _log_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.counts:
            self._check_output("log")
        return {**options, "output": "log"}

    def _way_space(self, way: Way, **options: Any) -> str:
        return self._answer_space(**(self._log_options(options) if way == "residual" else options))

    def _doubts(self, cells: Cells, request: Request, **options: Any) -> list[str]:
        doubts = super()._doubts(cells, request, **options)
        if self.counts and request.way == "decoded" and options.get("output") == "log":
            doubts.append(
                "these are logarithms of expected counts, which lie above the mean of measured cells' logarithms; "
                "cells='sampled' draws counts, which compare with measured cells"
            )
        return doubts

    def _drawn(self, outputs: Mapping[str, Any], draws: CountDraws | None) -> torch.Tensor:
        """Return expected cells, or with `draws` counts drawn from the likelihood."""
        if draws is None:
            return self.module.expected(dict(outputs))
        return draws(outputs["mean"], outputs["theta"], outputs["zi_logits"])

    def _to_output(self, values: torch.Tensor, batch: dict[str, torch.Tensor], output: str) -> torch.Tensor:
        """Return decoded values as they were asked for: as they are, or counts as log1p of counts per 10,000."""
        if self.counts and output == "log":
            return torch.log1p(values / batch["size_factor"] * ENCODER_TOTAL)
        return values
