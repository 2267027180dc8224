"""TrVAE: AnnData in, AnnData out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from torch.utils.data import Sampler

from altercell._random import isolated_rng
from altercell.errors import DataError, check_choice
from altercell.models.base import (
    INFERENCE_BATCH,
    AltercellModel,
    Cells,
    ConditionalDecoding,
    CountDraws,
    GeneLikelihood,
    LikelihoodModel,
    Output,
    Request,
    ResponseModel,
    TrainingMixin,
    Way,
)
from altercell.models.trvae._module import Estimator, MMDLayer, TrVAEModule
from altercell.models.trvae._networks import BatchNorm
from altercell.models.trvae._parts import Network
from altercell.models.trvae._surgery import Surgery
from altercell.nn import OutputActivation
from altercell.train import EpochBatches, StratifiedBatches
from altercell.train._loader import VALIDATION_BATCH


class TrVAE(Surgery, LikelihoodModel, ConditionalDecoding, ResponseModel, TrainingMixin, AltercellModel):
    """trVAE: a conditional autoencoder, its decoder's first layer alike across conditions :cite:p:`Lotfollahi2020`.

    The defaults are those of the paper's Table 3. The paper's other networks are the same class with other arguments:
    :class:`~altercell.CVAE`, :class:`~altercell.MMDCVAE`, :class:`~altercell.MMDAutoencoder`.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_hidden
        Widths of the encoder's hidden blocks; the decoder mirrors them, and the last one is the MMD layer. None:
        (800, 800, 128). Of image networks only the last width is read (None: 128, ``"unet"``: 256).
    n_latent
        Dimensions of the latent space. None: 50 (``"unet"``: 60).
    dropout_rate
        Dropout of every hidden block.
    reconstruction_weight, kl_weight, mmd_weight
        The paper's eta, alpha and beta.
    mmd_on
        One of

        * ``"decoder"``: the decoder's first layer (the paper);
        * ``"latent"``: the latent space.
    kernel_widths
        Widths of the kernels ``exp(-d^2 / 2 w)``; None for the 19 of the authors' code, from 1e-6 to 1e6.
    kernel_mean
        Whether the kernels are averaged (the authors' code, which made the paper's numbers) or summed (equation 3).
    mmd_estimator
        ``"v"``: equation 2, pairs of a cell with itself included; ``"u"``: without them, unbiased.
    gene_likelihood
        One of

        * ``"gaussian"``: log data, squared error (the paper);
        * ``"nb"``, ``"zinb"``: counts, (zero-inflated) negative binomial.
    output_activation
        Of the Gaussian decoder: ``"relu"`` (the paper), ``"linear"`` or ``"softplus"``.
    network
        ``"mlp"``: Table 3; ``"conv"``: Table 1, small images; ``"unet"``: Table 2, images of 64 x 64 pixels.
    image_shape
        (channels, height, width) of the images, needed for them; they are the flattened rows of X.
    variational
        Whether q(z | x, s) has a variance; without one it is an autoencoder, and there is no divergence.
    batch_norm
        Whether ``"all"`` hidden blocks have a batch norm, or only the ``"first"``.
    n_reference_conditions
        What :meth:`load_query_data` notes: how many conditions there were before each study that was added.
    seed
        Seed of the initial weights, and of training where that is given none.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> ac.TrVAE.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.TrVAE(adata, n_hidden=(32, 16), n_latent=8)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(source="control", target="stimulated").n_vars
    100
    """

    #: The paper's optimiser: Adam with a step of 1e-3, and the epsilon of the framework that it was written in.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "eps": 1e-7, "weight_decay": 0.0}

    _predict_options: ClassVar[tuple[str, ...]] = ("output",)

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: Sequence[int] | None = None,
        n_latent: int | None = None,
        dropout_rate: float = 0.2,
        reconstruction_weight: float = 100.0,
        kl_weight: float = 1e-5,
        mmd_weight: float = 100.0,
        mmd_on: MMDLayer = "decoder",
        kernel_widths: Sequence[float] | None = None,
        kernel_mean: bool = True,
        mmd_estimator: Estimator = "v",
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "relu",
        network: Network = "mlp",
        image_shape: Sequence[int] | None = None,
        variational: bool = True,
        batch_norm: BatchNorm = "all",
        n_reference_conditions: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        if network != "mlp" and gene_likelihood == "gaussian":
            self._require_pixels()
        else:
            self._check_values(gene_likelihood)
        for name, value, choices in (
            ("mmd_on", mmd_on, MMDLayer),
            ("mmd_estimator", mmd_estimator, Estimator),
            ("output_activation", output_activation, OutputActivation),
            ("network", network, Network),
            ("batch_norm", batch_norm, BatchNorm),
        ):
            check_choice(name, value, get_args(choices))
        if gene_likelihood == "gaussian":
            self._require_reachable(output_activation)
        if network != "mlp" and image_shape is None:
            raise DataError(
                f"network='{network}' needs image_shape=(channels, height, width), such as adata.uns['image_shape']"
            )
        _check_numbers(n_hidden, kernel_widths, reconstruction_weight, kl_weight, mmd_weight)
        with isolated_rng(seed):
            self.module = TrVAEModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                n_hidden=n_hidden,
                n_latent=n_latent,
                dropout_rate=dropout_rate,
                reconstruction_weight=reconstruction_weight,
                kl_weight=kl_weight,
                mmd_weight=mmd_weight,
                mmd_on=mmd_on,
                kernel_widths=kernel_widths,
                kernel_mean=kernel_mean,
                mmd_estimator=mmd_estimator,
                gene_likelihood=gene_likelihood,
                output_activation=output_activation,
                network=network,
                image_shape=image_shape,
                variational=variational,
                batch_norm=batch_norm,
                totals_over_all_genes=self.schema.size_factor_key is not None,
                n_reference_conditions=n_reference_conditions,
            )
        self._start_at_observed_share()
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def train(
        self, max_epochs: int = 500, *, batch_size: int = 512, early_stopping_patience: int = 50, **kwargs: Any
    ) -> None:
        """Train the model on batches with equal shares of all conditions, as far as each has cells for its share.

        The paper trains for 5,000 epochs; ours stop where the loss of validation cells (a random tenth of the training
        cells) has not fallen for `early_stopping_patience` epochs, and the best epoch's weights are kept.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, at most. A pass has as many batches as there are cells for, but a rare
            condition's cells come more than once in it, a common one's not all.
        batch_size
            Cells a step. The paper's: 512.
        early_stopping_patience
            Epochs without a lower validation loss before training stops.
        **kwargs
            `train_size`, `early_stopping`, `seed`, `accelerator`, `devices`, `resume_dir`, `datamodule`,
            `plan_kwargs`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.
        """
        super().train(max_epochs, batch_size=batch_size, early_stopping_patience=early_stopping_patience, **kwargs)

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
        """Predict what cells of condition `source` would look like under `target`: g(E[z | x, source], target).

        Parameters
        ----------
        adata, source, target, labels, indices, batch_size, seed, path, cells, reference
            See :meth:`altercell.models.base.ResponseModel.predict`; only cells that are drawn are random.
        output
            ``"model"``: the space that the model works on; ``"log"``: log1p of expected counts per 10,000.

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

    def get_mmd_representation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = INFERENCE_BATCH,
    ) -> np.ndarray:
        """Return the activations of the decoder's first layer, each cell under its own condition (Figure 2).

        Parameters
        ----------
        adata
            Cells; their genes are aligned by name. None for the registered ones.
        indices
            Row numbers or a mask of the cells; None for all.
        batch_size
            Cells a batch.

        Returns
        -------
        y = g1(E[z | x, s], s), float32 of shape ``(n_cells, n_mmd)``.
        """
        cells = self._latent_cells(adata, indices)
        with self._inference():
            blocks = [self._first_layer(batch) for _, batch in cells.batches(batch_size)]
        return np.concatenate(blocks) if blocks else np.empty((0, self.module.n_mmd), dtype=np.float32)

    def _first_layer(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        moved = self._to_device(batch)
        return self.module.first_layer(self._encode(moved)[0], moved["batch"]).cpu().numpy()

    def _train_batches(
        self, cells: Cells, train_idx: np.ndarray, batch_size: int, seed: int, first_epoch: int
    ) -> Sampler[np.ndarray]:
        conditions = _conditions(cells)[train_idx]
        return StratifiedBatches(train_idx, conditions, batch_size, seed, first_epoch)

    def _validation_batches(
        self, cells: Cells, val_idx: np.ndarray, batch_size: int, seed: int
    ) -> Sampler[np.ndarray] | None:
        # Shuffled once: in the order of the table a batch may hold one condition only, which has no MMD.
        mixed = np.random.default_rng(seed).permutation(val_idx)
        return EpochBatches(mixed, max(batch_size, VALIDATION_BATCH))

    def _latent_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None = None) -> Cells:
        return self.cells(adata, rows, groups=True, size_factors=self.counts)

    def _predict_cells(self, adata: AnnData | MuData | None, rows: Sequence[int] | np.ndarray | None) -> Cells:
        # Cells of conditions that training has not seen may stand beside those that are asked for.
        return self.cells(adata, rows, size_factors=self.counts)

    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.module.inference(batch["X"], batch["batch"], self._given_total(batch))
        return outputs["qzm"], outputs["qzv"]

    def _decode(  # type: ignore[override] # as in ConditionalDecoding
        self, z: torch.Tensor, size_factor: torch.Tensor | None, condition: torch.Tensor
    ) -> torch.Tensor:
        self._needs_total(size_factor)
        return self.module.expected(self.module.generative(z, condition, size_factor))

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        return self._decoded_under(request.target, cells, request, options["output"])

    def _unshifted(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        return self._decoded_under(request.source, cells, request, options["output"])

    def _decoded_under(self, condition: int, cells: Cells, request: Request, output: Output) -> Iterator[np.ndarray]:
        """Yield the cells encoded under the source and decoded under a condition."""
        draws = CountDraws(request.seed) if request.way == "sampled" else None
        for _, batch in cells.batches(request.batch_size):
            moved = self._to_device(batch)
            totals = moved.get("size_factor")
            self._needs_total(totals)
            decoded = self.module.generative(*self._source_points(moved, request, condition), totals)
            yield self._to_output(self._drawn(decoded, draws), moved, output).cpu().numpy()


def _conditions(cells: Cells) -> np.ndarray:
    if cells.condition_codes is None:
        raise DataError("these cells were read without their conditions")
    return cells.condition_codes[cells.rows]


def _check_numbers(n_hidden: Sequence[int] | None, kernel_widths: Sequence[float] | None, *weights: float) -> None:
    if n_hidden is not None and (isinstance(n_hidden, int | str) or len(n_hidden) == 0 or min(n_hidden) < 1):
        raise DataError(f"n_hidden={n_hidden} must be the widths of the hidden blocks, for example (800, 800, 128)")
    if kernel_widths is not None and (not len(kernel_widths) or min(kernel_widths) <= 0):
        raise DataError(f"kernel_widths={kernel_widths} must be numbers above 0")
    if min(weights) < 0:
        raise DataError("reconstruction_weight, kl_weight and mmd_weight must not be negative")
