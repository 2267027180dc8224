"""A task that has nothing to do with predictions, in a module of its own so that workers can import it."""

import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from altercell.benchmark import Candidate, Task


@dataclass(frozen=True, kw_only=True)
class Sums(Task):
    """The sum of the values of a part of the cells, plus a number of the candidate's and the seed."""

    name: ClassVar[str] = "sums"

    def splits(self) -> list[str]:
        return list(self.cells.obs["part"].unique())

    def prepare(self, split: str) -> np.ndarray:
        return self.cells[self.cells.obs["part"] == split].X

    def answer(self, candidate: Candidate, data: np.ndarray, seed: int) -> float:
        if candidate.arguments.get("dies"):
            os._exit(1)
        return float(data.sum()) + candidate.arguments.get("plus", 0) + seed

    def score(self, answer: float, data: np.ndarray, seed: int) -> pd.DataFrame:
        columns = {"metric": "sum", "value": answer, "label": "", "genes": "", "better": "higher", "sd_cells": np.nan}
        return pd.DataFrame([columns])
