"""`generate`: cells of noise, of any number and class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from altercell import __version__
from altercell._space import COUNTS, log_space
from altercell.errors import DataError, GroupError, check_choice, listing
from altercell.models.base import GenerativeModel, answer
from altercell.models.base._cells import check_batch_size
from altercell.models.base._request import label_list

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

Values = Literal["model", "log", "rounded"]
Classes = Literal["labels", "conditions", "both"]
LOG_TOTAL = 10_000
DOUBT = "a generator's values vary less than counts, and few of them are zero: compare with real cells"


class Generation(GenerativeModel, Base):
    """`generate`, for a model that makes cells of noise and perhaps of a class."""

    #: What the classes are; None where the model knows none.
    classes: Classes | None

    def _generate(
        self,
        n: int | Mapping[object, int],
        labels: object | Sequence[object] | None,
        condition: object | None,
        output: Values,
        seed: int | None,
        batch_size: int,
        path: str | Path | None,
    ) -> AnnData:
        self._check_trained()
        check_choice("output", output, get_args(Values))
        if output == "rounded" and not self.module.scales:
            raise DataError("output='rounded' makes counts, and this model was set up on log data")
        with self._inference(seed) as used:
            rng = np.random.default_rng(used)
            groups = self._asked_groups(n, labels, condition, rng)
            obs = self._obs_of(groups)
            provenance = {
                "model": type(self).__name__,
                "verb": "generate",
                "version": __version__,
                "space": self._output_space(output),
                "library_size": float(self.module.generator.scaled.total) if self.module.scales else None,
                "seed": used,
                "batch_key": self.schema.batch_key,
                "labels_key": self.schema.labels_key,
                "trust": [DOUBT],
            }
            var = pd.DataFrame(index=pd.Index(self.schema.genes)) if self.adata is None else self.cells().var()
            blocks = self._made(self._class_of(groups), output, check_batch_size(batch_size), rng)
            return answer(blocks, obs, var, provenance, path)

    def _made(
        self, classes: np.ndarray, output: Values, batch_size: int, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        device = self.module.device
        for start in range(0, len(classes), batch_size):
            mine = classes[start : start + batch_size]
            # Drawn row by row, so that the batch size changes nothing.
            drawn = rng.standard_normal((len(mine), self.module.n_latent + 1), dtype=np.float32)
            noise = torch.from_numpy(np.ascontiguousarray(drawn[:, :-1])).to(device)
            made = self.module.make(noise, torch.from_numpy(mine).to(device)).cpu().numpy()
            yield self._as(output, made, mine, drawn[:, -1])

    def _as(self, output: Values, made: np.ndarray, classes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return cells as they are asked for; `drawn` are standard normal numbers, which choose the totals."""
        if output == "model" or not self.module.scales:
            return made
        share = made / np.maximum(made.sum(axis=1, keepdims=True), 1e-8)
        if output == "log":
            return np.log1p(LOG_TOTAL * share)
        return np.rint(self._totals(classes, drawn)[:, None] * share).astype(np.float32)

    def _totals(self, classes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return totals from the distribution of each class."""
        quantiles = self.module.totals.cpu().numpy()
        place = torch.special.ndtr(torch.from_numpy(drawn)).numpy() * (quantiles.shape[1] - 1)
        below = np.minimum(place.astype(np.int64), quantiles.shape[1] - 2)
        low, high = quantiles[classes, below], quantiles[classes, below + 1]
        return low + (place - below) * (high - low)

    def _output_space(self, output: Values) -> str:
        if not self.module.scales:
            return self.space
        if output == "rounded":
            return COUNTS
        return log_space(LOG_TOTAL) if output == "log" else f"counts scaled to {self._library_size():,.0f}"

    def _library_size(self) -> float:
        return float(self.module.generator.scaled.total)

    def _class_of(self, groups: np.ndarray) -> np.ndarray:
        """Return the class of each group, groups being (condition, label) as one number."""
        return self.module.class_of_group.cpu().numpy().ravel()[groups]

    def _asked_groups(
        self, n: int | Mapping[object, int], labels: object, condition: object | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the group of each cell that is to be made: drawn in the proportions of training, among those asked."""
        if isinstance(n, Mapping):
            if labels is not None or not n:
                raise GroupError("n= names the labels and their numbers, so give no labels=, and at least one number")
            parts = [self._asked_groups(number, [label], condition, rng) for label, number in n.items()]
            return np.concatenate(parts)
        if n < 1:
            raise DataError(f"n={n} must be at least 1")
        sizes = self.module.group_sizes.cpu().numpy().astype(np.int64)
        keep, wanted = np.ones(sizes.shape, dtype=bool), label_list(labels)
        if wanted is not None:
            self._check_class("labels", "labels", wanted)
            codes = [self.schema.label_code(label, "labels") for label in wanted]
            keep &= np.isin(np.arange(sizes.shape[1]), codes)
        if condition is not None:
            self._check_class("conditions", "condition", condition)
            keep &= (np.arange(len(sizes)) == self.schema.condition_code(condition, "condition"))[:, None]
        weights = np.where(keep, sizes, 0).ravel()
        if weights.sum() == 0:
            raise GroupError(f"no training cell is of condition '{condition}' and labels {listing(wanted or ['any'])}")
        return rng.choice(len(weights), n, p=weights / weights.sum())

    def _check_class(self, what: str, argument: str, value: object) -> None:
        if self.classes not in (what, "both"):
            known = {None: "nothing", "labels": "labels", "conditions": "conditions"}[self.classes]
            raise GroupError(
                f"{argument}={value!r}: this {type(self).__name__} tells {known} apart; CscGAN(classes='{what}') or "
                "classes='both' makes cells of them"
            )

    def _obs_of(self, groups: np.ndarray) -> pd.DataFrame:
        """Return the table of generated cells, with what the classes tell of them."""
        obs, schema = pd.DataFrame(index=[f"generated_{number}" for number in range(len(groups))]), self.schema
        conditions, labels = np.divmod(groups, len(schema.labels))
        if self.classes in ("labels", "both") and schema.labels_key is not None:
            obs[schema.labels_key] = pd.Categorical.from_codes(labels, categories=list(schema.labels))
        if self.classes in ("conditions", "both") and schema.batch_key is not None:
            obs[schema.batch_key] = pd.Categorical.from_codes(conditions, categories=list(schema.conditions))
        return obs
