"""Which cells are to be generated: of what class, and how many of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from altercell.errors import DataError, GroupError, listing
from altercell.models.base._generative import GenerativeModel
from altercell.models.base._request import label_list

if TYPE_CHECKING:
    from altercell.models.base._model import AltercellModel as Base
else:
    Base = object

Classes = Literal["labels", "conditions", "both"]
FEW_CELLS = 20


class ClassedGeneration(GenerativeModel, Base):
    """A model that makes cells of classes, in the proportions of training or as they are asked for.

    A group is a (condition, label) as one number, counted label by label. The model's module has ``group_sizes``, the
    number of training cells of each.
    """

    #: What the classes are; None where the model knows none.
    classes: Classes | None

    def _class_table(self) -> np.ndarray:
        """Return the class of each condition and label, shape ``(n_conditions, n_labels)``; all 0 without classes."""
        n_conditions, n_labels = len(self.schema.conditions), len(self.schema.labels)
        conditions, labels = np.arange(n_conditions)[:, None], np.arange(n_labels)[None]
        if self.classes is None:
            return np.zeros((n_conditions, n_labels), dtype=np.int64)
        if self.classes == "labels":
            return labels + 0 * conditions
        return conditions + 0 * labels if self.classes == "conditions" else conditions * n_labels + labels

    def _training_sizes(self) -> np.ndarray:
        return self.module.group_sizes.cpu().numpy().astype(np.int64)

    def _few_cells(self, groups: np.ndarray) -> list[str]:
        """Return a doubt where a class has hardly been seen."""
        if self.classes is None:
            return []
        of_group, classes = self._class_table(), self._class_of(groups)
        sizes = np.zeros(int(of_group.max()) + 1, dtype=np.int64)
        np.add.at(sizes, of_group, self._training_sizes())
        few = np.unique(classes)[sizes[np.unique(classes)] < FEW_CELLS]
        if not len(few):
            return []
        return [
            f"{len(few)} of the classes have fewer than {FEW_CELLS} training cells (the fewest: {sizes[few].min()})"
        ]

    def _class_of(self, groups: np.ndarray) -> np.ndarray:
        """Return the class of each group, groups being (condition, label) as one number."""
        return self._class_table().ravel()[groups]

    def _asked_groups(
        self, n: int | Mapping[object, int], labels: object, condition: object | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the group of each cell that is to be made: drawn in the proportions of training, among those asked."""
        if isinstance(n, Mapping | pd.Series):
            if labels is not None or len(n) == 0:
                raise GroupError("n= names the labels and their numbers, so give no labels=, and at least one number")
            wanted_of = {label: _number(number, f"n={{{label!r}: {number!r}}}", least=0) for label, number in n.items()}
            if not sum(wanted_of.values()):
                raise DataError("n= asks for no cell of any label")
            parts = [self._asked_groups(k, [label], condition, rng) for label, k in wanted_of.items() if k]
            return np.concatenate(parts)
        n = _number(n, f"n={n!r}")
        sizes = self._training_sizes()
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
            asked = [f"labels {listing(wanted)}"] if wanted is not None else []
            asked += [f"condition '{condition}'"] if condition is not None else []
            raise GroupError(f"no training cell is of {' and '.join(asked)}")
        return rng.choice(len(weights), n, p=weights / weights.sum())

    def _check_class(self, what: str, argument: str, value: object) -> None:
        if self.classes not in (what, "both"):
            known = {None: "no classes", "labels": "labels", "conditions": "conditions"}[self.classes]
            raise GroupError(
                f"{argument}={value!r}: this {type(self).__name__} tells {known} apart; {self._hint(what)}"
            )

    def _hint(self, what: str) -> str:
        """Return how cells of labels, or of conditions, can be made."""
        return f"CscGAN(classes='{what}') or classes='both' makes cells of them"

    def _obs_of(self, groups: np.ndarray) -> pd.DataFrame:
        """Return the table of generated cells, with what the classes tell of them."""
        obs, schema = pd.DataFrame(index=[f"generated_{number}" for number in range(len(groups))]), self.schema
        conditions, labels = np.divmod(groups, len(schema.labels))
        if self.classes in ("labels", "both") and schema.labels_key is not None:
            obs[schema.labels_key] = pd.Categorical.from_codes(labels, categories=list(schema.labels))
        if self.classes in ("conditions", "both") and schema.batch_key is not None:
            obs[schema.batch_key] = pd.Categorical.from_codes(conditions, categories=list(schema.conditions))
        return obs

    def _var(self) -> pd.DataFrame:
        """Return the table of the genes, as rich as what is known of them."""
        return pd.DataFrame(index=pd.Index(self.schema.genes)) if self.adata is None else self.cells().var()


def _number(value: object, what: str, least: int = 1) -> int:
    """Return a number of cells, after checking it."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise DataError(f"{what} must be a whole number of at least {least}")
    return int(value)
