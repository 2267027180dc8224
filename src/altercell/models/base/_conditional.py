"""Models whose decoder reads the condition: a counterfactual is the same latent point, decoded under another."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch

from altercell.errors import GroupError, listing
from altercell.models.base._cells import Cells
from altercell.models.base._latent import INFERENCE_BATCH, LatentModel
from altercell.models.base._request import Request


class ConditionalDecoding(LatentModel):
    """A latent model whose decoder takes the condition beside the latent point, as conditional autoencoders do.

    List it in place of :class:`LatentModel`, before :class:`ResponseModel`.
    """

    def _with_every_condition(
        self, cells: Cells, train_idx: np.ndarray, val_idx: np.ndarray, chosen: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let training see every condition that has cells: of one that it has not, the weights would stay untrained."""
        codes = self.schema.condition_codes(cells.data)[cells.rows]
        unseen = np.setdiff1d(codes, codes[train_idx])
        if len(unseen) and chosen:
            raise GroupError(
                f"validation_indices= has every cell of condition {listing(self.schema.conditions[unseen])}, of which "
                "nothing would be learnt; leave some to train on, or register the cells without it"
            )
        moved = np.array([val_idx[codes[val_idx] == code][0] for code in unseen], dtype=np.int64)
        return np.sort(np.append(train_idx, moved)), np.setdiff1d(val_idx, moved)

    @abstractmethod
    def _decode(  # type: ignore[override] # a point alone does not say which cell is meant
        self, z: torch.Tensor, size_factor: torch.Tensor | None, condition: torch.Tensor
    ) -> torch.Tensor:
        """Return the expected cells, of shape (n, n_genes); `condition` are codes of shape (n, 1), int64."""

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
        latent
            Points of shape ``(n_cells, n_latent)``.
        condition
            The condition to decode under, a value of ``obs[batch_key]`` that training has seen.
        size_factor
            Total counts of shape ``(n_cells,)``, for count likelihoods.
        batch_size
            Cells a batch.

        Returns
        -------
        Expected cells, float32 of shape ``(n_cells, n_genes)``, genes in the model's order.

        Raises
        ------
        GroupError
            No condition was given, or one that training has not seen.
        DataError
            The points have another number of dimensions than the latent space, or are not finite; or the totals are not
            one positive number a point.
        """
        self._check_trained()
        if condition is None:
            raise GroupError(
                f"{type(self).__name__} decodes a latent point under a condition; give condition=, one of "
                f"{listing(self.schema.conditions)}"
            )
        code = self.schema.condition_code(condition, "condition")
        seen = self.module.group_sizes.sum(dim=1).cpu().numpy() > 0
        if not seen[code]:
            raise GroupError(
                f"condition='{condition}' has no training cell; there are {listing(self.schema.conditions[seen])}"
            )
        return self._decode_points(latent, size_factor, batch_size, condition=code)

    def _source_points(
        self, batch: dict[str, torch.Tensor], request: Request, condition: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the posterior means of a batch under the source, and the condition's codes, of shape (n, 1)."""
        own = torch.full((len(batch["X"]), 1), request.source, device=batch["X"].device)
        mean, _ = self._encode({**batch, "batch": own})
        return mean, torch.full_like(own, condition)
