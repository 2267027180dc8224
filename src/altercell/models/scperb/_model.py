"""ScPerb: AnnData in, AnnData out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from altercell._random import isolated_rng
from altercell.errors import DataError, GroupError, check_choice, listing
from altercell.models.base import AltercellModel, Cells, LatentArithmetic, LatentModel, Request, ResponseModel
from altercell.models.scperb._module import Delta, KLReduction, ScPerbModule
from altercell.models.scperb._style import LatentStyleEncoder
from altercell.models.scperb._training import PairedTraining, Pairing
from altercell.nn import OutputActivation
from altercell.train import Balance

logger = logging.getLogger(__name__)


class ScPerb(LatentModel, LatentArithmetic, ResponseModel, PairedTraining, AltercellModel):
    """scPerb: a variational autoencoder that learns the step from control to perturbed cells :cite:p:`Tang2024`.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    control
        The condition that every delta starts from, a value of ``obs[batch_key]``. It has to be named.
    n_hidden, n_layers, n_latent
        Width and number of hidden blocks on each side, and dimensions of the latent space. The paper's: 800, 2, 100.
    n_style
        Dimensions of each condition's random style vector; None for one a gene.
    dropout_rate
        Dropout of the hidden blocks.
    style_weight, kl_weight_control, kl_weight_perturbed, generation_weight
        Weights of the four terms of the loss, the paper's w1 to w4.
    kl_reduction
        A cell's divergence is one of

        * ``"mean"``: the mean over the latent dimensions (the published code, whose weights are the defaults);
        * ``"sum"``: their sum, n_latent times as much.
    smooth_l1_beta
        Where the smooth L1 loss passes from the square to the absolute value.
    delta
        One of

        * ``"constant"``: one latent difference for all cells of a condition (the paper);
        * ``"latent"``: a small network of the style and the cell's latent point.
    n_hidden_delta
        Width of that network.
    pairing
        How a control cell finds its partner of the same type. One of

        * ``"random"``: at random, anew each epoch;
        * ``"transport"``: at random among those that optimal transport sends it to, anew each epoch.
    balance
        The size that both arms of a type take each epoch: ``"larger"`` (the published code) or ``"smaller"``.
    output_activation
        Of the decoder: ``"linear"`` (the paper), ``"relu"`` or ``"softplus"``, which cannot be negative.
    seed
        Seed of the style vectors and of the initial weights, and of training where that is given none.

    Raises
    ------
    GroupError
        `control` is not given, or is no condition.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0))
    >>> ac.ScPerb.setup_anndata(adata, batch_key="condition", labels_key="cell_type")
    >>> model = ac.ScPerb(adata, control="control", n_hidden=32, n_latent=8)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(source="control", target="stimulated").n_vars
    100
    """

    #: ``weights=``: in place of the learned step, the difference of the types' latent means, weighted as in
    #: :meth:`altercell.models.base.LatentArithmetic.get_delta`; with ``"similarity"`` each asked type has its own.
    _predict_options: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        control: object = None,
        n_hidden: int = 800,
        n_layers: int = 2,
        n_latent: int = 100,
        n_style: int | None = None,
        dropout_rate: float = 0.2,
        style_weight: float = 1.0,
        kl_weight_control: float = 0.5 * 0.01,
        kl_weight_perturbed: float = 0.0,
        generation_weight: float = 1.0,
        kl_reduction: KLReduction = "mean",
        smooth_l1_beta: float = 1.0,
        delta: Delta = "constant",
        n_hidden_delta: int = 128,
        pairing: Pairing = "random",
        balance: Balance = "larger",
        output_activation: OutputActivation = "linear",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        for name, value, allowed in (
            ("kl_reduction", kl_reduction, get_args(KLReduction)),
            ("delta", delta, get_args(Delta)),
            ("pairing", pairing, get_args(Pairing)),
            ("balance", balance, get_args(Balance)),
            ("output_activation", output_activation, get_args(OutputActivation)),
        ):
            check_choice(name, value, allowed)
        if smooth_l1_beta < 0:
            raise DataError(f"smooth_l1_beta={smooth_l1_beta} must not be negative")
        self._require_log()
        self._require_reachable(output_activation)
        code = self._control_code(control)
        # A number of NumPy's is no plain data.
        control = control.item() if isinstance(control, np.generic) else control
        self.pairing, self.balance = pairing, balance
        with isolated_rng(seed):
            self.module = ScPerbModule(
                len(self.schema.genes),
                len(self.schema.conditions),
                len(self.schema.labels),
                code,
                n_hidden=n_hidden,
                n_layers=n_layers,
                n_latent=n_latent,
                n_style=n_style,
                dropout_rate=dropout_rate,
                style_weight=style_weight,
                kl_weight_control=kl_weight_control,
                kl_weight_perturbed=kl_weight_perturbed,
                generation_weight=generation_weight,
                kl_reduction=kl_reduction,
                smooth_l1_beta=smooth_l1_beta,
                delta=delta,
                n_hidden_delta=n_hidden_delta,
                output_activation=output_activation,
            )
        if self.schema.labels_key is None:
            logger.info("no labels_key: all cells are paired as if they were of one type")
        self._model_summary_string = repr(self)
        self.init_params_ = self._get_init_params(locals())

    def _control_code(self, control: object) -> int:
        if control is None:
            raise GroupError(
                f"{type(self).__name__} learns the step from one condition to each of the others: name it with "
                f"control=; there are {listing(self.schema.conditions)}"
            )
        return self.schema.condition_code(control, "control")

    def get_delta(  # type: ignore[override] # the step is learned, and no mean over types
        self, source: object, target: object, *, latent: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the learned latent step from one condition to another.

        Parameters
        ----------
        source, target
            The conditions.
        latent
            Points to take the step from, shape ``(n_cells, n_latent)``. With ``delta="constant"`` it is the same
            everywhere. None: with ``delta="latent"``, the step from the mean of the source's training cells.

        Returns
        -------
        float32 of shape ``(n_latent,)``; with `latent`, of ``(n_cells, n_latent)``.

        Raises
        ------
        GroupError
            An unknown condition, or one that has no training pairs.
        """
        self._check_trained()
        codes = {"source": self.schema.condition_code(source, "source")}
        codes["target"] = self.schema.condition_code(target, "target")
        self._check_seen(**codes)
        points = self._mean_point(codes["source"]) if latent is None else np.asarray(latent, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != self.module.n_latent:
            raise DataError(f"latent has shape {points.shape}; it must be (n_cells, {self.module.n_latent})")
        if not np.isfinite(points).all():
            raise DataError("latent holds NaN or infinite values")
        with self._inference():
            z = torch.from_numpy(np.ascontiguousarray(points)).to(self.module.device)
            steps = self.module.shift(z, codes["source"], codes["target"]).cpu().numpy()
        return steps[0] if latent is None else steps

    def _mean_point(self, condition: int) -> np.ndarray:
        """Return the mean of a condition's training cells in the latent space, shape ``(1, n_latent)``."""
        sizes, means = (getattr(self.module, name)[condition].cpu().numpy() for name in ("group_sizes", "latent_means"))
        return (sizes @ means / sizes.sum())[None].astype(np.float32)

    def _encode(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.module.inference(batch["X"])
        return outputs["qzm"], outputs["qzv"]

    def _decode(self, z: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        return self.module.generative(z)["mean"]

    def _check_seen(self, **codes: int) -> None:
        super()._check_seen(**codes)
        seen = self.module.pairs_seen.cpu().numpy() > 0
        seen[self.module.control] = True
        names = self.schema.conditions
        for argument, code in codes.items():
            if not seen[code]:
                raise GroupError(
                    f"{argument}='{names[code]}' shares no cell type with '{names[self.module.control]}' in training, "
                    f"so nothing was learnt of it; there are {listing(names[seen])}"
                )

    def _doubts(self, cells: Cells, request: Request, **options: Any) -> list[str]:
        doubts = super()._doubts(cells, request, **options)
        control = self.schema.conditions[self.module.control]
        if request.target == self.module.control:
            doubts.append(f"the decoder was trained on perturbed cells alone; it has never made a cell of '{control}'")
        elif request.source != self.module.control and isinstance(self.module.style_encoder, LatentStyleEncoder):
            doubts.append(
                f"with delta='latent' the step was learnt at cells of '{control}'; here it is read at cells of "
                f"'{self.schema.conditions[request.source]}'"
            )
        return doubts

    def _respond(self, cells: Cells, request: Request, **options: Any) -> Iterator[np.ndarray]:
        weights, deltas, place = options.get("weights"), None, np.empty(0, dtype=np.int64)
        if weights is not None:
            deltas, place = self._weighted_deltas(cells, request, weights)
        for positions, batch in cells.batches(request.batch_size):
            z = self._encode(self._to_device(batch))[0]
            if deltas is None:
                step = self.module.shift(z, request.source, request.target)
            else:
                step = torch.from_numpy(deltas[place[positions]]).to(z.device)
            yield self._decode(z + step, None).cpu().numpy()

    # No _unshifted: the decoder is trained on perturbed cells alone, and what it makes of a control cell's own point
    # is no control cell, so that there is no difference to add to one.

    def _reads_seed(self, **options: Any) -> bool:
        return options.get("weights") == "resampled"
