"""`interpolate`: what a generator makes between two noise points, and between two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from altercell import __version__
from altercell.errors import DataError, GroupError, check_choice
from altercell.models.base import answer
from altercell.models.base._schema import as_list
from altercell.models.scgan._generation import Generation


class Paths(Generation):
    """`interpolate`, for a model that makes cells of noise and perhaps of a class."""

    def interpolate(
        self,
        n: int = 20,
        *,
        labels: object | Sequence[object] | None = None,
        condition: object | Sequence[object] | None = None,
        noise: np.ndarray | None = None,
        output: Literal["model", "log"] = "model",
        seed: int | None = None,
    ) -> AnnData:
        r"""Return what the generator makes on the way from one noise point to another, or from one class to another.

        Noise goes along the arc :math:`z_f = \frac{\sin((1 - f) \theta)}{\sin \theta} z_0 + \frac{\sin(f \theta)}{\sin
        \theta} z_1` with the angle :math:`\theta` between both: on the straight line it would come too near to 0, where
        the generator was not trained. Of two classes, the scales and shifts of the normalisation are mixed, :math:`(1 -
        f) \gamma_0 + f \gamma_1`.

        Parameters
        ----------
        n
            Number of cells, both ends included.
        labels, condition
            One, or a pair of both ends, of a model that knows labels or conditions; None where it knows none of them.
        noise
            The two ends, shape ``(2, n_latent)``, or one point ``(n_latent,)`` for both. None: drawn, one point for
            both ends where they are of two classes, else two.
        output
            ``"model"`` or ``"log"``; see :meth:`generate`.
        seed
            Seed of the noise that is drawn.

        Returns
        -------
        The cells in order; ``obs["fraction"]`` is 0 at the first end and 1 at the other.

        Raises
        ------
        GroupError
            Unknown classes, more than two, none where they are needed, or classes without training cells.
        DataError
            `n` is below 2, the noise has another shape, or `output` is not among those.
        """
        self._check_trained()
        check_choice("output", output, ("model", "log"))
        self._check_output(output)
        if n < 2:
            raise DataError(f"n={n} must be at least 2")
        ends = self._end_classes(labels, condition)
        with self._inference(seed) as used:
            points = self._end_points(noise, ends[0] != ends[1], used)
            fraction = np.linspace(0, 1, n)
            weights = np.zeros((n, self.module.n_classes), dtype=np.float32)
            weights[:, ends[0]] += 1 - fraction
            weights[:, ends[1]] += fraction  # of one class twice, the shares sum to 1
            device = self.module.device
            path = torch.from_numpy(_arc(points, fraction).astype(np.float32)).to(device)
            made = self.module.make(path, torch.from_numpy(weights).to(device)).cpu().numpy()
            covered = weights @ self.module.covered.cpu().numpy()
        provenance = {
            "model": type(self).__name__,
            "verb": "interpolate",
            "version": __version__,
            "space": self._output_space(output),
            "seed": used if noise is None else None,
        }
        obs = pd.DataFrame({"fraction": fraction}, index=[f"step_{number}" for number in range(n)])
        return answer([self._in_output(output, made, covered)], obs, self._var(), provenance)

    def _end_classes(self, labels: object, condition: object) -> tuple[int, int]:
        """Return the class of each end."""
        names = {"labels": as_list(labels) or [labels], "condition": as_list(condition) or [condition]}
        needed = {"labels": self.classes in ("labels", "both"), "condition": self.classes in ("conditions", "both")}
        codes = {}
        for argument, given in names.items():
            if len(given) > 2:
                raise GroupError(f"{argument}= has {len(given)} names; give one, or a pair of both ends")
            if given[0] is not None:
                self._check_class("labels" if argument == "labels" else "conditions", argument, given)
            elif needed[argument]:
                raise GroupError(f"{argument}= is needed: this {type(self).__name__} makes cells of them")
            code = self.schema.label_code if argument == "labels" else self.schema.condition_code
            found = [0 if name is None else code(name, argument) for name in given]
            codes[argument] = (found[0], found[-1])
        sizes, table, ends = self._training_sizes(), self._class_table(), []
        for label, of in zip(codes["labels"], codes["condition"], strict=True):
            number = int(table[of, label])
            if sizes[table == number].sum() == 0:
                raise GroupError("no training cell is of one of the two classes")
            ends.append(number)
        return ends[0], ends[1]

    def _end_points(self, noise: np.ndarray | None, two_classes: bool, seed: int) -> np.ndarray:
        """Return the noise of both ends, shape ``(2, n_latent)``."""
        size = self.module.n_latent
        if noise is None:
            drawn = np.random.default_rng(seed).standard_normal((1 if two_classes else 2, size))
            return np.repeat(drawn, 2, axis=0)[:2] if two_classes else drawn
        points = np.asarray(noise, dtype=np.float64)
        if points.shape not in ((size,), (2, size)) or not np.isfinite(points).all():
            raise DataError(f"noise has shape {points.shape}; give finite numbers of shape (2, {size}) or ({size},)")
        return np.broadcast_to(points, (2, size))


def _arc(ends: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Return points on the arc between two, shape ``(n, n_latent)``; the straight line where they are parallel."""
    lengths = np.linalg.norm(ends, axis=1)
    cosine = float(ends[0] @ ends[1] / max(float(lengths.prod()), 1e-300))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:
        return np.outer(1 - fraction, ends[0]) + np.outer(fraction, ends[1])
    return np.sin(angle * np.stack([1 - fraction, fraction], axis=1)) / np.sin(angle) @ ends
