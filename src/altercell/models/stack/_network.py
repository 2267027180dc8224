"""A network as a member: scGen, trained once on all cells, and once without each type whose response is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi.utils import track

from altercell.errors import GroupError, listing
from altercell.models.base import INFERENCE_BATCH, REACH, Cells, Kinds, Request
from altercell.models.base._schema import Schema
from altercell.models.base._ways import predict_means
from altercell.models.scgen import ScGen
from altercell.models.stack._evidence import Evidence, Fold
from altercell.models.stack._member import Member


class NetworkMember(Member):
    r"""The asked type's control cells, moved as a network decodes them.

    .. math::

        A_t = c_t + \frac{1}{n_t} \sum_{i \in t} \bigl( D(\mu(x_i) + \delta_t) - D(\mu(x_i)) \bigr),
        \qquad \delta_t = \sum_k w_k (\bar z_{sk} - \bar z_{ck})

    with the encoder :math:`\mu`, the decoder D and the latent means :math:`\bar z` of
    :class:`~altercell.models.ScGen` :cite:p:`Lotfollahi2019`, and the weights w of :class:`SimilarTypes`. For a type
    that is left out it is a network whose training has not seen the type's target cells either.

    Parameters
    ----------
    left_out
        What is predicted for each type by the network that was trained without its target cells, shape
        ``(n_labels, n_genes)``; NaN where there is none.
    decoded
        Returns what the network of all cells predicts for a type, given the weights of the others by their positions.
    """

    name: ClassVar[str] = "scgen"

    def __init__(self, left_out: np.ndarray, decoded: Callable[[int, dict[int, float]], np.ndarray]) -> None:
        self.left_out, self.decoded = left_out, decoded

    def means(self, evidence: Evidence) -> np.ndarray:
        """See :meth:`Member.means`.

        Parameters
        ----------
        evidence
            What is known.
        """
        return np.stack([self._mean(evidence, fold) for fold in evidence.folds])

    def _mean(self, evidence: Evidence, fold: Fold) -> np.ndarray:
        if evidence.target.sizes[fold.asked] > 0 and fold.asked not in fold.types:
            return self.left_out[fold.asked]
        weights = evidence.similarity(fold, REACH)
        return self.decoded(fold.asked, dict(zip(fold.types.tolist(), weights.tolist(), strict=True)))


class Networks:
    """The networks of a stack.

    Parameters
    ----------
    registry
        Registry of the stack, which the networks share.
    control
        The condition whose cells of a type stay where the type is left out.
    arguments
        Of :class:`~altercell.models.ScGen`.
    seed
        Seed of the networks.

    Raises
    ------
    GroupError
        There is no such condition.
    """

    def __init__(self, registry: Mapping[str, Any], control: object, arguments: Mapping[str, Any], seed: int) -> None:
        self.schema = Schema.from_registry(registry)
        self.control = self.schema.condition_code(control, "control")
        counts = not self.schema.space.startswith("log")
        self.arguments = {"gene_likelihood": "nb" if counts else "gaussian", **arguments, "seed": seed}
        #: The network of all cells; its weights are those of a model of the same registry.
        self.whole = ScGen(registry=registry, **self.arguments)

    def fit(self, adata: AnnData, *, resume_dir: str | Path | None = None, **options: Any) -> np.ndarray:
        """Train the networks.

        Parameters
        ----------
        adata
            The training cells.
        resume_dir
            Folder of the networks' own folders; see :meth:`altercell.models.ScGen.train`.
        **options
            Further arguments of that.

        Returns
        -------
        What is predicted for each type from its control cells by the network that was trained without its other cells,
        shape ``(n_conditions, n_labels, n_genes)``; NaN where there is none.
        """
        conditions, labels = self.schema.condition_codes(adata), self.schema.cell_label_codes(adata)
        sizes = np.zeros((len(self.schema.conditions), len(self.schema.labels)), dtype=np.int64)
        np.add.at(sizes, (conditions, labels), 1)
        left = np.flatnonzero((sizes[self.control] > 0) & (np.delete(sizes, self.control, axis=0).sum(axis=0) > 0))
        if len(left) < 2:
            raise GroupError(
                f"members='{NetworkMember.name}' trains without each type in turn, and needs two with cells in "
                f"'{self.schema.conditions[self.control]}' and in another condition; there is "
                f"{listing(self.schema.labels[left]) or 'none'}"
            )
        found = np.full((*sizes.shape, len(self.schema.genes)), np.nan, dtype=np.float32)

        def train(rows: np.ndarray, name: str) -> ScGen:
            """Return a network that is trained on some of the cells."""
            folder = {} if resume_dir is None else {"resume_dir": Path(resume_dir) / name}
            return self._trained(adata, rows, **folder, **options)

        for label in track(left, description="Networks, each without a type"):
            network = train(np.flatnonzero((conditions == self.control) | (labels != label)), f"without_{label}")
            for target in range(len(sizes)):
                told_by = (sizes[[self.control, target]] > 0).all(axis=0) & (np.arange(len(sizes[0])) != label)
                if target != self.control and told_by.any():
                    found[target, label] = self._left_out(network, int(target), int(label))
        self.whole.module.load_state_dict(train(np.arange(adata.n_obs), "whole").module.state_dict())
        return found

    def _trained(self, adata: AnnData, rows: np.ndarray, **options: Any) -> ScGen:
        part = adata[rows]
        part = part.to_memory() if part.isbacked else part.copy()
        schema = self.schema
        for key, names in ((schema.batch_key, schema.conditions), (schema.labels_key, schema.labels)):
            if key is not None:  # a copy of some cells has lost the groups that none of them is of
                part.obs[key] = pd.Categorical(part.obs[key], categories=list(names))
        ScGen.setup_anndata(
            part,
            layer=schema.layer,
            batch_key=schema.batch_key,
            labels_key=schema.labels_key,
            size_factor_key=schema.size_factor_key,
        )
        network = ScGen(part, **self.arguments)
        network.train(**{"enable_progress_bar": False, **options})
        if network.interrupted_:
            raise KeyboardInterrupt
        return network

    def _left_out(self, network: ScGen, target: int, label: int) -> np.ndarray:
        """Return what a network predicts for a type of its training cells, by the likeness of the others."""
        start, end = (self.schema.conditions[code] for code in (self.control, target))
        cells = network._source_cells(None, start, [self.schema.labels[label]], None)
        return _predicted_mean(network, cells, start, end, "similarity")

    def member(self, left_out: np.ndarray, target: int, cells_of: Callable[[int], Cells]) -> NetworkMember:
        """Return the member for a question.

        Parameters
        ----------
        left_out
            See :class:`NetworkMember`.
        target
            Code of the condition that is asked for.
        cells_of
            Returns the control cells of a type, by its position.
        """
        start, end = (self.schema.conditions[code] for code in (self.control, target))
        self.whole.is_trained_ = True  # with the stack, whose file may have brought the weights

        def decoded(asked: int, weights: Mapping[int, float]) -> np.ndarray:
            """Return what the network of all cells predicts for a type."""
            by_name = {self.schema.labels[code]: weight for code, weight in weights.items()}
            return _predicted_mean(self.whole, cells_of(asked), start, end, by_name)

        return NetworkMember(left_out, decoded)


def _predicted_mean(network: ScGen, cells: Cells, source: object, target: object, weights: Any) -> np.ndarray:
    """Return the mean on the log scale that a network predicts for cells of one type, shape (n_genes,)."""
    start, end = (network.schema.condition_code(name, "condition") for name in (source, target))
    request = Request(start, end, np.zeros(len(cells), dtype=np.int64), INFERENCE_BATCH, seed=0)
    options = network._log_options({"weights": weights, "delta": None, "types": "shared", "output": "model"})
    with network._inference():
        return predict_means(network, cells, Kinds.of(cells), request, options).target[0]
