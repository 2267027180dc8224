"""Variational autoencoders of cells: a cell is encoded, moved in the latent space, and decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi.module.base import auto_move_data
from torch import nn

from altercell.errors import DataError, GroupError
from altercell.models.base._arithmetic import LatentArithmetic, Types, Weights
from altercell.models.base._cells import Cells
from altercell.models.base._draws import CountDraws
from altercell.models.base._latent import LatentModel
from altercell.models.base._likelihood import GeneLikelihood, LikelihoodModel, LikelihoodModule, Output
from altercell.models.base._request import Request, Way, label_list
from altercell.models.base._response import ResponseModel
from altercell.models.base._schema import as_list
from altercell.nn import CountDecoder, OutputActivation, ValueDecoder


class AutoencoderModule(LikelihoodModule):
    """An encoder and a decoder, neither of which reads a group; the loss is the method's own.

    A method makes the two networks: ``encoder`` returns the mean and the variance of q(z | x) and a sample of it,
    ``decoder`` is a :class:`~altercell.nn.ValueDecoder` or, for counts, a :class:`~altercell.nn.CountDecoder`.

    Parameters
    ----------
    n_conditions, n_labels, n_latent
        Sizes of the buffers of group means.
    gene_likelihood, totals_over_all_genes
        See :class:`LikelihoodModule`.
    """

    encoder: nn.Module
    decoder: ValueDecoder | CountDecoder

    def __init__(
        self,
        n_conditions: int,
        n_labels: int,
        n_latent: int,
        gene_likelihood: GeneLikelihood = "gaussian",
        totals_over_all_genes: bool = False,
    ) -> None:
        super().__init__(gene_likelihood, totals_over_all_genes)
        self.n_latent = n_latent
        self.register_buffer("latent_means", torch.zeros(n_conditions, n_labels, n_latent))
        self.register_buffer("group_sizes", torch.zeros(n_conditions, n_labels))

    def make_decoder(
        self, n_hidden: Sequence[int], n_genes: int, *, dropout_rate: float, output_activation: OutputActivation
    ) -> ValueDecoder | CountDecoder:
        """Return the decoder of the likelihood.

        Parameters
        ----------
        n_hidden
            Widths of the hidden blocks.
        n_genes
            Number of genes.
        dropout_rate
            Of the hidden blocks.
        output_activation
            Of a Gaussian's mean.
        """
        if self.gene_likelihood == "gaussian":
            return ValueDecoder(
                self.n_latent, n_hidden, n_genes, dropout_rate=dropout_rate, output_activation=output_activation
            )
        return CountDecoder(
            self.n_latent,
            n_hidden,
            n_genes,
            dropout_rate=dropout_rate,
            rest=self.totals_over_all_genes,
            zero_inflated=self.gene_likelihood == "zinb",
        )

    def _get_inference_input(self, tensors: dict[str, torch.Tensor], **kwargs: object) -> dict[str, Any]:
        return self.read(tensors)

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict[str, torch.Tensor], **kwargs: object
    ) -> dict[str, Any]:
        return {"z": inference_outputs["z"], "size_factor": inference_outputs["size_factor"]}

    @auto_move_data
    def inference(self, x: torch.Tensor, size_factor: torch.Tensor | None = None) -> dict[str, Any]:
        """Encode: q(z | x) and a sample of it.

        Parameters
        ----------
        x
            Cells, shape ``(n_cells, n_genes)``.
        size_factor
            Total counts, shape ``(n_cells, 1)``; None for log data, or for the sum of the genes.

        Returns
        -------
        ``qzm`` and ``qzv``, the mean and variance, and ``z``, the sample, each ``(n_cells, n_latent)``; the size
        factor.
        """
        x, size_factor = self.encoder_input(x, size_factor)
        mean, variance, z = self.encoder(x)  # (n_cells, n_latent) each
        return {"qzm": mean, "qzv": variance, "z": z, "size_factor": size_factor}

    @auto_move_data
    def generative(self, z: torch.Tensor, size_factor: torch.Tensor | None = None) -> dict[str, Any]:
        """Decode latent points.

        Parameters
        ----------
        z
            Latent points, shape ``(n_cells, n_latent)``.
        size_factor
            Total counts, shape ``(n_cells, 1)``, for count likelihoods.

        Returns
        -------
        ``mean``, the expected cells ``(n_cells, n_genes)``, and for counts ``theta`` ``(n_genes,)`` and ``zi_logits``.
        """
        if self.gene_likelihood == "gaussian":
            return {"mean": self.decoder(z), "theta": None, "zi_logits": None}
        mean, theta, zi_logits = self.decoder(z, size_factor)
        return {"mean": mean, "theta": theta, "zi_logits": zi_logits}


class Autoencoder(LikelihoodModel, LatentModel, LatentArithmetic, ResponseModel):
    """A model of an :class:`AutoencoderModule`, which predicts by arithmetic in its latent space."""

    _predict_options: ClassVar[tuple[str, ...]] = ("delta", "weights", "types", "output", "nearest", "nearest_to")

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
        delta: np.ndarray | None = None,
        weights: Weights = "balanced",
        types: Types = "shared",
        nearest: int | None = None,
        output: Output = "model",
        cells: Way | None = None,
        reference: AnnData | MuData | None = None,
    ) -> AnnData:
        """Predict what cells of condition `source` would look like under condition `target`: decode(mu(x) + delta).

        Parameters
        ----------
        adata, source, target, labels, indices, batch_size, path, cells, reference
            See :meth:`altercell.models.base.ResponseModel.predict`.
        seed
            Seed of ``weights="resampled"``, and of cells that are drawn.
        delta
            A latent difference of your own, shape ``(n_latent,)``; the three arguments that follow are then not used.
        weights, types
            How cells and which types enter the delta; see :meth:`get_delta`. With ``"similarity"`` each asked type has
            a delta of its own.
        nearest
            Only the delta of so many types nearest to the asked one; asks for a single label in `labels`.
        output
            ``"model"``: the space that the model works on; ``"log"``: log1p of expected counts per 10,000.

        Returns
        -------
        One predicted cell for each source cell.
        """
        self._require_conditions()
        self._check_output(output)
        wanted = label_list(labels)
        if nearest is not None and (wanted is None or len(wanted) != 1):
            raise GroupError("nearest= needs the one cell type to be near to; give it as labels=")
        if delta is not None and as_list(target) is not None:
            raise GroupError("delta= is the step to one condition; give that as target=, not a list")
        options: dict[str, Any] = {"delta": delta, "weights": weights, "types": types, "output": output}
        if nearest is not None and wanted is not None:
            options |= {"nearest": nearest, "nearest_to": wanted[0]}
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
            **options,
        )

    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.module.inference(batch["X"], self._given_total(batch))
        return outputs["qzm"], outputs["qzv"]

    def _decode(self, z: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        self._needs_total(size_factor)
        return self.module.expected(self.module.generative(z, size_factor))

    def _reads_seed(self, **options: Any) -> bool:
        return options["delta"] is None and isinstance(options["weights"], str) and options["weights"] == "resampled"

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        deltas, place = self._asked_deltas(cells, request, options)
        return self._moved_by(deltas, place, cells, request, options["output"])

    def _unshifted(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        still, place = np.zeros((1, self.module.n_latent), dtype=np.float32), np.zeros(len(cells), dtype=np.int64)
        return self._moved_by(still, place, cells, request, options["output"])

    def _moved_by(
        self, deltas: np.ndarray, place: np.ndarray, cells: Cells, request: Request, output: Output
    ) -> Iterator[np.ndarray]:
        """Yield the cells decoded at their latent points, each moved by the delta at its place."""
        draws = CountDraws(request.seed) if request.way == "sampled" else None
        for positions, batch in cells.batches(request.batch_size):
            moved = self._to_device(batch)
            totals, step = moved.get("size_factor"), torch.from_numpy(deltas[place[positions]]).to(self.module.device)
            self._needs_total(totals)
            decoded = self.module.generative(self._encode(moved)[0] + step, totals)
            yield self._to_output(self._drawn(decoded, draws), moved, output).cpu().numpy()

    def _asked_deltas(
        self, cells: Cells, request: Request, options: Mapping[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the deltas, float32 of shape (n_deltas, n_latent), and which of them each cell takes."""
        if options["delta"] is not None:
            delta = np.asarray(options["delta"], dtype=np.float32)
            if delta.shape != (self.module.n_latent,):
                raise DataError(f"delta has shape {delta.shape}; the latent space has ({self.module.n_latent},)")
            return delta[None], np.zeros(len(cells), dtype=np.int64)
        near = {name: options.get(name) for name in ("nearest", "nearest_to")}
        return self._weighted_deltas(cells, request, options["weights"], options["types"], **near)
