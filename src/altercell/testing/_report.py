"""What came out of the checks: passed, failed, declared, not applicable; each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from altercell.testing._registry import Check

Status = Literal["passed", "failed", "declared", "not applicable"]


@dataclass(frozen=True)
class Outcome:
    """What came out of one check.

    Attributes
    ----------
    check
        The check.
    status
        One of

        * ``"passed"``;
        * ``"failed"``: it does not hold, or it holds although it was declared not to;
        * ``"declared"``: it does not hold, as was declared;
        * ``"not applicable"``: the statement has no meaning for this model.
    reason
        Why, where it did not pass.
    seconds
        How long it took.
    error
        What the check raised; None where it raised nothing.
    """

    check: Check
    status: Status
    reason: str = ""
    seconds: float = 0.0
    error: Exception | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.status:<14} {self.check.id:<28} {self.reason or self.check.name}"


@dataclass(frozen=True)
class Report:
    """What came out of all checks of a model.

    Attributes
    ----------
    model
        Name of the model.
    outcomes
        One for each check, in order.
    """

    model: str
    outcomes: tuple[Outcome, ...]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def of(self, status: Status) -> list[Outcome]:
        """Return the outcomes of one kind.

        Parameters
        ----------
        status
            ``"passed"``, ``"failed"``, ``"declared"`` or ``"not applicable"``.
        """
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def run(self) -> int:
        """Number of checks that were run: all but those that do not apply."""
        return len(self.outcomes) - len(self.of("not applicable"))

    @property
    def seconds(self) -> float:
        """Seconds that the checks took."""
        return sum(outcome.seconds for outcome in self.outcomes)

    def summary(self) -> str:
        """Return one line: checks passed of checks run, failures, declared failures, seconds."""
        return (
            f"{self.model}: {len(self.of('passed'))} of {self.run} checks passed, {len(self.of('failed'))} failed, "
            f"{len(self.of('declared'))} declared failures; {len(self.of('not applicable'))} do not apply; "
            f"{self.seconds:.1f} s"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row a check: ``id``, ``statement``, ``status``, ``reason``, ``seconds``."""
        rows = [(one.check.id, one.check.name, one.status, one.reason, one.seconds) for one in self.outcomes]
        return pd.DataFrame(rows, columns=["id", "statement", "status", "reason", "seconds"]).set_index("id")

    def __str__(self) -> str:
        told = [*self.of("failed"), *self.of("declared")]
        return "\n".join([self.summary(), *(f"  {outcome}" for outcome in told)])
