"""ScGen: AnnData in, AnnData out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from altercell._random import isolated_rng
from altercell.errors import DataError, GroupError, check_choice
from altercell.models.base import (
    AltercellModel,
    Cells,
    CountDraws,
    GeneLikelihood,
    LatentArithmetic,
    LatentModel,
    LikelihoodModel,
    Output,
    Request,
    ResponseModel,
    TrainingMixin,
    Types,
    Way,
    Weights,
)
from altercell.models.base._request import label_list
from altercell.models.base._schema import as_list
from altercell.models.scgen._generation import Generation
from altercell.models.scgen._integration import BatchRemoval
from altercell.models.scgen._linearity import Linearity
from altercell.models.scgen._module import KL, ScGenModule
from altercell.models.scgen._paths import Paths
from altercell.nn import OutputActivation

logger = logging.getLogger(__name__)


class ScGen(
    LikelihoodModel,
    LatentModel,
    LatentArithmetic,
    ResponseModel,
    Generation,
    BatchRemoval,
    Linearity,
    Paths,
    TrainingMixin,
    AltercellModel,
):
    """scGen: a variational autoencoder and vector arithmetic in its latent space :cite:p:`Lotfollahi2019`.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_hidden, n_layers, n_latent
        Width and number of hidden blocks on each side, and dimensions of the latent space. The paper's: 800, 2, 100.
    dropout_rate
        Dropout of the hidden blocks.
    kl_weight
        Weight of the divergence from the prior; half of it enters the loss, as in the paper's code.
    kl
        One of

        * ``"standard"``: the divergence from N(0, 1);
        * ``"variance_only"``: the paper's modified divergence (Supplemental Note 1.1).
    gene_likelihood
        One of

        * ``"gaussian"``: log data, squared error (the paper);
        * ``"nb"``, ``"zinb"``: counts, (zero-inflated) negative binomial.
    output_activation
        Of the Gaussian decoder: ``"linear"`` (the paper), ``"relu"`` or ``"softplus"``, which cannot be negative.
    seed
        Seed of the initial weights, and of training where that is given none.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> ac.ScGen.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.ScGen(adata, n_hidden=32, n_latent=8)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(source="control", target="stimulated").n_vars
    100
    """

    #: The paper's optimiser: Adam with the step, epsilon and weight decay of its code, no KL warm-up.
    _plan_defaults: ClassVar[Mapping[str, Any]] = {"lr": 1e-3, "eps": 0.01, "weight_decay": 1e-6}

    _predict_options: ClassVar[tuple[str, ...]] = ("delta", "weights", "types", "output", "nearest", "nearest_to")

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_hidden: int = 800,
        n_layers: int = 2,
        n_latent: int = 100,
        dropout_rate: float = 0.2,
        kl_weight: float = 5e-5,
        kl: KL = "standard",
        gene_likelihood: GeneLikelihood = "gaussian",
        output_activation: OutputActivation = "linear",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("kl", kl, get_args(KL))
        check_choice("output_activation", output_activation, get_args(OutputActivation))
        self._check_values(gene_likelihood)
        with isolated_rng(seed):
            self.module = ScGenModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                n_hidden=n_hidden,
                n_layers=n_layers,
                n_latent=n_latent,
                dropout_rate=dropout_rate,
                kl_weight=kl_weight,
                kl=kl,
                gene_likelihood=gene_likelihood,
                output_activation=output_activation,
                totals_over_all_genes=self.schema.size_factor_key is not None,
            )
        self._start_at_observed_share()
        if self.schema.labels_key is None:
            logger.info("no labels_key: the delta is unbalanced over cell types, since they are not known")
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def train(self, max_epochs: int = 100, *, batch_size: int = 32, **kwargs: Any) -> None:
        """Train the model; the defaults are the paper's code: batches of 32, 100 epochs, early stopping.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, at most.
        batch_size
            Cells a step. Larger batches are faster on large data.
        **kwargs
            `train_size`, `early_stopping`, `early_stopping_patience`, `seed`, `accelerator`, `devices`, `resume_dir`,
            `datamodule`, `plan_kwargs`, and arguments of the trainer; see :class:`altercell.models.base.TrainingMixin`.
        """
        super().train(max_epochs, batch_size=batch_size, **kwargs)

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
